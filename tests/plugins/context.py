"""A step context in memory, and the three stages of a guest run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypersdkd_plugins import convert_qemu_img, load_disk, validate_image

from hypersdkd.model.disk import OutputDisk, SourceDisk
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.spec.ports import LentDisks
from hypersdkd.spec.system import GuestSystem


@dataclass
class MemoryContext:
    """Keeps what a step says."""

    guest: Guest
    work: Path
    source_roots: Sequence[Path]
    disks: list[SourceDisk] = field(default_factory=list)
    outputs: list[OutputDisk] = field(default_factory=list)
    moves: list[tuple[int, int]] = field(default_factory=list)
    told: list[tuple[str, object]] = field(default_factory=list)
    guest_system: GuestSystem | Problem | None = None
    checks: list[tuple[str, bool, str]] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    attached: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    lent: LentDisks | None = None

    @property
    def findings(self) -> Mapping[str, object]:
        return dict(self.told)

    @property
    def system(self) -> GuestSystem:
        if isinstance(self.guest_system, Problem):
            raise ProblemError(self.guest_system)
        assert self.guest_system is not None, "nobody asked for this guest's system"
        return self.guest_system

    def change_disks(self, program: Callable[[LentDisks], None]) -> None:
        assert self.lent is not None, "nobody lends this guest's disks"
        program(self.lent)

    def add_output(self, output: OutputDisk) -> None:
        self.outputs.append(output)

    def temporary_for(self, index: int) -> Path:
        final = Path(self.guest.outputs[index])
        return final.with_name(f".{final.name}.part")

    def progress(self, done: int, total: int) -> None:
        self.moves.append((done, total))

    def meanwhile(self, work: Callable[[], Callable[[], None]]) -> None:
        work()()

    def finding(self, key: str, value: object) -> None:
        self.told.append((key, value))

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        self.checks.append((name, passed, detail))

    def warn(self, problem: Problem) -> None:
        self.warnings.append(problem)

    def attach(self, kind: str, name: str, content: bytes) -> None:
        self.attached[name] = (kind, content)

    def add_document(self, suffix: str, content: bytes) -> Path:
        if suffix in self.documents:
            raise fail("output-exists", "it exists")
        self.documents[suffix] = content
        return Path(self.guest.outputs[0]).with_suffix(suffix)

    def tool(self, name: str, version: str) -> None:
        self.tools[name] = version

    def log(self, line: str) -> None:
        self.lines.append(line)

    def load(self) -> None:
        """LOAD, for each disk."""
        for source in self.guest.disks:
            self.disks.append(load_disk.load(self, source))

    def run(self) -> None:
        """LOAD, CONVERT and VALIDATE."""
        self.load()
        convert_qemu_img.convert_disks(self)
        validate_image.validate_outputs(self)

    def left_beside(self, index: int = 0) -> list[str]:
        """The names in an output's directory."""
        parent = Path(self.guest.outputs[index]).parent
        return sorted(entry.name for entry in parent.iterdir()) if parent.exists() else []


def context_for(tmp_path: Path, source: Path | str, source_type: str, **wishes: object) -> MemoryContext:
    """A context for one disk below ``tmp_path``; ``wishes`` are fields of the guest or of the disk source."""
    disk = {key: wishes.pop(key) for key in ("size", "checksum", "trusted") if key in wishes}
    output_format = str(wishes.get("output_format", "qcow2"))
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    guest = Guest(
        name="web01",
        disks=(DiskSource(source_type, str(source), **disk),),  # type: ignore[arg-type]
        outputs=(str(tmp_path / "output" / f"web01.{output_format}"),),
        output_root=str(tmp_path / "output"),
        **wishes,  # type: ignore[arg-type]
    )
    return MemoryContext(guest, work, [tmp_path])
