"""Which mode a queue was made for: by names, by what documents say, by the records of the past."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.engine import mode_detection
from hypersdkd.engine.config import load_config
from hypersdkd.engine.mode_detection import Holding, holding_of

JOB, JOBS = '{"input": "a.vmdk"}', "jobs:\n  - input: a.vmdk\n"
MANIFEST = "version: '1.0'\npipeline: {}\n"


def queue(base: Path, *files: tuple[str, str]) -> Path:
    for name, text in files:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    return base


@pytest.mark.parametrize(
    ("files", "what", "mode"),
    [
        ([], "", None),
        ([("to_be_processed/a.VDI", "")], "disks", "disk"),
        ([("processing/a.vmdk", ""), ("to_be_processed/a.yaml", MANIFEST)], "disks", "disk"),
        ([("to_be_processed/a.json", JOB)], "job configs", "disk"),
        ([("to_be_processed/a.json", JOBS)], "job configs", "disk"),
        ([("processing/a.YML", JOBS)], "job configs", "disk"),
        ([("to_be_processed/a.yaml", MANIFEST), ("to_be_processed/b.json", JOB)], "job configs", "disk"),
        ([("to_be_processed/a.yaml", MANIFEST), ("to_be_processed/b.json", "{bad")], "manifests", "manifest"),
        ([("to_be_processed/b.json", "{bad"), ("to_be_processed/c.json", "")], "documents that do not tell", None),
        (
            [(f"to_be_processed/{name}", "") for name in (".a.vmdk", "a.vmdk.part", "a.txt", "a.meta.json")],
            "",
            None,
        ),
        (
            [("processed/2026-01-02/a.json", ""), ("processed/2026-01-02/a.json.meta.json", "")],
            "records of disk mode",
            "disk",
        ),
        (
            [
                ("processed/2026-01-02/a.json.meta.json", ""),
                ("processed/2026-01-03/b.json", ""),
                ("processed/2026-01-03/b.json.report.json", ""),
            ],
            "records of manifest mode",
            "manifest",
        ),
        ([("failed/2026-01-02/a.raw", ""), ("failed/2026-01-02/a.raw.error.json", "")], "records of disk mode", "disk"),
        ([("to_be_processed/a.yaml", MANIFEST), ("processed/2026-01-02/a.raw.meta.json", "")], "RECORDS", "disk"),
        ([("to_be_processed/a.json", JOB), ("processed/2026-01-02/a.json.report.json", "")], "job configs", "disk"),
        (
            [("to_be_processed/a.yaml", "x"), ("processed/2026-01-02/a.raw.meta.json", "")],
            "records of disk mode",
            "disk",
        ),
    ],
)
def test_what_a_queue_holds(tmp_path: Path, files: list[tuple[str, str]], what: str, mode: str | None) -> None:
    what = what.replace("RECORDS", "records of disk mode")
    assert holding_of(queue(tmp_path, *files)) == Holding(what, mode)  # type: ignore[arg-type]


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    base = queue(tmp_path, ("to_be_processed/z.json", JOB), ("elsewhere.json", JOB))
    os.mkfifo(base / "to_be_processed/a.json")
    (base / "to_be_processed/b.json").symlink_to(base / "elsewhere.json")
    (base / "to_be_processed/c.json").mkdir()
    assert holding_of(base) == Holding("job configs", "disk")
    (base / "to_be_processed/z.json").unlink()
    assert holding_of(base).mode is None


def test_no_more_is_read_than_a_second_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def reading(path: Path, limit: int) -> bytes:
        read.append(limit)
        return path.read_bytes()[:limit]

    monkeypatch.setattr(mode_detection, "read_regular", reading)
    large = "[" + "0," * (1 << 18) + "0]"
    queue(tmp_path, *((f"to_be_processed/{number}.json", large) for number in range(30)))
    assert holding_of(tmp_path).mode is None
    assert len(read) == 4
    assert read[0] == (2 << 20) + 1
    queue(tmp_path, *((f"to_be_processed/{number}.json", "[]") for number in range(30)))
    read.clear()
    assert holding_of(tmp_path).mode is None
    assert len(read) == 20


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (JOB, "disk", "the queue holds job configs"),
        (MANIFEST, "manifest", "the queue holds manifests"),
        ("{}", "manifest", "the queue holds documents that do not tell"),
    ],
)
def test_the_configuration_says_so(tmp_path: Path, text: str, mode: str, reason: str) -> None:
    base = queue(tmp_path / "q", ("to_be_processed/a.yaml", text))
    (tmp_path / "config.yaml").write_text(f"workflow: {{base_dir: {base}}}")
    loaded = load_config(tmp_path / "config.yaml")
    assert (loaded.mode, loaded.mode_reason) == (mode, reason)


def test_a_restart_does_not_change_the_mode(tmp_path: Path) -> None:
    """All disks are done, and the queue is told by their records."""
    base = queue(tmp_path / "q", ("processed/2026-01-02/a.raw", ""), ("processed/2026-01-02/a.raw.meta.json", "{}"))
    (base / "to_be_processed").mkdir()
    (tmp_path / "config.yaml").write_text(f"workflow: {{base_dir: {base}}}")
    assert load_config(tmp_path / "config.yaml").mode == "disk"
    both = {"manifest": tmp_path / "m", "disk": base}
    (tmp_path / "m").mkdir()
    loaded = load_config(None, search=(), base_dirs=both)  # type: ignore[arg-type]
    assert loaded.mode == "disk"
    assert loaded.mode_reason.endswith(f"only {base} holds work or records: records of disk mode")
