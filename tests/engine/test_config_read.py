"""Reading the file: hyper2kvm's keys, and errors in an operator's words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.config import ConfigInvalidError, LoadedConfig, load_config
from hypersdkd.engine.config_read import describe, is_loopback, read_text, split_address


def load(tmp_path: Path, text: str) -> LoadedConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path)


def test_flat_keys_work_and_each_is_warned_of_once(tmp_path: Path) -> None:
    text = (
        "cmd: daemon\nmanifest-workflow-mode: true\nmanifest_workflow_dir: /m\nworkflow_mode: true\nworkflow_dir: /w\n"
    )
    loaded = load(tmp_path, text + "max_concurrent_jobs: '5'\noutput_dir: /o\ncompress: true\nout_format: raw\n")
    workflow = loaded.settings.workflow
    assert (loaded.mode, workflow.base_dir) == ("manifest", Path("/m")), "with both modes on, manifest wins"
    assert (workflow.max_workers, workflow.outputs) == (5, Path("/o"))
    assert {warning.code for warning in loaded.warnings} == {"config-deprecated"}
    assert sorted(warning.path for warning in loaded.warnings) == sorted(
        [
            "cmd",
            "manifest-workflow-mode",
            "manifest_workflow_dir",
            "workflow_mode",
            "workflow_dir",
            "max_concurrent_jobs",
            "output_dir",
            "compress",
            "out_format",
        ]
    )


def test_flat_disk_mode(tmp_path: Path) -> None:
    loaded = load(tmp_path, "command: daemon\nworkflow_mode: true\nworkflow_dir: /w\nmanifest_workflow_dir: /m\n")
    assert (loaded.mode, loaded.settings.workflow.base_dir) == ("disk", Path("/w"))


def test_own_keys_win_over_flat_ones(tmp_path: Path) -> None:
    loaded = load(tmp_path, "workflow: {max_workers: 7}\nmax_concurrent_jobs: 2\n")
    assert loaded.settings.workflow.max_workers == 7


def test_description_says_each_remedy_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalidError) as caught:
        load(tmp_path, "a: 1\nb: 2\n")
    lines = describe(caught.value.problems).splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["a", "b"]
    assert len(lines) == 3
    assert lines[2].startswith("    ")


@given(st.binary(max_size=200) | st.text(alphabet="abc:[]{}&*!'\"-, \n", max_size=60).map(os.fsencode))
def test_no_text_raises_anything_but_problems(text: bytes) -> None:
    reading = read_text(text, Path("/x"))
    assert reading.problems or isinstance(reading.values, dict)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_in_parts(text: str, parts: tuple[str, int]) -> None:
    assert split_address(text) == parts


@pytest.mark.parametrize(
    "text", ["", ":", "host", "host:", ":80", "::1:80", "h:-1", "h:65536", "h:٣", "h: 80", "h:8_0"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        split_address(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("localhost.", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
