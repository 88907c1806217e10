"""Training of the small encoder."""
