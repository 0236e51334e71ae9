"""One shape for everything that can go wrong.

A :class:`Problem` is what an operator reads; its ``code`` is stable and is what a script tests. The
places where a code becomes something else are one each: HTTP status in ``web/errors.py``, exit status in
``cli/exits.py``, journal entry in ``model/event.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from hypersdkd.model.code_meaning import CodeMeaning
from hypersdkd.model.guest_problems import GUEST_CODES


def one_line(text: str) -> str:
    """``text`` as printable characters on one line; names of files hold newlines, escapes and broken UTF-8."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@dataclass(frozen=True, slots=True)
class Problem:
    """A thing that went wrong, what it means and what to do.

    ``code`` is a key of :data:`CODES` or a plugin's own (``plugin-name.something``). ``message`` is one
    line; ``detail`` may be long. ``remedy`` is never empty: the catalogue supplies one. ``path`` is the
    place in a document (``pipeline.load.source_path``, ``vms[1].name``), empty when there is none.
    """

    code: str
    message: str
    detail: str = ""
    remedy: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        if not self.remedy:
            known = CODES.get(self.code)
            object.__setattr__(self, "remedy", known.remedy if known else DEFAULT_REMEDY)

    def at(self, path: str) -> Problem:
        """The same problem, placed at ``path``."""
        return replace(self, path=path)

    def as_dict(self) -> dict[str, str]:
        """The JSON shape: ``code message detail hint remedy path``; ``hint`` equals ``remedy``."""
        return {
            "code": self.code,
            "path": self.path,
            "message": self.message,
            "detail": self.detail,
            "remedy": self.remedy,
            "hint": self.remedy,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Problem:
        """Read :meth:`as_dict` back; unknown keys are ignored."""
        text = {key: str(data.get(key, "")) for key in ("code", "message", "detail", "remedy", "path")}
        return cls(**text)


class ProblemError(Exception):
    """Carries a :class:`Problem` up to whoever turns it into a reply, a sidecar or an exit status.

    ``retry_after`` is ``None`` for a permanent problem, or the seconds after which trying again may help.
    """

    def __init__(self, problem: Problem, *, retry_after: float | None = None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.retry_after = retry_after


def fail(code: str, message: str, *, detail: str = "", remedy: str = "", path: str = "") -> ProblemError:
    """The exception to raise for a permanent problem: ``raise fail("source-missing", ...)``."""
    return ProblemError(Problem(code, one_line(message), detail, remedy, path))


DEFAULT_REMEDY: Final = "See the job's log for the cause; retry the job once it is mended."

#: Every code of the core. ``docs/problems.md`` lists the same ones; a test compares both ways.
CODES: Final[Mapping[str, CodeMeaning]] = {
    # documents
    "document-syntax": CodeMeaning(
        "The text is not JSON or YAML.", "Mend the syntax at the place named and submit again."
    ),
    "document-shape": CodeMeaning(
        "The document is not one object of keys and values.", "Start from `hyperctl manifest generate`."
    ),
    "document-too-large": CodeMeaning(
        "The document is larger than 10 MiB, or than 2 MiB of YAML, or holds too many values.",
        "Write it as JSON, or split the batch into several manifests.",
        413,
    ),
    "document-too-deep": CodeMeaning(
        "The document nests deeper than 32 levels.", "Flatten the document: a manifest needs six levels."
    ),
    "document-aliases": CodeMeaning(
        "The YAML aliases expand to more than the limit.", "Write the values out instead of using aliases."
    ),
    "document-duplicate-key": CodeMeaning(
        "A key stands twice in one object.", "Remove one of the two: readers disagree on which one counts."
    ),
    # manifests
    "manifest-required": CodeMeaning("A required key is missing or empty.", "Add the key that is named."),
    "manifest-type": CodeMeaning("A value has the wrong type.", "Give the value the type that is named."),
    "manifest-value": CodeMeaning("A value is not one of those allowed.", "Choose one of the values that are listed."),
    "manifest-version": CodeMeaning("The manifest's version is not known here.", 'Set version to "1.0".'),
    "manifest-too-many-guests": CodeMeaning(
        "A batch holds more than 10,000 guests.", "Split the batch into several manifests."
    ),
    "manifest-duplicate-disk": CodeMeaning("Two disks have the same id.", "Give each disk its own id."),
    "manifest-duplicate-output": CodeMeaning(
        "Two guests of the job would write the same output.", "Give each guest its own output_path."
    ),
    "manifest-unknown-key": CodeMeaning(
        "A key that nothing reads (a warning, not an error).", "Correct the spelling or remove the key."
    ),
    "manifest-unsupported": CodeMeaning(
        "The manifest asks for something that this build cannot do.",
        "Remove the request, or install the plugin that provides it.",
    ),
    "manifest-rejected": CodeMeaning("A plugin's own rule refused the manifest.", "See the rule's message."),
    "manifest-encoding": CodeMeaning(
        "The text is not UTF-8; the bad bytes were replaced (a warning).", "Save the file as UTF-8."
    ),
    # sources
    "source-missing": CodeMeaning(
        "The source does not exist.", "Check the path as the daemon sees it, then retry the job.", 404
    ),
    "source-unreadable": CodeMeaning(
        "The daemon may not read the source.", "Give the daemon's user read permission, then retry the job."
    ),
    "source-not-regular": CodeMeaning(
        "The source is not a regular file.",
        "Name a disk image: a file, or a link to one below the source directories; no directory or device.",
    ),
    "source-outside": CodeMeaning(
        "The source is outside the directories that sources may come from.",
        "Move the source below the queue or add its directory to workflow.source_dirs.",
    ),
    "source-busy": CodeMeaning(
        "Another process has the source open for writing.",
        "Wait until the copy has finished, then retry the job.",
        409,
    ),
    "source-changed": CodeMeaning(
        "The source changed while it was read, or is not the one that the manifest means by its size or checksum.",
        "Stop what writes to it, then retry the job.",
    ),
    "source-checksum": CodeMeaning(
        "A file of an appliance is not the one whose checksum its .mf has, or has none there.",
        "Copy or export the appliance again. If it was changed on purpose, set load.ignore_checksums to true.",
    ),
    "source-incomplete": CodeMeaning(
        "A file that the source consists of is missing: an extent, or the parent of a snapshot.",
        "Copy the file that is named into the source's directory, then retry the job.",
        404,
    ),
    "source-type-unknown": CodeMeaning(
        "No loaded plugin reads this source type.", "Use a listed source type or install a plugin for it."
    ),
    "source-type-mismatch": CodeMeaning(
        "The content is not of the type that the manifest claims.",
        "Set source_type to the detected type that is named.",
    ),
    # images
    "image-empty": CodeMeaning("The image is empty.", "Export the disk again; an empty file has no guest in it."),
    "image-truncated": CodeMeaning(
        "The image ends before its own tables say it should.", "Copy or export the disk again."
    ),
    "image-invalid": CodeMeaning("The image's header or tables make no sense.", "Export the disk again."),
    "image-unclean": CodeMeaning(
        "The image was not closed cleanly, or its parts disagree in a way that can be lived with (a warning).",
        "Check the converted guest; export the disk again if it does not work.",
    ),
    "image-snapshots": CodeMeaning(
        "Snapshots within the image, or of it and beside it, are not converted (a warning).",
        "If an earlier state is wanted, make it an image of its own: `qemu-img convert -l NAME`.",
    ),
    "image-backing": CodeMeaning(
        "The image needs another file (backing file, parent, data file, extent).",
        "Flatten the image first: `qemu-img convert`, or consolidate the snapshots before the export.",
    ),
    "image-parent-mismatch": CodeMeaning(
        "The parent that lies beside a snapshot is not the one that it was made of, or was changed since.",
        "Copy the whole chain again while the guest is shut down, or consolidate its snapshots before the export.",
    ),
    "image-encrypted": CodeMeaning("The image is encrypted.", "Decrypt the image before the export."),
    "image-unsupported": CodeMeaning(
        "A variant of a format that is not read.", "Convert it to a sparse, self-contained image first."
    ),
    "image-limits": CodeMeaning(
        "The image claims sizes beyond what is allowed.", "Check where the image comes from; export it again."
    ),
    # outputs
    "output-outside": CodeMeaning(
        "The output would lie outside the output directories.",
        "Use a path below output_dir or add its directory to workflow.output_dirs.",
    ),
    "output-exists": CodeMeaning(
        "The output exists already; it is never overwritten.",
        "Move the existing file away; or choose another output_path or, where there is none, another name for the job.",
        409,
    ),
    "output-unwritable": CodeMeaning(
        "The output directory cannot be written.", "Let the daemon's user write there, and the unit (ReadWritePaths=)."
    ),
    "output-invalid": CodeMeaning(
        "The converted image did not pass its checks; it was not published.",
        "Retry the job; if it fails again, keep the source and report the log.",
    ),
    "output-leftover": CodeMeaning(
        "Something that an attempt left beside its output cannot be removed (a warning).",
        "Look at it and remove it by hand; its name begins with .hypersdkd-.",
    ),
    "no-space": CodeMeaning(
        "There is not enough free space for the output.", "Free the space that is named, then retry the job."
    ),
    # running
    "tool-missing": CodeMeaning("A program that is needed is not installed.", "Install the package named."),
    "tool-failed": CodeMeaning("A program ended with an error.", "Read its output in the detail."),
    "tool-timeout": CodeMeaning(
        "A program ran longer than its time limit and was ended.",
        "Check the storage below the source and the output; raise the limit if it is only slow.",
    ),
    "tool-unconfined": CodeMeaning(
        "A program could open more than the files that it was given (a warning).",
        "Run a kernel with Landlock (5.13 or later, `lsm=` with landlock), let a container's seccomp profile have it,"
        " and use the distribution's qemu-img.",
    ),
    "worker-unconfined": CodeMeaning(
        "The kernel cannot confine workers, or not in all that it should (a warning).",
        "Run a kernel with Landlock (6.12 or later for all of it, `lsm=` with landlock), and let a container's seccomp"
        " profile have it, if images come from strangers.",
    ),
    "worker-crashed": CodeMeaning(
        "The worker process died more often than max_attempts allows.",
        "Look for memory or storage trouble on the host, then retry the job.",
    ),
    "worker-out-of-memory": CodeMeaning(
        "The worker was ended because memory ran out: the host's, or what its unit may have.",
        "Free memory, or raise `MemoryMax=` by `systemctl edit hypersdkd-worker@`; then retry the job.",
    ),
    "worker-timeout": CodeMeaning(
        "The worker ran longer than its unit may.",
        "Raise `RuntimeMaxSec=` by `systemctl edit hypersdkd-worker@` if the storage is only slow, then retry the job.",
    ),
    "worker-hung": CodeMeaning(
        "The worker did nothing for half an hour (plugins.executor_systemd.hung_seconds) and was ended.",
        "Look for storage that does not answer in the kernel's log, then retry the job.",
    ),
    "worker-unavailable": CodeMeaning(
        "The service manager starts no worker now; the guest waits.",
        "Start the workers' socket: `systemctl start hypersdkd-worker.socket`; or set executor: local.",
        503,
    ),
    "worker-flooded": CodeMeaning(
        "A worker wrote more into its journal than any guest needs, and was ended.",
        "Treat the source as hostile: look at who made it before it is tried again.",
    ),
    "worker-interrupted": CodeMeaning(
        "The daemon was stopped too often while this guest ran.",
        "Retry the job once the daemon runs steadily.",
    ),
    "plugin-failed": CodeMeaning(
        "A plugin raised an error that it should not have.",
        "Disable or update the plugin; see its record.",
        500,
    ),
    "rules-unavailable": CodeMeaning(
        "No plugin judged the manifest in time; nothing was decided.",
        "Wait; if it stays so, see `hyperctl plugins` for what became of manifest_rules.",
        503,
    ),
    "step-failed": CodeMeaning("A step raised an unexpected error.", "Report the traceback in the detail."),
    "batch-failed": CodeMeaning(
        "At least one guest of the batch failed; the others were converted.",
        "Mend what each failed guest reports and retry the job, which keeps what is completed; or submit those alone.",
    ),
    "cancelled": CodeMeaning("The job was cancelled.", "Retry the job if it should run after all.", 409),
    **GUEST_CODES,
    "artifact-unknown": CodeMeaning(
        "The job has no artifact of this number.", "List them: `GET /api/workflow/jobs/ID/artifacts`.", 404
    ),
    "artifact-unavailable": CodeMeaning(
        "The artifact is not sent: a disk, too large, or not kept any more.",
        "Take it from its path on the daemon's host.",
        404,
    ),
    # queue and daemon
    "queue-locked": CodeMeaning(
        "Another daemon already works this queue.", "Stop it, or give this one another base_dir.", 409
    ),
    "queue-observed": CodeMeaning(
        "Another daemon works this queue; this one only shows it and submits to it.",
        "Ask the daemon that works the queue, or stop that one and set executor: local here.",
        409,
    ),
    "queue-unusable": CodeMeaning(
        "The queue's directories cannot be used.", "Let the daemon's user, and the unit (ReadWritePaths=), write.", 500
    ),
    "queue-split": CodeMeaning(
        "The queue's directories are not on one file system, so a claim could not be atomic.",
        "Put all directories of the queue on one file system.",
        500,
    ),
    "name-invalid": CodeMeaning(
        "A name cannot be a file name.",
        "Use a name without slashes or control characters, of 1 to 180 bytes.",
    ),
    "job-unknown": CodeMeaning("There is no such job.", "List the jobs: `hyperctl workflow list`.", 404),
    "job-state": CodeMeaning(
        "The job is not in a state that allows this.", "Look at the job: `hyperctl job show ID`.", 409
    ),
    "config-invalid": CodeMeaning(
        "The configuration has errors.", "Mend each line that is named; see etc/hypersdkd.yaml.", 500
    ),
    "config-deprecated": CodeMeaning(
        "The configuration has a key of hyper2kvm's (a warning).", "Write the key that is named instead."
    ),
    "config-doubtful": CodeMeaning("The configuration names what is not there (a warning).", "Correct the name."),
    "config-missing": CodeMeaning("The configuration file cannot be read.", "Check --config.", 500),
    "address-unsafe": CodeMeaning(
        "The listen address is not loopback, or is none.",
        "Listen on 127.0.0.1, [::1] or a unix socket, or ask for tokens and TLS: docs/access.md.",
        500,
    ),
    "certificate-doubtful": CodeMeaning(
        "Clients will not take the server's certificate, or soon not any more (a warning).",
        "Put a new certificate into the file that api.tls.cert names, then `systemctl reload hypersdkd`.",
    ),
    "address-unavailable": CodeMeaning(
        "The listen address cannot be used.",
        "Stop what else listens there, or change api.listen or api.socket.",
        500,
    ),
    # HTTP and client
    "not-ready": CodeMeaning("The daemon takes no work now.", "Mend what the detail says, or wait.", 503),
    "not-found": CodeMeaning("There is nothing at this address.", "See docs/api.md for the addresses.", 404),
    "method-not-allowed": CodeMeaning("The address does not take this method.", "See docs/api.md.", 405),
    "request-invalid": CodeMeaning("The request cannot be read.", "See docs/api.md.", 400),
    "request-busy": CodeMeaning(
        "Too many requests of this kind are being answered.", "Send it again in a second, and fewer at once.", 429
    ),
    "submission-unknown": CodeMeaning(
        "The queue's storage did not say in time whether it took the manifest.",
        "Send it again with the same Idempotency-Key, or look for it in the list of jobs.",
        503,
    ),
    "request-refused": CodeMeaning(
        "The request's Host or Origin is not this daemon's.",
        "Call it by localhost, its address, a name in its certificate or in api.names, or its socket.",
        403,
    ),
    "token-required": CodeMeaning(
        "The request has no token, and the daemon asks for one.",
        "Give one: `hyperctl --token-file FILE`, the header `Authorization: Bearer TOKEN`, or the page's own field.",
        401,
    ),
    "token-unknown": CodeMeaning(
        "The token is none of those in force, or weaker than 128 bits.",
        "Ask who runs the daemon for a new one; it is made by `hypersdkd --make-token`.",
        401,
    ),
    "token-attempts": CodeMeaning(
        "Too many unknown tokens came from this address.",
        "Stop what sends the wrong token; the right one is taken at any time.",
        429,
    ),
    "role-insufficient": CodeMeaning(
        "The token's role does not allow this.", "Use a token whose role is operate.", 403
    ),
    "internal": CodeMeaning("An error in hypersdkd itself.", "Report it with the daemon's log.", 500),
    "daemon-unreachable": CodeMeaning(
        "No daemon answers.", "Start it (`systemctl start hypersdkd`) or name it by --url or --socket.", 503
    ),
    "daemon-untrusted": CodeMeaning(
        "The daemon's certificate is not one that can be trusted.",
        "Name the certificate authority's file, or the daemon's own certificate if it is self-signed, by --ca.",
        503,
    ),
    "token-unusable": CodeMeaning(
        "The file with the token cannot be used.",
        "Put one token into a file that only you can read (chmod 600) and name it by --token-file.",
    ),
    "reply-invalid": CodeMeaning(
        "What the daemon answered is not of the shape it should have.", "Use a hyperctl of the daemon's version."
    ),
    # command line
    "usage": CodeMeaning("The command line cannot be understood.", "See `hyperctl --help`."),
    "command-unknown": CodeMeaning("There is no such action.", "See `hyperctl --help`."),
    "command-incomplete": CodeMeaning("A word that the command needs is missing.", "See `hyperctl --help`."),
    "file-unreadable": CodeMeaning("A file of the command line cannot be read.", "Check the path."),
    "file-unwritable": CodeMeaning("A file cannot be written.", "Check the directory and its permissions."),
    "file-exists": CodeMeaning("A file is there already.", "Give --force to replace it, or another directory.", 409),
}
