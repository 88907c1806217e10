"""Learned expressive similarity: what is compared, how it is trained, what is served."""
