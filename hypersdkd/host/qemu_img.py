"""``qemu-img``, one function a command.

Sources are named by :func:`reference`: a ``json:`` pseudo-file name in which every driver is explicit and no
other file can be reached, so that neither a file's name nor its content decides what is opened. Written is
only to a descriptor that the caller has opened. Whatever reads an image is confined to the files it is given.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host.landlock import Confinement
from hypersdkd.host.process import Finished, Limits, describe_signal, run
from hypersdkd.model.problem import Problem, ProblemError, fail

PROGRAM: Final = "qemu-img"

#: For looking at an untrusted image: more than any sane one needs.
_LOOK: Final = Limits(address_space=1 << 30, cpu_seconds=30)
_LOOK_SECONDS: Final = 60.0

#: For reading all tables of an image.
_MEASURE: Final = Limits(address_space=1 << 30, cpu_seconds=600)
_CHECK_SECONDS: Final = 3600.0

#: glibc reserves 64 MiB of addresses for each thread that allocates: a dozen of qemu's would use a limit up.
_FEW_ADDRESSES: Final = {"MALLOC_ARENA_MAX": "1"}

#: qemu's units of allocation: qcow2 and VMDK, and VDI.
_CLUSTER: Final = 64 << 10
_VDI_BLOCK: Final = 1 << 20

#: Coroutines that copy at once. More gain nothing, and 16 need more than 1 GiB of address space.
_COROUTINES: Final = "8"

#: Bytes of a backing file's name at most, by the qcow2 format.
_BACKING_NAME: Final = 1023

_PERCENT: Final = re.compile(r"\((\d{1,3}\.\d\d)/100%\)")


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What qemu itself finds in an image. ``names_others`` lists the other files that it would open."""

    format: str
    virtual_size: int
    variant: str
    names_others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """``qemu-img check``: counts of clusters. ``supported`` is false for formats that have no check."""

    supported: bool
    errors: int = 0
    leaks: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Conversion:
    """How to write an image. ``direct`` bypasses the page cache of the output (O_DIRECT)."""

    format: str
    options: tuple[str, ...] = ()
    compress: bool = False
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """An image for qemu-img to read: its safe name, and the descriptors that the name needs.

    ``fds`` are those of files that it may read; ``own`` of files of ours in memory, which need no permission.
    """

    reference: str
    fds: tuple[int, ...] = ()
    own: tuple[int, ...] = ()

    @classmethod
    def of_fd(cls, fd: int, format_name: str) -> Source:
        """An open image: what is read is that very file, whatever its name means by then."""
        return cls(reference(Path(f"/proc/self/fd/{fd}"), format_name), (fd,))

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that a child needs."""
        return (*self.fds, *self.own)


def reference(path: Path, format_name: str) -> str:
    """The safe name of a self-contained image of a known format; ``path`` is absolute. See :func:`pseudo_name`."""
    if not path.is_absolute():
        raise fail("image-invalid", f"{path.name!r} cannot be named to qemu-img")
    file = {"driver": "file", "filename": os.fspath(path)}
    return pseudo_name({"driver": format_name, "backing": None, "file": file})


def pseudo_name(node: Mapping[str, object]) -> str:
    """The ``json:`` name of a block node.

    Raises ``image-invalid`` where it has a string that JSON may not hold (see :func:`plain_path`).
    """
    text = json.dumps(node, separators=(",", ":"), ensure_ascii=False)
    if not _is_plain(text):
        raise fail("image-invalid", f"a file cannot be named to qemu-img: {text[:500]}")
    return "json:" + text


def plain_path(path: Path, links: Path, name: str) -> Path:
    """``path``, or a link to it named ``name`` in our directory ``links`` if its name is not plain text.

    qemu's JSON takes only valid UTF-8 without non-characters; file names are any bytes. The path of
    ``links`` itself must be plain text; job IDs, which are part of it, always are.
    """
    if _is_plain(os.fspath(path)):
        return path
    link = links / name
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link


def _is_plain(text: str) -> bool:
    """Whether qemu's JSON can hold it: what is printable is neither half a surrogate pair nor a non-character."""
    return text.isascii() or text.isprintable()


def version() -> str:
    """The version, such as ``7.2.22``."""
    words = run([PROGRAM, "--version"], timeout=_LOOK_SECONDS).stdout.decode(errors="replace").split()
    return words[2] if len(words) > 2 else "unknown"


def zstd_works(directory: Path) -> bool:
    """Whether this qemu-img can compress qcow2 by zstd: an option of its build. ``directory`` is for a trial."""
    trial = directory / "zstd-trial.qcow2"
    argv = [PROGRAM, "create", "-q", "-f", "qcow2", "-o", "compression_type=zstd", str(trial), "64K"]
    done = run(argv, timeout=_LOOK_SECONDS)
    trial.unlink(missing_ok=True)
    return done.returncode == 0


def make_empty(path: Path, size: int) -> None:
    """A new qcow2 image of ``size`` bytes that holds nothing. Raises ``tool-failed`` and ``tool-missing``."""
    done = run([PROGRAM, "create", "-q", "-f", "qcow2", str(path), str(size)], timeout=_LOOK_SECONDS)
    if done.returncode:
        raise fail("tool-failed", f"qemu-img create failed: {_reason(done)}", detail=done.stderr)


def make_overlay(path: Path, below: str, format_name: str, size: int) -> None:
    """A new qcow2 image of ``size`` bytes, a difference to the image of that ``json:`` name, which is not opened.

    Raises ``image-limits`` for a name longer than qcow2 can hold, ``tool-failed``, ``tool-missing``.
    """
    if len(below.encode(errors="surrogateescape")) > _BACKING_NAME:
        raise fail("image-limits", f"the source needs {len(below)} characters to be named in an overlay")
    argv = [PROGRAM, "create", "-q", "-u", "-f", "qcow2", "-b", below, "-F", format_name, str(path), str(size)]
    done = run(argv, timeout=_LOOK_SECONDS)
    if done.returncode:
        raise fail("tool-failed", f"qemu-img create failed: {_reason(done)}", detail=done.stderr)


def copy_head(source: Source, size: int, target: int) -> None:
    """Write the first ``size`` bytes that a guest sees to ``target``, an open file of ours in memory.

    Raises ``tool-failed``.
    """
    argv = [PROGRAM, "dd", "-U", "-O", "raw", f"bs={size}", "count=1", f"if={source.reference}"]
    done = run(
        [*argv, f"of=/proc/self/fd/{target}"],
        timeout=_LOOK_SECONDS,
        limits=_LOOK,
        env=_FEW_ADDRESSES,
        pass_fds=(*source.descriptors, target),
        confinement=_confined(source),
    )
    if done.returncode:
        raise fail("tool-failed", f"qemu-img dd failed: {_reason(done)}", detail=done.stderr)


def info(source: Source) -> ImageInfo:
    """Look at an image, also one that is being written to. Raises ``image-invalid`` if qemu cannot open it."""
    done = run(
        [PROGRAM, "info", "--output=json", "-U", source.reference],
        timeout=_LOOK_SECONDS,
        limits=_LOOK,
        env=_FEW_ADDRESSES,
        pass_fds=source.descriptors,
        confinement=_confined(source),
    )
    if done.returncode:
        raise fail("image-invalid", f"qemu-img cannot open the image: {_reason(done)}", detail=done.stderr)
    found = _json(done)
    specific = _mapping(_mapping(found.get("format-specific")).get("data"))
    others = [found.get("backing-filename"), found.get("full-backing-filename"), specific.get("data-file")]
    extents = specific.get("extents")
    if isinstance(extents, list) and len(extents) > 1:
        others += [str(_mapping(extent).get("filename")) for extent in extents]
    return ImageInfo(
        format=str(found.get("format", "")),
        virtual_size=_number(found, "virtual-size"),
        variant=str(specific.get("create-type", "")),
        names_others=tuple(str(other) for other in others if other),
    )


def measure(source: Source, format_name: str) -> int:
    """The most bytes that the image can need on disk in another format, holes left out.

    qemu-img measures only qcow2 with holes left out, so the others are worked out from that: the data is
    the same, in blocks as large as theirs; VMDK has two copies of a table of 4 bytes for each 64 KiB.
    """
    cluster = _VDI_BLOCK if format_name == "vdi" else _CLUSTER
    argv = [PROGRAM, "measure", "--output=json", "-U", "-O", "qcow2", "-o", f"cluster_size={cluster}", source.reference]
    done = run(
        argv,
        timeout=_CHECK_SECONDS,
        limits=_MEASURE,
        env=_FEW_ADDRESSES,
        pass_fds=source.descriptors,
        confinement=_confined(source),
    )
    if done.returncode:
        raise fail("tool-failed", f"qemu-img measure failed: {_reason(done)}", detail=done.stderr)
    found = _json(done)
    tables = _number(found, "fully-allocated") // _CLUSTER * 8 if format_name == "vmdk" else 0
    return _number(found, "required") + tables


def convert(
    source: Source,
    conversion: Conversion,
    target: int,
    *,
    timeout: float,
    on_percent: Callable[[float], None] | None = None,
    watch: Callable[[], None] | None = None,
) -> None:
    """Write the image to the open descriptor ``target`` (read and write), which must be empty.

    ``on_percent`` gets 0.0 to 100.0. Raises ``no-space``, ``tool-failed``, ``tool-timeout``, ``tool-missing``.
    """

    def read_line(line: str) -> None:
        found = _PERCENT.search(line)
        if found and on_percent is not None:
            on_percent(float(found[1]))

    argv = [PROGRAM, "convert", "-p", "-W", "-m", _COROUTINES, "-O", conversion.format]
    argv += ["-t", "none" if conversion.direct else "writeback"]
    argv += ["-c"] if conversion.compress else []
    argv += ["-o", ",".join(conversion.options)] if conversion.options else []
    argv += [source.reference, f"/proc/self/fd/{target}"]
    done = run(
        argv,
        timeout=timeout,
        on_line=read_line,
        watch=watch,
        pass_fds=(*source.descriptors, target),
        confinement=_confined(source, target=target),
    )
    if done.returncode:
        raise _failed_write(done)


def check(source: Source) -> CheckResult:
    """Check the image's own structure. Raises ``tool-failed`` when the check itself cannot be made."""
    argv = [PROGRAM, "check", "--output=json", "-U", source.reference]
    done = run(argv, timeout=_CHECK_SECONDS, pass_fds=source.descriptors, confinement=_confined(source))
    if done.returncode == 63:  # documented: the format has no check
        return CheckResult(supported=False)
    if done.returncode not in (0, 2, 3):
        raise fail("tool-failed", f"qemu-img check failed: {_reason(done)}", detail=done.stderr)
    found = _json(done)
    errors = sum(_number(found, key) for key in ("corruptions", "check-errors") if key in found)
    leaks = _number(found, "leaks") if "leaks" in found else 0
    if done.returncode == 2:
        errors = max(errors, 1)
    return CheckResult(True, errors, leaks, done.stderr)


def compare(first: Source, second: Source, *, timeout: float, on_percent: Callable[[float], None] | None = None) -> str:
    """Empty when both hold the same content, else where they first differ. Raises ``tool-failed``."""

    def read_line(line: str) -> None:
        found = _PERCENT.search(line)
        if found and on_percent is not None:
            on_percent(float(found[1]))

    done = run(
        [PROGRAM, "compare", "-p", "-U", first.reference, second.reference],
        timeout=timeout,
        on_line=read_line,
        pass_fds=(*first.descriptors, *second.descriptors),
        confinement=_confined(first, second),
    )
    if done.returncode == 0:
        return ""
    if done.returncode == 1:
        lines = re.split(r"[\r\n]+", done.stdout.decode(errors="replace").strip())
        return lines[-1].strip()
    raise fail("tool-failed", f"qemu-img compare failed: {_reason(done)}", detail=done.stderr)


def _confined(*sources: Source, target: int | None = None) -> Confinement | None:
    """Nothing but these files; ``None`` when a source is only named, for then its file is not known."""
    if not all(source.fds for source in sources):
        return None
    return Confinement(tuple(fd for source in sources for fd in source.fds), () if target is None else (target,))


def _failed_write(done: Finished) -> ProblemError:
    reason = _reason(done)
    if "Failed to get" in done.stderr and "lock" in done.stderr:
        return fail("source-busy", f"another process uses the source: {reason}")
    if "No space left on device" in done.stderr or "Disk quota exceeded" in done.stderr:
        return fail("no-space", f"the file system became full while the image was written: {reason}")
    return ProblemError(Problem("tool-failed", f"qemu-img convert failed: {reason}", done.stderr))


def _reason(done: Finished) -> str:
    if done.returncode < 0:
        return describe_signal(-done.returncode)
    lines = done.stderr.splitlines()
    return lines[-1].removeprefix("qemu-img: ")[:500] if lines else f"exit status {done.returncode}"


def _json(done: Finished) -> Mapping[str, object]:
    try:
        return _mapping(json.loads(done.stdout))
    except ValueError as error:
        raise fail("tool-failed", f"qemu-img {done.argv[1]} did not answer in JSON", detail=done.stderr) from error


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _number(values: Mapping[str, object], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int):
        raise fail("tool-failed", f"qemu-img did not say {key}")
    return value
