"""Definitions: a folder per asset group with its checks; resources, jobs, schedules, sensors."""
