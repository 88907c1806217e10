"""Fine-tune mess-piano end to end for expression, on the splits of a prepared library.

The last model of the sequence, apart from `mess evaluate` because it takes half a minute per fold
on a GPU and a quarter of an hour on 2 cores. Three ways:

- library: learn the notes' descriptors of the library's clips, as differences within passages,
  beginning with the ridge regression on the encoder's vectors;
- both: the same, with copies of the clips that the built-in synthesiser plays in other ways;
- copies: learn from the copies alone, then fit the regression anew on the library's clips.

Works are held out as in `mess evaluate`; a fifth of the training works chooses the epoch. Prints
the share of expression triplets in the right order before and after, per fold.

    python benchmarks/fine_tuning.py DATA [--way copies] [--device cuda] [--folds 0 1 2 3 4]

DATA is a data root, or a file that `--pack FILE` wrote there: a machine with a GPU then needs no
recordings and no library.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from packed_clips import pack, unpack
from safetensors.torch import load
from torch import nn

from mess_core.audio import load_audio
from mess_core.datasets.synthesis import synthesise
from mess_core.encoders.chosen import choose_encoder
from mess_core.encoders.piano import CENTRE, FLOOR, SAMPLE_RATE, SCALE, LogMel, PianoModel
from mess_core.encoders.registry import PIANO_WEIGHTS, find_encoder
from mess_core.evaluation.data import BenchmarkData
from mess_core.evaluation.ground_truth import FoldQueries
from mess_core.evaluation.pipeline import Evaluation
from mess_core.pretraining.excerpts import manipulated
from mess_core.ranking.scaling import pair_distances
from mess_core.ranking.triplets import expression_unit, expression_values, within_passages
from mess_core.store.layout import Layout

LONGEST, WINDOW, HOP, BANDS = 625, 250, 125, 160
"""Mel frames of 20 ms: of a clip at most, of the encoder's windows, from one window to the next."""

STEP = 1 / 16
ALPHA = 1000.0
COPIES = 4
PASSAGES, SOURCES = 20, 24
WAYS = {
    # learning rate, augmentation, weight of the library and of the copies, epochs
    "library": (3e-5, 0.3, 1.0, 0.0, 12),
    "both": (1e-4, 0.5, 1.0, 0.3, 20),
    "copies": (2e-4, 0.5, 0.0, 1.0, 10),
}


@dataclass
class Group:
    """Clips with descriptors to learn, and which of them play the same notes."""

    mel: torch.Tensor  # uint8 [clips, LONGEST, BANDS]
    frames: np.ndarray
    target: np.ndarray  # within groups, in units of the library
    same: np.ndarray

    def take(self, rows: np.ndarray) -> Group:
        return Group(self.mel[rows], self.frames[rows], self.target[rows], self.same[rows])


class Tuned(nn.Module):
    """The encoder, and a linear map from means and deviations of its states to descriptors."""

    def __init__(self, descriptors: int) -> None:
        super().__init__()
        self.encoder = PianoModel()
        weights = load((find_encoder("mess-piano").path / PIANO_WEIGHTS).read_bytes())
        self.encoder.load_state_dict({name: one.float() for name, one in weights.items()})
        width = 2 * (self.encoder.config.blocks + 1) * self.encoder.config.dim
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.out = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, descriptors, bias=False))

    def features(self, mel: torch.Tensor, frames: np.ndarray) -> torch.Tensor:
        clip, start = _windows(frames, mel.device)
        cut = mel[clip[:, None], start[:, None] + torch.arange(WINDOW, device=mel.device)]
        fewer_bits = mel.device.type == "cuda"
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=fewer_bits):
            states = self.encoder(cut)
        every = torch.stack([one.float() for one in states], dim=1)
        spread = (every.var(dim=2, correction=0) + 1e-6).sqrt()
        each = torch.cat([every.mean(dim=2), spread], dim=-1).flatten(1)
        total = torch.zeros(len(mel), each.shape[1], device=mel.device).index_add(0, clip, each)
        return total / torch.bincount(clip, minlength=len(mel))[:, None]

    def forward(self, mel: torch.Tensor, frames: np.ndarray) -> torch.Tensor:
        described: torch.Tensor = self.out((self.features(mel, frames) - self.mean) / self.scale)
        return described

    def fit_regression(self, clips: Group) -> None:
        """Set the linear map to the ridge regression on the library's clips."""
        features = in_batches(self.features, clips).astype(np.float64)
        mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-4)
        x = within_passages((features - mean) / scale, clips.same)
        weights = x.T @ np.linalg.solve(x @ x.T + ALPHA * np.eye(len(x)), clips.target)
        for place, value in (
            (self.mean, mean), (self.scale, scale), (self.out[1].weight.data, weights.T)
        ):  # fmt: skip
            place.copy_(torch.from_numpy(value))


def _windows(frames: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    clip, start = [], []
    for number, length in enumerate(frames):
        count = max(1, int(np.ceil((length - WINDOW) / HOP)) + 1)
        clip += [number] * count
        start += np.linspace(0, max(0, length - WINDOW), count).round().astype(int).tolist()
    return torch.tensor(clip, device=device), torch.tensor(start, device=device)


@torch.no_grad()
def in_batches(function, clips: Group, size: int = 64) -> np.ndarray:
    found = []
    for first in range(0, len(clips.frames), size):
        part = clips.take(np.arange(first, min(first + size, len(clips.frames))))
        found.append(function(part.mel.float() * STEP - 2.0, part.frames).float().cpu())
    return torch.cat(found).numpy()


def padded(mel: np.ndarray) -> np.ndarray:
    coded = np.clip(np.round((mel[:LONGEST] + 2.0) / STEP), 0, 255).astype(np.uint8)
    return np.pad(coded, ((0, LONGEST - len(coded)), (0, 0)), mode="edge")


def log_mel(wave: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return LogMel(BANDS)(torch.from_numpy(np.ascontiguousarray(wave))[None])[0].numpy()


def spectrograms(benchmark: BenchmarkData) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel spectrograms of the library's clips, uint8 [clips, LONGEST, BANDS], and lengths."""
    tracks, found = benchmark.tracks.set_index("track_id"), {}
    for track, rows in benchmark.passages.groupby("track_id", sort=False):
        wave = load_audio(tracks.loc[track, "audio_path"], sample_rate=SAMPLE_RATE)
        for number, row in rows.iterrows():
            span = slice(round(row.start_s * SAMPLE_RATE), round(row.end_s * SAMPLE_RATE))
            found[number] = log_mel(wave[span])
    mels = [found[number] for number in benchmark.passages.index]
    lengths = np.array([min(len(one), LONGEST) for one in mels])
    return np.stack([padded(one) for one in mels]), lengths


def library_clips(
    benchmark: BenchmarkData, mel: np.ndarray, frames: np.ndarray, device: torch.device
) -> Group:
    passages = benchmark.passages["passage_id"].astype(str).to_numpy()
    return Group(
        torch.from_numpy(mel).to(device),
        frames,
        in_units(benchmark.values, passages, expression_unit(benchmark.values, passages.tolist())),
        passages,
    )


def in_units(values: np.ndarray, same: np.ndarray, unit: np.ndarray) -> np.ndarray:
    found = within_passages(values, same) / unit
    return np.where(np.isfinite(found), found, 0.0)


def copies(number: int, clip) -> list[tuple[np.ndarray, int, np.ndarray]]:
    """Return mel, frames and descriptors of a clip and of copies that are played in other ways."""
    torch.set_num_threads(1)
    rng, found = np.random.default_rng(number), []
    start = clip.onset_s[0]
    clip = replace(
        clip, onset_s=clip.onset_s - start, offset_s=clip.offset_s - start,
        pedal_s=(clip.pedal_s - start).clip(0.0),
    )  # fmt: skip
    longest_s = LONGEST * 0.02
    for one in (clip, *(manipulated(clip, rng) for _ in range(COPIES))):
        if one is None or len(one) < 10:
            continue
        end = min(float(one.onset_s[-1]) + 0.3, longest_s)
        mel = log_mel(synthesise(one)[: int(end * SAMPLE_RATE)])
        heard = one if end < longest_s else one.excerpt(0.0, longest_s)
        found.append((padded(mel), min(len(mel), LONGEST), expression_values([heard])[0]))
    return found if len(found) > 1 else []


def synthesised_copies(benchmark: BenchmarkData, device: torch.device) -> Group:
    parallel = Parallel(n_jobs=os.cpu_count(), batch_size=16)
    performances = enumerate(benchmark.clips.performances)
    every = parallel(delayed(copies)(number, one) for number, one in performances)
    passages = benchmark.passages["passage_id"].tolist()
    same = np.array([number for number, found in enumerate(every) for _ in found])
    values = np.array([one for found in every for _, _, one in found])
    unit = expression_unit(benchmark.values, passages)
    return Group(
        torch.from_numpy(np.stack([mel for found in every for mel, _, _ in found])).to(device),
        np.array([frames for found in every for _, frames, _ in found]),
        in_units(values, same, unit).clip(-4.0, 4.0),
        same,
    )


def augmented(mel: torch.Tensor, random: torch.Generator, amount: float) -> torch.Tensor:
    """Random gain, smooth equaliser and noise, in the domain of power."""

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=random, device=mel.device) - 1

    clips, _, bands = mel.shape
    db = amount * 2.0 * uniform(clips, 1)
    place = torch.linspace(0, np.pi, bands, device=mel.device)
    for order in (1, 2, 3):
        db = db + amount * 6.0 / order / 2 * uniform(clips, 1) * torch.cos(order * place)
    power = (torch.exp(mel * SCALE + CENTRE) - FLOOR).clamp(min=0) * 10 ** (db[:, None] / 10)
    noise = torch.exp(-14 + 5 * uniform(clips, 1))[:, None]
    return (torch.log(power + noise + FLOOR) - CENTRE) / SCALE


def centred_error(net: Tuned, clips: Group, random: torch.Generator, amount: float):
    """Return predicted differences within groups, and those that the notes have."""
    mel = augmented(clips.mel.float() * STEP - 2.0, random, amount)
    out = net(mel, clips.frames)
    label = torch.from_numpy(np.unique(clips.same, return_inverse=True)[1]).to(out.device)
    sums = torch.zeros(int(label.max()) + 1, out.shape[1], device=out.device)
    means = sums.index_add(0, label, out) / torch.bincount(label)[:, None]
    return out - means[label], torch.from_numpy(clips.target).float().to(out.device)


def share(net: Tuned, clips: Group, queries: FoldQueries, rows_of: dict[str, int]) -> float:
    """Return the mean share of expression triplets in the right order."""
    net.eval()

    def score(wanted) -> np.ndarray:
        if any(name not in rows_of for name in wanted.ids):  # single-factor clips
            return np.zeros((len(wanted), len(wanted)))
        part = clips.take(np.array([rows_of[name] for name in wanted.ids]))
        return -pair_distances(in_batches(net, part).astype(np.float64))

    rows = queries.evaluate(score, objective="expression")
    wanted = [
        one for one in rows if (one["criterion"], one["metric"]) == ("expression", "triplets")
    ]
    return float(np.mean([one["value"] for one in wanted]))


def tune(net: Tuned, library: Group, played: Group | None, way: str, check, seed: int) -> None:
    """Train, and keep the weights of the epoch that `check` likes best."""
    rate, amount, of_library, of_copies, epochs = WAYS[way]
    rng, device = np.random.default_rng(seed), library.mel.device
    random = torch.Generator(device=device).manual_seed(seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.02)
    passages = np.unique(library.same)
    steps, step = epochs * (len(passages) // PASSAGES), 0
    best, weights = check(net), copy.deepcopy(net.state_dict())
    for _ in range(epochs):
        order = rng.permutation(passages)
        for first in range(0, len(order) - PASSAGES + 1, PASSAGES):
            progress = step / max(steps, 1)
            warm = min(1.0, (progress + 1e-3) / 0.1)
            for group in optimiser.param_groups:
                group["lr"] = rate * warm * 0.5 * (1 + np.cos(np.pi * min(1.0, progress)))
            net.train()
            loss = torch.zeros((), device=device)
            if of_library:
                inside = np.isin(library.same, order[first : first + PASSAGES])
                out, wanted = centred_error(
                    net, library.take(np.flatnonzero(inside)[:200]), random, amount
                )
                loss = loss + of_library * (out - wanted).square().mean()
            if of_copies and played is not None:
                sources = rng.choice(np.unique(played.same), SOURCES, replace=False)
                rows = np.flatnonzero(np.isin(played.same, sources))
                out, wanted = centred_error(net, played.take(rows), random, amount)
                loss = loss + of_copies * nn.functional.smooth_l1_loss(out, wanted)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            step += 1
        own = copy.deepcopy(net.state_dict()) if way == "copies" else None
        if own is not None:
            net.eval()
            net.fit_regression(library)
        if (found := check(net)) > best:
            best, weights = found, copy.deepcopy(net.state_dict())
        if own is not None:
            net.load_state_dict(own)
    net.load_state_dict(weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pack", type=Path, help="write what training needs to this file, and end")
    parser.add_argument("--way", choices=list(WAYS), default="copies")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    device = torch.device(args.device)
    if args.data.is_file():
        benchmark, folds, seed, mel, frames = unpack(args.data)
    else:
        evaluation = Evaluation(choose_encoder(Layout(args.data), "mess-piano", indexed=False))
        benchmark, folds, seed = evaluation.benchmark, evaluation.split.folds, evaluation.split.seed
        mel, frames = spectrograms(benchmark)
        if args.pack:
            pack(args.pack, evaluation, mel, frames)
            return
    clips = library_clips(benchmark, mel, frames, device)
    played = synthesised_copies(benchmark, device) if WAYS[args.way][3] else None
    track = benchmark.passages["track_id"].astype(str).to_numpy()
    work = benchmark.passages["work_id"].astype(str).to_numpy()
    rows_of = {name: row for row, name in enumerate(benchmark.passages["clip_id"].astype(str))}
    print("| fold | queries' works | before | after | s |\n| --- | --- | --- | --- | --- |")
    for number in args.folds:
        began, fold = time.perf_counter(), folds[number]
        torch.manual_seed(number)
        training = np.flatnonzero(np.isin(track, fold.train))
        works = np.random.default_rng(number).permutation(np.unique(work[training]))
        held_out = set(works[: max(1, len(works) // 5)])
        aside = np.isin(work[training], list(held_out))
        choosing = replace(fold, test=tuple(np.unique(track[training[aside]])), train=())
        ours, rows = training[~aside], None
        if played is not None:
            rows = np.flatnonzero(np.isin(played.same, ours))
        test, check = (
            FoldQueries(data, one, seed)
            for data, one in ((benchmark, fold), (replace(benchmark, heard={}), choosing))
        )
        net = Tuned(benchmark.values.shape[1]).to(device)
        net.eval()
        net.fit_regression(clips.take(ours))
        before = share(net, clips, test, rows_of)
        tune(
            net, clips.take(ours), played.take(rows) if rows is not None else None, args.way,
            lambda tuned, check=check: share(tuned, clips, check, rows_of), number,
        )  # fmt: skip
        after, spent = share(net, clips, test, rows_of), time.perf_counter() - began
        print(f"| {number} | {len(set(work[np.isin(track, fold.test)]))} | {before:.3f} "
              f"| {after:.3f} | {spent:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
