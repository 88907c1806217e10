"""Embedding extraction: this package against a typical hand-written loop.

Both run the same random weights on the same audio in one process, after one warm-up window
each. The hand-written loop calls the Hugging Face model with `output_hidden_states`, one 5 s
window at a time (or four, zero-padded). It stores every float32 frame of every layer, and the
means per window and per track.

    python benchmarks/extraction.py [--size 95m] [--seconds 60] [--device auto]
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from mess_core.encoders import EncoderSettings, load_encoder
from mess_core.encoders.mert import build_model
from mess_core.encoders.untrained import SIZES, untrained_checkpoint
from mess_core.encoders.windows import window_starts
from mess_core.store import EmbeddingStore, Layout

RATE, WINDOW, HOP = 24_000, 120_000, 60_000


def synthetic_audio(seconds: float) -> np.ndarray:
    """Return plucked tones with noise, without any silence."""
    rng = np.random.default_rng(0)
    time_s = np.arange(int(seconds * RATE)) / RATE
    wave = 0.01 * rng.standard_normal(len(time_s))
    for onset in np.arange(0, seconds - 1, 0.25):
        span = slice(int(onset * RATE), int((onset + 1) * RATE))
        pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
        wave[span] += (
            0.1
            * np.sin(2 * np.pi * pitch * time_s[: span.stop - span.start])
            * np.exp(-time_s[: span.stop - span.start] * 4)
        )
    return wave.astype(np.float32)


def plain_model(size: str, device: torch.device) -> torch.nn.Module:
    """Return the Hugging Face model as loaded: weight norm not folded, all states returned."""
    model = build_model(SIZES[size]).eval()
    ours = untrained_checkpoint(size).model
    target = dict(model.named_parameters())
    convolution = ours.encoder.pos_conv_embed.conv
    with torch.no_grad():
        for name, value in ours.named_parameters():
            if name in target:
                target[name].copy_(value)
        weight = convolution.weight
        norm = weight.norm(dim=(0, 1), keepdim=True)
        prefix = "encoder.pos_conv_embed.conv.parametrizations.weight.original"
        target[prefix + "0"].copy_(norm)
        target[prefix + "1"].copy_(weight)
    return model.to(device)


@torch.no_grad()
def by_hand(model: torch.nn.Module, path: Path, out: Path, batch: int) -> np.ndarray:
    """Embed windows one by one or in padded batches, and store everything as float32."""
    import librosa

    device = next(model.parameters()).device
    wave, _ = librosa.load(path, sr=RATE, mono=True)
    windows = [wave[start : start + WINDOW] for start in range(0, len(wave), HOP)]
    windows = [window for window in windows if len(window) >= 400]
    if batch == 1:  # the same windows as MESS, so that outputs can be compared
        windows = [wave[s : s + WINDOW] for s in window_starts(len(wave), WINDOW, HOP)]
    raw = []
    for first in range(0, len(windows), batch):
        part = windows[first : first + batch]
        normal = [(w - w.mean()) / np.sqrt(w.var() + 1e-7) for w in part]
        width = max(map(len, part)) if batch == 1 else WINDOW
        padded = np.zeros((len(part), width), dtype=np.float32)
        for row, window in zip(padded, normal, strict=True):
            row[: len(window)] = window
        states = model(torch.from_numpy(padded).to(device), output_hidden_states=True).hidden_states
        raw.append(torch.stack(states, dim=1).float().cpu().numpy())
    everything = np.concatenate(raw)  # [windows, layers, frames, dim]
    np.save(out / "raw.npy", everything)
    np.save(out / "segments.npy", everything.mean(axis=2))
    np.save(out / "aggregated.npy", everything.mean(axis=(0, 2)))
    return everything.mean(axis=2)


def ours(path: Path, out: Path, size: str, device: str, batch: int, layers, dtype: str):
    """Return a function that embeds and stores with MESS, with its default storage."""
    encoder = load_encoder(
        f"untrained:{size}",
        device=device,
        dtype=dtype,
        layers=layers,
        settings=EncoderSettings(batch_size=batch),
    )
    encoder.hidden_states(np.ones(WINDOW, dtype=np.float32) * np.hanning(WINDOW))
    store = EmbeddingStore(Layout(out, "benchmark"))

    def run():
        embedding = encoder.embed(path)
        store.write(
            "bench",
            "track",
            segments=embedding.segments,
            track=embedding.track,
            sidecar=encoder.provenance(embedding, audio_sha256="0" * 64),
        )
        return embedding.segments

    return run


def timed(function, repeats: int):
    """Return the best time in s of some runs, and the result of the last one."""
    best, result = float("inf"), None
    for _ in range(repeats):
        began = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - began)
    return best, result


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="95m", choices=list(SIZES))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch", type=int, default=4, help="batch size of MESS")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--in-use", default="1,3,5,8,11", help="the layers in use")
    arguments = parser.parse_args()
    from mess_core.encoders.loading import pick_device

    device = pick_device(arguments.device)
    wave = synthetic_audio(arguments.seconds)
    in_use = [int(layer) for layer in arguments.in_use.split(",")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.flac"
        sf.write(path, wave, RATE)
        model = plain_model(arguments.size, device)
        model(torch.zeros(1, WINDOW, device=device) + 0.1)
        reference = None
        for name, batch in (("by hand, one window", 1), ("by hand, padded batches of 4", 4)):
            out = Path(folder) / f"hand{batch}"
            out.mkdir()
            seconds, got = timed(
                lambda out=out, batch=batch: by_hand(model, path, out, batch), arguments.repeats
            )
            reference = got if batch == 1 else reference
            rows.append((name, seconds, bytes_below(out), None))
        for name, layers in (("ours, all layers", None), ("ours, layers in use", in_use)):
            out = Path(folder) / f"ours{len(rows)}"
            run = ours(
                path, out, arguments.size, str(device), arguments.batch, layers, arguments.dtype
            )
            seconds, got = timed(run, arguments.repeats)
            expected = reference if layers is None else reference[:, layers]
            error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
            rows.append((name, seconds, bytes_below(out), float(error)))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, ")
    print(f"device {device}, torch {torch.__version__}, {arguments.seconds:g} s of audio\n")
    base = rows[0]
    print("| method | audio s per s | ratio | bytes per hour | ratio | relative error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, seconds, size, error in rows:
        hourly = size * 3600 / arguments.seconds
        print(
            f"| {name} | {arguments.seconds / seconds:.2f} | {base[1] / seconds:.2f} | "
            f"{hourly / 1e6:,.1f} MB | {base[2] / size:.0f} | "
            f"{'-' if error is None else f'{error:.1e}'} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of the whole process {peak:,.0f} MB")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
