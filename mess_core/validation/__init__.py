"""Validation of the targets against synthetic sweeps, beat annotations and human ratings."""
