"""`mess train-encoder`: train the small piano encoder on a folder of MIDI files."""

from __future__ import annotations

import click

from mess_core.pretraining.settings import Recipe, TrainingSettings

__all__ = ["train_encoder"]

_RECIPE, _TRAINING = Recipe(), TrainingSettings()


@click.command("train-encoder", context_settings={"show_default": True})
@click.argument("midi", type=click.Path(exists=True, file_okay=False))
@click.argument("out", type=click.Path(file_okay=False))
@click.option(
    "--soundfont",
    "soundfonts",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="An .sf2 file that renders the notes, besides the built-in synthesiser; repeatable.",
)
@click.option(
    "--exclude",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Leave out the works in this folder, because you will evaluate on them; repeatable.",
)
@click.option(
    "--shared-works",
    type=int,
    help="Of the works with several performances, train on so many only: others can be evaluated.",
    show_default="all",
)
@click.option("--minutes", default=_TRAINING.minutes, help="Time limit of the training.")
@click.option("--steps", default=_TRAINING.steps, help="Gradient steps at most.")
@click.option("--excerpts", default=_RECIPE.excerpts, help="Excerpts of 20 s per file.")
@click.option(
    "--batch",
    default=_TRAINING.excerpts,
    help="Excerpts per step, four clips each.",
)
@click.option("--check-every", default=_TRAINING.check_every, help="Steps between scores.")
@click.option("--workers", default=_RECIPE.workers, help="Processes that render.")
@click.option("--seed", default=_RECIPE.seed)
@click.option(
    "--precision",
    type=click.Choice(["bfloat16", "float32"]),
    default=_TRAINING.precision,
    help="float32 for processors without bfloat16.",
)
@click.option("--device", default="auto", help="auto takes a GPU if there is one.")
def train_encoder(
    midi: str,
    out: str,
    soundfonts: tuple[str, ...],
    exclude: tuple[str, ...],
    shared_works: int | None,
    minutes: float,
    steps: int,
    excerpts: int,
    batch: int,
    check_every: int,
    workers: int,
    seed: int,
    precision: str,
    device: str,
) -> None:
    """Train the small piano encoder on the MIDI files in the folder MIDI.

    The notes are rendered, so that every onset, velocity and pedal is known; no audio is needed.
    Everything is kept in the folder OUT: the same command continues where it stopped, and
    MESS_ENCODER=OUT uses the result. Weights learned from MAESTRO may be used under its licence,
    CC BY-NC-SA 4.0.
    """
    from mess_core.pretraining.recipe import train_encoder as run

    training = TrainingSettings(
        steps=steps,
        minutes=minutes,
        excerpts=batch,
        check_every=check_every,
        precision=precision,
        seed=seed,
    )
    recipe = Recipe(
        soundfonts=soundfonts,
        excerpts=excerpts,
        exclude=exclude,
        shared_works=shared_works,
        workers=workers,
        seed=seed,
        training=training,
    )
    report = run(midi, out, recipe, device=device, say=lambda line: click.echo(line, err=True))
    for path, reason in report["skipped"].items():
        click.echo(f"skipped {path}: {reason}", err=True)
    scores = " ".join(f"{name} {value:.2f}" for name, value in report["scores"].items())
    click.echo(
        f"{report['files']} files of {report['works']} works, {len(report['skipped'])} skipped, "
        f"{report['hours_of_clips']:.1f} h of clips, {report['step']} steps in "
        f"{report['seconds'] / 60:.0f} min"
    )
    click.echo(f"on {report['works_held_out']} works held out: {scores}")
    click.echo(f"use it with MESS_ENCODER={out}")
