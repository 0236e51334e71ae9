"""Work orders: where a guest's sources are once its job was claimed, and what becomes of orders that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.job_orders import guest_directory, write_orders
from hypersdkd.model.guest import DiskSource, Guest
from tests import vmdks
from tests.engine.workbench import disk, workbench


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


async def test_sources_that_came_along_are_beside_the_jobs_file(base: Path) -> None:
    async with workbench(base, mode="disk", run=False) as bench:
        for name in ("job.json", "near.raw", "other.raw"):
            bench.drop(name, b"disk")
        (bench.layout.drop / "sub").mkdir()
        (bench.layout.drop / "sub" / "near.raw").write_bytes(b"disk")
        claim = bench.shop.spool.claim("job.json", ["near.raw"])
        assert claim is not None
        paths = ["near.raw", "./near.raw", "other.raw", "sub/near.raw", str(disk(base, "near.raw"))]
        guests = [Guest(f"g{number}", (DiskSource("raw", path),)) for number, path in enumerate(paths)]
        write_orders(bench.shop, claim, guests)
        orders = [WorkOrder.read(guest_directory(bench.shop, claim, number)) for number in range(1, 6)]
        drop, processing = bench.layout.drop, bench.layout.processing
        assert [order.guest.disks[0].source_path for order in orders] == [
            str(processing / "near.raw"),
            f"{processing}/near.raw",
            str(drop / "other.raw"),
            str(drop / "sub" / "near.raw"),
            paths[4],
        ]
        assert [order.companions for order in orders] == [()] * 5, "none of them needs another"
        journals = [guest_directory(bench.shop, claim, number) / "journal.jsonl" for number in range(1, 6)]
        assert not [journal for journal in journals if '"failed"' in journal.read_text()], "all were found there"


async def test_each_guest_of_a_list_is_given_the_files_that_its_own_disk_needs(base: Path) -> None:
    """A list may have 10,000 disks, each of several files; the worker is let to no others."""
    async with workbench(base, mode="disk", run=False) as bench:
        for name in ("a", "b"):
            vmdks.esx_flat(bench.layout.drop, name, vmdks.content())
        (bench.layout.drop / "job.json").write_text("{}")
        companions = ["a.vmdk", "b.vmdk", "a-flat.vmdk", "b-flat.vmdk"]
        claim = bench.shop.spool.claim("job.json", companions)
        assert claim is not None
        (bench.layout.processing / "a-ctk.vmdk").write_text("another's")
        guests = [Guest(name, (DiskSource("vmdk", f"{name}.vmdk"),)) for name in ("a", "b")]
        write_orders(bench.shop, claim, guests)
        orders = [WorkOrder.read(guest_directory(bench.shop, claim, number)) for number in (1, 2)]
        assert [order.companions for order in orders] == [("a-flat.vmdk",), ("b-flat.vmdk",)]


async def test_orders_are_written_once_and_those_of_a_changed_document_replaced(base: Path) -> None:
    async with workbench(base, mode="disk", run=False) as bench:
        bench.drop("job.json", b"{}")
        claim = bench.shop.spool.claim("job.json")
        assert claim is not None
        source = DiskSource("raw", str(disk(base)))
        write_orders(bench.shop, claim, [Guest("a", (source,)), Guest("b", (source,))])
        first, second = (guest_directory(bench.shop, claim, number) / "guest.json" for number in (1, 2))
        written = first.stat().st_ino
        write_orders(bench.shop, claim, [Guest("a", (source,)), Guest("c", (source,))])
        assert first.stat().st_ino == written
        assert WorkOrder.read(second.parent).guest.name == "c"
        write_orders(bench.shop, claim, [Guest("a", (source,))])
        assert not second.parent.exists()


async def test_of_two_jobs_that_are_planned_at_once_one_gets_the_output(base: Path) -> None:
    """Neither works yet when the other is planned: the plans themselves take the names."""
    async with workbench(base, run=False) as bench:
        source, problems = DiskSource("raw", str(disk(base))), []
        for name in ("one.json", "two.json"):
            bench.drop(name, b"{}")
            claim = bench.shop.spool.claim(name)
            assert claim is not None
            write_orders(bench.shop, claim, [Guest("web", (source,))])
            problems.append((guest_directory(bench.shop, claim, 1) / "journal.jsonl").read_text())
        assert "output-exists" not in problems[0]
        assert "another running job writes" in problems[1]
