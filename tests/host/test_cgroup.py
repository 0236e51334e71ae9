"""Control groups: a process's own, and whether one is there."""

from __future__ import annotations

import os

from hypersdkd.host.cgroup import cgroup_of, exists


def test_a_process_is_in_one_that_exists() -> None:
    own = cgroup_of(os.getpid())
    assert own == "" or own.startswith("/")
    assert not own.strip("/") or exists(own)


def test_what_is_not_there() -> None:
    assert cgroup_of(2**22 + 1) == ""
    assert not exists("/no.slice/such.service")
    assert not exists("")
    assert not exists("/")
