"""The untrained counterpart of an encoder, and its embeddings of a library.

Whatever a layer of the untrained counterpart predicts is not due to training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mess_core.encoders.base import Encoder
from mess_core.encoders.extraction import embed_tracks
from mess_core.encoders.untrained import untrained_counterpart
from mess_core.errors import StoreError
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import build_matrix, load_matrix
from mess_core.store.outcomes import TrackOutcome
from mess_core.store.tables import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_control_matrix", "check_control", "load_control"]


def load_control(encoder: Encoder) -> Encoder:
    """Return an encoder like `encoder` but with seeded random weights.

    It has the same architecture, settings, layers and folder name.

    Examples
    --------
    >>> from mess_core.encoders import load_encoder
    >>> control = load_control(load_encoder("untrained:tiny", device="cpu", layers=[6]))
    >>> control.layers, control.dim
    ((6,), 64)
    """
    counterpart = untrained_counterpart(encoder.architecture, do_normalize=encoder.do_normalize)
    name = f"untrained:counterpart-{encoder.dim}x{encoder.num_layers - 1}@{counterpart.digest[:12]}"
    control = Encoder(
        name,
        counterpart,
        device=encoder.device,
        dtype=encoder.dtype,
        layers=encoder.layers,
        settings=encoder.settings,
    )
    control.folder = encoder.folder  # stored beside, under control/
    return control


def build_control_matrix(
    tracks: pd.DataFrame,
    encoder: Encoder,
    layout: Layout,
    *,
    progress: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], list[TrackOutcome]]:
    """Embed the tracks with the untrained counterpart of `encoder`, and stack their vectors.

    The results are stored under ``control/`` in the data root; stored embeddings are reused.

    Parameters
    ----------
    tracks : DataFrame
        Rows of the track table that have an embedding.
    encoder : Encoder
    layout : Layout
        Layout of the library.
    progress : callable, optional
        Called with a line per track.

    Returns
    -------
    manifest : dict
        Manifest of the matrix; ``control_of`` is the identity of `encoder`.
    failed : list of TrackOutcome
        Tracks that could not be embedded.

    Raises
    ------
    StoreError
        If the data root cannot be written, or no track could be embedded.

    Examples
    --------
    >>> import tempfile
    >>> from mess_core.datasets import parse_sources, read_tracks
    >>> from mess_core.datasets.demo import write_demo_corpus
    >>> from mess_core.encoders import load_encoder
    >>> encoder = load_encoder("untrained:tiny", device="cpu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_demo_corpus(f"{folder}/demo", works=1, players=2, bars=1)
    ...     tracks, _, _ = read_tracks(parse_sources(f"demo={folder}/demo"))
    ...     manifest, failed = build_control_matrix(tracks, encoder, Layout(f"{folder}/root"))
    >>> manifest["shape"], failed
    ([2, 13, 64], [])
    """
    control = layout.of(encoder.folder).control
    failed = []
    for outcome in embed_tracks(tracks, load_control(encoder), control):
        if outcome.status == "failed":
            failed.append(outcome)
        if progress is not None:
            progress(f"{outcome.track_id}: {outcome.status}")
    build_matrix(control, tracks)
    manifest = {**read_json(control.matrix_manifest), "control_of": encoder.identity}
    write_json(control.matrix_manifest, manifest)
    return manifest, failed


def check_control(layout: Layout) -> Finding:
    """Check that the untrained counterpart's vectors cover the present encoder and all tracks."""
    _, rows, manifest = load_matrix(layout)
    encoder = str(manifest["identity"]["encoder"])
    if encoder.startswith("untrained:"):
        return Finding(True, {"control": "not needed: the encoder is untrained"})
    try:
        _, have, control = load_matrix(layout.control)
    except StoreError:
        return Finding(False, {"control": "none: scores do not show what training adds"})
    missing = sorted(set(rows["track_id"]) - set(have["track_id"]))
    current = control.get("control_of") == manifest["identity"]
    facts = {"of_present_encoder": current, "missing": missing[:EXAMPLES], "rows": len(have)}
    return Finding(current and not missing, facts)
