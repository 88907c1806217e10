"""The track table."""
