"""Learned heads."""
