"""`mess doctor`: report installed packages, devices, encoders and the state of the library."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import click

from mess_core.cli.terminal import data_option, json_option
from mess_core.environment import configured_encoder
from mess_core.errors import MessError
from mess_core.store.layout import Layout

__all__ = ["Check", "diagnose", "diagnose_encoder", "doctor"]

_PACKAGES = (
    "torch", "transformers", "librosa", "pretty_midi", "numpy", "pandas", "scikit-learn",
    "faiss-cpu", "dagster", "dagster-webserver", "mlflow",
)  # fmt: skip
_LARGEST_ERROR = 0.1  # of a cheaper choice's vectors


@click.command()
@data_option
@click.option("--encoder", help="Download, load and check this encoder instead.")
@json_option
def doctor(data: str, encoder: str | None, as_json: bool) -> None:
    """Show what is installed, which data was found, and what to do next.

    With --encoder NAME, the encoder is downloaded if needed, its weights are read strictly, and
    what it is, its states and its speed on this machine are shown. Speeds are measured, and say
    how long the library takes: on a CPU also without overlap of windows, and in bfloat16.
    """
    findings = diagnose(data) if encoder is None else diagnose_encoder(encoder, data)
    if as_json:
        click.echo(json.dumps([finding.__dict__ for finding in findings], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}
    for finding in findings:
        text = finding.fact + (f"  [dim]→ {finding.remedy}[/]" if finding.remedy else "")
        table.add_row(marks[finding.state], finding.subject, text)
    Console().print(table)
    if encoder is not None and any(finding.state == "missing" for finding in findings):
        raise SystemExit(1)


@dataclass(frozen=True)
class Check:
    """A finding about one subject, with a remedy if something is wrong."""

    subject: str
    state: Literal["ok", "note", "missing"]
    fact: str
    remedy: str = ""


def diagnose(data_root: str) -> list[Check]:
    """Check packages, devices, encoders and the data root without changing anything."""
    layout = Layout(data_root)
    checks = [_python(), *_packages(), *_torchaudio(), _device()]
    try:
        checks += _encoders()
        return [*checks, *_data(layout), *_speed(layout)]
    except (ImportError, OSError) as error:  # of transformers, by way of torchaudio
        remedy = "Mend or uninstall the package that is named here"
        return [*checks, Check("encoders", "missing", f"cannot be loaded: {error}", remedy)]
    except MessError as error:
        return [*checks, Check("data root", "missing", str(error), "Run `mess run` again")]


def diagnose_encoder(name: str, data_root: str) -> list[Check]:
    """Load an encoder, and check its weights, its states, its speed, and what the library takes.

    Raises
    ------
    EncoderError
        If it cannot be downloaded, or its weights do not fit.
    """
    from mess_core.encoders import load_encoder
    from mess_core.encoders.collapse import COLLAPSED, clip_similarity
    from mess_core.encoders.registry import find_encoder

    source, encoder = find_encoder(name), load_encoder(name)
    files = encoder.name.partition("@")[2]
    licence = source.published.licence if source.published else "-"
    rate = encoder.sample_rate
    download = [] if source.published is None else [_download(source)]
    checks = [
        Check("encoder", "ok", f"{encoder.name}, family {source.family.name}, licence {licence}"),
        *download,
        Check("weights", "ok", f"all tensors present, of the right shape and finite ({files})"),
        Check("input", "ok", f"{rate} Hz, windows of {encoder.settings.window_s:g} s"),
        Check("states", "ok", f"{len(encoder.layers)} of {encoder.dim}, {encoder.state_names[-1]}"),
    ]
    lowest = float(clip_similarity(encoder).min())
    fact = f"cosine between different sounds down to {lowest:.3f}"
    if lowest > COLLAPSED and source.size is None:
        checks.append(Check("collapse", "missing", fact, "Do not use it; download it again"))
    else:
        checks.append(Check("collapse", "ok", fact))
    return [*checks, *_time_needed(name, Layout(data_root))]


def _time_needed(name: str, layout: Layout, *, offline: bool | None = None) -> list[Check]:
    """Measure an encoder's speed, and say how long the library's audio takes with each choice."""
    import soundfile as sf

    from mess_core.audio import SAMPLE_RATE
    from mess_core.datasets.demo import Expression, demo_score, perform
    from mess_core.datasets.synthesis import synthesise
    from mess_core.encoders.speed import measured_choices
    from mess_core.store.tables import read_table

    hours = 0.0
    if layout.tracks.exists():
        tracks = read_table(layout.tracks)
        hours = float(tracks.loc[tracks["audio_path"].notna(), "duration_s"].sum()) / 3600
    wave = synthesise(perform(demo_score(0, bars=24), Expression(), seed=0))[: 40 * SAMPLE_RATE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.wav"
        sf.write(path, wave, SAMPLE_RATE)
        device, dtype = (os.environ.get(one, "auto") for one in ("MESS_DEVICE", "MESS_DTYPE"))
        choices = measured_choices(name, path, device=device, dtype=dtype, offline=offline)
    seconds = len(wave) / SAMPLE_RATE
    control = name.startswith("untrained:") or os.environ.get("MESS_CONTROL") == "off"
    checks = []
    for choice in choices:
        fact = f"{seconds / choice.seconds:.3g} s of audio per second"
        if hours:
            needed = _lasting(hours * choice.seconds / seconds)
            fact += f": {hours:.3g} h of audio in this library take {needed}"
        if hours and not control:
            fact += ", and as long again with the untrained control"
        if not choice.setting:
            checks.append(Check(f"speed of {name}", "ok", fact))
        else:
            fact += f"; vectors of a piano piece differ by {100 * choice.error:.1f} %"
            warning = "do not use " if choice.error > _LARGEST_ERROR else ""
            checks.append(Check("or with", "note", fact, warning + choice.setting))
    return checks


def _speed(layout: Layout) -> list[Check]:
    """Measure the configured encoder if its weights are here; `diagnose` downloads nothing."""
    name = configured_encoder()
    try:
        return _time_needed(name, layout, offline=True)
    except MessError as error:
        return [Check(f"speed of {name}", "note", f"not measured: {error}")]


def _lasting(hours: float) -> str:
    minutes = 60 * hours
    return f"{hours:.1f} h" if hours >= 1 else f"{max(minutes, 0.1):.1f} min"


def _download(source: Any) -> Check:
    """Compare the downloaded weights with the hub's hash."""
    from mess_core.encoders.loading import downloaded_intact, fetch
    from mess_core.encoders.registry import weights_file

    folder, at = fetch(source, revision=None, offline=True)
    path = weights_file(folder, source.family)
    intact = downloaded_intact(path)
    fact = f"{path.name} of {source.published.repository} at {at[:12]}"
    if intact is None:
        return Check("download", "note", f"{fact}: the cache does not tell its hash")
    if not intact:
        return Check("download", "missing", f"{fact} is damaged", f"Delete {folder}, try again")
    return Check("download", "ok", f"{fact}, SHA-256 as the hub gives it")


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check("Python", "ok", found)


def _packages() -> list[Check]:
    checks = []
    for name in _PACKAGES:
        try:
            checks.append(Check(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            checks.append(Check(name, "missing", "not installed", "Run `make setup`"))
    return checks


def _torchaudio() -> list[Check]:
    """Report a torchaudio that cannot be loaded: transformers would try to, and fail."""
    if importlib.util.find_spec("torchaudio") is None:
        return []  # nothing here needs it
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "pip uninstall torchaudio: with it, every encoder but mess-piano fails"
        return [Check("torchaudio", "missing", f"cannot be loaded ({reason})", remedy)]
    return [Check("torchaudio", "ok", importlib.metadata.version("torchaudio"))]


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", "ok", f"cuda: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Check("device", "ok", "mps")
    return Check("device", "note", f"cpu, {torch.get_num_threads()} threads", "A GPU is faster")


def _encoders() -> list[Check]:
    from mess_core.encoders.loading import weights_location
    from mess_core.encoders.registry import PUBLISHED, find_encoder

    checks = [
        Check("encoder untrained:tiny", "ok", "always available (the untrained control)"),
        Check("encoder mess-piano", "ok", "in the package (CC BY-NC-SA 4.0)"),
        _configured_encoder(),
    ]
    cached = [name for name in PUBLISHED if weights_location(find_encoder(name)) == "downloaded"]
    checks += [Check(f"encoder {name}", "ok", "in the Hugging Face cache") for name in cached]
    others = f"{len(PUBLISHED) - len(cached)} published encoders, not downloaded"
    hint = "`mess encoders` lists them; `mess doctor --encoder NAME` downloads and checks one"
    return [*checks, Check("encoders", "note", others, hint)]


def _configured_encoder() -> Check:
    from mess_core.encoders import load_encoder

    name = configured_encoder()
    try:
        encoder = load_encoder(name, device="cpu", offline=True)
    except MessError as error:
        return Check("MESS_ENCODER", "missing", str(error))
    layers = f"{len(encoder.layers)} layers of {encoder.dim}"
    return Check("MESS_ENCODER", "ok", f"{encoder.name}, {layers}")


def _data(layout: Layout) -> list[Check]:
    from mess_core.datasets import configured_sources
    from mess_core.search.artifact import latest_manifest
    from mess_core.store.failures import failures_table
    from mess_core.store.stored_encoders import indexed_encoders
    from mess_core.store.tables import read_json

    root = Check("data root", "ok", str(layout.root))
    if not layout.tracks.exists():
        sources = configured_sources(layout.root)
        named = ", ".join(f"{one.name}: {one.root}" for one in sources)
        return [root, Check("tracks", "missing", f"not read yet: {named}", "Run `mess run`")]
    report: dict[str, Any] = read_json(layout.tracks_report)
    found = ", ".join(f"{one['dataset']}: {one['tracks']}" for one in report["datasets"])
    checks = [
        root,
        Check("tracks", "ok", f"{report['tracks']} ({found}), {report['skipped']} files skipped"),
    ]
    failed = len(failures_table(layout))
    state: Literal["ok", "note"] = "note" if failed else "ok"
    checks.append(
        Check("failures", state, str(failed), "See `mess tracks --failed`" if failed else "")
    )
    if not indexed_encoders(layout):
        checks.append(Check("track index", "missing", "not built", "Run `mess run`"))
    for encoder, name in product(indexed_encoders(layout), ("track", "passage")):
        manifest = latest_manifest(layout.of(encoder).indices, name)
        if manifest is None:
            checks.append(Check(f"{name} index", "missing", "not built", "Run `mess run`"))
        else:
            fact = f"{manifest['vectors']} vectors, {manifest['made_from']['encoder']}"
            checks.append(Check(f"{name} index", "ok", fact))
    return checks
