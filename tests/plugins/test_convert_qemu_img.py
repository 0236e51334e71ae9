"""CONVERT writes what is asked for, over nothing, and leaves nothing when it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypersdkd_plugins import convert_qemu_img, validate_image

from hypersdkd.host import space
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.stage import Stage
from tests import images
from tests.host.test_process import gone
from tests.plugins.context import MemoryContext, context_for
from tests.plugins.fake_tool import fake_qemu_img
from tests.privileges import unprivileged
from tests.problems import raises_problem


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return images.make(tmp_path / "disk.vmdk", "subformat=streamOptimized")


def ready(tmp_path: Path, source: Path, **wishes: object) -> MemoryContext:
    """A context after LOAD."""
    context = context_for(tmp_path, source, "vmdk", **wishes)
    context.load()
    return context


def same(output: Path, form: str, source: Path) -> bool:
    words = ["qemu-img", "compare", "-f", form, output, "-F", "raw", source.with_name(source.name + ".origin")]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_the_step_is_declared() -> None:
    (step,) = convert_qemu_img.hypersdkd_steps()
    assert (step.name, step.stage) == ("convert-qemu-img", Stage.CONVERT)


@pytest.mark.parametrize("form", ["qcow2", "raw", "vdi", "vmdk"])
def test_each_format(tmp_path: Path, source: Path, form: str) -> None:
    context = ready(tmp_path, source, output_format=form)
    convert_qemu_img.convert_disks(context)
    (output,) = context.outputs
    assert (output.path, output.format) == (tmp_path / "output" / f"web01.{form}", form)
    assert output.virtual_size == 16 * images.MIB
    assert same(output.temporary, form, source)
    assert context.left_beside() == [output.temporary.name]
    assert output.temporary.stat().st_mode & 0o777 == 0o640
    assert output.temporary.stat().st_blocks * 512 < 4 * images.MIB  # it is sparse
    assert context.tools["qemu-img"][0].isdigit()


def test_progress_is_in_bytes_of_the_virtual_disk(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    convert_qemu_img.convert_disks(context)
    assert context.moves == sorted(context.moves)
    assert context.moves[-1] == (16 * images.MIB, 16 * images.MIB)


def test_several_disks_go_on_one_scale(tmp_path: Path, source: Path) -> None:
    second = images.make(tmp_path / "second.qcow2", size=8 * images.MIB)
    context = context_for(tmp_path, source, "vmdk")
    outputs = tuple(str(tmp_path / "output" / f"web01-disk{number}.qcow2") for number in (1, 2))
    disks = (*context.guest.disks, DiskSource("qcow2", str(second)))
    context.guest = replace(context.guest, disks=disks, outputs=outputs)
    context.load()
    convert_qemu_img.convert_disks(context)
    assert [output.virtual_size for output in context.outputs] == [16 * images.MIB, 8 * images.MIB]
    assert context.moves == sorted(context.moves)
    assert context.moves[-1] == (24 * images.MIB, 24 * images.MIB)
    assert same(context.outputs[1].temporary, "qcow2", second)


@pytest.mark.parametrize(("form", "mark"), [("qcow2", '"compression-type": "zstd"'), ("vmdk", "streamOptimized")])
def test_compressed(tmp_path: Path, source: Path, form: str, mark: str) -> None:
    context = ready(tmp_path, source, output_format=form, compress=True)
    convert_qemu_img.convert_disks(context)
    output = context.outputs[0].temporary
    assert mark in images.qemu_img("info", "--output=json", "-f", form, output).stdout
    assert same(output, form, source)
    assert context.warnings == []


def test_compressed_without_zstd(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu_img(tmp_path, monkeypatch, "exit 1", command="create")
    context = ready(tmp_path, source, compress=True)
    convert_qemu_img.convert_disks(context)
    output = context.outputs[0].temporary
    assert '"compression-type": "zlib"' in images.qemu_img("info", "--output=json", output).stdout


@pytest.mark.parametrize("form", ["raw", "vdi"])
def test_formats_that_cannot_be_compressed_say_so(tmp_path: Path, source: Path, form: str) -> None:
    context = ready(tmp_path, source, output_format=form, compress=True)
    convert_qemu_img.convert_disks(context)
    assert [warning.code for warning in context.warnings] == ["manifest-unsupported"]
    assert same(context.outputs[0].temporary, form, source)


def test_a_vmdk_names_its_final_file(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source, output_format="vmdk")
    convert_qemu_img.convert_disks(context)
    assert b'SPARSE "web01.vmdk"' in context.outputs[0].temporary.read_bytes()[:20000]


@pytest.mark.parametrize("name", [b"a,b.qcow2", b"new\nline.qcow2", b"-dash", b"nbd:x", b"\xff.qcow2", b"json:{}"])
def test_output_names_are_only_names(tmp_path: Path, source: Path, name: bytes) -> None:
    context = ready(tmp_path, source)
    path = os.fsdecode(os.fsencode(tmp_path) + b"/output/" + name)
    context.guest = replace(context.guest, outputs=(path,))
    convert_qemu_img.convert_disks(context)
    assert context.outputs[0].path == Path(path)
    assert len(context.left_beside()) == 1


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_an_output_that_exists_is_left_alone(tmp_path: Path, source: Path, kind: str) -> None:
    context = ready(tmp_path, source)
    final = Path(context.guest.outputs[0])
    final.parent.mkdir()
    if kind == "file":
        final.write_text("precious")
    elif kind == "link":
        final.symlink_to("nowhere")
    else:
        final.mkdir()
    with raises_problem("output-exists"):
        convert_qemu_img.convert_disks(context)
    assert context.left_beside() == ["web01.qcow2"]


def test_a_planted_link_at_the_temporary_name(tmp_path: Path, source: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    context = ready(tmp_path, source)
    temporary = context.temporary_for(0)
    temporary.parent.mkdir()
    temporary.symlink_to(victim)
    convert_qemu_img.convert_disks(context)
    assert victim.read_text() == "precious"
    assert not temporary.is_symlink()


def test_a_leftover_of_an_earlier_attempt_is_replaced(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    temporary = context.temporary_for(0)
    temporary.parent.mkdir()
    temporary.write_bytes(b"half" * 10_000_000)
    convert_qemu_img.convert_disks(context)
    assert same(temporary, "qcow2", source)


def test_a_directory_that_cannot_be_made(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    (tmp_path / "output").write_text("a file")
    with raises_problem("output-unwritable"):
        convert_qemu_img.convert_disks(context)


def test_a_directory_that_cannot_be_written(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    (tmp_path / "output").mkdir(mode=0o555)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        if directory.stat().st_mode & 0o055 != 0o055:
            directory.chmod(directory.stat().st_mode | 0o055)
    with unprivileged(), raises_problem("output-unwritable"):
        convert_qemu_img.convert_disks(context)
    assert context.left_beside() == []


def test_something_in_the_way_of_the_temporary_name(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    (context.temporary_for(0) / "inner").mkdir(parents=True)
    with raises_problem("output-unwritable"):
        convert_qemu_img.convert_disks(context)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 4 MiB as the output's directory."""
    mount = tmp_path / "output"
    mount.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(mount)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    monkeypatch.setattr(space, "LEAD", images.MIB)
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_no_space_is_found_before_anything_is_written(small: Path, tmp_path: Path, source: Path) -> None:
    (small / "other").write_bytes(bytes(3 * images.MIB))
    context = ready(tmp_path, source)
    with raises_problem("no-space", "bytes free, but up to"):
        convert_qemu_img.convert_disks(context)
    assert context.left_beside() == ["other"]


def test_space_that_is_just_enough(small: Path, tmp_path: Path, source: Path) -> None:
    (small / "other").write_bytes(bytes(images.MIB))
    context = ready(tmp_path, source)
    convert_qemu_img.convert_disks(context)
    assert same(context.outputs[0].temporary, "qcow2", source)


def test_space_that_another_takes_meanwhile(
    small: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_fallocate", lambda fd, length: 95)  # it cannot be held here
    script = f'head -c 9999999 /dev/zero > {small}/other 2>/dev/null; exec $REAL "$@"'
    fake_qemu_img(tmp_path, monkeypatch, script, command="convert")
    context = ready(tmp_path, source)
    with raises_problem("no-space", "became full") as caught:
        convert_qemu_img.convert_disks(context)
    assert "Free" in caught[0].remedy
    assert context.left_beside() == ["other"]


def test_a_source_that_is_changed_meanwhile(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu_img(tmp_path, monkeypatch, f'$REAL "$@"; echo more >> {source}', command="convert")
    context = ready(tmp_path, source)
    with raises_problem("source-changed"):
        convert_qemu_img.convert_disks(context)
    assert context.left_beside() == []


def test_a_source_that_was_changed_since_it_was_loaded(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    context.disks[0].release()  # or the writer had to wait
    source.write_bytes(source.read_bytes())
    with raises_problem("source-changed"):
        convert_qemu_img.convert_disks(context)
    assert context.left_beside() == []


def test_nothing_is_left_of_the_disks_before_the_one_that_fails(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    other = replace(context.disks[0].files[0], fingerprint=(0,))
    context.disks.append(replace(context.disks[0], files=(other,)))
    context.guest = replace(context.guest, outputs=(*context.guest.outputs, str(tmp_path / "output" / "second")))
    with raises_problem("source-changed"):
        convert_qemu_img.convert_disks(context)
    assert (context.left_beside(), context.outputs) == ([], [])


def test_a_source_that_vanishes(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    source.unlink()
    with raises_problem("source-changed"):
        convert_qemu_img.convert_disks(context)


def test_a_tool_that_fails(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu_img(tmp_path, monkeypatch, "echo half >&2; exit 1", command="convert")
    context = ready(tmp_path, source)
    with raises_problem("tool-failed", "half"):
        convert_qemu_img.convert_disks(context)
    assert context.left_beside() == []


@pytest.mark.parametrize("limit", ["LEAST_SECONDS", "STALL_SECONDS"])
def test_a_tool_that_hangs(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    fake_qemu_img(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 1000", command="convert")
    context = ready(tmp_path, source)
    monkeypatch.setattr(convert_qemu_img, limit, 0.3)
    monkeypatch.setattr(convert_qemu_img, "SECONDS_PER_GIB", 0.0)
    with raises_problem("tool-timeout"):
        convert_qemu_img.convert_disks(context)
    assert gone(int((tmp_path / "pid").read_text()))
    assert context.left_beside() == []


def test_a_directory_that_became_a_link_after_the_plan(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    victim = tmp_path / "victim"
    victim.mkdir()
    inner = tmp_path / "output" / "sub" / "web01.qcow2"
    inner.parent.parent.mkdir()
    inner.parent.symlink_to(victim)
    context.guest = replace(context.guest, outputs=(str(inner),))
    with raises_problem("output-outside"):
        convert_qemu_img.convert_disks(context)
    assert os.listdir(victim) == []


def test_a_directory_that_is_swapped_while_it_is_written_to(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, output = tmp_path / "victim", tmp_path / "output"
    victim.mkdir()
    script = f'mv {output}/sub {tmp_path}/moved; ln -s {victim} {output}/sub; exec $REAL "$@"'
    fake_qemu_img(tmp_path, monkeypatch, script, command="convert")
    context = ready(tmp_path, source)
    context.guest = replace(context.guest, outputs=(str(output / "sub" / "web01.qcow2"),))
    convert_qemu_img.convert_disks(context)
    with raises_problem("output-outside"):
        validate_image.validate_outputs(context)
    assert os.listdir(victim) == []


def test_a_tool_that_is_not_confined_is_told(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu_img(tmp_path, monkeypatch, 'exec $REAL "$@"')
    context = ready(tmp_path, source)
    convert_qemu_img.convert_disks(context)
    assert [warning.code for warning in context.warnings] == ["tool-unconfined"]


def test_who_opens_the_source_for_writing_between_the_stages(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    with pytest.raises(BlockingIOError):
        os.open(source, os.O_RDWR | os.O_NONBLOCK)
    with raises_problem("source-changed"):
        convert_qemu_img.convert_disks(context)
    assert context.left_beside() == []


def test_who_waits_to_write_to_the_source_ends_the_conversion(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_qemu_img(tmp_path, monkeypatch, f"echo more >> {source}", command="convert")
    context = ready(tmp_path, source)
    before = source.read_bytes()
    with raises_problem("source-changed"):
        convert_qemu_img.convert_disks(context)
    assert source.read_bytes() == before


def test_the_source_may_be_written_to_once_it_is_converted(tmp_path: Path, source: Path) -> None:
    context = ready(tmp_path, source)
    convert_qemu_img.convert_disks(context)
    os.close(os.open(source, os.O_RDWR | os.O_NONBLOCK))
