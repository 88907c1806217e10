"""Automation conditions, and the switch for all automation: ``MESS_AUTOMATION=on``.

When it is off, sensors and schedules are defined but stopped, and can be started one by one in
the UI. The switch only sets their initial status: what was started or stopped in the UI stays so.
"""

import os

import dagster as dg


def switched_on() -> bool:
    """Return whether ``MESS_AUTOMATION`` is "on".

    Raises
    ------
    ValueError
        If it is neither "on" nor "off".
    """
    value = os.environ.get("MESS_AUTOMATION") or "off"
    if value not in {"on", "off"}:
        raise ValueError(f"MESS_AUTOMATION must be on or off, not {value!r}")
    return value == "on"


def timezone() -> str:
    """Return the time zone of schedules and cron conditions (``MESS_TIMEZONE``, default UTC)."""
    return os.environ.get("MESS_TIMEZONE") or "UTC"


def sensor_status() -> dg.DefaultSensorStatus:
    """Return the initial status of sensors."""
    return dg.DefaultSensorStatus.RUNNING if switched_on() else dg.DefaultSensorStatus.STOPPED


def schedule_status() -> dg.DefaultScheduleStatus:
    """Return the initial status of schedules."""
    return dg.DefaultScheduleStatus.RUNNING if switched_on() else dg.DefaultScheduleStatus.STOPPED


def sensor_interval(seconds: int) -> int:
    """Return the interval of a sensor in s; ``MESS_SENSOR_SECONDS`` overrides it for all."""
    return int(os.environ.get("MESS_SENSOR_SECONDS") or seconds)


WEEKLY = dg.AutomationCondition.on_cron("0 4 * * 0", timezone())
"""Weekly: after Sunday 4:00, once all upstream assets have been updated since then."""

_CHANGED = (
    dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.data_version_changed() | dg.AutomationCondition.will_be_requested()
    )
    | dg.AutomationCondition.code_version_changed()
)

NIGHTLY = (
    dg.AutomationCondition.cron_tick_passed("0 5 * * *", timezone())
    & (_CHANGED.since_last_handled() | dg.AutomationCondition.missing())
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.in_progress()
).with_label("nightly, if changed")
"""At 5:00, if the asset is missing, or if upstream data or its own code version has changed.

An asset whose upstream asset is about to be materialised is requested with it, so that one run
covers a whole chain. Unchanged inputs cost little: results are cached with the fingerprint of
their inputs.
"""


conditions = dg.AutomationConditionSensorDefinition(
    "conditions",
    target=dg.AssetSelection.all(),
    default_status=sensor_status(),
    description="Requests the evaluation nightly and the report on targets weekly.",
)
