"""ESXi's sparse extents: as long as their tables say, or refused. Whole disks of them: ``test_vmdk_disk``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.host.image_file import ImageFile, opened
from hypersdkd.host.image_vmdk_esx import judge_cowd, judge_sesparse
from hypersdkd.model.problem import ProblemError
from tests import images, vmdks
from tests.problems import raises_problem

SIZE = 20 * images.MIB
Judge = Callable[[ImageFile], tuple[int, int]]


def judged(judge: Judge, path: Path) -> tuple[int, int]:
    with opened(path) as image:
        return judge(image)


@pytest.mark.parametrize(("make", "judge", "grain"), [(vmdks.cowd, judge_cowd, 1), (vmdks.sesparse, judge_sesparse, 8)])
def test_the_last_grain_must_be_there(tmp_path: Path, make: Callable[..., Path], judge: Judge, grain: int) -> None:
    """More than 4096 grains of seSparse: the number of a grain is in two parts."""
    path = make(tmp_path / "extent", SIZE, {0: bytes(SIZE)})
    assert judged(judge, path) == (SIZE // 512, grain)
    images.cut(path, path.stat().st_size - 1)
    with raises_problem("image-truncated", "data"):
        judged(judge, path)


@pytest.mark.parametrize(("make", "judge"), [(vmdks.cowd, judge_cowd), (vmdks.sesparse, judge_sesparse)])
def test_nothing_written_yet(tmp_path: Path, make: Callable[..., Path], judge: Judge) -> None:
    assert judged(judge, make(tmp_path / "extent", SIZE, {}))[0] == SIZE // 512


@pytest.mark.parametrize(("make", "judge"), [(vmdks.cowd, judge_cowd), (vmdks.sesparse, judge_sesparse)])
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_read_or_a_problem(
    tmp_path: Path, make: Callable[..., Path], judge: Judge, data: st.DataObject
) -> None:
    path = make(tmp_path / "extent", images.MIB, {8192: bytes(8192)})
    where = data.draw(st.integers(0, 2100))
    images.patch(path, where, data.draw(st.binary(min_size=1, max_size=8)))
    try:
        judged(judge, path)
    except ProblemError as error:
        assert error.problem.code.startswith("image-")
