"""Leakage-safe comparison of all systems, and validation of the proxy targets."""
