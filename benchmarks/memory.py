"""Peak memory and speed of embedding one track, by its duration, each in a fresh process.

The peak is the kernel's high-water mark of the resident set (VmHWM; Linux only), so it counts
the interpreter, torch and the model. Seconds are those of `Encoder.embed`: decoding and all states.

    python benchmarks/memory.py [--encoder untrained:tiny] [--minutes 0.75 45] [--hop 2.5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf

_CHILD = """
import sys, time
from mess_core.encoders import load_encoder
encoder = load_encoder(sys.argv[1], device="cpu", hop_s=float(sys.argv[3]))
began = time.perf_counter()
embedding = encoder.embed(sys.argv[2])
print(len(embedding.start_s))
print(embedding.duration_s / (time.perf_counter() - began))
status = open("/proc/self/status").read()
print(status.split("VmHWM:")[1].split()[0])
"""


def write_noise(path: Path, minutes: float, rate: int = 24_000) -> None:
    """Write quiet noise, a minute at a time."""
    rng = np.random.default_rng(0)
    left = round(minutes * 60 * rate)
    with sf.SoundFile(path, "w", rate, 1) as file:
        while left:
            count = min(left, 60 * rate)
            file.write(0.1 * rng.standard_normal(count).astype(np.float32))
            left -= count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="untrained:tiny")
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.75, 45.0])
    parser.add_argument("--hop", type=float, default=2.5)
    arguments = parser.parse_args()
    print("| encoder | minutes | segments | peak | audio s per s |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in arguments.minutes:
            path = Path(folder) / "noise.flac"
            write_noise(path, minutes)
            command = [sys.executable, "-c", _CHILD, arguments.encoder, path, str(arguments.hop)]
            segments, speed, peak = subprocess.run(
                command, check=True, capture_output=True, text=True
            ).stdout.split()
            print(
                f"| {arguments.encoder} | {minutes:g} | {segments} | {int(peak) / 1024:,.0f} MB "
                f"| {float(speed):.0f} |"
            )


if __name__ == "__main__":
    main()
