"""Every call of qemu-img in whole conversions says what it reads and by which driver: nothing is left to a guess."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests import images, vmdks
from tests.system.daemon_process import DaemonProcess
from tests.system.jobs import batch, outcome, pipeline

pytestmark = pytest.mark.system

#: Writes each call's words to its standard error's file beside the output, where a worker may write.
_SCRIPT = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word" >> {calls}/$$; done
exec {real} "$@"
"""

#: Options of qemu-img that take a value.
_VALUED = {"-O", "-o", "-m", "-t", "-T", "-f", "-F", "--output"}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Sequence[str]]:
    """The words of every call while sources of each kind are converted and compared."""
    root = tmp_path_factory.mktemp("calls")
    tools, recorded, sources = root / "tools", root / "base" / "output", root / "sources"
    for directory in (tools, recorded, sources):
        directory.mkdir(parents=True)
    (tools / "qemu-img").write_text(_SCRIPT.format(calls=recorded, real=shutil.which("qemu-img")))
    (tools / "qemu-img").chmod(0o755)
    (sources / "json:{}.raw").write_bytes(vmdks.content())
    stages = {"named": pipeline(sources / "json:{}.raw")}
    for form in ("qcow2", "vdi", "vhdx"):
        stages[form] = pipeline(images.make(sources / f"disk.{form}", size=1 << 20), form)
    vhd = images.make(sources / "disk.vhd", size=1 << 20, form="vpc")
    stages["vhd"] = pipeline(vhd, "vhd")
    (sources / "vmdk").mkdir()
    stages["flat"] = pipeline(vmdks.made_by_qemu(sources / "vmdk", "monolithicFlat"), "vmdk")
    top = sources / "top.qcow2"
    images.qemu_img("create", "-q", "-f", "qcow2", "-b", sources / "disk.qcow2", "-F", "qcow2", top)
    stages["overlay"] = pipeline(top, "qcow2")
    for number, form in enumerate(("qcow2", "raw", "vdi", "vmdk", "qcow2", "vmdk", "qcow2")):
        wish = list(stages.values())[number]
        wish["convert"].update(output_format=form, compress=form in {"qcow2", "vmdk"})
        wish["validate"] = {"enabled": True, "compare": True}
    path = {"PATH": f"{tools}:{os.environ['PATH']}"}
    with DaemonProcess(root, environment=path) as daemon:
        assert outcome_of(daemon, batch(**stages)) == "processed"
        assert daemon.stop() == 0
    return [file.read_text().splitlines() for file in recorded.iterdir() if file.name.isdigit()]


def outcome_of(daemon: DaemonProcess, content: bytes) -> str:
    daemon.drop("all.json", content)
    return outcome(daemon, "all.json").kind


def operands(words: Sequence[str]) -> Iterator[str]:
    rest = iter(words[1:])
    for word in rest:
        if word in _VALUED:
            next(rest)
        elif not word.startswith("-"):
            yield word


def nodes(node: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    yield node
    for child in node.values():
        if isinstance(child, dict):
            yield from nodes(child)


def test_each_command_was_used(calls: Sequence[Sequence[str]]) -> None:
    assert {words[0] for words in calls} >= {"info", "measure", "convert", "check", "compare"}
    assert sum(words[0] == "convert" for words in calls) == 7


def test_each_source_is_named_with_all_its_drivers(calls: Sequence[Sequence[str]]) -> None:
    looked_at = 0
    for words in calls:
        named = list(operands(words)) if words[0] not in {"--version", "create"} else []
        if words[0] == "convert":
            assert named.pop().startswith("/proc/self/fd/"), words
            assert "-O" in words
        for operand in named:
            assert operand.startswith("json:"), words
            for node in nodes(json.loads(operand.removeprefix("json:"))):
                assert node["driver"], words
                assert node["driver"] == "file" or isinstance(node["file"], dict), words
                assert node["driver"] in {"file", "raw"} or "backing" in node, words
                assert str(node.get("filename", "/proc/self/fd/")).startswith("/proc/self/fd/"), words
            looked_at += 1
    assert looked_at > 30


def test_what_is_made_has_its_format(calls: Sequence[Sequence[str]]) -> None:
    for words in calls:
        if words[0] == "create":
            assert words[words.index("-f") + 1] == "qcow2", words


def test_no_name_of_a_user_is_in_any_call(
    calls: Sequence[Sequence[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = Path(tmp_path_factory.getbasetemp())
    for words in calls:
        if words[0] != "create":  # in its own directory
            assert not any(str(root) in word for word in words), words
