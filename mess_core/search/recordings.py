"""Query recordings: embed them exactly as the library was embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mess_core.errors import SearchError
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    from mess_core.encoders import Encoder

__all__ = ["matching_encoder"]


def matching_encoder(
    identity: dict[str, Any], given: Encoder | None, layout: Layout | None = None
) -> Encoder:
    """Return the encoder that a library was embedded with.

    Parameters
    ----------
    identity : dict
        Identity of the library's embeddings.
    given : Encoder or None
        Checked against `identity`; loaded by its name if not given.
    layout : Layout, optional
        Of the encoder, which tells where the encoder's folder is.

    Raises
    ------
    SearchError
        If `given` differs in a setting that changes the vectors.
    EncoderError
        If the encoder cannot be loaded.
    """
    from mess_core.encoders import EncoderSettings, load_encoder
    from mess_core.encoders.chosen import loadable_name

    if given is None:
        name = loadable_name(layout or Layout("."), identity)
        settings = EncoderSettings(
            window_s=identity["window_s"], hop_s=identity["hop_s"], pooling=identity["pooling"],
            **({} if identity["normalise"] == "none" else {"normalise": identity["normalise"]}),
        )  # fmt: skip
        given = load_encoder(name, layers=identity["layers"], settings=settings)
    for name in ("encoder", "window_s", "normalise", "pooling", "layers"):
        if given.identity[name] != identity[name]:
            raise SearchError(
                f"the library was embedded with another {name}: {identity[name]}, not "
                f"{given.identity[name]}",
                remedy="Pass encoder=load_encoder(...) with the library's settings",
            )
    return given
