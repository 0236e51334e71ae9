"""What a manifest or a job config asks for, as a short table. Meant for valid ones; others show what they can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.text import counted, size
from hypersdkd.model.guest import OUTPUT_FORMATS, Guest
from hypersdkd.model.guest_wishes import fix_wanted

#: Guests of a batch that are listed; the rest are counted.
LISTED: Final = 50


#: The switches of FIX in a job config; ``fstab_mode`` is the fourth part.
_JOB_FIXES: Final = ("regen_initramfs", "fix_grub", "fix_network")


def show_summary(terminal: Terminal, document: Mapping[str, object]) -> None:
    """The manifest's summary, under its heading."""
    terminal.heading("Manifest Summary")
    guests, disks = document.get("vms"), document.get("disks")
    if document.get("batch") is True and isinstance(guests, list):
        _show_batch(terminal, guests)
    elif "manifest_version" in document and isinstance(disks, list):
        _show_artifacts(terminal, disks)
    else:
        _show_single(terminal, _inner(document, "pipeline"))


def show_job_config(terminal: Terminal, document: Mapping[str, object]) -> None:
    """A job config's summary, under its heading."""
    terminal.heading("Job Config Summary")
    jobs = document.get("jobs")
    if not isinstance(jobs, list):
        terminal.info("Type: Single disk")
        terminal.table(("Property", "Value"), _job_rows(document))
        return
    terminal.info(f"Type: Batch ({len(jobs)} disks)")
    for number, job in enumerate(jobs[:LISTED], start=1):
        rows = _job_rows(job if isinstance(job, dict) else {})
        terminal.say(f"  {number}. " + "; ".join(f"{key}: {value}" for key, value in rows))
    if len(jobs) > LISTED:
        terminal.say(f"  and {len(jobs) - LISTED} more")


def facts_in_words(facts: Mapping[str, object]) -> Iterator[str]:
    """What a generated manifest has as its ``metadata``, a line each: the disks, the hardware, the system."""
    disks = facts.get("disks")
    for number, disk in enumerate(disks if isinstance(disks, list) else (), start=1):
        if isinstance(disk, Mapping):
            length = disk.get("virtual_size")
            words = [str(disk[key]) for key in ("file", "format", "variant") if disk.get(key)]
            yield " ".join([f"Disk {number}:", *words, size(length) if isinstance(length, int) else ""]).rstrip()
    hardware, cards, system = _inner(facts, "hardware"), facts.get("nics"), _inner(facts, "system")
    memory = hardware.get("memory_bytes")
    words = [
        counted(hardware["cpus"], "CPU") if hardware.get("cpus") else "",
        f"{size(memory)} memory" if isinstance(memory, int) and memory else "",
        str(hardware.get("firmware") or ""),
        counted(len(cards), "network card") if isinstance(cards, list) and cards else "",
    ]
    if any(words):
        yield f"Hardware: {', '.join(filter(None, words))}"
    if system:
        yield f"System: {system.get('product') or system.get('os_type')}, {system.get('firmware')}"


def _job_rows(job: Mapping[str, object]) -> list[tuple[str, object]]:
    fixed = any(_wanted(job, key) for key in _JOB_FIXES) or job.get("fstab_mode") != "noop"
    return [
        ("Input", job.get("input", "")),
        ("Output Format", job.get("output_format") or OUTPUT_FORMATS[0]),
        ("Compression", _shown(job.get("compress") is True)),
        ("FIX", _shown(fixed)),
    ]


def _wanted(job: Mapping[str, object], key: str) -> bool:
    """Whether one of a job config's fixes is asked for: all are, unless turned off."""
    return job.get(key) is not False


def _show_single(terminal: Terminal, pipeline: Mapping[str, object]) -> None:
    terminal.info("Type: Single VM")
    load, convert = _inner(pipeline, "load"), _inner(pipeline, "convert")
    disks = load.get("disks")
    sources = disks if isinstance(disks, list) else [load]
    rows: list[tuple[str, object]] = []
    for source in sources:
        found = source if isinstance(source, dict) else {}
        rows.append(("Source Type", found.get("source_type", "")))
        rows.append(("Source Path", found.get("source_path", "")))
    fix = pipeline.get("fix")
    rows += [
        ("Output Format", convert.get("output_format", "")),
        ("Compression", _shown(convert.get("compress") is True)),
        ("INSPECT", _shown(_enabled(pipeline, "inspect"))),
        ("FIX", _shown(fix_wanted(Guest("", (), fix=fix if isinstance(fix, dict) else None)))),
        ("VALIDATE", _shown(_enabled(pipeline, "validate") or pipeline.get("validate") is None)),
    ]
    terminal.table(("Property", "Value"), rows)


def _show_batch(terminal: Terminal, guests: list[object]) -> None:
    terminal.info(f"Type: Batch ({len(guests)} VMs)")
    for number, guest in enumerate(guests[:LISTED], start=1):
        found = guest if isinstance(guest, dict) else {}
        pipeline = _inner(found, "pipeline")
        load, convert = _inner(pipeline, "load"), _inner(pipeline, "convert")
        terminal.say(f"  {number}. {found.get('name', '')}")
        terminal.say(f"     Source: {load.get('source_path', '')} ({load.get('source_type', '')})")
        terminal.say(f"     Output: {convert.get('output_format', '')}")
    if len(guests) > LISTED:
        terminal.say(f"  and {len(guests) - LISTED} more")


def _show_artifacts(terminal: Terminal, disks: list[object]) -> None:
    terminal.info(f"Type: Artifacts ({len(disks)} disks)")
    keys = ("id", "source_format", "bytes", "local_path")
    rows = [[disk.get(key, "") for key in keys] for disk in disks if isinstance(disk, dict)]
    terminal.table(("ID", "Format", "Bytes", "Path"), rows)


def _inner(values: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _enabled(values: Mapping[str, object], key: str) -> bool:
    """Whether a stage or a part of one is asked for: it is there, and not turned off."""
    part = values.get(key)
    return isinstance(part, dict) and part.get("enabled") is not False


def _shown(on: bool) -> str:
    return "true" if on else "false"
