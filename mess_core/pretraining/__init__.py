"""Pretraining of the small piano encoder: excerpts, rendering, objective, training."""
