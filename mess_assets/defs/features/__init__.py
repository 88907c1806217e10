"""Embeddings and proxy targets, per track and as tables."""
