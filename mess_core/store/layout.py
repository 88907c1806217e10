"""Paths of all files under the data root, and the escaping of track ids.

The root is a local folder or any fsspec URL (``s3://bucket/mess``, ``memory://x``).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from os import PathLike
from typing import Any
from urllib.parse import quote, unquote

from mess_core.errors import StoreError
from mess_core.paths import locate

__all__ = ["Layout", "escape_track_id", "unescape_track_id"]

_MAX_KEY_LENGTH = 200


def escape_track_id(track_id: str) -> str:
    """Return a track id as a file name and Dagster partition key; reversible.

    Letters, digits, ``_``, ``-`` and single dots inside the id are unchanged. Everything
    else is percent-encoded as UTF-8, so the result cannot leave its folder, contain a
    control character, or be read as a partition range (``...``).

    Raises
    ------
    StoreError
        If the id is empty, is not valid Unicode, or exceeds 200 characters once escaped.

    Examples
    --------
    >>> escape_track_id("Chopin_Op028-04_003_20100611-SMD")
    'Chopin_Op028-04_003_20100611-SMD'
    >>> escape_track_id("../Für Elise...")
    '%2E%2E%2FF%C3%BCr%20Elise.%2E.'
    """
    if not track_id:
        raise StoreError("a track id is empty", remedy="Give the file a name")
    try:
        escaped = quote(track_id, safe="._-")
    except UnicodeEncodeError as error:
        raise StoreError(
            f"track id {track_id!r} is not valid Unicode", remedy="Rename the file"
        ) from error
    # quote() does not encode the unreserved "~", but a shell would expand it.
    escaped = escaped.replace("~", "%7E")
    escaped = re.sub(r"\.\.", ".%2E", escaped)
    if escaped.startswith("."):
        escaped = "%2E" + escaped[1:]
    if escaped.startswith("-"):
        escaped = "%2D" + escaped[1:]
    if len(escaped) > _MAX_KEY_LENGTH:
        raise StoreError(
            f"track id {track_id!r} takes {len(escaped)} characters as a file name "
            f"(at most {_MAX_KEY_LENGTH})",
            remedy="Rename the file",
        )
    return escaped


def unescape_track_id(key: str) -> str:
    """Return the track id of an escaped key; the inverse of `escape_track_id`.

    Raises
    ------
    StoreError
        If `key` is not a result of `escape_track_id`.

    Examples
    --------
    >>> unescape_track_id("F%C3%BCr%20Elise")
    'Für Elise'
    """
    track_id = unquote(key, errors="strict") if key.isascii() else ""
    if not track_id or escape_track_id(track_id) != key:
        raise StoreError(f"{key!r} is not an escaped track id")
    return track_id


@dataclass(frozen=True, init=False)
class Layout:
    """Paths of all files under one data root; creates and reads nothing.

    What depends on an encoder lies in a folder of the encoder's name: embeddings, probing,
    indices, heads, and scores. Everything else is shared.

    Parameters
    ----------
    root : str or path-like
        Local folder or fsspec URL.
    encoder : str, optional
        Folder of the encoder (`Encoder.folder`). Without it, the paths that depend on an encoder
        raise `StoreError`.

    Examples
    --------
    >>> layout = Layout("memory://library", "mess-piano")
    >>> str(layout.tracks)
    'memory://library/metadata/tracks.parquet'
    >>> str(layout.embedding("segments", "takes", "Für Elise"))
    'memory://library/embeddings/mess-piano/takes-emb/segments/F%C3%BCr%20Elise.npy'
    """

    root: Any  # UPath; typed Any since the library ships no types
    encoder: str | None

    def __init__(self, root: str | PathLike[str], encoder: str | None = None) -> None:
        found = locate(root)
        object.__setattr__(self, "root", found.absolute() if is_local(found) else found)
        object.__setattr__(self, "encoder", encoder)

    def of(self, encoder: str | None) -> Layout:
        """Return the layout of the same data root for an encoder."""
        return Layout(self.root, encoder)

    def _own(self, kind: str) -> Any:
        """Return the encoder's folder of this kind."""
        if self.encoder is None:
            raise StoreError(
                f"no encoder is chosen, and {kind}/ has a folder for each",
                path=str(self.root),
                remedy="Name one, as in Layout(root, encoder); `mess encoders` lists them",
            )
        return self.root / kind / self.encoder

    # Metadata -------------------------------------------------------------------------
    @property
    def tracks(self) -> Any:
        return self.root / "metadata" / "tracks.parquet"

    @property
    def tracks_report(self) -> Any:
        return self.root / "metadata" / "report.json"

    @property
    def audio_hashes(self) -> Any:
        return self.root / "metadata" / "audio_hashes.parquet"

    @property
    def note_sketches(self) -> Any:
        """What is known of the notes of each MIDI file, to recognise shared music."""
        return self.root / "metadata" / "note_sketches.parquet"

    @property
    def work_overrides(self) -> Any:
        """A person's corrections of works, a CSV of ``track_id,work_id``."""
        return self.root / "metadata" / "work_overrides.csv"

    @property
    def label_findings(self) -> Any:
        """Where titles and notes disagree."""
        return self.root / "metadata" / "label_findings.parquet"

    @property
    def control(self) -> Layout:
        """Layout of the untrained counterpart's embeddings."""
        return Layout(self.root / "control", self.encoder)

    # Embeddings -----------------------------------------------------------------------
    def embedding(self, kind: str, dataset: str, track_id: str) -> Any:
        """Return the path of one track's array; `kind` is "raw", "segments" or "aggregated"."""
        return self._embeddings(dataset) / kind / f"{escape_track_id(track_id)}.npy"

    def embedding_sidecar(self, dataset: str, track_id: str) -> Any:
        return self._embeddings(dataset) / "sidecars" / f"{escape_track_id(track_id)}.json"

    def _embeddings(self, dataset: str) -> Any:
        return self.embeddings / f"{escape_track_id(dataset)}-emb"

    @property
    def embeddings(self) -> Any:
        """Folder of all embeddings of the encoder."""
        return self._own("embeddings")

    @property
    def encoder_record(self) -> Any:
        """File that says which encoder the folder is of."""
        return self.embeddings / "encoder.json"

    @property
    def built_from(self) -> Any:
        """What the tables, probing and indices of the encoder were last made from."""
        return self.root / "metadata" / f"built_from-{self.encoder}.json"

    @property
    def matrix(self) -> Any:
        """Track vectors of the whole library, [tracks, layers, dim] float32."""
        return self.embeddings / "matrix.npy"

    @property
    def matrix_rows(self) -> Any:
        return self.embeddings / "matrix_rows.parquet"

    @property
    def matrix_manifest(self) -> Any:
        return self.embeddings / "matrix.json"

    # Proxy targets --------------------------------------------------------------------
    def track_targets(self, dataset: str, track_id: str) -> Any:
        return self._targets(dataset) / f"{escape_track_id(track_id)}.json"

    def segment_targets(self, dataset: str, track_id: str) -> Any:
        return self._targets(dataset) / "segments" / f"{escape_track_id(track_id)}.parquet"

    def transcription(self, dataset: str, track_id: str) -> Any:
        """MIDI of the notes transcribed from a track's audio."""
        return self._transcriptions(dataset) / f"{escape_track_id(track_id)}.mid"

    def transcription_record(self, dataset: str, track_id: str) -> Any:
        """By what and from which audio a transcription was made; valid only with it."""
        return self._transcriptions(dataset) / f"{escape_track_id(track_id)}.json"

    def _transcriptions(self, dataset: str) -> Any:
        return self.root / "transcriptions" / escape_track_id(dataset)

    def aligned_targets(self, work_id: str) -> Any:
        """Return the path of a work's aligned targets, named by the hash of its id."""
        name = hashlib.sha256(work_id.encode()).hexdigest()[:24]
        return self.root / "proxy_targets" / "aligned" / f"{name}.json"

    def curves(self, dataset: str, track_id: str) -> Any:
        return self._targets(dataset) / "curves" / f"{escape_track_id(track_id)}.parquet"

    def _targets(self, dataset: str) -> Any:
        return self.root / "proxy_targets" / escape_track_id(dataset)

    @property
    def proxy_targets(self) -> Any:
        return self.root / "proxy_targets" / "proxy_targets.parquet"

    @property
    def proxy_targets_manifest(self) -> Any:
        return self.root / "proxy_targets" / "proxy_targets.json"

    @property
    def targets_report(self) -> Any:
        """Folder of the validation report on the targets."""
        return self.root / "reports" / "targets"

    # Probing, indices -----------------------------------------------------------------
    @property
    def probing(self) -> Any:
        return self._own("probing")

    @property
    def indices(self) -> Any:
        return self._own("indices")

    @property
    def heads(self) -> Any:
        """Folder of learned heads."""
        return self._own("heads")

    # Evaluation and listeners' judgements ------------------------------------------------
    @property
    def evaluation(self) -> Any:
        """Folder of the encoder's scores."""
        return self._own("evaluation")

    @property
    def benchmark_data(self) -> Any:
        """Folder of what all encoders are evaluated on."""
        return self.root / "evaluation"

    @property
    def comparison(self) -> Any:
        """Folder of the comparison of encoders."""
        return self.root / "comparison"

    @property
    def comparison_page(self) -> Any:
        return self.comparison / "encoders.html"

    @property
    def splits(self) -> Any:
        """Folder of frozen splits."""
        return self.benchmark_data / "splits"

    @property
    def passages(self) -> Any:
        return self.benchmark_data / "passages.parquet"

    @property
    def single_factor_triplets(self) -> Any:
        return self.benchmark_data / "single_factor_triplets.parquet"

    @property
    def rendered(self) -> Any:
        """Folder of the vectors of clips rendered for an evaluation."""
        return self.evaluation / "rendered"

    @property
    def frames(self) -> Any:
        """Folder of the frames of the library's clips."""
        return self.evaluation / "frames"

    @property
    def leaderboard(self) -> Any:
        return self.evaluation / "leaderboard"

    @property
    def human_triplets(self) -> Any:
        return self.benchmark_data / "human_triplets.parquet"

    @property
    def judgements(self) -> Any:
        """Folder of answers, one file per listener."""
        return self.benchmark_data / "judgements"

    @property
    def judgements_table(self) -> Any:
        return self.benchmark_data / "judgements.parquet"

    # Failures -------------------------------------------------------------------------
    def failure(self, stage: str, track_id: str) -> Any:
        """Return the path of a failure record; of embeddings, that of the encoder."""
        folder = self.failures / stage
        if stage == "embeddings" and self.encoder is not None:
            folder = folder / self.encoder
        return folder / f"{escape_track_id(track_id)}.json"

    @property
    def failures(self) -> Any:
        return self.root / "failures"


def is_local(path: Any) -> bool:
    """Return whether a UPath is on a local file system."""
    return getattr(path, "protocol", "") in {"", "file", "local"}
