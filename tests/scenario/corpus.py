"""Synthetic recordings: two seconds of decaying tones, different for each work and player."""

from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 24_000
PLAYERS = 4


def write_tracks(folder: Path, first: int, count: int) -> list[str]:
    """Write tracks number `first` to `first + count - 1`, and return their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = []
    time_s = np.arange(2 * RATE) / RATE
    for number in range(first, first + count):
        track_id = f"work{number // PLAYERS:03d}__player{number % PLAYERS}"
        generator = np.random.default_rng(number)
        wave = np.zeros_like(time_s)
        # Level and tempo depend on the player, so that probes have something to find.
        for onset in np.arange(0.05, 1.8, 0.2 + 0.04 * (number % PLAYERS)):
            tone = 110 * 2 ** (generator.integers(0, 36) / 12)
            after = np.clip(time_s - onset, 0, None)
            level = 0.04 + 0.03 * (number % PLAYERS)
            wave += level * np.sin(2 * np.pi * tone * after) * np.exp(-6 * after) * (after > 0)
        sf.write(folder / f".{track_id}.part", wave, RATE, format="WAV", subtype="PCM_16")
        # Rename the finished file, so that no process sees a partial one.
        (folder / f".{track_id}.part").rename(folder / f"{track_id}.wav")
        ids.append(track_id)
    return ids


def corrupt(folder: Path, track_id: str) -> None:
    """Overwrite a track with a file that is no audio and differs from all others."""
    (folder / f"{track_id}.wav").write_bytes(b"RIFF" + track_id.encode())
