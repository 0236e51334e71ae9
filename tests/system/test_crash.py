"""Kill -9 of daemon and workers at random moments: nothing lost, nothing twice, nothing half."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.crash import storm


@pytest.mark.system
def test_two_hundred_jobs_survive_twenty_kills(tmp_path: Path) -> None:
    """200 manifests, 20 kills: 200 outputs, each right and each made once."""
    outcome = storm(tmp_path, 200, 20)
    assert outcome.clean, outcome
    assert sum(outcome.kills.values()) == 20
