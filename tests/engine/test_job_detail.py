"""One job whole: in every state it says which files go along with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.job_detail import job_detail
from hypersdkd.model.job import JobState, JobSummary
from tests.engine.fake_executor import FakeExecutor, finish, hang
from tests.engine.workbench import workbench

ROW = JobSummary("job.json", JobState.PENDING)
CLAIM = Claim("job.json", ClaimState.ACTIVE, "job.json", "job.json", "", companions=("a\n.raw",))


async def test_the_companions_of_a_group_are_told_wherever_it_is(tmp_path: Path) -> None:
    executor = FakeExecutor([hang, finish, finish])
    async with workbench(tmp_path / "base", executor, mode="disk", slots=1) as bench:

        async def companions() -> tuple[str, ...]:
            return (await bench.service.job("job.json")).companions

        await bench.service.pause()
        bench.drop("job.json", json.dumps({"jobs": [{"input": "a.raw"}, {"input": "b.raw"}]}).encode())
        for name in ("a.raw", "b.raw"):
            bench.drop(name, b"d")
        await bench.until(lambda: bench.index.next_ready() == "job.json")
        assert await companions() == ("a.raw", "b.raw")
        await bench.service.resume()
        await bench.until(lambda: executor.workers)
        assert await companions() == ("a.raw", "b.raw")
        await bench.service.cancel("job.json")
        await bench.ended("job.json")
        await bench.until(lambda: not bench.index.active)
        detail = await bench.service.job("job.json")
        assert (detail.summary.status, detail.companions) == (JobState.CANCELLED, ("a.raw", "b.raw"))
        assert detail.as_dict()["companions"] == ["a.raw", "b.raw"]


@pytest.mark.parametrize(
    ("claim", "record", "told"),
    [
        (None, None, ("waits",)),
        (CLAIM, None, ("a\\n.raw",)),
        (CLAIM, {"companions": ["theirs"]}, ("theirs",)),
        (CLAIM, {"companions": 5}, ("a\\n.raw",)),
        (Claim("job.json", ClaimState.PENDING, "job.json", "job.json", "", companions=("old",)), None, ("waits",)),
    ],
)
def test_who_says_what_goes_along(claim: Claim | None, record: dict[str, object] | None, told: tuple[str, ...]) -> None:
    assert job_detail(ROW, "/q/x", claim, record, ["waits"]).companions == told
