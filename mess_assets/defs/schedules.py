"""The nightly scan, stopped unless automation is switched on."""

import dagster as dg

from mess_assets.defs.automation import schedule_status, timezone
from mess_assets.defs.jobs import scan

nightly = dg.ScheduleDefinition(
    name="nightly",
    job=scan,
    cron_schedule="0 2 * * *",
    execution_timezone=timezone(),
    description=(
        "Scans the data sets at 2:00. Missing and stale tracks are then computed in batches, "
        "including those of runs that died, and tables, probing and indices are rebuilt once."
    ),
    default_status=schedule_status(),
)
