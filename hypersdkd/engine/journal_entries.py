"""What the daemon's log is in the system's journal: the line, and fields by which entries are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What the journal calls what a line has; empty ones are left out.
_FIELDS: Final = {
    "job": "HYPERSDKD_JOB",
    "vm": "HYPERSDKD_GUEST",
    "stage": "HYPERSDKD_STAGE",
    "code": "HYPERSDKD_CODE",
}

#: ``MESSAGE_ID`` by the line's ``event``: numbers drawn by chance that stay what they are, for scripts.
MESSAGE_IDS: Final = {
    "ready": "61cfd8e029374f398faf673c9501b5e9",
    "claimed": "6034787698be4abc9d48b6488d946604",
    "adopted a running worker": "48bdfe0bd7f9457e99fa23e4216d0b47",
    "guest completed": "a6f5da1fbea04e53ad1d0ec375701724",
    "guest failed": "7ccca59680c84515982d9885ffa620ff",
    "guest cancelled": "e2ffe2e4c5444d3fac5d087f30962715",
    "guest warning": "2634032ca80746bb9c07515e90066a76",
    "job ended": "1a6551ff0d4643928e8f07efa90f7880",
    "reloaded": "c1dfc0ae89b44a939d206febbd8424dd",
    "the configuration is not reloaded": "271579587eae4884aa7431b5b50d395d",
}


def entry(event: Mapping[str, object], priority: int, line: str) -> Mapping[str, str]:
    """The fields of a log line's entry. ``line`` is the message; ``priority`` that of syslog(3)."""
    fields = {"MESSAGE": line, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "hypersdkd"}
    if (number := MESSAGE_IDS.get(str(event.get("event")))) is not None:
        fields["MESSAGE_ID"] = number
    for key, name in _FIELDS.items():
        if (value := event.get(key)) not in (None, ""):
            fields[name] = str(value)
    return fields
