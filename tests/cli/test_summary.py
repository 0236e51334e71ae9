"""The summary of each kind of manifest, valid or not."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.cli.summary import show_summary
from hypersdkd.cli.terminal import Terminal
from tests.cli.conftest import Run
from tests.cli.test_recordings import GOOD, GUEST


def test_summaries(run: Run) -> None:
    artifact = {
        "manifest_version": "1.0",
        "disks": [{"id": "d1", "source_format": "vmdk", "bytes": 5, "local_path": "/srv/d1.vmdk"}],
    }
    batch = {"version": "1.0", "batch": True, "vms": [{**GUEST, "name": f"vm{number}"} for number in range(60)]}
    disks = [{"source_type": "vmdk", "source_path": f"/srv/{number}"} for number in range(2)]
    several = {**GOOD, "pipeline": {**GOOD["pipeline"], "load": {"disks": disks}}}
    for document, shown in ((artifact, "/srv/d1.vmdk"), (batch, "and 10 more"), (several, "/srv/1")):
        Path("m.json").write_text(json.dumps(document))
        result = run("manifest", "validate", "m.json")
        assert (result.status, shown in result.out) == (0, True)


OFF = {"INSPECT": "false", "FIX": "false", "VALIDATE": "true"}


@pytest.mark.parametrize(
    ("stages", "shown"),
    [
        ({}, OFF),
        ({"validate": None, "fix": {}}, {**OFF, "FIX": "true"}),
        ({"validate": {}, "inspect": {}, "fix": {"grub": {}}}, dict.fromkeys(OFF, "true")),
        ({"validate": {"enabled": False}, "inspect": {"enabled": False}}, dict.fromkeys(OFF, "false")),
        ({"fix": {"enabled": False, "fstab": {"enabled": True}}}, OFF),
        ({"fix": {"fstab": {"enabled": False}, "network": {"enabled": True}}}, {**OFF, "FIX": "true"}),
    ],
)
def test_a_stage_is_shown_as_it_will_run(stages: dict[str, object], shown: dict[str, str]) -> None:
    terminal = Terminal(io.StringIO(), io.StringIO(), {})
    show_summary(terminal, {"pipeline": stages})
    rows = dict(line.split() for line in terminal.out.getvalue().splitlines() if line.split()[0] in OFF)
    assert rows == shown


KEYS = ("batch", "vms", "disks", "manifest_version", "pipeline", "load", "convert", "inspect", "fix", "fstab", "name")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
@settings(max_examples=100)
def test_any_document_can_be_summed_up(document: dict[str, object]) -> None:
    terminal = Terminal(io.StringIO(), io.StringIO(), {})
    show_summary(terminal, document)
    assert terminal.out.getvalue().startswith("Manifest Summary\nINFO  Type: ")
