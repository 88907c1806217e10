"""Report on the validity of the proxy targets."""

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
    """Inputs of the report besides the library itself."""

    sweeps: bool = Field(
        default=True, description="Measure synthetic clips with known ground truth (minutes)."
    )
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
        "Validity of the proxy targets: whether each follows its own property and no other in "
        "synthetic clips, timing against human-checked beats (ASAP), ratings (PercePiano), "
        "alignment errors, and correlations of all targets in this library. It takes minutes, so "
        "it is no part of a refresh."
    ),
)
def targets_report(
    context: dg.AssetExecutionContext, config: TargetsReportConfig, store: StoreResource
) -> dg.MaterializeResult:
    """Validate the targets and write the report to the store."""
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
