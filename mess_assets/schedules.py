"""One nightly schedule, off until switched on."""

import os

import dagster as dg

from mess_assets.jobs import scan

nightly = dg.ScheduleDefinition(
    name="nightly",
    job=scan,
    cron_schedule="0 2 * * *",
    execution_timezone=os.environ.get("MESS_TIMEZONE", "UTC"),
    description="Scans the data sets at 2:00; the sensors take it from there.",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

SCHEDULES = [nightly]
