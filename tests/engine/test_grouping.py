"""Files that belong together are one job, in whatever order they come."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.engine.index import Index
from hypersdkd.engine.readiness import Entry, Look, Readiness, Verdict
from hypersdkd.host.companions import Companion, Needs
from tests import vmdks

SETTLE = 2.0


class Drop:
    """A drop directory, an index of it, and a clock of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.index = Index(groups=True)
        self.clock = 100.0
        self.rules = Readiness("disk", SETTLE)

    def judge(self, *names: str, moved: bool = False) -> None:
        before = [(name, self.index.drop_entry(name)) for name in names]
        rows = [(name, self.rules.judge(self.directory, name, entry, self.clock, moved)) for name, entry in before]
        self.index.set_drops(rows)

    def wait(self, seconds: float) -> None:
        self.clock += seconds
        self.judge(*self.index.unsettled_names())

    def ready(self) -> set[str]:
        return {name for name, verdict in self.verdicts().items() if verdict == ""}

    def verdicts(self) -> dict[str, str]:
        """Why each entry is not ready."""
        entries = self.index.drop_entries()
        return {
            name: "" if entry.verdict is Verdict.READY else f"{entry.verdict}: {entry.reason}"
            for name, entry in entries.items()
        }


def put(index: Index, **files: tuple[str, ...] | Entry) -> None:
    """Entries that are ready by themselves, each with the names that it needs; ``_`` stands for a dot."""
    rows = [
        (name.replace("_", "."), what if isinstance(what, Entry) else entry(*(one.replace("_", ".") for one in what)))
        for name, what in files.items()
    ]
    index.set_drops(rows)


def entry(*needs: str, **changes: object) -> Entry:
    look = Look((), None, needs=Needs(tuple(map(Companion, needs))))
    fields = {"look": look, "movable": True, "quiet": True, "settled": True, **changes}
    return Entry(changes.pop("verdict", Verdict.READY), **{key: fields[key] for key in fields if key != "verdict"})


def reasons(index: Index) -> dict[str, str]:
    return {name: row.reason for name, row in index.drop_entries().items()}


# -- real files ------------------------------------------------------------------------------------------


def _files(kind: str) -> tuple[dict[str, bytes], str]:
    """The files of a group, and which of them is to become the job."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        vmdks.esx_flat(directory, "web", vmdks.content())
        vmdks.esx_delta(directory, "web-000001", "/vmfs/volumes/store/web/web.vmdk", vmdks.ODD, {}, cid=0x1235)
        snapshot = {path.name: path.read_bytes() for path in directory.iterdir()}
    flat = {name: content for name, content in snapshot.items() if "000001" not in name}
    if kind == "flat":
        return flat, "web.vmdk"
    if kind == "snapshot":
        return snapshot, "web-000001.vmdk"
    if kind == "config":
        return {**snapshot, "web.json": json.dumps({"input": "web-000001.vmdk"}).encode()}, "web.json"
    size = len(flat["web.vmdk"])
    files = f'<File ovf:href="web.vmdk" ovf:size="{size}"/><File ovf:href="data.iso" ovf:size="9"/>'
    text = f'<Envelope xmlns:ovf="o"><References>{files}</References></Envelope>'
    return {**flat, "data.iso": b"nine more", "web.mf": b"SHA256", "web.ovf": text.encode()}, "web.ovf"


FILES = {kind: _files(kind) for kind in ("flat", "snapshot", "config", "ovf")}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_of_arrival_ends_in_one_job(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(FILES)))
    files, lead = FILES[kind]
    order = data.draw(st.permutations(sorted(files)))
    # a part of the group that would be a job by itself waits for the rest as long as a file settles, and no longer
    pauses = st.sampled_from([0.0, 1.9, 30.0] if kind == "flat" else [0.0, 0.1, 0.15])
    with tempfile.TemporaryDirectory() as place:
        drop = Drop(Path(place))
        for number, name in enumerate(order, start=1):
            path = drop.directory / name
            whole, moved = files[name], data.draw(st.booleans())
            if not moved:
                path.write_bytes(whole[: len(whole) // 2])
                drop.judge(name)
                drop.wait(data.draw(pauses))
            path.write_bytes(whole)
            drop.judge(name, moved=moved)
            drop.wait(data.draw(pauses))
            assert number == len(order) or drop.ready() == set(), order[:number]
        for _ in range(3):
            drop.wait(20.0)
        assert drop.ready() == {lead}
        assert set(drop.index.companions(lead)) == set(files) - {lead}
        assert drop.index.next_ready() == lead
        assert drop.index.unsettled_names() == [], "nothing is looked at again while it waits for others alone"


def test_a_lead_says_what_it_waits_for(tmp_path: Path) -> None:
    files, lead = FILES["snapshot"]
    drop = Drop(tmp_path)

    def arrive(name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        drop.judge(name, moved=True)
        drop.wait(SETTLE)

    arrive("web-flat.vmdk", files["web-flat.vmdk"][:-512])
    assert drop.verdicts() == {"web-flat.vmdk": "waiting: an extent of a split disk; its descriptor is not here"}
    arrive(lead, files[lead])
    assert drop.verdicts()[lead] == "waiting: web.vmdk is not here"
    arrive("web.vmdk", files["web.vmdk"])
    short = "web-flat.vmdk: it has 5243904 of 5244416 bytes"
    assert drop.verdicts() == {
        lead: "waiting: web-000001-delta.vmdk is not here",
        "web.vmdk": f"waiting: belongs to {lead}",
        "web-flat.vmdk": "waiting: belongs to web.vmdk",
    }
    arrive("web-000001-delta.vmdk", files["web-000001-delta.vmdk"])
    assert drop.verdicts()[lead] == f"waiting: {short}"
    arrive("web-flat.vmdk", files["web-flat.vmdk"])
    assert drop.ready() == {lead}
    (tmp_path / "web.vmdk").unlink()
    drop.judge("web.vmdk")
    assert drop.verdicts()[lead] == "waiting: web.vmdk is not here"
    assert drop.verdicts()["web-flat.vmdk"].startswith("waiting: an extent")
    (tmp_path / "web.vmdk").symlink_to("/etc/passwd")
    drop.judge("web.vmdk")
    assert drop.verdicts()[lead] == "waiting: web.vmdk: a symbolic link"
    assert drop.verdicts()["web.vmdk"] == "ignored: a symbolic link"


def test_a_file_of_another_suffix_is_ignored_again_when_its_lead_has_gone(tmp_path: Path) -> None:
    files, lead = FILES["ovf"]
    drop = Drop(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        drop.judge(name)
    drop.wait(SETTLE)
    assert (drop.ready(), drop.verdicts()["data.iso"]) == ({lead}, f"waiting: belongs to {lead}")
    (tmp_path / lead).unlink()
    drop.judge(lead)
    assert drop.verdicts()["data.iso"] == "ignored: not of disk mode, by its suffix"
    assert drop.ready() == {"web.vmdk"}


def test_a_change_of_what_is_needed_sets_others_free(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    for name in ("a.raw", "b.raw"):
        (tmp_path / name).write_bytes(b"disk")
    for named, led, free in (("a.raw", "a.raw", "b.raw"), ("b.raw", "b.raw", "a.raw")):
        (tmp_path / "job.json").write_text(json.dumps({"input": named}))
        drop.judge("job.json", "a.raw", "b.raw")
        drop.wait(SETTLE)
        assert drop.ready() == {"job.json", free}
        assert drop.verdicts()[led] == "waiting: belongs to job.json"


def test_half_a_job_config_leads_nothing_yet_and_a_disk_waits_for_it(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    (tmp_path / "a.raw").write_bytes(b"disk")
    drop.judge("a.raw", moved=True)
    assert drop.ready() == set()
    drop.wait(1.0)
    (tmp_path / "job.json").write_text('{"input": "a.raw"}')
    drop.judge("job.json")
    assert drop.ready() == {"job.json"}, "nothing leads a job config: it need not wait"


def test_a_disk_of_no_group_is_ready_when_it_has_settled(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    (tmp_path / "a.raw").write_bytes(b"disk")
    drop.judge("a.raw", moved=True)
    assert drop.verdicts()["a.raw"].startswith("waiting: settling for 2 s")
    drop.wait(SETTLE)
    assert drop.ready() == {"a.raw"}


# -- who leads whom --------------------------------------------------------------------------------------


def test_of_two_leads_the_second_waits_for_what_the_first_took() -> None:
    index = Index(groups=True)
    put(index, one=("base",), two=("base",), base=())
    assert index.companions("one") == index.companions("two") == ["base"]
    assert reasons(index) == {"one": "", "two": "", "base": "belongs to one"}
    assert index.companions("one", shared=False) == []
    index.set_drops([("one", None), ("base", None)])
    assert reasons(index) == {"two": "base is not here"}
    index.set_processing("base", 1)
    assert reasons(index) == {"two": "base is not here, one of that name is in processing/"}
    put(index, base=())
    assert reasons(index)["two"] == "one of the name base is still in processing/"
    index.set_processing("base", None)
    assert reasons(index)["two"] == ""


def test_files_that_need_each_other_lead_nobody() -> None:
    index = Index(groups=True)
    put(index, a=("b",), b=("a", "x"), x=())
    assert reasons(index) == {"a": "", "b": "", "x": "belongs to b"}
    assert index.companions("a") == index.companions("b") == []
    put(index, top=("a",))
    assert reasons(index) == {"a": "belongs to top", "b": "belongs to top", "x": "belongs to b", "top": ""}
    assert set(index.companions("top")) == {"a", "b", "x"}


def test_an_optional_companion_is_not_waited_for_but_goes_along() -> None:
    index = Index(groups=True)
    look = Look((), None, needs=Needs((Companion("web.mf", optional=True),)))
    put(index, web_ovf=Entry(Verdict.READY, look=look, movable=True, quiet=True, settled=True))
    assert reasons(index) == {"web.ovf": ""}
    put(index, web_mf=entry(verdict=Verdict.IGNORED, reason="by its suffix", quiet=False))
    assert reasons(index) == {"web.ovf": "web.mf: it is still being written", "web.mf": "belongs to web.ovf"}
    put(index, web_mf=Entry(Verdict.IGNORED, "a symbolic link"))
    assert reasons(index) == {"web.ovf": "", "web.mf": "a symbolic link"}
    assert index.companions("web.ovf") == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quiet": False, "verdict": Verdict.WAITING, "reason": "another process writes"}, "another process writes"),
        ({"look": Look((), False, "it ends too early")}, "it ends too early"),
        ({"settled": False, "verdict": Verdict.WAITING, "reason": "settling for 2 s"}, "settling for 2 s"),
    ],
)
def test_a_lead_waits_for_what_its_companion_waits_for(changes: Mapping[str, object], reason: str) -> None:
    index = Index(groups=True)
    put(index, top=("base",), base=entry(**changes))
    assert reasons(index) == {"top": f"base: {reason}", "base": "belongs to top"}
    assert index.unsettled_names() == ["base"], "which is looked at again"
    put(index, base=())
    assert (reasons(index)["top"], index.unsettled_names()) == ("", [])


def test_names_are_shown_harmlessly() -> None:
    index = Index(groups=True)
    evil = os.fsdecode(b"\xff\n.vmdk")
    index.set_drops([("top", entry(evil)), ("led", entry())])
    assert reasons(index)["top"] == "\\xff\\n.vmdk is not here"


NAMES = st.sampled_from("abcdef")
CHANGES = st.lists(st.tuples(NAMES, st.none() | st.lists(NAMES, max_size=3, unique=True)), max_size=25)


@settings(max_examples=200, deadline=None)
@given(CHANGES, st.randoms(use_true_random=False))
def test_what_is_known_does_not_depend_on_how_it_came(changes: list[tuple[str, list[str] | None]], chance) -> None:
    """After any changes, one by one or some at once, it is as if all files had been looked at for the first time."""
    grown, rows = Index(groups=True), [(name, None if needs is None else entry(*needs)) for name, needs in changes]
    at = 0
    while at < len(rows):
        some = chance.randint(1, 4)
        grown.set_drops(rows[at : at + some])
        at += some
    fresh = Index(groups=True)
    fresh.set_drops([(name, row) for name, row in dict(rows).items() if row is not None])
    assert reasons(grown) == reasons(fresh)
    assert {n for n, e in grown.drop_entries().items() if e.verdict is Verdict.READY} == {
        n for n, e in fresh.drop_entries().items() if e.verdict is Verdict.READY
    }
    for name in fresh.drop_names():
        assert name not in grown.companions(name)


def test_a_change_costs_as_much_as_its_group_is_large() -> None:
    """A disk of 4,000 parts that come one by one, among 20,000 other files, is no work for the loop."""
    index = Index(groups=True)
    index.set_drops([(f"{number}.raw", entry()) for number in range(20_000)])
    parts = [f"disk-f{number:04}.vmdk" for number in range(4000)]
    index.set_drop("disk.vmdk", entry(*parts))
    version = index.version
    for start in range(0, len(parts), 50):
        index.set_drops([(part, entry()) for part in parts[start : start + 50]])
    assert index.drop_entry("disk.vmdk").verdict is Verdict.READY
    assert index.version - version <= len(parts) + 2 * len(parts) // 50, "others are not touched"
