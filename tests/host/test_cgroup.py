"""Control groups: a process's own, and whether one is there."""

from __future__ import annotations

import os

from hypersdkd.host.cgroup import cgroup_of, cpu_time, exists


def test_a_process_is_in_one_that_exists() -> None:
    own = cgroup_of(os.getpid())
    assert own == "" or own.startswith("/")
    assert not own.strip("/") or exists(own)


def test_what_is_not_there() -> None:
    assert cgroup_of(2**22 + 1) == ""
    assert not exists("/no.slice/such.service")
    assert not exists("")
    assert not exists("/")


def test_time_is_told_where_it_is_known() -> None:
    own = cgroup_of(os.getpid())
    if own.strip("/") and exists(own):
        before = cpu_time(own)
        assert before is not None
        assert before >= 0
    assert cpu_time("/no.slice/such.service") is None
