"""What there is to hear."""
