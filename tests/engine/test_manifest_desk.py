"""Manifests that are judged and submitted while a queue is worked."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from hypersdkd.model.problem import ProblemError
from hypersdkd.model.replies import ManifestInvalidError
from tests.engine.workbench import disk, manifest, workbench
from tests.problems import raises_problem


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


async def test_a_submission_is_a_job_like_any_other(base: Path) -> None:
    async with workbench(base) as bench:
        text = json.dumps({**json.loads(manifest(disk(base))), "name": "web01"}).encode()
        receipt = await bench.service.submit(text)
        assert Path(receipt.manifest_path).parent == bench.layout.drop
        assert (await bench.ended(receipt.job_id))["status"] == "completed"


async def test_what_an_exporter_calls_a_guest_is_not_lost_to_the_name_of_a_file(base: Path) -> None:
    async with workbench(base, run=False) as bench:
        path = disk(base)
        artifacts = {
            "manifest_version": "1.0",
            "disks": [{"id": "a", "source_format": "raw", "bytes": path.stat().st_size, "local_path": str(path)}],
        }
        for told, job in (("erp01", "erp01-"), ("erp/01", "erp_01-"), (".erp01", "saved-"), ("", "saved-")):
            text = json.dumps({**artifacts, "vm": {"name": told}}).encode()
            receipt = await bench.service.submit(text, default_name="saved")
            assert receipt.job_id.startswith(job)
            written = json.loads(Path(receipt.manifest_path).read_bytes())
            assert (written["vm"]["name"], written.get("name")) == (told, None if told else "saved")


async def test_what_the_rules_refuse_is_not_submitted(base: Path) -> None:
    async with workbench(base) as bench:
        with pytest.raises(ManifestInvalidError) as raised:
            await bench.service.submit(b"{}")
        assert not raised.value.validation.valid
        assert os.listdir(bench.layout.drop) == []
        validation = await bench.service.validate(manifest("/nowhere"))
        assert validation.valid


async def test_submissions_at_once_are_jobs_of_their_own_unless_they_share_a_key(base: Path) -> None:
    async with workbench(base) as bench:
        await bench.service.pause()
        text = manifest(disk(base))
        receipts = await asyncio.gather(*[bench.service.submit(text) for _ in range(10)])
        assert len({receipt.job_id for receipt in receipts}) == 10
        receipts = await asyncio.gather(*[bench.service.submit(text, "", "key") for _ in range(10)])
        assert len({receipt.job_id for receipt in receipts}) == 1
        assert len(os.listdir(bench.layout.drop)) == 11
        with raises_problem("request-invalid", "Idempotency-Key"):
            await bench.service.submit(manifest("/other"), "", "key")


async def test_a_key_is_known_after_a_restart(base: Path) -> None:
    text = manifest(disk(base))
    async with workbench(base) as bench:
        receipt = await bench.service.submit(text, "", "key")
        assert (await bench.ended(receipt.job_id))["status"] == "completed"
    async with workbench(base) as bench:
        assert await bench.service.submit(text, "", "key") == receipt
        with raises_problem("request-invalid", "Idempotency-Key"):
            await bench.service.submit(text, "", "key", "another name")
        assert (await bench.service.submit(text, "", "other")).job_id != receipt.job_id


async def test_no_more_than_four_large_manifests_are_judged_at_once(base: Path) -> None:
    large = b'{"a": "' + b"x" * 70_000 + b'"}'
    async with workbench(base, run=False) as bench:
        asked = [bench.service.validate(text) for text in (large,) * 6 + (b"{}",) * 6]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(answer, ProblemError) for answer in answers] == [False] * 4 + [True] * 2 + [False] * 6
        refused = answers[4]
        assert isinstance(refused, ProblemError)
        assert (refused.problem.code, refused.retry_after) == ("request-busy", 1)
        assert (await bench.service.validate(large)).parsed


async def test_a_queue_of_disks_takes_manifests_and_job_configs(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        named = {**json.loads(manifest(disk(base), output_path="m")), "name": "web01"}
        config = json.dumps({"input": str(disk(base)), "output_format": "raw"}).encode()
        submitted = [
            await bench.service.submit(json.dumps(named).encode()),
            await bench.service.submit(config),
            await bench.service.submit(config.replace(b'"raw"', b'"vdi"'), default_name="friday"),
        ]
        assert [receipt.job_id.partition("-")[0] for receipt in submitted] == ["web01", "job", "friday"]
        records = [await bench.ended(receipt.job_id) for receipt in submitted]
        assert [(record["status"], record["taken_for"]) for record in records] == [
            ("success", "manifest"),
            ("success", "job-config"),
            ("success", "job-config"),
        ]
        assert records[2]["warnings"] == []  # the name did not get into it
        with pytest.raises(ManifestInvalidError) as raised:
            await bench.service.submit(b'{"jobs": []}')
        assert raised.value.validation.taken_for == "job-config"


async def test_a_queue_of_manifests_takes_no_job_config(base: Path) -> None:
    async with workbench(base, run=False) as bench:
        validation = await bench.service.validate(b'{"input": "a.raw"}')
        assert (validation.taken_for, validation.valid) == ("manifest", False)
