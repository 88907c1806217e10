"""Whether targets mean what they say, as a report."""

import os
import time

import dagster as dg
from pydantic import Field

from mess_assets.check_results import WARN, check_result
from mess_assets.defs.automation import WEEKLY
from mess_assets.defs.resources import StoreResource
from mess_assets.op_tags import OWNERS
from mess_assets.plots import picture


class TargetsReportConfig(dg.Config):
    """What the report is made from, besides the library itself."""

    sweeps: bool = Field(default=True, description="Measure planted clips (a minute or two).")
    asap: str = Field(
        default_factory=lambda: os.environ.get("MESS_ASAP", ""),
        description="Folder of the ASAP data set; empty: left out.",
    )
    percepiano: str = Field(
        default_factory=lambda: os.environ.get("MESS_PERCEPIANO", ""),
        description="Folder of PercePiano; empty: left out.",
    )


@dg.asset(
    deps=["proxy_targets"],
    automation_condition=WEEKLY,
    group_name="evaluation",
    owners=OWNERS,
    kinds={"python", "matplotlib"},
    code_version="1",
    description=(
        "Whether targets mean what they say: planted properties recovered and nothing else, "
        "timing against human-checked beats (ASAP), ratings (PercePiano), errors of alignment, "
        "and every pair of targets of this library. Materialised on demand: it takes minutes."
    ),
)
def targets_report(
    context: dg.AssetExecutionContext, config: TargetsReportConfig, store: StoreResource
) -> dg.MaterializeResult:
    """Examine the targets and write the report beside the library."""
    from mess_core.validation.report import validate_targets

    began = time.perf_counter()
    report = validate_targets(
        asap=config.asap or None,
        percepiano=config.percepiano or None,
        library=store.data_root,
        sweeps=config.sweeps,
        say=context.log.info,
    )
    report.write(store.layout.targets_report)
    pictures = {name.removesuffix(".png"): picture(png) for name, png in report.pictures.items()}
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md(report.markdown),
            "path": dg.MetadataValue.path(str(store.layout.targets_report / "report.md")),
            "seconds": time.perf_counter() - began,
            **pictures,
            **{name: value for name, value in report.figures.items() if value == value},
        },
    )


@dg.asset_check(asset=targets_report, description="Every target follows its own property.")
def targets_follow_their_property(store: StoreResource) -> dg.AssetCheckResult:
    from mess_core.validation.report import check_targets_report

    return check_result(check_targets_report(store.layout), WARN)
