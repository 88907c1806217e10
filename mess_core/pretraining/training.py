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

from mess_core.encoders.piano import PianoConfig, PianoModel
from mess_core.errors import EncoderError
from mess_core.pretraining.excerpts import EXCERPT_S
from mess_core.pretraining.labels import POOLED
from mess_core.pretraining.objective import Batch, Heads, losses
from mess_core.probing.scores import pearson, r2
from mess_core.store.arrays import write_bytes

__all__ = ["BEST", "Clips", "TrainingSettings", "load_clips", "train"]

BEST = "best.safetensors"
"""Weights that were best on the works held out, float32."""

_CENTRE, _SCALE, _FLOOR = -9.0, 4.0, 1e-7


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
    windows : int
        Windows that each clip is cut into.
    check_every : int
        Steps between scores on the works held out.
    seed : int
    """

    steps: int = 4000
    minutes: float = 180.0
    excerpts: int = 12
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.02
    gain_db: float = 6.0
    equaliser_db: float = 6.0
    windows: int = 5
    check_every: int = 200
    seed: int = 0


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
    """Read what `mess_core.pretraining.rendering.render_file` cached.

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
    device : str
    say : callable
        Called with lines of progress.

    Returns
    -------
    dict
        ``step, seconds, scores`` of the best weights, and ``settings``.
    """
    torch.manual_seed(settings.seed)
    model, place = PianoModel(PianoConfig()), torch.device(device)
    heads = Heads(model.config.dim)
    model.to(place)
    heads.to(place)
    parameters = [*model.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    scale = _pooled_scale(training)
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -math.inf, "scores": {}, "at": 0}
    if (folder / "last.pt").exists():
        saved = torch.load(folder / "last.pt", map_location=place, weights_only=True)
        model.load_state_dict(saved["model"])
        heads.load_state_dict(saved["heads"])
        optimiser.load_state_dict(saved["optimiser"])
        state = saved["state"]
        say(f"resumed at step {state['step']}")
    began, earlier = time.perf_counter(), float(state["seconds"])
    while (step := int(state["step"])) < settings.steps:
        elapsed = earlier + time.perf_counter() - began
        progress = max(step / settings.steps, elapsed / (60 * settings.minutes))
        if progress >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(progress)
        rng = np.random.default_rng([settings.seed, step])
        batch = _augmented(_batch(training, settings.excerpts, rng, scale, place), settings, step)
        model.train()
        parts = losses(model, heads, batch, windows=settings.windows)
        total = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        state |= {"step": step + 1, "seconds": earlier + time.perf_counter() - began}
        if (step + 1) % 20 == 0:
            shown = " ".join(f"{name} {value.item():.3f}" for name, value in parts.items())
            rate = (step + 1) * settings.excerpts * 80 / max(state["seconds"], 1e-9)
            say(f"step {step + 1}: {shown} ({state['seconds']:.0f} s, {rate:.0f} x real time)")
        if (step + 1) % settings.check_every == 0:
            _check(model, heads, held_out, scale, settings, state, folder, say, place)
            _save(model, heads, optimiser, state, folder)
    _check(model, heads, held_out, scale, settings, state, folder, say, place)
    _save(model, heads, optimiser, state, folder)
    return {**state, "settings": asdict(settings)}


def _schedule(progress: float) -> float:
    warm = min(1.0, (progress + 1e-3) / 0.05)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _pooled_scale(clips: Clips) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    table = np.concatenate(clips.pooled)
    known = np.isfinite(table)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, table, 0).sum(axis=0) / count
    spread = np.sqrt(np.square(np.where(known, table - mean, 0)).sum(axis=0) / count)
    return mean.astype(np.float32), np.where(spread > 0, spread, 1).astype(np.float32)


def _batch(
    clips: Clips,
    excerpts: int,
    rng: np.random.Generator,
    scale: tuple[NDArray[np.float32], NDArray[np.float32]],
    device: torch.device,
    chosen: Sequence[int] | None = None,
) -> Batch:
    if chosen is None:
        chosen = rng.choice(len(clips.groups), excerpts, replace=False).tolist()
    picked = [(clips.groups[one], number) for number, one in enumerate(chosen)]

    def joined(arrays: list[Any], kind: type = np.float32) -> torch.Tensor:
        stacked = np.concatenate([arrays[file][rows] for (file, rows), _ in picked])
        return torch.from_numpy(stacked.astype(kind)).to(device)

    unpacked = np.concatenate(
        [np.unpackbits(clips.sounding[file][rows], axis=-1)[..., :88] for (file, rows), _ in picked]
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
    """Random gain, equaliser and noise, in the domain of power."""
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
    power = torch.exp(batch.mel * _SCALE + _CENTRE) - _FLOOR
    power = power.clamp(min=0.0) * 10 ** (db[:, None] / 10) + noise[:, None]
    mel = (torch.log(power + _FLOOR) - _CENTRE) / _SCALE
    return Batch(mel, batch.onset, batch.sounding, batch.pedal, batch.pooled, batch.performance)


@torch.no_grad()
def _check(
    model: PianoModel,
    heads: Heads,
    clips: Clips,
    scale: tuple[NDArray[np.float32], NDArray[np.float32]],
    settings: TrainingSettings,
    state: dict[str, Any],
    folder: Path,
    say: Callable[[str], None],
    device: torch.device,
) -> None:
    """Score on held-out works; keep the weights if they are the best so far."""
    model.eval()
    scores = _scores(model, heads, clips, scale, settings, device)
    say("held out: " + " ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    known = {name: value if math.isfinite(value) else 0.0 for name, value in scores.items()}
    total = known["onset_f"] + known["pedal_r"] + float(np.mean([known[one] for one in POOLED]))
    if total > float(state["best"]):
        from safetensors.torch import save

        state |= {"best": total, "scores": scores, "at": state["step"]}
        write_bytes(
            folder / BEST,
            save(
                {name: one.detach().cpu().contiguous() for name, one in model.state_dict().items()}
            ),
        )


def _scores(
    model: PianoModel,
    heads: Heads,
    clips: Clips,
    scale: tuple[NDArray[np.float32], NDArray[np.float32]],
    settings: TrainingSettings,
    device: torch.device,
) -> dict[str, float]:
    hits = found = struck = 0.0
    pedal: list[NDArray[Any]] = []
    numbers: list[NDArray[Any]] = []
    rng = np.random.default_rng(0)
    for first in range(0, len(clips.groups), 8):
        chosen = list(range(first, min(first + 8, len(clips.groups))))
        batch = _batch(clips, 0, rng, scale, device, chosen)
        count, frames, bands = batch.mel.shape
        cut = batch.mel.reshape(count * settings.windows, frames // settings.windows, bands)
        states = batch.onset.shape[1] // settings.windows
        last = model.final_norm(model(cut)[-1])[:, :states]
        onset, _, _, down = heads(last)
        truth = batch.onset.reshape(onset.shape) > 0
        guess = onset > 0.7
        hits += float((truth & guess).sum())
        found += float(guess.sum())
        struck += float(truth.sum())
        pedal.append(
            np.stack([down.reshape(-1).cpu().numpy(), batch.pedal.reshape(-1).cpu().numpy()])
        )
        vector = torch.cat([last.mean(dim=1), last.std(dim=1)], dim=-1)
        vector = vector.view(count, settings.windows, -1).mean(dim=1)
        numbers.append(np.stack([heads.pooled(vector).cpu().numpy(), batch.pooled.cpu().numpy()]))
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


def _save(
    model: PianoModel,
    heads: Heads,
    optimiser: torch.optim.Optimizer,
    state: Mapping[str, Any],
    folder: Path,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "last.pt.part"
    torch.save(
        {
            "model": model.state_dict(),
            "heads": heads.state_dict(),
            "optimiser": optimiser.state_dict(),
            "state": dict(state),
        },
        part,
    )
    part.replace(folder / "last.pt")
