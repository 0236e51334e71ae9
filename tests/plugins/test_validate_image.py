"""VALIDATE lets no output through that is empty, damaged, foreign or of another size."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypersdkd_plugins import convert_qemu_img, validate_image

from hypersdkd.model.stage import Stage
from tests import images
from tests.plugins.context import MemoryContext, context_for
from tests.plugins.fake_tool import fake_qemu_img
from tests.problems import raises_problem

LEAST = ["output-not-empty", "output-readable", "virtual-size"]


def converted(tmp_path: Path, form: str = "qcow2", **wishes: object) -> tuple[MemoryContext, Path]:
    """A context after CONVERT, and the output as it is named then."""
    source = images.make(tmp_path / "disk.vmdk", size=int(wishes.pop("disk_size", 16 * images.MIB)))  # type: ignore[call-overload]
    context = context_for(tmp_path, source, "vmdk", output_format=form, **wishes)
    context.load()
    convert_qemu_img.convert_disks(context)
    return context, context.outputs[0].temporary


def names(context: MemoryContext) -> list[str]:
    return [name for name, passed, _ in context.checks if passed]


def test_the_step_is_declared() -> None:
    (step,) = validate_image.hypersdkd_steps()
    assert (step.name, step.stage, step.order) == ("validate-image", Stage.VALIDATE, 10)


@pytest.mark.parametrize("size", [16 * images.MIB, 16 * images.MIB + 512, 16 * images.MIB + 100 * 512])
@pytest.mark.parametrize(("form", "structure"), [("qcow2", True), ("vdi", True), ("vmdk", True), ("raw", False)])
def test_good(tmp_path: Path, form: str, structure: bool, size: int) -> None:
    context, _ = converted(tmp_path, form, disk_size=size, compare=True)
    validate_image.validate_outputs(context)
    assert names(context) == LEAST + ["structure"] * structure + ["same-content"]
    assert context.checks[2][2] == f"web01.{form}: {size} bytes, source {size}"
    assert context.moves[-1] == (size, size)
    assert context.warnings == []


@pytest.mark.parametrize(("validate", "expected"), [({"enabled": False}, LEAST), ({}, [*LEAST, "structure"])])
def test_what_is_never_left_out(tmp_path: Path, validate: dict[str, object], expected: list[str]) -> None:
    context, _ = converted(tmp_path, validate=validate, compare=not validate)
    validate_image.validate_outputs(context)
    assert [name for name in names(context) if name != "same-content"] == expected


def test_checksums_on_request(tmp_path: Path) -> None:
    context, output = converted(tmp_path, checksums=True)
    validate_image.validate_outputs(context)
    digest = "sha256:" + hashlib.sha256(output.read_bytes()).hexdigest()
    assert context.told[-1] == (
        "output-checksum",
        {"path": context.guest.outputs[0], "checksum": digest},
    )


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_an_empty_output(tmp_path: Path, enabled: bool, form: str) -> None:
    context, output = converted(tmp_path, form, validate={"enabled": enabled})
    images.cut(output, 0)
    with raises_problem("output-invalid", "0 bytes"):
        validate_image.validate_outputs(context)
    assert context.checks == [("output-not-empty", False, f"web01.{form}: 0 bytes")]


@pytest.mark.parametrize("form", ["qcow2", "raw", "vdi", "vmdk"])
def test_half_an_output(tmp_path: Path, form: str) -> None:
    context, output = converted(tmp_path, form, validate={"enabled": False})
    images.cut(output, output.stat().st_size // 2)
    with raises_problem("output-invalid"):
        validate_image.validate_outputs(context)
    assert context.checks[-1][1] is False


def test_an_output_of_another_format(tmp_path: Path) -> None:
    context, output = converted(tmp_path)
    images.make(output, form="vdi")
    with raises_problem("output-invalid", "vdi"):
        validate_image.validate_outputs(context)


def test_an_output_of_another_size(tmp_path: Path) -> None:
    context, output = converted(tmp_path)
    images.make(output, form="qcow2", size=17 * images.MIB)
    with raises_problem("output-invalid", "virtual-size"):
        validate_image.validate_outputs(context)


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    context, output = converted(tmp_path)
    output.unlink()
    with raises_problem("output-invalid", "cannot be read back"):
        validate_image.validate_outputs(context)
    context.outputs.clear()
    with raises_problem("output-invalid", "1 disks were read, but 0 written"):
        validate_image.validate_outputs(context)


def test_an_output_that_names_another_file(tmp_path: Path) -> None:
    context, output = converted(tmp_path)
    output.unlink()
    images.qemu_img("create", "-f", "qcow2", "-b", tmp_path / "disk.vmdk", "-F", "vmdk", output)
    with raises_problem("output-invalid"):
        validate_image.validate_outputs(context)


def test_errors_in_the_structure(tmp_path: Path) -> None:
    context, output = converted(tmp_path)
    images.patch(output, 0x20000 + 2 * 5, b"\0\0")
    with raises_problem("output-invalid", "structure"):
        validate_image.validate_outputs(context)


def test_leaks_alone_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, _ = converted(tmp_path)
    fake_qemu_img(tmp_path, monkeypatch, """echo '{"check-errors": 0, "leaks": 3}'; exit 3""", command="check")
    validate_image.validate_outputs(context)
    assert [warning.code for warning in context.warnings] == ["image-unclean"]
    assert names(context) == [*LEAST, "structure"]


def test_other_content(tmp_path: Path) -> None:
    context, output = converted(tmp_path, "raw", compare=True)
    images.patch(output, 5 * images.MIB, b"not what it was")
    with raises_problem("output-invalid", "same-content.*offset 5242880"):
        validate_image.validate_outputs(context)


def test_other_content_is_not_looked_for_unasked(tmp_path: Path) -> None:
    context, output = converted(tmp_path, "raw")
    images.patch(output, 5 * images.MIB, b"not what it was")
    validate_image.validate_outputs(context)
    assert "same-content" not in names(context)


def test_a_tool_that_is_missing_is_not_the_outputs_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, _ = converted(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with raises_problem("tool-missing"):
        validate_image.validate_outputs(context)


def test_disks_are_taken_in_order(tmp_path: Path) -> None:
    context, _ = converted(tmp_path)
    context.outputs[0] = replace(context.outputs[0], format="raw")
    with raises_problem("output-invalid"):
        validate_image.validate_outputs(context)
