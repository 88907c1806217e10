"""The errors that MESS raises on purpose.

Each message names the file or value at fault, what is wrong with it, and what to do about it,
so that a table of failures can be read without a traceback.
"""

from __future__ import annotations

from os import PathLike, fspath

__all__ = [
    "AudioError",
    "DatasetError",
    "EncoderError",
    "JudgementError",
    "MessError",
    "MidiError",
    "ProbingError",
    "SearchError",
    "StoreError",
    "TooLittleError",
]


class MessError(Exception):
    """Base class of all errors that MESS raises on purpose.

    Parameters
    ----------
    problem : str
        What is wrong, in one sentence without a final full stop.
    path : path-like, optional
        The file or folder at fault.
    remedy : str, optional
        What the reader can do about it.
    transient : bool
        Whether the same input may succeed another time (memory, network, a device).

    Examples
    --------
    >>> import mess_core as mess
    >>> try:
    ...     mess.targets_from_midi("absent.mid")
    ... except mess.MessError as error:
    ...     print(error)
    absent.mid: does not exist. Check the path
    >>> error = mess.MessError("is silent", path="take.wav", remedy="Record it again")
    >>> str(error), error.path, error.transient
    ('take.wav: is silent. Record it again', 'take.wav', False)
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | PathLike[str] | None = None,
        remedy: str | None = None,
        transient: bool = False,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else str(fspath(path))
        self.remedy = remedy
        self.transient = transient
        super().__init__(str(self))

    def __str__(self) -> str:
        where = "" if self.path is None else f"{self.path}: "
        then = "" if self.remedy is None else f". {self.remedy}"
        return f"{where}{self.problem}{then}"


class AudioError(MessError):
    """An audio file cannot be decoded or contains nothing that can be analysed."""


class MidiError(MessError):
    """A MIDI file cannot be parsed or contains no piano notes."""


class DatasetError(MessError):
    """A data set's folder or metadata is not what its layout promises."""


class TooLittleError(DatasetError):
    """The data are valid, but too few to compare or to learn from."""


class EncoderError(MessError):
    """An encoder cannot be found, is unsafe to load, or does not fit its checkpoint."""


class StoreError(MessError):
    """Something in the data root is missing, stale, or does not fit the rest."""


class ProbingError(MessError):
    """The inputs of layer discovery do not allow a valid score."""


class SearchError(MessError):
    """A query names something that the library does not contain."""


class JudgementError(MessError):
    """A listener's answer does not match its question, or an earlier answer."""
