"""Settings of the small encoder's training, cheap to import."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Recipe", "TrainingSettings"]


@dataclass(frozen=True)
class TrainingSettings:
    """How the encoder is trained.

    Attributes
    ----------
    steps : int
        Gradient steps at most.
    minutes : float
        Time limit; the schedule of the learning rate follows whichever ends first.
    excerpts : int
        Per step; each comes with all its clips.
    learning_rate, weight_decay : float
        AdamW, with a warm-up of 5 % and a cosine to zero.
    gain_db, equaliser_db : float
        Largest random gain, and largest gain of a smooth random equaliser.
    band_limited : float
        Share of clips that lose all above 4 to 11 kHz, as at low sample rates.
    windows : int
        Windows that each clip is cut into: 5 of 4 s.
    check_every : int
        Steps between scores on the works held out.
    precision : str
        "bfloat16", twice as fast on processors and GPUs that have it, or "float32".
    seed : int
    """

    steps: int = 40_000
    minutes: float = 180.0
    excerpts: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    gain_db: float = 4.0
    equaliser_db: float = 6.0
    band_limited: float = 0.15
    windows: int = 5
    check_every: int = 1500
    precision: str = "bfloat16"
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """What an encoder is trained on.

    Attributes
    ----------
    soundfonts : tuple of str
        Paths of ``.sf2`` files that render the notes, besides the built-in synthesiser. The
        contrast between instruments needs at least one.
    excerpts : int
        Excerpts of 20 s per file, at most.
    held_out : float
        Share of works that choose the weights, and are not trained on.
    exclude : tuple of str
        Folders whose works are left out, because they will be evaluated on: by title, and by
        notes where there is MIDI.
    shared_works : int, optional
        Of the works with several performances, train on so many at most, drawn at random; the
        others stay for evaluation, which needs them. All by default.
    workers : int
        Processes that render.
    seed : int
        Of works held out, excerpts and manipulations.
    training : TrainingSettings
    """

    soundfonts: tuple[str, ...] = ()
    excerpts: int = 12
    held_out: float = 0.1
    exclude: tuple[str, ...] = ()
    shared_works: int | None = None
    workers: int = 2
    seed: int = 0
    training: TrainingSettings = field(default_factory=TrainingSettings)
