"""Where this project answers differently from the recordings in ``go-api.jsonl``, on purpose, and why.

Recordings marked ``bug`` are not listed: nothing promises to repeat those. A test that uses this table
must also fail when a recording listed here is answered as recorded.
"""

from __future__ import annotations

from typing import Final

_VALUES = "values are checked, not only that they are there"
_GUESTS = "each guest of a batch is checked"
_ARTIFACT = "artifact manifests are read"
_DUPLICATE = "duplicate keys are refused: readers disagree on which one counts"
_YAML = "YAML is read"
_NAME = "a name that cannot be a visible file's is refused as invalid, not tried"

#: Name of the recording: the reason.
DEPARTURES: Final[dict[str, str]] = {
    "validate-version-2.0": _VALUES,
    "validate-source-type-unknown": _VALUES,
    "validate-output-format-unknown": _VALUES,
    "validate-batch-vm-empty-object": _GUESTS,
    "validate-batch-vm-not-object": _GUESTS,
    "validate-batch-with-bad-pipeline": _GUESTS,
    "validate-artifact-manifest": _ARTIFACT,
    "validate-artifact-manifest-with-pipeline": _ARTIFACT,
    "validate-duplicate-keys": _DUPLICATE,
    "validate-yaml-body": _YAML,
    "validate-deep-64": "a document may nest 32 levels deep",
    "validate-over-10-MiB": "a body over the limit is answered with 413",
    "submit-version-2.0": _VALUES,
    "submit-source-type-unknown": _VALUES,
    "submit-output-format-unknown": _VALUES,
    "submit-batch-vm-empty-object": _GUESTS,
    "submit-batch-vm-not-object": _GUESTS,
    "submit-batch-with-bad-pipeline": _GUESTS,
    "submit-artifact-manifest": _ARTIFACT,
    "submit-artifact-manifest-with-pipeline": _ARTIFACT,
    "submit-duplicate-keys": _DUPLICATE,
    "submit-yaml-body": _YAML,
    "submit-over-10-MiB": "a body over the limit is answered with 413",
    "submit-name-nul": _NAME,
    "submit-name-255": _NAME,
}

_FILES: Final = "hidden, half-written and linked files, and files without a known suffix, are no jobs"
_DAYS: Final = "ended jobs of all days are listed"

#: The same for recordings that only the daemon's HTTP, queue or start differ from.
HTTP_DEPARTURES: Final[dict[str, str]] = {
    "status-both-queues": _FILES,
    "status-filled-disk": _FILES,
    "status-origin-no-cors": "pages of other origins are refused",
    "jobs-filled-disk-pending": _FILES,
    "jobs-filled-disk-completed": _DAYS,
    "jobs-status-twice": _FILES,
    "jobs-status-traversal": "an unknown status is refused with the words that there are",
    "jobs-by-id-not-there": "there is such an endpoint",
    "submit-directory-is-a-file": "the daemon does not start without its queue",
}

#: Recordings marked ``bug`` that are answered otherwise; the other marked ones hold.
NOT_COPIED: Final[frozenset[str]] = frozenset(
    {
        "status-no-directories",
        "status-filled-manifest",
        "jobs-empty-bogus",
        "jobs-empty-PENDING",
        "jobs-filled-pending",
        "jobs-filled-completed",
        "jobs-filled-failed",
        "jobs-filled-all",
        "jobs-filled-cancelled",
        "jobs-filled-bogus",
        "jobs-filled-PENDING",
        "jobs-disk-without-processing",
        "jobs-limit-ignored",
        "submit-while-only-disk-queue-exists",
        "submit-name-empty",
        "submit-name-dot",
        "submit-name-newline",
        "submit-name-slash",
        "submit-name-traversal",
        "submit-name-absolute",
        "submit-same-name-same-second",
        "submit-number-precision",
        "submit-foreign-origin",
        "submit-foreign-host",
    }
)
