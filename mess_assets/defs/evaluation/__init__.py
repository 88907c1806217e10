"""Leakage-safe comparison of all systems, and of targets with what they should mean."""
