"""The way into another's queue: one rename, and Problems where there is none."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from hypersdkd.engine.observed_queue import ObservedLayout, ObserversDoor, OwnersReadiness
from hypersdkd.engine.readiness import Verdict
from tests.engine.observer import PLACES, Owner, observer
from tests.engine.workbench import manifest
from tests.problems import raises_problem


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    owner = Owner(tmp_path / "base")
    owner.make()
    return owner


def door(base: Path) -> ObserversDoor:
    return ObserversDoor(ObservedLayout(base), lambda _name: False, OwnersReadiness("manifest", 1).not_for_us)


def test_a_submission_is_one_rename_and_leaves_one_directory(owner: Owner) -> None:
    receipt = door(owner.base).put("a.json", b"{}")
    assert Path(receipt.manifest_path).read_bytes() == b"{}"
    assert sorted(os.listdir(owner.base)) == sorted([*PLACES, ".hypersdkd-observe"])
    assert os.listdir(owner.base / ".hypersdkd-observe" / "tmp") == []
    with pytest.raises(FileExistsError):
        door(owner.base).put("a.json", b"[]")
    with raises_problem("name-invalid"):
        door(owner.base).put(".a.json", b"{}")


def test_drafts_of_killed_observers_go_and_those_of_others_stay(owner: Owner) -> None:
    layout = ObservedLayout(owner.base)
    layout.scratch.mkdir(parents=True)
    for name, age in (("old", 2 * 86_400), ("new", 60)):
        (layout.scratch / name).touch()
        os.utime(layout.scratch / name, (time.time() - age, time.time() - age))
    door(owner.base).put("a.json", b"{}")
    assert os.listdir(layout.scratch) == ["new"]


async def test_a_queue_that_is_not_there_takes_nothing_and_is_not_made(tmp_path: Path) -> None:
    async with observer(tmp_path / "base") as seen:
        with raises_problem("queue-unusable", "is not there"):
            await seen.service.submit(manifest(tmp_path / "disk.raw"))
    assert not (tmp_path / "base").exists()


async def test_a_key_is_honoured_by_every_observer_of_the_queue(owner: Owner) -> None:
    async with observer(owner.base) as one, observer(owner.base) as other:
        text = manifest(owner.base / "disk.raw")
        receipt = await one.service.submit(text, idempotency_key="k")
        assert await other.service.submit(text, idempotency_key="k") == receipt
        await asyncio.gather(*(seen.service.submit(text) for seen in (one, other) for _ in range(5)))
        names = os.listdir(owner.base / "to_be_processed")
        assert len(names) == 11
        for name in names:
            assert json.loads((owner.base / "to_be_processed" / name).read_bytes())["version"] == "1.0"


def test_the_owner_judges_so_no_file_is_opened(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    owner.drop("a.json", b"{ half")
    (owner.base / "to_be_processed" / "b.txt").touch()
    (owner.base / "to_be_processed" / "c.json").symlink_to("a.json")
    opened: list[object] = []
    monkeypatch.setattr("hypersdkd.engine.readiness.open_regular", opened.append)
    rules = OwnersReadiness("manifest", 1)
    verdicts = {}
    for name in ("a.json", "b.txt", "c.json", "none"):
        entry = rules.judge(owner.base / "to_be_processed", name, None, 0, False)
        verdicts[name] = entry.verdict if entry else None
    assert verdicts == {"a.json": Verdict.READY, "b.txt": Verdict.IGNORED, "c.json": Verdict.IGNORED, "none": None}
    assert opened == []
