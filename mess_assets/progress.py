"""Progress of per-track work, the same for `mess run` and `mess backfill`.

On a terminal a bar per stage, elsewhere a line with a time stamp every half minute. Time left is
from the hours of audio, since tracks differ in length more than in speed.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

_EVERY_S = 30.0
_SHORTEST_H = 10 / 3600  # a track takes some time, however short it is


@dataclass
class Stage:
    """What is done of one stage.

    Attributes
    ----------
    hours : dict
        Hours of audio of each partition key that is to be computed.
    encoders : int
        Results of each key.
    """

    name: str
    hours: Mapping[str, float]
    encoders: int = 1
    done: int = 0
    failed: int = 0
    heard_h: float = 0.0
    busy_s: float = 0.0
    _since: float | None = None
    _seen: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        self._since = time.perf_counter()

    def end(self) -> None:
        self.busy_s = self.seconds
        self._since = None

    @property
    def seconds(self) -> float:
        """Seconds that runs of this stage have taken so far."""
        return self.busy_s + (0.0 if self._since is None else time.perf_counter() - self._since)

    def add(self, key: str) -> None:
        """Count a result for a key; with several encoders there is one of each."""
        self.heard_h += self.hours.get(key, 0.0) / self.encoders
        self._seen[key] = self._seen.get(key, 0) + 1
        self.done += self._seen[key] == self.encoders

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, or None before anything is done."""
        share = self.heard_h / max(sum(self.hours.values()), 1e-9)
        return self.seconds * (1 - share) / share if share > 0 else None

    def __str__(self) -> str:
        parts = [f"{self.name} {self.done + self.failed}/{len(self.hours)}"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.heard_h:
            parts.append(f"{60 * self.heard_h / self.seconds:.2f} h of audio per min")
        if self.left_s is not None and self.done + self.failed < len(self.hours):
            parts.append(f"{_clock(self.left_s)} left")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class TrackProgress:
    """Counts tracks by the events of their runs and shows how far each stage is."""

    def __init__(self, stages: Sequence[Stage], show: Callable[[Stage], None]) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._show = show

    def listener(self, name: str) -> Callable[[dg.EventLogEntry], None]:
        """Return what to call with each event of a run of this stage."""
        stage = self._stages[name]

        def heard(entry: dg.EventLogEntry) -> None:
            event = entry.dagster_event
            if event is not None and event.is_step_materialization and event.partition:
                stage.add(str(event.partition))
            elif event is None and entry.level >= _ERROR:
                stage.failed += 1
            else:
                return
            self._show(stage)

        return heard

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Measure the time of a run of this stage."""
        stage = self._stages[name]
        stage.begin()
        try:
            yield
        finally:
            stage.end()
            self._show(stage)


_ERROR = 40  # as in `logging`: the only messages at this level name a failed track


@contextmanager
def shown(
    planned: Sequence[Any],
    tracks: Any,
    say: Callable[[str], None],
    *,
    terminal: bool,
    encoders: int = 1,
) -> Iterator[TrackProgress]:
    """Yield the progress of planned batches.

    Parameters
    ----------
    planned : sequence of Batch
    tracks : DataFrame
        The track table.
    say : callable
        Called with a line; on a terminal only after the last.
    terminal : bool
        Whether to draw bars.
    encoders : int
        With which a run embeds.
    """
    from mess_core.store import escape_track_id

    length = dict(zip(map(str, tracks["track_id"]), tracks["duration_s"].fillna(0), strict=True))
    of_key = {escape_track_id(name): max(s / 3600, _SHORTEST_H) for name, s in length.items()}
    hours: dict[str, dict[str, float]] = {}
    for one in planned:
        of_stage = hours.setdefault(one.asset, {})
        of_stage.update({key: of_key.get(key, _SHORTEST_H) for key in one.span})
    stages = [
        Stage(name, of_stage, encoders if name == "embeddings" else 1)
        for name, of_stage in hours.items()
    ]
    if terminal:
        yield from _bars(stages)
        return
    last = [time.perf_counter()]

    def line(stage: Stage) -> None:
        finished = stage.done + stage.failed >= len(stage.hours)
        if finished or time.perf_counter() - last[0] >= _EVERY_S:
            last[0] = time.perf_counter()
            say(f"  {stage}")

    yield TrackProgress(stages, line)


def _bars(stages: Sequence[Stage]) -> Iterator[TrackProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {stage.name: bars.add_task(str(stage), total=len(stage.hours)) for stage in stages}

        def draw(stage: Stage) -> None:
            completed = stage.done + stage.failed
            bars.update(tasks[stage.name], completed=completed, description=str(stage))

        yield TrackProgress(stages, draw)
