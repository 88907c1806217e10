"""Check and measure everything that runs on a GPU, in under 8 minutes.

Each check compares the GPU with the CPU on the same input; each figure names the device. A check
that fails does not keep the others from running, but the exit status is 1. Weights are random or
ship with the package, audio and music are made here, so nothing is downloaded. Writes one JSON file
and prints one Markdown table.

    python benchmarks/gpu.py [--device cuda] [--out gpu.json] [--only extraction probing]
    python benchmarks/gpu.py --device cpu --quick    # rehearses the script without a GPU
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
import torch

from mess_core.encoders import Encoder, EncoderSettings, load_encoder
from mess_core.encoders.devices import reserve_device

RATE = 24_000
LIMITS = {"float32": 1e-3, "float16": 5e-3, "bfloat16": 5e-2}
"""Largest relative error of a hidden state against float32 on the CPU."""


@dataclass
class Report:
    """Rows of the table, and whether all checks passed."""

    device: torch.device
    quick: bool
    rows: list[dict[str, object]] = field(default_factory=list)

    def figure(self, what: str, value: object) -> None:
        self.rows.append({"what": what, "value": value})
        print(f"{what}: {value}", file=sys.stderr, flush=True)

    def check(self, what: str, passed: bool, value: object) -> None:
        self.rows.append({"what": what, "value": value, "passed": bool(passed)})
        print(f"{'ok' if passed else 'FAILED'} {what}: {value}", file=sys.stderr, flush=True)

    @property
    def failed(self) -> int:
        return sum(one.get("passed") is False for one in self.rows)

    def markdown(self) -> str:
        lines = ["| what | value | check |", "| --- | --- | --- |"]
        for one in self.rows:
            verdict = {True: "passed", False: "**failed**", None: ""}[one.get("passed")]
            lines.append(f"| {one['what']} | {one['value']} | {verdict} |")
        return "\n".join(lines)


def seconds(function: Callable[[], object], device: torch.device, repeats: int = 3) -> float:
    """Return the median time in s, after one run to warm up."""
    function()
    found = []
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter()
        function()
        _wait(device)
        found.append(time.perf_counter() - began)
    return float(np.median(found))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.1


def machine(report: Report) -> None:
    """Name the machine, and measure the ceilings that shares are of."""
    report.figure("torch", torch.__version__)
    report.figure("processor", platform.processor() or platform.machine())
    device, size = report.device, 512 if report.quick else 8192
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        report.figure("device", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        rate = 2 * size**3 / seconds(partial(torch.matmul, a, b), device, 10) / 1e12
        report.figure(f"matrix product, {str(dtype)[6:]}, TFLOP/s", round(rate, 1))


def precision(report: Report) -> None:
    """Compare hidden states in each precision with float32 on the CPU."""
    for name in _encoders(report):
        exact = load_encoder(name, device="cpu", dtype="float32").hidden_states(noise(2.0))
        for dtype, limit in LIMITS.items():
            found = _load(report, name, dtype).hidden_states(noise(2.0)).astype(np.float64)
            error = np.linalg.norm(found - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))
            passed = bool(np.isfinite(found).all() and error.max() < limit)
            report.check(f"{name}, {dtype}: largest error of a layer", passed, f"{error.max():.1e}")


def extraction(report: Report) -> None:
    """Measure extraction, from memory and from a file with decoding."""
    for name in _encoders(report):
        settings = load_encoder(name, device="cpu").settings
        window = noise(settings.window_s)
        for dtype in ("float32", "float16", "bfloat16"):
            for batch in (2,) if report.quick else (8, 64):
                encoder = _load(report, name, dtype, batch)
                run = partial(_pooled, encoder, [window] * batch)
                rate = settings.window_s * batch / seconds(run, report.device)
                told = f"{name}, {dtype}, batches of {batch}"
                report.figure(f"{told}: s of audio per s, every window once", round(rate))
                if batch > 8 or report.quick:
                    spent = _flops(encoder, window) * rate / settings.window_s / 1e12
                    report.figure(f"{told}: TFLOP/s", round(spent, 2))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "audio.flac"
            length = 20.0 if report.quick else 1200.0
            sf.write(path, noise(length), RATE)
            encoder = _load(report, name, "auto", 64)
            took = seconds(partial(encoder.embed, path), report.device, 1)
            report.figure(
                f"{name}, {str(encoder.dtype)[6:]}, {length:.0f} s of FLAC with decoding and "
                "overlap: h of audio per min",
                round(length / took / 60, 2),
            )


def memory(report: Report) -> None:
    """Check that batches are halved until they fit, with the same result."""
    if report.device.type != "cuda":
        report.figure("batches halved on lack of memory", "only on CUDA")
        return
    wave = noise(150.0)
    few = _load(report, "untrained:95m", "float16", 4).embed(wave)
    encoder = _load(report, "untrained:95m", "float16", 256)
    encoder.hidden_states(wave[:RATE])
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(report.device).total_memory
    allowed = (torch.cuda.memory_reserved(report.device) + 1.5 * 2**30) / total
    torch.cuda.set_per_process_memory_fraction(allowed, report.device)
    try:
        many = encoder.embed(wave)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, report.device)
    error = float(np.abs(few.segments - many.segments).max() / np.abs(few.segments).max())
    halved = encoder.batch_size < 256
    report.check(
        "windows of one track in batches of 256 with 1.5 GiB left",
        halved and error < 1e-2,
        f"halved to {encoder.batch_size}, largest difference {error:.1e}",
    )


def locks(report: Report) -> None:
    """Check that a second process waits for the GPU until the first one is done or dead."""
    wanted = str(report.device)
    if report.device.type != "cuda":
        report.figure("one process per GPU", "only on CUDA")
        return
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        holds = spawn.Event()
        holder = spawn.Process(target=_hold, args=(wanted, folder, holds))
        holder.start()
        holds.wait(60)
        try:
            with reserve_device(wanted, folder=folder, patience_s=1.0):
                waited = False
        except TimeoutError:
            waited = True
        holder.kill()
        holder.join()
        with reserve_device(wanted, folder=folder, patience_s=5.0) as device:
            report.check("one process per GPU", waited, f"{device} after its holder was killed")


def compiling(report: Report) -> None:
    """Measure whether torch.compile pays."""
    from mess_core.encoders.piano import PianoModel

    model = PianoModel().to(report.device).eval()
    mel = torch.randn(4 if report.quick else 64, 250, 160, device=report.device)
    with torch.inference_mode(), torch.autocast(report.device.type, torch.bfloat16):
        plain = seconds(lambda: model(mel), report.device, 10)
        began = time.perf_counter()
        compiled = torch.compile(model, mode="reduce-overhead")
        compiled(mel)
        took = time.perf_counter() - began
        faster = plain / seconds(lambda: compiled(mel), report.device, 10)
    report.figure(
        "mess-piano by torch.compile with CUDA graphs",
        f"{faster:.2f} x as fast, after {took:.0f} s of compiling",
    )


def probing(report: Report) -> None:
    """Compare nested probing with permutations on the GPU with the CPU."""
    from mess_core.probing import discover

    device = str(report.device) if report.device.type == "cuda" else "torch-cpu"
    tracks, layers, dim = (60, 2, 24) if report.quick else (400, 13, 768)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((tracks, layers, dim))
    y = x[:, :2, :22].sum(axis=1) + rng.standard_normal((tracks, min(22, dim)))
    table = pd.DataFrame(y, columns=[f"target{index}" for index in range(y.shape[1])])
    works = [f"work{index // 3}" for index in range(tracks)]
    found, times = {}, {}
    for where in ("cpu", device):
        began = time.perf_counter()
        found[where] = discover(x, table, works, permutations=20, device=where)
        times[where] = time.perf_counter() - began
    columns = ["layer", "target"] if "layer" in found["cpu"].table else ["target"]
    both = [found[where].table.sort_values(columns)["r2"].to_numpy() for where in ("cpu", device)]
    error = float(np.nanmax(np.abs(both[0] - both[1])))
    report.check("probing: largest difference of R² from the CPU", error < 1e-6, f"{error:.1e}")
    report.figure(
        f"probing, {tracks} tracks x {layers} x {dim} x {y.shape[1]}, 20 permutations",
        f"{times[device]:.1f} s, CPU {times['cpu']:.1f} s",
    )


def search(report: Report) -> None:
    """Say whether the installed FAISS uses GPUs."""
    import faiss

    has = hasattr(faiss, "StandardGpuResources")
    report.figure("FAISS", "uses GPUs" if has else "built without GPU: indices stay on the CPU")


def training(report: Report) -> None:
    """Train a small encoder on random music, and load it on the CPU."""
    from mess_core.datasets.random_music import write_random_music
    from mess_core.pretraining.recipe import train_encoder
    from mess_core.pretraining.settings import Recipe, TrainingSettings

    minutes, batch, works = (0.05, 1, 4) if report.quick else (0.75, 16, 32)
    settings = TrainingSettings(minutes=minutes, excerpts=batch, check_every=10**6)
    recipe = Recipe(excerpts=6, workers=4, training=settings)
    with tempfile.TemporaryDirectory() as folder:
        write_random_music(Path(folder) / "midi", works=works)
        began = time.perf_counter()
        found = train_encoder(
            Path(folder) / "midi", Path(folder) / "out", recipe, device=str(report.device)
        )
        whole = time.perf_counter() - began
        rate = found["audio_s"] / found["seconds"]
        report.figure(
            f"training mess-piano, batches of {batch} excerpts: s of audio per s",
            f"{rate:.0f} ({found['step']} steps in {found['seconds']:.0f} s, {whole:.0f} s with "
            "rendering)",
        )
        states = [
            load_encoder(Path(folder) / "out", device=device, dtype="float32").hidden_states(
                noise(5.0)
            )
            for device in ("cpu", str(report.device))
        ]
    error = float(np.abs(states[0] - states[1]).max() / np.abs(states[0]).max())
    report.check("trained weights: GPU against CPU", error < 1e-3, f"{error:.1e}")


STEPS: dict[str, Callable[[Report], None]] = {
    "machine": machine,
    "precision": precision,
    "extraction": extraction,
    "memory": memory,
    "locks": locks,
    "compiling": compiling,
    "probing": probing,
    "search": search,
    "training": training,
}


def _encoders(report: Report) -> tuple[str, ...]:
    return ("mess-piano", "untrained:tiny" if report.quick else "untrained:95m")


def _load(report: Report, name: str, dtype: str, batch: int = 8) -> Encoder:
    device, settings = str(report.device), EncoderSettings(batch_size=batch)
    return load_encoder(name, device=device, dtype=dtype, settings=settings)


def _pooled(encoder: Encoder, windows: list[np.ndarray]) -> list[np.ndarray]:
    return [encoder.pool(states) for states in encoder.run(windows)]


def _flops(encoder: Encoder, window: np.ndarray) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        _pooled(encoder, [window])
    return counter.get_total_flops()


def _hold(device: str, folder: str, holds: object) -> None:
    with reserve_device(device, folder=folder):
        holds.set()
        time.sleep(120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--quick", action="store_true", help="Small sizes, to rehearse.")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device; --device cpu --quick rehearses without one")
    device = torch.device(arguments.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    report = Report(device, arguments.quick)
    for name in arguments.only:
        began = time.perf_counter()
        try:
            STEPS[name](report)
        except Exception as error:
            traceback.print_exc()
            report.check(name, False, f"{type(error).__name__}: {str(error).splitlines()[0]}")
        print(f"-- {name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        arguments.out.write_text(json.dumps(report.rows, indent=1, default=str))
    print(report.markdown())
    return int(report.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
