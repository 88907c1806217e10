"""Train the small piano encoder on cached clips: resumable, seeded, on CPU or GPU alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mess_core.encoders.piano import CENTRE, FLOOR, SCALE, PianoConfig, PianoModel
from mess_core.errors import EncoderError
from mess_core.pretraining.excerpts import EXCERPT_S
from mess_core.pretraining.labels import PITCHES, POOLED
from mess_core.pretraining.objective import Batch, Heads, encode, losses
from mess_core.pretraining.settings import TrainingSettings
from mess_core.probing.scores import pearson, r2
from mess_core.ranking.scaling import moments
from mess_core.store.arrays import move_into_place, part_file, write_bytes

__all__ = ["BEST", "Clips", "load_clips", "train"]

BEST = "best.safetensors"
"""Weights that were best on the works held out, float32."""


@dataclass(frozen=True)
class Clips:
    """Cached clips of several files, memory for all of them.

    Attributes
    ----------
    mel : list of ndarray, float16, shape [clips, frames, bands]
    onset : list of ndarray, float16
    sounding : list of ndarray, uint8
        Packed bits.
    pedal : list of ndarray, bool
    pooled : list of ndarray, float32
    groups : list of (int, ndarray)
        File and rows of each excerpt's clips.
    performance : list of ndarray, int64
    """

    mel: list[NDArray[np.float16]]
    onset: list[NDArray[np.float16]]
    sounding: list[NDArray[np.uint8]]
    pedal: list[NDArray[np.bool_]]
    pooled: list[NDArray[np.float32]]
    groups: list[tuple[int, NDArray[np.int64]]]
    performance: list[NDArray[np.int64]]

    @property
    def hours(self) -> float:
        """Length of all clips."""
        return sum(len(one) for one in self.mel) * EXCERPT_S / 3600


def load_clips(files: Sequence[Path]) -> Clips:
    """Read what `mess_core.pretraining.clip_rendering.render_file` cached.

    Raises
    ------
    EncoderError
        If there are no files.
    """
    if not files:
        raise EncoderError("there are no clips to train on", remedy="Render some MIDI first")
    parts: dict[str, list[Any]] = {
        name: [] for name in ("mel", "onset", "sounding", "pedal", "pooled", "performance")
    }
    groups = []
    for number, file in enumerate(files):
        with np.load(file, allow_pickle=False) as arrays:
            for name, found in parts.items():
                found.append(arrays[name])
            excerpt = arrays["excerpt"]
        groups += [(number, np.flatnonzero(excerpt == one)) for one in np.unique(excerpt)]
    return Clips(groups=groups, **parts)


def train(
    training: Clips,
    held_out: Clips,
    folder: Path,
    settings: TrainingSettings,
    *,
    made_from: str = "",
    device: str = "cpu",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Train, and keep the weights that are best on the held-out works.

    Parameters
    ----------
    training, held_out : Clips
        Of different works.
    folder : Path
        ``last.pt`` (to resume from) and ``best.safetensors`` are written there.
    settings : TrainingSettings
    made_from : str
        Fingerprint of what is trained on: training is resumed only if it is the same.
    device : str
    say : callable
        Called with lines of progress.

    Returns
    -------
    dict
        ``step`` and ``seconds`` in all, ``scores`` of the best weights and the step they are
        ``at``, ``history`` (the scores of every check with its ``step``), and ``settings``.

    Raises
    ------
    EncoderError
        If other training was begun in the folder.
    """
    torch.manual_seed(settings.seed)
    precision = _precision(settings)
    model, place = PianoModel(PianoConfig()), torch.device(device)
    heads = Heads(model.config.dim)
    model.to(place)
    heads.to(place)
    parameters = [*model.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    scale = moments(np.concatenate(training.pooled).astype(np.float64))
    state: dict[str, Any] = {
        "made_from": made_from, "step": 0, "checked": -1, "seconds": 0.0, "audio_s": 0.0,
        "best": -math.inf, "scores": {}, "at": 0, "history": [],
    }  # fmt: skip
    if (saved := _resumed(folder, made_from, place)) is not None:
        model.load_state_dict(saved["model"])
        heads.load_state_dict(saved["heads"])
        optimiser.load_state_dict(saved["optimiser"])
        state = saved["state"]
        say(f"resumed at step {state['step']}")

    def check() -> None:
        scores = _scores(model, heads, held_out, scale, settings)
        say("held out: " + " ".join(f"{name} {value:.3f}" for name, value in scores.items()))
        state["history"] = [*state["history"], {"step": state["step"], **scores}]
        if (total := _total(scores)) > float(state["best"]):
            state.update(best=total, scores=scores, at=state["step"])
            write_bytes(folder / BEST, _weights(model))
        state["checked"] = state["step"]
        saved = {
            "model": model.state_dict(),
            "heads": heads.state_dict(),
            "optimiser": optimiser.state_dict(),
            "state": dict(state),
        }
        with part_file(folder / "last.pt") as part:
            torch.save(saved, part)
            move_into_place(part, folder / "last.pt")

    began, earlier = time.perf_counter(), float(state["seconds"])
    while (step := int(state["step"])) < settings.steps:
        elapsed = earlier + time.perf_counter() - began
        progress = max(step / settings.steps, elapsed / (60 * settings.minutes))
        if progress >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(progress)
        rng = np.random.default_rng([settings.seed, step])
        count = min(settings.excerpts, len(training.groups))
        chosen = rng.choice(len(training.groups), count, replace=False).tolist()
        batch = _augmented(_batch(training, chosen, scale, place), settings, step)
        model.train()
        parts = losses(model, heads, batch, windows=settings.windows, precision=precision)
        total = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        state |= {"step": step + 1, "seconds": earlier + time.perf_counter() - began}
        state["audio_s"] += len(batch.mel) * EXCERPT_S
        if (step + 1) % 20 == 0:
            shown = " ".join(f"{name} {value.item():.3f}" for name, value in parts.items())
            rate = state["audio_s"] / max(state["seconds"], 1e-9)
            say(f"step {step + 1}: {shown} ({state['seconds']:.0f} s, {rate:.0f} x real time)")
        if (step + 1) % settings.check_every == 0:
            check()
    if state["step"] != state["checked"]:
        check()
    return {**state, "settings": asdict(settings)}


def _resumed(folder: Path, made_from: str, device: torch.device) -> dict[str, Any] | None:
    """Return what the same training saved here, or None if nothing was begun."""
    if not (folder / "last.pt").exists():
        return None
    saved: dict[str, Any] = torch.load(folder / "last.pt", map_location=device, weights_only=True)
    if saved["state"].get("made_from") != made_from:
        raise EncoderError(
            "the training that was begun here had other settings, works or clips",
            path=str(folder),
            remedy="Choose another folder, or delete this one to start again",
        )
    return saved


def _weights(model: PianoModel) -> bytes:
    from safetensors.torch import save

    state = model.state_dict().items()
    return save({name: one.detach().cpu().contiguous() for name, one in state})


def _precision(settings: TrainingSettings) -> torch.dtype:
    known = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    if settings.precision not in known:
        raise EncoderError(f"precision {settings.precision!r}: choose from {', '.join(known)}")
    return known[settings.precision]


def _schedule(progress: float) -> float:
    warm = min(1.0, (progress + 1e-3) / 0.05)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _batch(
    clips: Clips,
    chosen: Sequence[int],
    scale: tuple[NDArray[np.float64], NDArray[np.float64]],
    device: torch.device,
) -> Batch:
    picked = [(clips.groups[one], number) for number, one in enumerate(chosen)]

    def joined(arrays: list[Any], kind: type = np.float32) -> torch.Tensor:
        stacked = np.concatenate([arrays[file][rows] for (file, rows), _ in picked])
        return torch.from_numpy(stacked.astype(kind)).to(device)

    unpacked = np.concatenate(
        [
            np.unpackbits(clips.sounding[file][rows], axis=-1)[..., :PITCHES]
            for (file, rows), _ in picked
        ]
    )
    pooled = np.concatenate([clips.pooled[file][rows] for (file, rows), _ in picked])
    names = np.concatenate(
        [1000 * number + clips.performance[file][rows] for (file, rows), number in picked]
    )
    return Batch(
        mel=joined(clips.mel),
        onset=joined(clips.onset),
        sounding=torch.from_numpy(unpacked.astype(np.float32)).to(device),
        pedal=joined(clips.pedal),
        pooled=torch.from_numpy(((pooled - scale[0]) / scale[1]).astype(np.float32)).to(device),
        performance=torch.from_numpy(names).to(device),
    )


def _augmented(batch: Batch, settings: TrainingSettings, step: int) -> Batch:
    """Random gain, equaliser, noise and band limit, in the domain of power."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    clips, _, bands = batch.mel.shape

    def uniform(*shape: int) -> torch.Tensor:
        return (2 * torch.rand(*shape, generator=generator) - 1).to(batch.mel.device)

    db = settings.gain_db * uniform(clips, 1)
    position = torch.linspace(0, math.pi, bands, device=batch.mel.device)
    for order in (1, 2, 3):
        db = db + settings.equaliser_db / order / 2 * uniform(clips, 1) * torch.cos(
            order * position
        )
    noise = torch.exp(-14.0 + 5.0 * uniform(clips, 1))
    power = torch.exp(batch.mel * SCALE + CENTRE) - FLOOR
    power = power.clamp(min=0.0) * 10 ** (db[:, None] / 10) + noise[:, None]
    limited = (uniform(clips, 1) < 2 * settings.band_limited - 1).float()
    # Of the bands, 0.71 are below 4 kHz.
    highest = bands * (0.86 + 0.14 * uniform(clips, 1))
    power = power * (1 - limited * (torch.arange(bands, device=power.device) > highest))[:, None]
    mel = (torch.log(power + FLOOR) - CENTRE) / SCALE
    return Batch(mel, batch.onset, batch.sounding, batch.pedal, batch.pooled, batch.performance)


def _total(scores: Mapping[str, float]) -> float:
    """Return what the best weights have most of: onsets, pedal, and the mean of the numbers."""
    known = {name: value if math.isfinite(value) else 0.0 for name, value in scores.items()}
    return known["onset_f"] + known["pedal_r"] + float(np.mean([known[one] for one in POOLED]))


@torch.no_grad()
def _scores(
    model: PianoModel,
    heads: Heads,
    clips: Clips,
    scale: tuple[NDArray[np.float64], NDArray[np.float64]],
    settings: TrainingSettings,
) -> dict[str, float]:
    model.eval()
    device = next(model.parameters()).device
    hits = found = struck = 0.0
    pedal: list[NDArray[Any]] = []
    numbers: list[NDArray[Any]] = []
    for first in range(0, len(clips.groups), 8):
        chosen = range(first, min(first + 8, len(clips.groups)))
        batch = _batch(clips, chosen, scale, device)
        seen = encode(model, heads, batch, windows=settings.windows, precision=_precision(settings))
        onset, _, _, down = seen.notes
        truth = batch.onset.reshape(onset.shape) > 0
        guess = onset > 0.7
        hits += float((truth & guess).sum())
        found += float(guess.sum())
        struck += float(truth.sum())
        pedal.append(
            np.stack([down.reshape(-1).cpu().numpy(), batch.pedal.reshape(-1).cpu().numpy()])
        )
        predicted = heads.pooled(seen.track).cpu().numpy()
        numbers.append(np.stack([predicted, batch.pooled.cpu().numpy()]))
    both = np.concatenate(numbers, axis=1)  # [guess and truth, clips, numbers]
    guess, truth = np.concatenate(pedal, axis=1)
    scores = {
        "onset_f": 2 * hits / max(found + struck, 1.0),
        "pedal_r": float(pearson(truth, guess)),
    }
    for column, name in enumerate(POOLED):
        predicted, measured = both[0, :, column], both[1, :, column]
        known = np.isfinite(measured)
        if known.any():
            scores[name] = float(r2(measured[known], predicted[known]))
        else:
            scores[name] = math.nan
    return scores
