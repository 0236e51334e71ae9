"""Submissions: a valid manifest gets a file name and goes into the queue, as the Go API does it."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Mapping
from itertools import count
from typing import Final

from hypersdkd.model.manifest_draft import MAX_NAME_BYTES
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.replies import Receipt
from hypersdkd.model.wording import shown
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import DropDirectory
from hypersdkd.spec.types import Submission

#: What a manifest without a name is called, as in the Go API.
DEFAULT_NAME: Final = "manifest"

#: Characters that Go's JSON writer escapes so that its text is harmless in HTML and JavaScript.
_ESCAPED: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


@hookimpl
def hypersdkd_submit_manifest(submission: Submission, drop: DropDirectory) -> Receipt | None:
    """Put the manifest into the queue as ``NAME-YYYYMMDD-HHMMSS.json`` (local time).

    A name that is taken gets ``-2``, ``-3`` and so on before its suffix. Raises ``ProblemError``
    (``name-invalid``) for a name that cannot be a visible file's, and what ``drop.put`` raises.
    """
    name = file_name_part(submission.name)
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    content = canonical_json(submission.document)
    for number in count(1):
        try:
            return drop.put(f"{stem}.json" if number == 1 else f"{stem}-{number}.json", content)
        except FileExistsError:
            continue
    return None


def file_name_part(name: str) -> str:
    """The manifest's name as a part of a file name; ``manifest`` if it has none.

    Raises ``ProblemError`` (``name-invalid``) rather than change a name that someone chose.
    """
    if not name:
        return DEFAULT_NAME
    if "/" in name:
        raise _invalid(name, "holds a slash")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name):
        raise _invalid(name, "holds a control character")
    if name.startswith("."):
        raise _invalid(name, "starts with a dot, which would hide its file")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise _invalid(name, f"is longer than {MAX_NAME_BYTES} bytes")
    return name


def canonical_json(document: Mapping[str, object]) -> bytes:
    """JSON as Go writes it: sorted keys, two spaces of indentation, no newline at the end, UTF-8."""
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False)
    return text.translate(_ESCAPED).encode()


def _invalid(name: str, reason: str) -> ProblemError:
    return fail(
        "name-invalid",
        f"name {shown(name)} {reason}",
        remedy=f"Use a name without slashes or control characters, of at most {MAX_NAME_BYTES} bytes.",
        path="name",
    )
