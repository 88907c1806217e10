"""Embeddings and targets, track by track and as tables."""
