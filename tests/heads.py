"""Heads whose ranking is known."""

import numpy as np

from mess_core.search.heads import Head, save_head
from mess_core.store.matrix import load_matrix


def save_layer_head(layout, layer, name, **made_from):
    """A head that takes one layer as it is: the cosine of that layer."""
    matrix, _, manifest = load_matrix(layout)
    layers, dim = matrix.shape[1:]
    arrays = {
        "mean": np.zeros((layers, dim), np.float32),
        "scale": np.ones((layers, dim), np.float32),
        "layer": np.eye(layers, dtype=np.float32)[layer],
        "first": np.eye(dim, dtype=np.float32),
    }
    made_from = {"identity": manifest["identity"], **made_from}
    save_head(layout.heads, name, Head("linear", arrays, made_from))
