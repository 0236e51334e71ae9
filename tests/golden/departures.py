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
