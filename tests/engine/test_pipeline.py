"""A guest's stages, and that each of its outcomes ends in its journal with nothing left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.engine import publication
from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.guest_session import GuestSession
from hypersdkd.engine.journal import JournalWriter
from hypersdkd.engine.pipeline import Pipeline
from hypersdkd.engine.publication import published
from hypersdkd.model.disk import FileNode, ImageNode, OutputDisk, SourceDisk, SourceFile
from hypersdkd.model.file_change import FileChange
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.guest_facts import BlockDevice, GuestFacts
from hypersdkd.model.guest_wishes import inspect_wanted
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.report import GuestFold
from hypersdkd.model.stage import Stage
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.system import Fixer
from hypersdkd.spec.types import Loader, Step
from tests.engine.guests import FewPlugins, convert, folded, left, make_guest, steps, types
from tests.plugins.paper_system import PaperSystem


def run(directory: Path, order: WorkOrder, plugins: FewPlugins) -> bool:
    with JournalWriter(directory, "web01") as journal:
        return Pipeline(directory, order, plugins, journal).run()  # type: ignore[arg-type]


def failed(directory: Path) -> Problem:
    state = folded(directory)
    assert state.state is JobState.FAILED
    assert state.problem is not None
    return state.problem


def test_a_guest_is_converted(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path, disks=2)
    seen: list[str] = []

    def look(name: str) -> Callable[[StepContext], None]:
        return lambda context: seen.append(f"{name}: {len(context.disks)} in, {len(context.outputs)} out")

    plugins = steps(
        convert,
        look("validate"),
        Step("load", Stage.LOAD, look("load")),
        Step("before", Stage.CONVERT, look("before"), 50),
    )
    plugins.steps = sorted(plugins.steps, key=lambda item: item[1].order)
    assert run(directory, order, plugins)
    assert left(tmp_path) == ["web01-0.qcow2", "web01-1.qcow2"]
    assert seen == ["load: 2 in, 0 out", "before: 2 in, 0 out", "validate: 2 in, 2 out"]
    report = folded(directory).report()
    assert report["status"] == "completed"
    assert report["artifacts"] == {
        "input": ["/in/0", "/in/1"],
        "outputs": [str(tmp_path / "output" / f"web01-{number}.qcow2") for number in range(2)],
    }
    stages = report["stages"]
    assert isinstance(stages, dict)
    assert {name: entry["status"] for name, entry in stages.items()} == {
        "load": "completed",
        "inspect": "skipped",
        "fix": "skipped",
        "convert": "completed",
        "validate": "completed",
    }
    assert not (directory / "work").exists()
    assert types(directory)[-2:] == ["publishing", "finished"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (fail("no-space", "full"), "no-space", "full"),
        (ValueError("why"), "step-failed", "plugin mine, step convert: ValueError: why"),
        (SystemExit(0), "step-failed", "SystemExit: 0"),
        (OSError(28, "No space left"), "step-failed", "No space left"),
        (RecursionError(), "step-failed", "RecursionError"),
        (UnicodeEncodeError("ascii", "\udc80", 0, 1, "\ud800"), "step-failed", "UnicodeEncodeError"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("stage", [Stage.CONVERT, Stage.VALIDATE])
def test_a_step_that_raises_fails_its_guest(
    tmp_path: Path, error: BaseException, code: str, words: str, stage: Stage
) -> None:
    def broken(context: StepContext) -> None:
        (context.work / "scratch").write_text("x")
        if stage is Stage.CONVERT:
            convert(context)
        raise error

    directory, order = make_guest(tmp_path)
    plugins = steps(broken) if stage is Stage.CONVERT else steps(convert, broken)
    assert not run(directory, order, plugins)
    problem = failed(directory)
    assert problem.code == code
    assert words.replace("convert", stage.value) in problem.message
    assert folded(directory).stage == stage.value
    assert left(tmp_path) == []
    assert not (directory / "work").exists()
    if code == "step-failed":
        assert "Traceback" in problem.detail


def appliance(count: int) -> Loader:
    """A loader that finds ``count`` disks in one source."""

    def load_all(_context: StepContext, disk: DiskSource) -> list[SourceDisk]:
        file = SourceFile(Path(disk.source_path))
        return [SourceDisk((file,), ImageNode("raw", FileNode(0, 512 * n, 512)), 512, 512) for n in range(count)]

    return Loader(frozenset({"raw"}), load_all)


def test_a_source_of_several_disks_names_its_outputs_itself(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    plugins = steps()
    plugins.loaders = [appliance(3)]
    assert run(directory, order, plugins)
    names = [f"web01-disk{number}.qcow2" for number in (1, 2, 3)]
    assert left(tmp_path) == names
    artifacts = folded(directory).report()["artifacts"]
    assert isinstance(artifacts, dict)
    assert artifacts["outputs"] == [str(tmp_path / "output" / name) for name in names]
    assert published(folded(directory).publishing) == [tmp_path / "output" / name for name in names]


def test_a_source_of_several_disks_never_overwrites(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    (tmp_path / "output" / "web01-disk2.qcow2").write_text("precious")
    plugins = steps()
    plugins.loaders = [appliance(2)]
    assert not run(directory, order, plugins)
    assert failed(directory).code == "output-exists"
    assert left(tmp_path) == ["web01-disk2.qcow2"]


@pytest.mark.parametrize(
    ("count", "name", "code"), [(0, "web01.qcow2", "image-invalid"), (2, "w" * 249, "name-invalid")]
)
def test_what_has_no_disks_or_no_names_for_them(tmp_path: Path, count: int, name: str, code: str) -> None:
    directory, order = make_guest(tmp_path)
    order = replace(order, guest=replace(order.guest, output_name=str(tmp_path / "output" / name)))
    plugins = steps()
    plugins.loaders = [appliance(count)]
    assert not run(directory, order, plugins)
    assert failed(directory).code == code


def test_what_is_found_of_each_of_several_sources(tmp_path: Path) -> None:
    """The last one's facts took the place of the others'."""

    def load(context: StepContext, disk: DiskSource) -> SourceDisk:
        context.finding("source", {"path": disk.source_path})
        return SourceDisk.of_file(SourceFile(Path(disk.source_path)), "raw", 4, 4)

    directory, order = make_guest(tmp_path, disks=2)
    plugins = steps()
    plugins.loaders = [Loader(frozenset({"raw"}), load)]
    assert run(directory, order, plugins)
    found = folded(directory).report()["guest"]
    assert isinstance(found, dict)
    assert found["sources"] == [{"path": "/in/0"}, {"path": "/in/1"}]


def test_a_loader_that_raises_fails_its_guest(tmp_path: Path) -> None:
    def broken(_context: StepContext, _disk: object) -> None:
        raise KeyError("header")

    directory, order = make_guest(tmp_path)
    plugins = steps()
    plugins.loaders = [Loader(frozenset({"raw"}), broken)]  # type: ignore[arg-type]
    assert not run(directory, order, plugins)
    problem = failed(directory)
    assert problem.code == "step-failed"
    assert "KeyError" in problem.message
    assert folded(directory).stage == "load"


def test_a_source_type_that_nobody_reads(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    plugins = steps()
    plugins.loaders = [Loader(frozenset({"ova", "vmdk"}), convert)]  # type: ignore[arg-type]
    assert not run(directory, order, plugins)
    problem = failed(directory)
    assert problem.code == "source-type-unknown"
    assert "ova, vmdk" in problem.remedy


@pytest.mark.parametrize("missing", [Stage.CONVERT, Stage.VALIDATE])
def test_a_stage_without_which_nothing_is_converted(tmp_path: Path, missing: Stage) -> None:
    directory, order = make_guest(tmp_path)
    plugins = steps()
    plugins.steps = [item for item in plugins.steps if item[1].stage is not missing]
    assert not run(directory, order, plugins)
    assert failed(directory).code == "plugin-failed"
    assert left(tmp_path) == []


@pytest.mark.parametrize(("wish", "warned"), [(None, 0), ({}, 1), ({"enabled": False}, 0), ({"enabled": True}, 1)])
@pytest.mark.parametrize("stage", ["inspect", "fix"])
def test_a_stage_that_was_asked_for_and_is_not_there_is_said(
    tmp_path: Path, stage: str, wish: dict[str, object] | None, warned: int
) -> None:
    directory, order = make_guest(tmp_path, **{stage: wish})
    assert run(directory, order, steps())
    warnings = folded(directory).report()["warnings"]
    assert isinstance(warnings, list)
    assert [warning["code"] for warning in warnings] == ["manifest-unsupported"] * warned


def test_a_nested_wish_counts(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path, fix={"fstab": {"enabled": True}}, warnings=({"code": "a", "message": "b"},))
    assert run(directory, order, steps())
    warnings = folded(directory).report()["warnings"]
    assert isinstance(warnings, list)
    assert [warning["code"] for warning in warnings] == ["a", "manifest-unsupported"]


def test_fewer_outputs_than_disks_is_no_success(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path, disks=2)

    def half(context: StepContext) -> None:
        context.temporary_for(0).write_text("half")
        context.add_output(OutputDisk(context.temporary_for(0), Path(context.guest.outputs[0]), "qcow2", 4))

    assert not run(directory, order, steps(half))
    assert failed(directory).code == "output-invalid"
    assert left(tmp_path) == []


def test_an_output_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path, disks=2)
    theirs = Path(order.guest.outputs[1])

    def appears(_context: StepContext) -> None:
        theirs.write_text("theirs")

    assert not run(directory, order, steps(convert, appears))
    assert failed(directory).code == "output-exists"
    assert left(tmp_path) == ["web01-1.qcow2"]
    assert theirs.read_text() == "theirs"


class KilledError(BaseException):
    """Stands for the end of the process."""


real_publish = Pipeline._publish


def publish_and_die(self: Pipeline) -> None:
    real_publish(self)
    raise KilledError


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_worker_killed_while_it_publishes_is_followed_by_one_that_only_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    directory, order = make_guest(tmp_path, disks=2)
    real, left_to_do = publication.rename_new, renamed

    def dying(source: Path, target: Path) -> None:
        nonlocal left_to_do
        if left_to_do == 0:
            raise KilledError
        left_to_do -= 1
        real(source, target)

    monkeypatch.setattr(publication, "rename_new", dying)
    if renamed == 2:
        monkeypatch.setattr(Pipeline, "_publish", publish_and_die)
    with pytest.raises(KilledError):
        run(directory, order, steps())
    monkeypatch.undo()

    def never(_context: StepContext) -> None:
        raise AssertionError("it is converted already")

    assert run(directory, order, steps(never))
    assert left(tmp_path) == ["web01-0.qcow2", "web01-1.qcow2"]
    assert types(directory)[-2:] == ["recovered", "finished"]
    assert folded(directory).attempts == 1


def test_a_worker_killed_before_it_publishes_is_followed_by_one_that_begins_anew(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)

    def dying(context: StepContext) -> None:
        (context.work / "left").write_text("x")
        context.temporary_for(0).write_text("half")
        raise KilledError

    with pytest.raises(KilledError):
        run(directory, order, steps(dying))
    seen: list[list[str]] = []

    def look(context: StepContext) -> None:
        seen.append([*os.listdir(context.work), *left(tmp_path)])
        convert(context)

    assert run(directory, order, steps(look))
    assert seen == [[]]
    assert (tmp_path / "output" / "web01-0.qcow2").read_text() == "disk 0"


def test_what_was_published_and_taken_away_is_converted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, order = make_guest(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Pipeline, "_publish", publish_and_die)
        run(directory, order, steps())
    (tmp_path / "output" / "web01-0.qcow2").unlink()
    assert run(directory, order, steps())
    assert folded(directory).attempts == 2


def test_a_steps_output_is_on_record_with_its_size(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    assert run(directory, order, steps())
    files = folded(directory).report()["files"]
    assert isinstance(files, list)
    assert (files[-1]["kind"], files[-1]["bytes"], files[-1]["format"]) == ("output", 6, "qcow2")


def write_document(context: StepContext) -> None:
    context.add_document(".xml", b"<domain/>")


def test_a_document_is_published_with_the_disks(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    assert run(directory, order, steps(validating=write_document))
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["web01-0.qcow2", "web01.xml"]
    files = folded(directory).report()["files"]
    assert isinstance(files, list)
    assert files[-1] == {"kind": "document", "path": str(tmp_path / "output/web01.xml"), "bytes": 9}


def test_no_document_without_the_disks(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)

    def taken(context: StepContext) -> None:
        write_document(context)
        Path(context.guest.outputs[0]).write_text("another's")

    assert not run(directory, order, steps(validating=taken))
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["web01-0.qcow2"]


def test_what_cannot_be_cleared_is_a_warning_and_the_cause_stays_the_cause(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)

    def plants(context: StepContext) -> None:
        context.temporary_for(0).mkdir()
        raise fail("no-space", "full")

    assert not run(directory, order, steps(plants))
    assert failed(directory).code == "no-space"
    warnings = folded(directory).report()["warnings"]
    assert isinstance(warnings, list)
    assert [warning["code"] for warning in warnings] == ["output-leftover"]


def test_an_output_whose_directory_became_a_link_is_not_published(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def swap(_context: StepContext) -> None:
        (tmp_path / "output").rename(tmp_path / "moved")
        (tmp_path / "output").symlink_to(tmp_path / "elsewhere")

    assert not run(directory, order, steps(convert, swap))
    assert failed(directory).code == "output-unwritable"
    assert list((tmp_path / "elsewhere").iterdir()) == []


# -- INSPECT and FIX ----------------------------------------------------------------------------------


def look(context: StepContext) -> None:
    context.finding("product", context.system.facts.product)


INSPECTING = Step("inspect", Stage.INSPECT, look, wanted=inspect_wanted)


def fixing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: PaperSystem | Problem, **wishes: object
) -> GuestFold:
    """What becomes of a guest with that system, a step of INSPECT and one fixer."""

    def system(session: GuestSession, _disks: object) -> PaperSystem:
        if isinstance(found, Problem):
            session._problem = found
            raise ProblemError(found)
        found._tell = session._listener.changed
        return found

    monkeypatch.setattr(GuestSession, "prepare", lambda _session: None)
    monkeypatch.setattr(GuestSession, "system", system)
    directory, order = make_guest(tmp_path, **wishes)
    plugins = steps(convert, lambda _context: None, INSPECTING)
    plugins.fixers = [("mine", Fixer("fstab", "fstab", lambda context: context.system.write("/etc/fstab", b"new")))]
    run(directory, order, plugins)
    return folded(directory)


def stages(state: GuestFold) -> list[str]:
    found = state.report()["stages"]
    assert isinstance(found, dict)
    return [f"{name} {entry.get('reason') or entry['status']}" for name, entry in found.items()][1:]


def test_a_guest_is_fixed_and_each_change_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = PaperSystem({"/etc/fstab": "old"}, GuestFacts("linux", product="A Linux"))
    state = fixing(tmp_path, monkeypatch, system, fix={})
    assert stages(state) == ["inspect completed", "fix completed", "convert completed", "validate completed"]
    report = state.report()
    change = FileChange("/etc/fstab", "written", "old", "new")
    assert report["changes"] == [{"fixer": "fstab", **change.as_dict()}]
    assert report["guest"] == {"product": "A Linux"}


def test_a_stage_that_nobody_asked_for_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = fixing(tmp_path, monkeypatch, PaperSystem({}), fix={"enabled": False})
    assert stages(state)[:2] == ["inspect not asked for", "fix not asked for"]
    assert state.report()["changes"] == []


def test_a_dry_run_tells_of_changes_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = fixing(tmp_path, monkeypatch, PaperSystem({"/etc/fstab": "old"}), fix={}, dry_run=True)
    assert state.state is JobState.COMPLETED
    assert stages(state) == ["inspect completed", "fix completed", "convert dry run", "validate dry run"]
    assert len(state.report()["changes"]) == 1  # type: ignore[arg-type]
    assert left(tmp_path) == []


NONE = Problem("guest-no-system", "nothing was found")


def test_a_manifests_fix_without_a_system_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = fixing(tmp_path, monkeypatch, NONE, fix={})
    assert (state.state, state.stage) == (JobState.FAILED, "inspect")
    assert state.problem == NONE
    assert left(tmp_path) == []


def test_a_dropped_disk_without_a_system_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lenient(context: StepContext) -> None:
        with contextlib.suppress(ProblemError):
            look(context)

    monkeypatch.setattr("tests.engine.test_pipeline.INSPECTING", Step("inspect", Stage.INSPECT, lenient))
    state = fixing(tmp_path, monkeypatch, NONE, fix={}, fix_if_possible=True)
    assert stages(state)[:3] == ["inspect completed", "fix nothing was found", "convert completed"]
    assert left(tmp_path) == ["web01-0.qcow2"]


@pytest.mark.parametrize("if_possible", [True, False])
def test_a_guest_that_is_too_full_to_be_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, if_possible: bool
) -> None:
    facts = GuestFacts("linux", mounts={"/": "/dev/sda1"}, devices=(BlockDevice("/dev/sda1", "ext4", 1, free=1),))
    system = PaperSystem({"/etc/fstab": "old"}, facts)
    state = fixing(tmp_path, monkeypatch, system, fix={}, fix_if_possible=if_possible)
    assert state.state is (JobState.COMPLETED if if_possible else JobState.FAILED)
    assert system.changes == ()


def test_without_a_system_where_only_fix_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.engine.test_pipeline.INSPECTING", Step("x", Stage.LOAD, lambda _context: None))
    assert fixing(tmp_path, monkeypatch, NONE, fix={}, fix_if_possible=True).state is JobState.COMPLETED


def test_a_guest_has_started_before_its_appliance_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which takes a quarter of a minute the first time: it is not to be taken for one that waits for a slot."""
    directory, order = make_guest(tmp_path, inspect={"enabled": True})
    seen: list[int] = []
    monkeypatch.setattr(GuestSession, "prepare", lambda _session: seen.append(folded(directory).attempts))
    run(directory, order, steps())
    assert (seen, folded(directory).attempts) == ([1], 1)
    assert "the appliance is made ready" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("os_type", "fix", "possible", "loaded", "state"),
    [
        ("windows", {}, False, True, JobState.COMPLETED),
        ("windows", {}, False, False, JobState.FAILED),
        ("windows", {}, True, False, JobState.COMPLETED),
        ("linux", {"engine": "virt-v2v"}, False, True, JobState.COMPLETED),
        ("linux", {"engine": "virt-v2v"}, False, False, JobState.FAILED),
    ],
)
def test_a_guest_that_is_left_to_virt_v2v(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    os_type: str,
    fix: dict[str, object],
    possible: bool,
    loaded: bool,
    state: JobState,
) -> None:
    if loaded:
        step = Step("virt-v2v", Stage.INSPECT, look, wanted=inspect_wanted)
        monkeypatch.setattr("tests.engine.test_pipeline.INSPECTING", step)
    system = PaperSystem({"/etc/fstab": "old"}, GuestFacts(os_type))
    found = fixing(tmp_path, monkeypatch, system, fix=fix, fix_if_possible=possible)
    assert found.state is state
    assert system.changes == ()  # hypersdkd's own fixers keep away
    assert (found.problem.code if found.problem else "") == ("plugin-failed" if state is JobState.FAILED else "")


def test_what_a_step_lacks_is_told_before_the_work(tmp_path: Path) -> None:
    done: list[str] = []

    def missing(_guest: Guest) -> None:
        raise fail("tool-missing", "it is not installed")

    def load_step(_context: StepContext) -> None:
        done.append("load")

    directory, order = make_guest(tmp_path)
    lacking = Step("mine", Stage.VALIDATE, lambda _context: None, require=missing)
    unwanted = replace(lacking, wanted=lambda _guest: False)
    assert run(directory, order, steps(convert, lambda _context: None, unwanted))
    (tmp_path / "again").mkdir()
    directory, order = make_guest(tmp_path / "again")
    assert not run(directory, order, steps(convert, lambda _context: None, lacking, Step("l", Stage.LOAD, load_step)))
    assert failed(directory).code == "tool-missing"
    assert done == []
    (tmp_path / "dry").mkdir()
    directory, order = make_guest(tmp_path / "dry", dry_run=True)
    assert run(directory, order, steps(convert, lambda _context: None, lacking))
