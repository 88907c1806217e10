"""The leaderboard ranks on common queries only, and sets apart what reads the notes."""

import numpy as np
import pandas as pd
import pytest

from mess_core.evaluation.leaderboard import compare_models, leaderboard_markdown, summarise

WORKS = [f"w{number}" for number in range(12)]


def answers(system, values, criterion="expression", metric="triplets"):
    queries = [f"q{number}" for number in range(len(values))]
    return pd.DataFrame(
        {
            "system": system, "criterion": criterion, "metric": metric, "query": queries,
            "cluster": [WORKS[number % len(WORKS)] for number in range(len(values))],
            "value": values,
        }
    )  # fmt: skip


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    hard = np.repeat([0.9, 0.3], 24)
    return pd.concat(
        [
            answers("random", rng.uniform(0.3, 0.7, 48)),
            answers("layer", hard),
            answers("head", np.minimum(hard + 0.05, 1.0)),
            answers("failed on half", np.full(24, 0.92)),
            answers("midi, corrected", np.full(48, 0.99)),
        ],
        ignore_index=True,
    )


def section(markdown, title):
    after = markdown.split(title, 1)[1]
    rows = after.split("\n\n")
    body = next(one for one in rows if one.startswith("| system"))
    return [line.split("|")[1].strip() for line in body.splitlines()[2:]]


def test_systems_with_fewer_queries_or_with_the_notes_stand_apart(table):
    summary, models = summarise(table), compare_models(table, {"expression": ["layer", "head"]})
    markdown = leaderboard_markdown(summary, models, {})
    assert section(markdown, "## expression") == ["head", "layer", "random"]
    assert section(markdown, "Read the notes") == ["midi, corrected"]
    assert section(markdown, "On fewer queries") == ["failed on half"]


def test_models_are_compared_on_the_queries_that_both_answered(table):
    (row,) = compare_models(table, {"expression": ["layer", "failed on half"]}).itertuples()
    assert row.n == 24
    assert row.difference == pytest.approx(0.02)


def test_the_order_of_changes_is_shown_beside_what_listeners_notice():
    shares = {"tempo_curve": 1.0, "articulation": 2 / 3, "timing": 1 / 3, "dynamics": 0.0}
    backwards = dict(zip(shares, reversed(shares.values()), strict=True))
    parts = [answers("random", np.full(6, 0.5))]
    for system, moved in (("as people", shares), ("backwards", backwards)):
        parts.append(answers(system, np.full(6, 0.5)))
        parts += [answers(system, np.full(6, moved[one]), "moved by", one) for one in moved]
    summary = summarise(pd.concat(parts, ignore_index=True))
    markdown = leaderboard_markdown(summary, compare_models(parts[0], {}), {})
    rows = [one for one in markdown.splitlines() if one.startswith(("| as people", "| backwards"))]
    shown = [one for one in rows if "+1.00" in one or "-1.00" in one]
    assert shown[0].startswith("| as people | 1.00 | 0.67 | 0.33 | 0.00 | +1.00")
    assert shown[1].endswith("-1.00 |")
    assert "73 %" in markdown
