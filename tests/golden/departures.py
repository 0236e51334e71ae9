"""Where this project answers differently from the recordings, on purpose, and why.

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

#: What becomes of a file that is not worked.
LEFT: Final = "left in to_be_processed, not looked at"
WAITING: Final = "left in to_be_processed, waiting"

#: Jobs recorded with hyper2kvm that fare differently here: what becomes of them, and why.
HYPER2KVM: Final[dict[str, tuple[str, str]]] = {
    "manifest/fixer-off/.09-hidden.json": (LEFT, "a hidden file is an upload's temporary name, never a job"),
    "manifest/fixer-off/04-vhd.json": ("processed", "the original never hands a VHD source's path on"),
    "manifest/fixer-off/05-raw.json": ("processed", "the original never hands a raw source's path on"),
    "manifest/unmodified/01-good-vmdk.json": ("processed", "it failed only for the recording machine's lack of NBD"),
    "manifest/unmodified/03-batch.json": ("processed", "the original fails every batch"),
    "manifest/unmodified/05-good-raw.yaml": ("processed", "the original never hands a raw source's path on"),
    "manifest/unmodified/11-sidecar.json.error.json": (LEFT, "a record beside a job is never a job itself"),
    "disk/fixer-off/05-ignored.qcow2": ("processed", "the original never looks at qcow2"),
    "disk/fixer-off/05-ignored.vdi": ("processed", "the original never looks at VDI"),
    "disk/fixer-off/08-batch-mixed.json": ("failed", "the original lets the first of a list decide"),
    "disk/fixer-off/10-batch-empty.json": ("failed", "nothing was converted, which is no success"),
    "disk/fixer-off/15-relative-input.json": (WAITING, "the disk that it names beside itself may come later"),
    "disk/fixer-off/16-input-qcow2.json": ("processed", "the original starts a second daemon for a qcow2"),
    "disk/fixer-off/19-zero.vmdk": (WAITING, "an empty disk is one whose content has not come yet"),
}

#: Jobs whose recorded ``job_id`` is not taken over, and why.
HYPER2KVM_JOB_IDS: Final[dict[str, str]] = {
    "disk/fixer-off/08-batch-mixed.json": "the original writes that of the first of the list",
    "disk/fixer-off/09-batch-good.json": "the original writes that of the first of the list",
}

#: Jobs whose message names something else than the recorded one does, and why.
HYPER2KVM_MESSAGES: Final[dict[str, str]] = {
    "manifest/unmodified/12-same-name.json": "it has no convert stage, which is said before its source is looked for",
}
