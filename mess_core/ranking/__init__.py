"""Learned expressive similarity: clips, descriptors, training data, heads and reranking."""
