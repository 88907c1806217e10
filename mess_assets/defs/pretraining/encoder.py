"""The small encoder, trained on rendered MIDI."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from mess_assets.check_results import ERROR, WARN, check_result
from mess_assets.defs.resources import EncoderResource, StoreResource, TrackingResource
from mess_assets.op_tags import GPU_POOL, OWNERS, gpu_tags
from mess_assets.plots import course_png, picture
from mess_core.pretraining.settings import Recipe, TrainingSettings

_RECIPE, _TRAINING = Recipe(), TrainingSettings()


class TrainingConfig(dg.Config):
    """What to train on, where and for how long; as the options of ``mess train-encoder``."""

    midi: str = Field(default="", description="Folder of MIDI files; none: nothing is trained.")
    out: str = Field(
        default="encoders/mine",
        description="Folder of the encoder; a training that was stopped is resumed.",
    )
    soundfonts: list[str] = Field(default=[], description="Paths of .sf2 files.")
    exclude: list[str] = Field(default=[], description="Folders whose works are left out.")
    shared_works: int | None = Field(
        default=None, description="Of the works with several performances, train on so many only."
    )
    excerpts: int = _RECIPE.excerpts
    minutes: float = _TRAINING.minutes
    steps: int = _TRAINING.steps
    check_every: int = _TRAINING.check_every
    precision: str = _TRAINING.precision
    workers: int = _RECIPE.workers
    seed: int = 0

    def recipe(self) -> Recipe:
        """Return the recipe that these settings are for."""
        training = TrainingSettings(
            steps=self.steps,
            minutes=self.minutes,
            check_every=self.check_every,
            precision=self.precision,
            seed=self.seed,
        )
        return Recipe(
            soundfonts=tuple(self.soundfonts),
            excerpts=self.excerpts,
            exclude=tuple(self.exclude),
            shared_works=self.shared_works,
            workers=self.workers,
            seed=self.seed,
            training=training,
        )


@dg.asset(
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            "trained_encoder_is_usable",
            asset="trained_encoder",
            description="The weights load, and no work held out was trained on.",
        )
    ],
    group_name="pretraining",
    owners=OWNERS,
    kinds={"python", "pytorch", "mlflow"},
    pool=GPU_POOL,
    op_tags=gpu_tags(),
    code_version="1",
    description=(
        "A small encoder of piano recordings, trained on notes that MESS renders. Use it with "
        "`MESS_ENCODER=<out>`. Not part of any refresh: launch the job `train_encoder`."
    ),
)
def trained_encoder(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    store: StoreResource,
    encoder: EncoderResource,
    tracking: TrackingResource,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Render, train, and export the weights with the works that they were trained on."""
    from pathlib import Path

    from mess_core.audio import file_sha256
    from mess_core.encoders.devices import reserve_device
    from mess_core.encoders.registry import PIANO_WEIGHTS
    from mess_core.pretraining.recipe import check_trained, train_encoder
    from mess_core.store.findings import Finding

    if not config.midi:
        problem = "nothing is trained: `midi` in the run's config names no folder"
        context.log.warning(problem)
        yield check_result(Finding(False, {"problem": problem}), WARN)
        return
    with reserve_device(encoder.device) as device:
        report = train_encoder(
            config.midi, config.out, config.recipe(), device=device, say=context.log.info
        )
    course = course_png(report["history"])
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(file_sha256(Path(config.out) / PIANO_WEIGHTS)[:16]),
        metadata={
            "path": dg.MetadataValue.path(config.out),
            "scores on works held out": dg.MetadataValue.json(report["scores"]),
            "picture": picture(course),
            "files": report["files"],
            "works": report["works"],
            "works held out": report["works_held_out"],
            "skipped": dg.MetadataValue.json(report["skipped"]),
            "hours of clips": report["hours_of_clips"],
            "steps": report["step"],
            "seconds": report["seconds"],
            **_log(context, store, tracking, report, course),
        },
    )
    yield check_result(check_trained(config.out), ERROR)


def _log(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    tracking: TrackingResource,
    report: dict[str, Any],
    course: bytes,
) -> dict[str, Any]:
    counted = ("files", "works", "works_held_out", "hours_of_clips", "seconds", "step", "at")
    params = {key: report[key] for key in ("soundfonts", "excerpts", "held_out", "exclude", "seed")}
    return tracking.log(
        context,
        store,
        "pretraining",
        params={**params, **report["settings"]},
        metrics={key: float(report[key]) for key in counted},
        artifacts={"course.png": course},
        series=report["history"],
    )
