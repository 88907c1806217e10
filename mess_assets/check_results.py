"""Conversion of findings of `mess_core` to results of asset checks.

A check is blocking only if its failure would make downstream results wrong. Missing tracks only
warn, since one bad track must not prevent searches among the others.
"""

from typing import Any

import dagster as dg

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def check_result(finding: Any, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    """Return a `mess_core.store.findings.Finding` as the result of an asset check.

    Parameters
    ----------
    finding : Finding
    severity : AssetCheckSeverity
        Severity if the finding did not pass.
    """
    facts = {
        name: value if isinstance(value, int | float | str) else dg.MetadataValue.json(value)
        for name, value in finding.facts.items()
        if value is not None
    }
    return dg.AssetCheckResult(passed=finding.passed, severity=severity, metadata=facts)
