"""One switch for everything that starts by itself: ``MESS_AUTOMATION=on``.

Off, sensors and schedules are there but stopped, and can be started one by one in the UI. What
somebody has started or stopped there stays so; the switch only sets how they begin.
"""

import os

import dagster as dg


def switched_on() -> bool:
    """Whether ``MESS_AUTOMATION`` is "on".

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
    """``MESS_TIMEZONE``: of everything that happens by the clock."""
    return os.environ.get("MESS_TIMEZONE") or "UTC"


def sensor_status() -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if switched_on() else dg.DefaultSensorStatus.STOPPED


def schedule_status() -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if switched_on() else dg.DefaultScheduleStatus.STOPPED


def seconds_between_looks(seconds: int) -> int:
    """How often a sensor looks; ``MESS_SENSOR_SECONDS`` sets it for all (tests are in a hurry)."""
    return int(os.environ.get("MESS_SENSOR_SECONDS") or seconds)


WEEKLY = dg.AutomationCondition.on_cron("0 4 * * 0", timezone())
"""On Sunday at 4:00, once what it is made from has been renewed since the Sunday before."""

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
"""At 5:00 if it is not there yet, or if what it is made from, or its code, has changed since.

One run for a whole chain: what follows from something that is about to be made is made with
it. What turns out equal costs little: results are kept beside the fingerprint of their inputs.
"""


conditions = dg.AutomationConditionSensorDefinition(
    "conditions",
    target=dg.AssetSelection.all(),
    default_status=sensor_status(),
    description="Starts what assets ask for: evaluation nightly, the report on targets weekly.",
)
