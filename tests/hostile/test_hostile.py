"""Every case of the corpus: harm to a bare tool, a problem here, and not a byte of the host's in anything that is left.

All go through one real daemon: the images as guests of a batch, the documents as jobs of their own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hypersdkd.model.problem import CODES
from tests.hostile import appliances, archives, bombs, damaged, disguised, manifests, packed, places, references
from tests.hostile.case import SECRET, Case, Place
from tests.hostile.manifests import DOCUMENTS, Document, naive
from tests.images import MIB, raw_disk
from tests.system.daemon_process import DaemonProcess
from tests.system.jobs import batch, outcome, pipeline, run

pytestmark = pytest.mark.system

CORPUS: Mapping[str, tuple[Case, ...]] = {
    "backing files": references.BACKING_FILES,
    "data files": references.DATA_FILES,
    "extents": references.EXTENTS,
    "parents": references.PARENTS,
    "disguised": disguised.CASES,
    "places": places.CASES,
    "bombs": bombs.CASES,
    "damaged": damaged.CASES,
    "archives": archives.CASES,
    "packed": packed.CASES,
    "appliances": appliances.CASES,
}
CASES = [pytest.param(kind, case, id=f"{kind}: {case.name}") for kind, cases in CORPUS.items() for case in cases]

#: What is our failure, not the input's.
OURS = frozenset({"step-failed", "worker-crashed", "worker-interrupted", "internal", "tool-timeout", "tool-missing"})

#: Seconds that a guest may take, on a slow machine.
LIMIT = 30.0


@dataclass
class Scene:
    """Where the cases were made, and what came of them here."""

    daemon: DaemonProcess
    spots: dict[str, Place] = field(default_factory=dict)
    sources: dict[str, Path | str] = field(default_factory=dict)
    guests: dict[str, dict] = field(default_factory=dict)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("hostile")
    canary = tmp_path_factory.mktemp("outside") / "canary"
    canary.write_bytes((SECRET + b"\n") * (1 << 20 >> 5))
    (root / "daemon").mkdir()
    process = DaemonProcess(root / "daemon", source_dirs=[str(root)])
    scene = Scene(process)
    for kind, cases in CORPUS.items():
        for number, case in enumerate(cases):
            here = root / f"{kind.replace(' ', '-')}-{number:02d}"
            here.mkdir()
            scene.spots[case.name] = Place(here, canary)
            scene.sources[case.name] = case.make(scene.spots[case.name])
    with process as daemon:
        stages = {}
        for kind, cases in CORPUS.items():
            for number, case in enumerate(cases):
                stages[f"{kind.replace(' ', '-')}-{number:02d}"] = pipeline(scene.sources[case.name], case.source_type)
                stages[f"{kind.replace(' ', '-')}-{number:02d}"]["load"].update(case.load)
        ended = outcome_of(daemon, batch(**stages))
        names = [case.name for cases in CORPUS.values() for case in cases]
        scene.guests = dict(zip(names, ended["vms"], strict=True))
        yield scene
        assert daemon.stop() == 0


def outcome_of(daemon: DaemonProcess, content: bytes) -> dict:
    """Drop the batch and wait longer than for other jobs: it is a hundred guests."""
    daemon.drop("corpus.json", content)
    daemon.until_ended("corpus.json", patience=300)
    return outcome(daemon, "corpus.json").record


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_a_bare_tool(scene: Scene, tmp_path: Path, kind: str, case: Case) -> None:
    (tmp_path / "scratch").mkdir()
    assert case.bare(Path(scene.sources[case.name]), tmp_path / "scratch") == case.does
    assert bool(case.why) == (case.does == "refuses"), "what does no harm has its reason to be here"


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_here(scene: Scene, kind: str, case: Case) -> None:
    guest = scene.guests[case.name]
    assert guest["status"] == "failed", guest
    problem = guest["problem"]
    assert problem["code"] in CODES and problem["code"] not in OURS, problem
    assert problem["code"] == case.code, problem
    assert problem["remedy"] and problem["message"].isprintable()
    assert guest["attempts"] <= 1 and (guest["duration_seconds"] or 0) < LIMIT


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document(scene: Scene, document: Document) -> None:
    spot = next(iter(scene.spots.values()))
    raw_disk(spot.here / "good.raw", MIB)
    assert naive(document, spot) == document.does
    text = document.text(spot)
    name = f"{document.name.replace(' ', '-')}.{document.suffix}"
    ended = run(scene.daemon, name, text.encode() if isinstance(text, str) else text)
    assert (ended.kind, ended.code) == ("failed", document.code), ended.record
    assert ended.code in CODES and ended.code not in OURS


def test_the_corpus_is_large_enough() -> None:
    counts = Counter({kind: len(cases) for kind, cases in CORPUS.items()}) + Counter(manifests=len(manifests.DOCUMENTS))
    assert counts.total() >= 60 and min(counts.values()) >= 4
    names = [case.name for cases in CORPUS.values() for case in cases]
    assert len(set(names)) == len(names)
    for kind in ("link", "device", "FIFO", "half a", "flipped", "way up", "holes", "wants|unpacks|one letter"):
        assert sum(bool(re.search(kind, name)) for name in names) >= 4, kind


def test_not_a_byte_of_the_host_is_left(scene: Scene) -> None:
    """Last: whatever any case left behind is looked at, outputs, records, journals and the log."""
    base = scene.daemon.base
    looked_at = 0
    for path in [*base.rglob("*"), scene.daemon.log]:
        if path.is_file() and not path.is_symlink():
            assert SECRET not in path.read_bytes(), path
            looked_at += 1
    assert looked_at > 2 * len(scene.guests)
    assert list((base / "output").glob("*")) == []
    assert json.loads(scene.daemon.log.read_text().splitlines()[0])
    assert scene.daemon.api.healthy()
