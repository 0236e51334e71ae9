"""Writing a manifest that was built here: its text, and its file, which never replaces another one unasked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from hypersdkd.host.files import read_regular, write_new, write_replacing
from hypersdkd.model.problem import fail


def encoded(document: Mapping[str, object], *, yaml_text: bool = False) -> bytes:
    """JSON as the Go client writes it (no newline at its end), or YAML. ``name-invalid`` for what is not UTF-8."""
    try:
        # Before YAML too, which would escape such a name into one that no file has.
        content = json.dumps(document, indent=2, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise fail(
            "name-invalid", "The source's name is not UTF-8, which no manifest can carry", remedy="Rename the file."
        ) from None
    if not yaml_text:
        return content
    # Only a manifest that shall be YAML pays for the import.
    import yaml  # noqa: PLC0415

    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, encoding="utf-8")


def write_manifest(target: Path, content: bytes, *, replace: bool) -> None:
    """Make ``target`` hold ``content``. Raises ``file-exists`` unless ``replace``, and ``file-unwritable``."""
    try:
        if replace:
            write_replacing(target, content)
        else:
            write_new(target.parent, target, content)
    except FileExistsError:
        if _holds(target, content):
            return
        raise fail(
            "file-exists",
            f"{target} exists and is another manifest",
            remedy="Give --force to replace it, or another directory.",
        ) from None
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        raise fail("file-unwritable", f"Failed to save manifest: open {target}: {why}") from error


def _holds(target: Path, content: bytes) -> bool:
    try:
        return read_regular(target, len(content) + 1) == content
    except OSError:
        return False
