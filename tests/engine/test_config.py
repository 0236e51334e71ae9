"""The configuration: found, read, judged whole, and said back in the operator's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.engine.config import (
    ConfigInvalidError,
    LoadedConfig,
    Mode,
    load_config,
)
from hypersdkd.engine.config_read import describe
from hypersdkd.model.problem import ProblemError

#: As the first users of the workflow daemon wrote it; it must go on working.
FIRST_FILE = """\
mode: manifest
workflow:
  base_dir: /var/lib/hyper2kvm/manifest-workflow
  max_workers: 3
  poll_interval: 2
"""


def load(tmp_path: Path, text: str) -> LoadedConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path, base_dirs={"manifest": tmp_path / "m", "disk": tmp_path / "d"})


def errors(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigInvalidError) as caught:
        load(tmp_path, text)
    assert {problem.code for problem in caught.value.problems} == {"config-invalid"}
    assert caught.value.problem == caught.value.problems[0]
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    "text",
    [
        FIRST_FILE,
        "mode: manifest\nworkflow: {base_dir: /var/lib/hyper2kvm/manifest-workflow, max_workers: 3, poll_interval: 2}",
        '{"mode": "manifest", "workflow": {"base_dir": "/var/lib/hyper2kvm/manifest-workflow", "max_workers": 3, '
        '"poll_interval": 2}}',
    ],
)
def test_the_first_file_works(tmp_path: Path, text: str) -> None:
    loaded = load(tmp_path, text)
    assert (loaded.mode, loaded.warnings) == ("manifest", ())
    workflow = loaded.settings.workflow
    assert workflow.base_dir == Path("/var/lib/hyper2kvm/manifest-workflow")
    assert (workflow.max_workers, workflow.poll_interval) == (3, 2.0)
    assert workflow.outputs == Path("/var/lib/hyper2kvm/manifest-workflow/output")


@pytest.mark.parametrize("text", ["", "# nothing\n", "workflow:\napi:\nplugins:\nmode:\n", "{}"])
def test_nothing_set_means_the_defaults(tmp_path: Path, text: str) -> None:
    settings = load(tmp_path, text).settings
    assert settings.api.listen == ("127.0.0.1:8080",)
    assert settings.workflow.source_dirs[0] == Path("/var/lib/libvirt/images")
    assert settings.executor == "local"


def test_all_errors_at_once_each_with_its_path(tmp_path: Path) -> None:
    found = errors(
        tmp_path,
        """
mode: manifes
workflo: {}
max_workers: 3
workflow: {max_worker: 3, max_workers: '3', poll_interval: true, base_dir: q, source_dirs: [1], output_dirs: /x}
maps: {networks: [a]}
api: {listen: ['vm.example:80', nowhere, '::1:8'], tls: {cert: /x}, tokens_file: t, names: ['https://x']}
plugins: {dirz: [x], webhook: {url: a}, disabled: a}
executor: dask
logging: {level: INFO}
manifest_workflow_mode: maybe
""",
    )
    assert found["workflo"] == "unknown key; did you mean workflow?"
    assert found["max_workers"] == "unknown key; did you mean workflow.max_workers?"
    assert found["workflow.max_worker"] == "unknown key; did you mean max_workers?"
    assert found["plugins.dirz"] == "unknown key; did you mean dirs?"
    assert found["workflow.max_workers"] == "must be a whole number, not '3'"
    assert found["workflow.poll_interval"] == "must be a number, not True"
    assert found["workflow.output_dirs"] == "must be a list, not '/x'"
    assert "must be an absolute path" in found["workflow.base_dir"]
    assert "not an IP address" in found["api.listen[0]"]
    assert "HOST:PORT" in found["api.listen[1]"]
    assert "brackets" in found["api.listen[2]"]
    assert found["api.tls"] == "needs cert and key, or neither"
    assert "must be an absolute path" in found["api.tokens_file"]
    assert "not a host's name" in found["api.names[0]"]
    assert "not available yet" in found["executor"]
    assert set(found) == {
        "mode", "workflo", "max_workers", "workflow.max_worker", "workflow.max_workers", "workflow.poll_interval",
        "workflow.base_dir", "workflow.source_dirs[0]", "workflow.output_dirs", "maps.networks", "api.listen[0]",
        "api.listen[1]", "api.listen[2]", "api.tls", "api.tokens_file", "api.names[0]", "plugins.dirz",
        "plugins.disabled", "executor", "logging.level", "manifest_workflow_mode",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: duplicate key 'a'"),
        ("workflow:\n  base_dir: /a\n  base_dir: /b\n", "duplicate key 'base_dir'"),
        ("[mode]", "not a mapping"),
        ("workflow: {max_workers: 3", "line 1"),
        ("1: 2", "the key 1 is not text"),
        ("mode: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("[" * 1200, "recursion"),
        ("mode: \x00", "unacceptable character"),
        ("#" * (1 << 20) + "#", "larger than"),
    ],
)
def test_what_is_no_configuration_is_said_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (found,) = errors(tmp_path, text).values()
    assert message in found
    assert "config.yaml" in found


def test_an_output_inside_the_queue_would_be_taken_as_work(tmp_path: Path) -> None:
    found = errors(tmp_path, "workflow: {base_dir: /q, output_dir: /q/to_be_processed/out}")
    assert "to_be_processed" in found["workflow"]


def test_flat_values_are_judged_as_well(tmp_path: Path) -> None:
    found = errors(tmp_path, "cmd: local\noutput_dir: ./out\nmax_concurrent_jobs: many\n")
    assert set(found) == {"cmd", "workflow.output_dir", "workflow.max_workers"}


def test_a_named_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ProblemError) as caught:
            load_config(path)
        assert caught.value.problem.code == "config-missing"
        assert describe([caught.value.problem]).count(str(path)) == 1


def test_search_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    assert load_config(None, search=(first, second)).path is None
    second.write_text("logging: {level: error}")
    assert load_config(None, search=(first, second)).settings.logging.level == "error"
    first.write_text("logging: {level: debug}")
    assert load_config(None, search=(first, second)).path == first
    first.unlink()
    first.symlink_to(tmp_path / "gone")
    with pytest.raises(ProblemError, match="first"):
        load_config(None, search=(first, second))


@pytest.mark.parametrize(
    ("files", "mode", "reason"),
    [
        ([], "manifest", "no default directory exists"),
        (["d/to_be_processed/"], "disk", "only"),
        (["m/to_be_processed/"], "manifest", "only"),
        (["m/to_be_processed/", "d/to_be_processed/a.VMDK"], "disk", "holds work"),
        (["m/to_be_processed/a.json", "d/to_be_processed/a.vmdk"], "manifest", "does not decide"),
        (["m/", "d/"], "manifest", "does not decide"),
    ],
)
def test_mode_found_out_from_the_default_directories(tmp_path: Path, files: list[str], mode: Mode, reason: str) -> None:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(parents=True, exist_ok=True) if name.endswith("/") else path.touch()
    loaded = load(tmp_path, "")
    assert (loaded.mode, loaded.settings.workflow.base_dir) == (mode, tmp_path / mode[0])
    assert reason in loaded.mode_reason


@pytest.mark.parametrize(
    ("name", "mode"), [("a.qcow2", "disk"), ("a.json", "manifest"), ("a.txt", "manifest"), (None, "manifest")]
)
def test_mode_found_out_from_a_named_queue(tmp_path: Path, name: str | None, mode: Mode) -> None:
    (tmp_path / "q/to_be_processed").mkdir(parents=True)
    if name:
        (tmp_path / "q/to_be_processed" / name).touch()
    loaded = load(tmp_path, f"workflow: {{base_dir: {tmp_path}/q}}")
    assert loaded.mode == mode
    assert loaded.mode_reason.startswith("the queue holds")


def test_a_plugin_finds_its_own_settings(tmp_path: Path) -> None:
    plugins = load(tmp_path, "plugins: {webhooks: {url: 'http://x', retries: 3}}").settings.plugins
    assert plugins.settings == {"webhooks": {"url": "http://x", "retries": 3}}


@pytest.mark.parametrize(
    "text",
    [
        "mode: manifest\nworkflow: {base_dir: /q, max_workers: 3, poll_interval: 2}\nexecutor: observe\n",
        "cmd: daemon\nmanifest_workflow_mode: true\nmanifest_workflow_dir: /q\nmax_concurrent_jobs: 3\n"
        "executor: observe\n",
    ],
)
def test_one_line_more_makes_an_observer_of_either_daemons_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    loaded = load_config(tmp_path / "config.yaml")
    workflow = loaded.settings.workflow
    assert (loaded.settings.executor, loaded.mode) == ("observe", "manifest")
    assert (workflow.base_dir, workflow.max_workers) == (Path("/q"), 3)


def test_the_executor_is_the_units_unless_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("{}")
    assert load_config(path).settings.executor == "local"
    monkeypatch.setenv("HYPERSDKD_WORKER_SOCKET", "/run/hypersdkd/worker.sock")
    loaded = load_config(path)
    assert (loaded.settings.executor, loaded.written.executor) == ("systemd", "local")
    for name in ("local", "systemd", "observe"):
        path.write_text(f"executor: {name}")
        assert load_config(path).settings.executor == name
