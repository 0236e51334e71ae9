"""hypersdkd.engine.source_inspection: by a worker of its own, which leaves nothing and ends in time."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hypersdkd.engine import source_inspection
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.source_inspection import SourcePlaces, inspect_source
from hypersdkd.engine.workshop import WorkerPlugins
from hypersdkd.model.guest import DiskSource
from tests.guests.tiny import tiny_guest
from tests.problems import raises_problem


@pytest.fixture
def places(tmp_path: Path) -> SourcePlaces:
    (tmp_path / "exports").mkdir()
    return SourcePlaces(tmp_path / "scratch", (str(tmp_path),), WorkerPlugins.of(Plugins.load(), (), {}))


def raw(places: SourcePlaces) -> DiskSource:
    path = places.scratch.parent / "exports" / "a.raw"
    path.write_bytes(bytes(1 << 20))
    return DiskSource("raw", str(path))


async def test_it_leaves_nothing_but_what_it_found(places: SourcePlaces) -> None:
    source = raw(places)
    found = await inspect_source(places, source)
    assert (found.problem, found.fixable, found.source["file_size"]) == (None, False, 1 << 20)
    assert os.listdir(places.scratch) == []
    assert os.listdir(places.scratch.parent / "exports") == ["a.raw"]


async def test_an_image_that_it_unpacked_is_gone_and_is_not_told_of(places: SourcePlaces, tmp_path: Path) -> None:
    path = tmp_path / "image.raw.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    found = await inspect_source(places, DiskSource("ami", str(path)))
    (row,) = found.files
    assert str(places.scratch) not in json.dumps([dict(row), found.facts()])
    assert row["path"] == str(path)


async def test_a_source_that_is_refused(places: SourcePlaces) -> None:
    found = await inspect_source(places, DiskSource("ova", raw(places).source_path))
    assert found.problem is not None
    assert found.problem.code == "image-truncated"


async def test_one_that_takes_too_long_is_ended(places: SourcePlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_inspection, "_SECONDS", 0.001)
    with raises_problem("tool-timeout"):
        await inspect_source(places, raw(places))
    assert os.listdir(places.scratch) == []


async def test_one_that_floods_its_journal_is_not_read(places: SourcePlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_inspection, "FLOOD", 100)
    with raises_problem("worker-flooded"):
        await inspect_source(places, raw(places))
    assert os.listdir(places.scratch) == []


async def test_the_last_words_of_one_that_dies(places: SourcePlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "import sys; sys.stderr.write('x' * 100_000 + 'last words')"
    monkeypatch.setattr(
        source_inspection, "guest_run", lambda *_: SimpleNamespace(command=[sys.executable, "-c", words])
    )
    with raises_problem("step-failed") as caught:
        await inspect_source(places, raw(places))
    assert (caught[0].detail[-10:], len(caught[0].detail)) == ("last words", 2000)


async def test_who_asked_and_went_away_leaves_nothing(places: SourcePlaces) -> None:
    asked = asyncio.create_task(inspect_source(places, raw(places)))
    while not places.scratch.exists() or not os.listdir(places.scratch):
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert os.listdir(places.scratch) == []


async def test_a_look_inside(places: SourcePlaces) -> None:
    path = tiny_guest(places.scratch.parent / "exports" / "tiny.raw")
    found = await inspect_source(places, DiskSource("raw", str(path)), inside=True)
    assert (found.problem, found.fixable) == (None, True)
    facts = found.facts()
    assert isinstance(facts["system"], dict)
    assert facts["system"]["distro"] == "debian"
