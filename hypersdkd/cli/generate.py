"""``hyperctl manifest generate SRC OUTDIR``: a manifest for a disk, complete and ready to submit.

``create`` points to it.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path
from typing import Final

from hypersdkd.cli import exits
from hypersdkd.cli.summary import show_summary
from hypersdkd.cli.terminal import Terminal
from hypersdkd.host.files import read_regular, write_new, write_replacing
from hypersdkd.host.image_file import opened
from hypersdkd.host.image_header import detect, judge
from hypersdkd.model.guest import SOURCE_TYPES
from hypersdkd.model.problem import CODES, ProblemError, fail

#: What a file name tells when it is not a source type's own name; without a hint it is a VMDK, as in Go's client.
_SUFFIX_TYPES: Final = {"img": "raw", "vpc": "vhd"}
_UNKNOWN: Final = "vmdk"

#: Types that can be judged here.
_JUDGED: Final = frozenset({"vmdk", "raw", "qcow2", "vdi"})

#: Seconds for reading an image's tables, as LOAD takes them.
_JUDGE_SECONDS: Final = 300.0


def generate(arguments: Namespace, terminal: Terminal) -> int:
    """Write ``OUTDIR/STEM-manifest.json``. A different file of that name is replaced only with ``--force``."""
    if len(arguments.paths) != 2:
        raise fail(
            "command-incomplete",
            "VM path and output directory required",
            remedy="Usage: hyperctl manifest generate <vm-path> <output-dir>",
        )
    source, directory = arguments.paths
    exists = _exists(source)
    if exists:
        source_type = _source_type(source)
        _warn_if_refused(source, source_type, terminal)
        document = _document(source_type, str(Path(source).absolute()), guest_stages=False)
        document = {"version": document["version"], "name": Path(source).stem, **document}
    else:
        document = _document(_type_by_name(source), source, guest_stages=True)
        terminal.note("WARNING", f"{source} does not exist here; its type is taken from its name")
    target = Path(directory) / f"{Path(source).stem}-manifest.json"
    _write(target, _encoded(document), force=arguments.force)
    if arguments.json:
        terminal.json({"manifest_path": str(target), "manifest": document})
        return exits.FINE
    terminal.note("SUCCESS", "Manifest generated!")
    terminal.info(f"Manifest saved to: {target}")
    show_summary(terminal, document)
    if exists:
        terminal.info("INSPECT and FIX are off: this build does not look into the guest")
    return exits.FINE


def create(arguments: Namespace, terminal: Terminal) -> int:
    """The interactive builder, which this build has not."""
    raise fail(
        "command-unavailable",
        "The interactive manifest builder is not part of this build",
        remedy="Use `hyperctl manifest generate SRC OUTDIR` and edit the file it writes.",
    )


def _exists(source: str) -> bool:
    """Whether the source is here. Raises ``source-not-regular`` for a directory, a device and the like."""
    path = Path(source)
    try:
        if path.is_file() or not path.exists():
            return path.is_file()
    except (OSError, ValueError):
        return False
    raise fail("source-not-regular", f"{source} is {'a directory' if path.is_dir() else 'not a regular file'}")


def _warn_if_refused(source: str, source_type: str, terminal: Terminal) -> None:
    """Say now what LOAD will say later; the manifest is written all the same, since the source may be mended."""
    refused = "The daemon will refuse this source"
    if source_type not in _JUDGED:
        unread = f"no plugin that comes along reads sources of type {source_type}"
        terminal.note("WARNING", f"{refused}: {unread}; remedy: {CODES['source-type-unknown'].remedy}")
        return
    try:
        with opened(Path(source).resolve(), seconds=_JUDGE_SECONDS) as image:
            judge(image, source_type)
    except ProblemError as error:
        terminal.note("WARNING", f"{refused}: {error.problem.message}; remedy: {error.problem.remedy}")
    except OSError as error:
        terminal.note("WARNING", f"The source cannot be looked at: {os.strerror(error.errno or 0).lower()}")


def _type_by_name(source: str) -> str:
    suffix = Path(source).suffix.lower().lstrip(".")
    return suffix if suffix in SOURCE_TYPES else _SUFFIX_TYPES.get(suffix, _UNKNOWN)


def _source_type(source: str) -> str:
    """The type by content. Where content shows none, the name counts, unless it claims what would show."""
    try:
        # The daemon resolves links as well, and then judges where the source lies.
        with opened(Path(source).resolve()) as image:
            found = detect(image).format
    except (OSError, ProblemError):
        return _type_by_name(source)
    if found != "raw":
        return found if found in SOURCE_TYPES else _type_by_name(source)
    by_name = _type_by_name(source)
    return by_name if by_name in {"ami", "ovf"} else "raw"


def _document(source_type: str, source_path: str, *, guest_stages: bool) -> dict[str, object]:
    """The manifest, its keys in the Go client's order. ``guest_stages`` turns INSPECT and FIX on."""
    on = guest_stages
    return {
        "version": "1.0",
        "pipeline": {
            "load": {"source_type": source_type, "source_path": source_path},
            "inspect": {"enabled": on, "detect_os": on},
            "fix": {
                "fstab": {"enabled": on, "mode": "stabilize-all" if on else ""},
                "grub": {"enabled": on},
                "initramfs": {"enabled": on, "regenerate": on},
                "network": {"enabled": on, "fix_level": "full" if on else ""},
            },
            "convert": {"output_format": "qcow2", "compress": True},
            "validate": {"enabled": True, "boot_test": False},
        },
    }


def _encoded(document: dict[str, object]) -> bytes:
    try:
        return json.dumps(document, indent=2, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise fail(
            "name-invalid", "The source's name is not UTF-8, which JSON cannot carry", remedy="Rename the file."
        ) from None


def _write(target: Path, content: bytes, *, force: bool) -> None:
    try:
        if force:
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
