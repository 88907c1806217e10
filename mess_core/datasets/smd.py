"""Saarland Music Data (SMD), piano.

Müller, Konz, Bogler, Arifi-Müller, "Saarland Music Data (SMD)", ISMIR 2011 late-breaking;
50 performances on a Yamaha Disklavier, audio and MIDI. Licence CC BY-NC-SA.
Version 2: https://zenodo.org/records/13753319

Layouts: version 2 has ``midi/``, ``wav_44100_stereo/`` and ``csv/``; the older one has
``midi/``, ``wav-44/`` and ``csv/``. Names are ``Composer_Work_Player_YYYYMMDD-SMD``,
where ``Player`` is three digits (8 anonymous players, one performance per piece).
"""

from __future__ import annotations

import re
from typing import Any

from mess_core.audio import AUDIO_SUFFIXES
from mess_core.datasets.base import MIDI_SUFFIXES, Scan, Track
from mess_core.datasets.layouts import scanner
from mess_core.datasets.works import work_id

__all__ = ["scan_smd"]

_NAME = re.compile(
    r"(?P<composer>[^_]+)_(?P<work>.+)_(?P<player>\d{3})_(?P<date>\d{8})-SMD", re.ASCII
)
_AUDIO_FOLDERS = ("wav_44100_stereo", "wav-44", "wav_22050_mono", "wav-22", "mp3-44", "wav", "flac")
# Opus numbers for which the last number of "Op028-15" is a piece, not a movement.
_SETS = {("chopin", 10), ("chopin", 25), ("chopin", 28)}


@scanner("smd", recognises=lambda root: any((root / "midi").glob("*-SMD.mid")))
def scan_smd(root: Any, dataset: str) -> Scan:
    """Read an SMD folder (either layout; audio may be missing).

    Parameters
    ----------
    root : UPath
        The folder that contains ``midi/``.
    dataset : str
        Name of the data set, recorded in its tracks.
    """
    scan = Scan(dataset, "smd", str(root))
    audio: dict[str, str] = {}
    for folder in _AUDIO_FOLDERS:
        for path in sorted((root / folder).glob("*")) if (root / folder).is_dir() else ():
            if path.suffix.lower() in AUDIO_SUFFIXES:
                audio.setdefault(path.stem, str(path))
    midi = {
        path.stem: str(path)
        for path in sorted((root / "midi").glob("*"))
        if path.suffix.lower() in MIDI_SUFFIXES
    }
    for stem in sorted({*audio, *midi}):
        name = _NAME.fullmatch(stem)
        if name is None:
            scan.skip(midi.get(stem) or audio[stem], "its name is not an SMD performance's")
            continue
        composer = name["composer"]
        scan.tracks.append(
            Track(
                track_id=stem,
                dataset=dataset,
                audio_path=audio.get(stem),
                midi_path=midi.get(stem),
                composer=composer,
                title=name["work"],
                work_id=work_id(composer, _spelled_out(composer, name["work"])),
                performer=f"SMD-{name['player']}",
                year=int(name["date"][:4]),
            )
        )
    return scan


def _spelled_out(composer: str, work: str) -> str:
    """Return SMD's compact work name in the wording that titles use elsewhere.

    Examples
    --------
    >>> _spelled_out("Beethoven", "Op027No1-02"), _spelled_out("Chopin", "Op028-15")
    ('Op. 27 No. 1', 'Op. 28 No. 15')
    >>> _spelled_out("Haydn", "HobXVINo52-01"), _spelled_out("Haydn", "Hob017No4")
    ('Hob. XVI:52', 'Hob. XVII:4')
    """
    if opus := re.match(r"Op(\d+)(?:No(\d+))?(?:-(\d+))?", work):
        number = opus[2]
        if number is None and (composer.lower(), int(opus[1])) in _SETS:
            number = opus[3]
        return f"Op. {int(opus[1])}" + (f" No. {int(number)}" if number else "")
    if hob := re.match(r"Hob(XVII|XVI|017|016)No(\d+)", work):
        group = {"017": "XVII", "016": "XVI"}.get(hob[1], hob[1])
        return f"Hob. {group}:{int(hob[2])}"
    if catalogue := re.match(r"(BWV|KV|WoO|SZ|D)(\d+)", work):
        return f"{catalogue[1]} {int(catalogue[2])}"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", work)
