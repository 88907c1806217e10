"""Search indices."""
