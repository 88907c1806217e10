"""Whether numbers mean what they say: targets, alignment, and later retrieval."""
