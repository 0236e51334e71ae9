"""virt-v2v as it is called and heard: a program of the test's own tells what it was given and fails as it may."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from hypersdkd.host import virt_v2v
from hypersdkd.host.virt_v2v import Work, change, require_windows, version
from hypersdkd.model.problem import fail
from tests.plugins.fake_tool import fake_tool
from tests.problems import raises_problem

SAYS = "\n".join(
    [
        "[   0.0] for people",
        json.dumps({"type": "message", "message": "Opening the source"}),
        json.dumps({"type": "message", "message": "Converting 12.15 to run on KVM"}),
        json.dumps({"type": "warning", "message": "no way to update \x1b[2J Grub2"}),
        json.dumps({"type": "info", "message": "Converting is no part here"}),
        '{"type": "message"}',
        "[]",
    ]
)


def work(tmp_path: Path, disks: int = 1, **more: object) -> Work:
    (tmp_path / "work").mkdir(exist_ok=True)
    overlays = [tmp_path / f"overlay'{number}\"&.qcow2" for number in range(disks)]
    return Work(overlays, "/dev/sda1", tmp_path / "work", {"LIBGUESTFS_PATH": "/appliance"}, **more)  # type: ignore[arg-type]


def heard(given: Work) -> tuple[list[str], list[int], list[str]]:
    percents: list[int] = []
    lines: list[str] = []
    return list(change(given, percents.append, lines.append, lambda: None)), percents, lines


def test_what_it_says_becomes_progress_and_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "says").write_text(SAYS)
    fake_tool(tmp_path, monkeypatch, virt_v2v.PROGRAM, f"cat {tmp_path}/says; echo; echo $LIBGUESTFS_PATH $TMPDIR >&2")
    warnings, percents, lines = heard(work(tmp_path))
    assert warnings == [r"no way to update \x1b[2J Grub2"]
    assert percents == [2, 16]
    assert len(lines) == 4 and lines[0] == "virt-v2v: Opening the source"


def test_it_is_told_each_disk_the_root_and_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        f'printf "%s\\n" "$@" >{tmp_path}/argv; for a; do case $a in /dev/sd*:file:*) cat "${{a##*:}}"; echo;; esac; '
    )
    fake_tool(tmp_path, monkeypatch, virt_v2v.PROGRAM, f"{script}done >{tmp_path}/keys; env >{tmp_path}/env")
    given = work(tmp_path, 28, encrypted=["/dev/sda2"], keys=["one", "two"])
    heard(given)
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv[:4] == ["--quiet", "--machine-readable=stream:stdout", "--root", "/dev/sda1"]
    assert (tmp_path / "keys").read_text().split() == ["one", "two"]
    assert "one" not in " ".join(argv) and "one" not in repr(given)
    assert argv[-3:-1] == ["-i", "libvirtxml"]
    disks = ElementTree.parse(argv[-1]).getroot().findall("./devices/disk")
    sources = [source.get("file") for disk in disks for source in disk.findall("source")]
    assert sources == [str(overlay) for overlay in given.overlays]
    assert {driver.get("type") for disk in disks for driver in disk.findall("driver")} == {"qcow2"}
    targets = [target.get("dev") for disk in disks for target in disk.findall("target")]
    assert (targets[0], targets[25:]) == ("sda", ["sdz", "sdaa", "sdab"])
    environment = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert environment["VIRT_V2V_TMPDIR"] == str(tmp_path / "work")
    assert environment["LIBGUESTFS_PATH"] == "/appliance"
    assert len(environment["TMPDIR"]) < 77  # its sockets' names have to fit


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            """echo '{"type": "error", "message": "inspection could not detect"}'; exit 1""",
            "inspection could not detect",
        ),
        ("echo first >&2; echo 'cannot be done' >&2; exit 2", "cannot be done"),
        ("exit 3", "it ended with 3"),
        ("kill -9 $$", "SIGKILL"),
    ],
)
def test_a_failure_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str) -> None:
    fake_tool(tmp_path, monkeypatch, virt_v2v.PROGRAM, script)
    with raises_problem("virt-v2v-failed", message):
        heard(work(tmp_path))


def test_it_is_ended_when_it_is_not_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tool(tmp_path, monkeypatch, virt_v2v.PROGRAM, 'mkdir "$TMPDIR/v2v.left"; sleep 600')

    def watch() -> None:
        if list((tmp_path / "work").glob("v2v.*")) or list(Path("/tmp").glob("hypersdkd-*/v2v.left")):
            raise fail("source-changed", "somebody writes")

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "work"))
    with raises_problem("source-changed"):
        change(work(tmp_path), lambda _percent: None, lambda _line: None, watch)
    assert list((tmp_path / "work").glob("v2v.*")) == []


def test_without_it_the_remedy_is_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(virt_v2v, "_HIDDEN", tmp_path / "none")
    with raises_problem("tool-missing", "virt-v2v-in-place") as raised:
        version()
    assert "apt install virt-v2v" in raised[0].remedy


def test_the_real_one_tells_its_version() -> None:
    assert version().split(".")[0].isdigit()


def test_a_windows_needs_drivers_and_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drivers, tools = tmp_path / "virtio-win.iso", tmp_path / "virt-tools"
    monkeypatch.setenv("VIRTIO_WIN", str(drivers))
    monkeypatch.setenv("VIRT_TOOLS_DATA_DIR", str(tools))
    with raises_problem("virtio-win-missing", "virtio-win.iso"):
        require_windows()
    drivers.touch()
    with raises_problem("virtio-win-missing", "rhsrvany.exe"):
        require_windows()
    tools.mkdir()
    (tools / "rhsrvany.exe").touch()
    require_windows()
