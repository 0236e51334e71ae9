"""What tests under a real systemd share. virt-v2v takes minutes without KVM: ``script/test --all-guests`` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guests.recipe import ALL_GUESTS
from tests.systemd.installed import need_a_box

collect_ignore = [] if ALL_GUESTS else ["test_virt_v2v.py"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the box sees as /srv/box."""
    need_a_box()
    shared = tmp_path_factory.mktemp("box")
    shared.chmod(0o755)
    return shared
