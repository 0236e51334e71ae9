"""Events: the one record of what happened to a guest. Steps emit them; everything else reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EventType(StrEnum):
    """What kind of thing happened. ``docs/events.md`` lists the data of each."""

    CLAIMED = "claimed"
    STARTED = "started"
    STAGE_STARTED = "stage_started"
    PROGRESS = "progress"
    FINDING = "finding"
    CHECK = "check"
    CHANGE = "change"
    ARTIFACT = "artifact"
    WARNING = "warning"
    STAGE_SKIPPED = "stage_skipped"
    STAGE_FINISHED = "stage_finished"
    PUBLISHING = "publishing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RECOVERED = "recovered"


#: Types after which nothing more comes in an attempt.
FINAL_EVENTS = frozenset({EventType.FINISHED, EventType.FAILED, EventType.CANCELLED})

#: Types whose lines are not fsynced one by one: the next change of state makes them durable with it.
VOLATILE_EVENTS = frozenset(
    {
        EventType.PROGRESS,
        EventType.FINDING,
        EventType.CHECK,
        EventType.CHANGE,
        EventType.WARNING,
        EventType.ARTIFACT,
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a journal. ``seq`` counts from 1 in its journal; ``data`` holds JSON values only."""

    seq: int
    type: EventType
    time: str
    vm: str = ""
    stage: str = ""
    data: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The JSON shape; ``data`` is flattened, its keys never hide the five fixed ones."""
        fixed = {
            "seq": self.seq,
            "time": self.time,
            "vm": self.vm,
            "stage": self.stage,
            "type": self.type.value,
        }
        return {**self.data, **fixed}

    def to_line(self) -> str:
        """One line of JSON with its newline; ASCII, so that no byte of a hostile string is special.

        Raises ``ValueError`` or ``TypeError`` for data that JSON does not have (NaN, objects).
        """
        return json.dumps(self.as_dict(), separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Event:
        """Read a line back. Raises ``ValueError`` for anything that is not one whole event."""
        try:
            values = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        if not isinstance(values, dict):
            raise ValueError("not an object")  # noqa: TRY004 - callers test for one kind of error
        try:
            return cls(
                seq=int(values.pop("seq")),
                type=EventType(values.pop("type")),
                time=str(values.pop("time")),
                vm=str(values.pop("vm", "")),
                stage=str(values.pop("stage", "")),
                data=values,
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error


def read_lines(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a journal's lines. A torn or foreign line is passed over, never an error."""
    for line in lines:
        if not line.endswith("\n"):
            return
        try:
            yield Event.from_line(line)
        except ValueError:
            continue
