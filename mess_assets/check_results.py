"""What a check found, as Dagster shows it.

Blocking are those checks whose failure would make downstream results wrong; missing tracks only
warn, since one bad track must not keep the others from being searched.
"""

from typing import Any

import dagster as dg

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def check_result(finding: Any, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    """A `mess_core.store.findings.Finding` as the result of a check.

    Parameters
    ----------
    finding : Finding
    severity : AssetCheckSeverity
        What a finding that did not pass amounts to.
    """
    facts = {
        name: value if isinstance(value, int | float | str) else dg.MetadataValue.json(value)
        for name, value in finding.facts.items()
        if value is not None
    }
    return dg.AssetCheckResult(passed=finding.passed, severity=severity, metadata=facts)
