"""The metrics: each event counted once, in both formats, as the page of docs/ tells them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypersdkd_plugins.metrics import Plugin
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from hypersdkd.model.change import Change
from hypersdkd.model.event import EventType
from hypersdkd.model.stage import Stage
from hypersdkd.spec.ports import Counts
from hypersdkd.spec.types import Request

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool", path=f"{Path(sys.executable).parent}:/usr/bin")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: script/setup fetches it")

LATER = "2999-01-01T00:00:{:06.3f}Z"
LONG_AGO = "2001-01-01T00:00:{:06.3f}Z"


def counts(**changed: object) -> Counts:
    values: dict[str, object] = {
        "version": "1.2.3",
        "jobs": {"pending": 3, "completed": 2},
        "workers_running": 1,
        "max_workers": 4,
        "rescans": {"start": 4},
        "requests": {("/healthz", "GET", 200): 7},
        "plugin_errors": {"acme": 5},
    }
    return Counts(**{**values, **changed})  # type: ignore[arg-type]


def ask(plugin: Plugin, accept: str = "", **changed: object) -> tuple[str, str]:
    """The reply's text and its content type."""
    (endpoint,) = plugin.hypersdkd_endpoints()
    response = endpoint.answer(Request({}, {"accept": accept} if accept else {}), counts(**changed))
    assert response.status == 200
    return response.body.decode(), response.content_type


def samples(plugin: Plugin, **changed: object) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels (in the order of their names), buckets left out."""
    families = text_string_to_metric_families(ask(plugin, **changed)[0])
    return {
        (sample.name.removeprefix("hypersdkd_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def tell(plugin: Plugin, *changes: tuple[str, Mapping[str, object]]) -> None:
    (subscriber,) = plugin.hypersdkd_subscribers()
    subscriber.hear([Change(str(number), *change) for number, change in enumerate(changes)])


def event(type_: EventType, second: float, times: str = LATER, **data: object) -> tuple[str, Mapping[str, object]]:
    row = {"job": "a.json", "vm": "a", "seq": 1, "stage": "convert", "time": times.format(second)}
    return "guest", {**row, "type": type_.value, **data}


def conversion(times: str = LATER) -> list[tuple[str, Mapping[str, object]]]:
    """A guest whose conversion took 12.5 s and has two disks of 1,000 bytes."""
    output = {"kind": "output", "virtual_size": 1000}
    return [
        event(EventType.STARTED, 1, times),
        event(EventType.STAGE_STARTED, 2, times),
        event(EventType.ARTIFACT, 3, times, kind="input", virtual_size=5000),
        event(EventType.STAGE_FINISHED, 14.5, times),
        event(EventType.ARTIFACT, 15, times, **output),
        event(EventType.ARTIFACT, 15, times, **output),
        event(EventType.FINISHED, 16, times),
    ]


def test_what_the_core_counts() -> None:
    found = samples(Plugin())
    assert found["jobs", "pending"] == 3
    assert (found["workers", "busy"], found["workers", "idle"]) == (1, 3)
    assert (found["rescans_total", "start"], found["rescans_total", "overflow"]) == (4, 0)
    assert found["http_requests_total", "200", "GET", "/healthz"] == 7
    assert found["plugin_errors_total", "acme"] == 5
    assert found["build_info", "1.2.3"] == 1


def test_workers_of_a_daemon_before_may_be_more_than_there_are_slots() -> None:
    assert samples(Plugin(), workers_running=6)["workers", "idle"] == 0


def test_a_conversion() -> None:
    plugin = Plugin()
    tell(plugin, ("claimed", {"job": "a.json", "waited_seconds": 2.25}), *conversion())
    tell(plugin, ("ended", {"job": "a.json", "status": "completed", "code": ""}))
    found = samples(plugin)
    assert (found["pickup_seconds_count",], found["pickup_seconds_sum",]) == (1, 2.25)
    assert found["stage_duration_seconds_count", "convert"] == 1
    assert found["stage_duration_seconds_sum", "convert"] == 12.5
    assert found["converted_bytes_total",] == 2000
    assert found["jobs_finished_total", "completed"] == 1
    assert found["events_total", "artifact"] == 3
    assert (found["jobs_finished_total", "cancelled"], found["events_total", "failed"]) == (0, 0)
    assert plugin._attempts == {}


def test_of_an_attempt_that_was_lost_nothing_is_converted() -> None:
    plugin = Plugin()
    tell(plugin, *conversion()[:-1], event(EventType.RECOVERED, 20), *conversion())
    assert samples(plugin)["converted_bytes_total",] == 2000


def test_a_guest_that_failed_has_converted_nothing() -> None:
    plugin = Plugin()
    tell(plugin, *conversion()[:-1], event(EventType.FAILED, 20))
    assert samples(plugin)["converted_bytes_total",] == 0


def test_what_a_former_daemon_heard_is_not_counted_again_but_belongs_to_the_story() -> None:
    plugin = Plugin()
    tell(plugin, *conversion(LONG_AGO))
    assert {number for key, number in samples(plugin).items() if key[0] == "events_total"} == {0}
    assert samples(plugin)["converted_bytes_total",] == samples(plugin)["stage_duration_seconds_count", "convert"] == 0
    tell(plugin, *conversion(LONG_AGO)[:-1], event(EventType.FINISHED, 1))
    found = samples(plugin)
    assert (found["converted_bytes_total",], found["events_total", "finished"]) == (2000, 1)


def test_a_stage_whose_beginning_nobody_heard_has_no_duration() -> None:
    plugin = Plugin()
    tell(plugin, event(EventType.STAGE_FINISHED, 3))
    assert samples(plugin)["stage_duration_seconds_count", "convert"] == 0


def test_guests_of_a_job_that_ended_without_a_word_of_them_are_forgotten() -> None:
    plugin = Plugin()
    tell(plugin, *conversion()[:3], ("ended", {"job": "a.json", "status": "failed", "code": "internal"}))
    assert plugin._attempts == {}


def test_other_changes_count_nothing() -> None:
    plugin = Plugin()
    before = samples(plugin)
    tell(plugin, ("job", {"id": "a.json", "status": "gone"}), ("daemon", {"paused": True}), ("reset", {}))
    assert samples(plugin) == before


def test_no_counter_goes_back_when_plugins_are_read_again() -> None:
    plugin = Plugin()
    found = [samples(plugin, plugin_errors={"acme": number})["plugin_errors_total", "acme"] for number in (5, 0, 1, 1)]
    assert found == [5, 5, 6, 6]


def test_two_daemons_in_a_process_share_nothing() -> None:
    first, second = Plugin(), Plugin()
    tell(first, *conversion())
    assert samples(second)["events_total", "finished"] == 0


# -- formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1", "application/openmetrics-text; version=1.0.0"),
        ("text/plain; version=1.0.0; escaping=allow-utf-8", "text/plain; version=1.0.0"),
        ("application/openmetrics-text; version=x.y", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0; escaping=nonsense", "text/plain; version=0.0.4"),
        ("text/plain; version=9.0.0<script>", "text/plain; version=0.0.4"),
    ],
)
def test_the_format_is_the_one_that_was_asked_for(accept: str, content_type: str) -> None:
    text, given = ask(Plugin(), accept)
    assert given.startswith(content_type)
    families = openmetrics_families if "openmetrics" in given else text_string_to_metric_families
    assert "hypersdkd_jobs" in {family.name for family in families(text)}
    assert ("_created" in text) == ("openmetrics" in given)


_WORDS = st.sampled_from(
    [
        "application/openmetrics-text",
        "text/plain",
        ";",
        ",",
        "version=",
        "1.0.0",
        "9",
        ".",
        "escaping=",
        "dots",
        "q=0.5",
    ]
)


@given(st.lists(_WORDS | st.text(max_size=4)).map("".join))
def test_no_accept_header_makes_it_fail(accept: str) -> None:
    text, content_type = ask(Plugin(), accept)
    assert text
    assert content_type.isprintable()


@needs_promtool
def test_promtool_has_nothing_to_say() -> None:
    plugin = Plugin()
    tell(plugin, ("claimed", {"job": "a.json", "waited_seconds": 2.25}), *conversion())
    assert promtool("check", "metrics", text=ask(plugin)[0]) == ""


# -- docs and examples ----------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "metrics.md").read_text()
TABLE = {
    name: (kind, tuple(re.findall(r"`(\w+)`", labels)), meaning)
    for name, kind, labels, meaning in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$", PAGE, re.MULTILINE)
}


def exposed() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Each metric with its type and labels, as OpenMetrics says them."""
    plugin = Plugin()
    tell(plugin, ("claimed", {"waited_seconds": 1}), *conversion())
    families = openmetrics_families(ask(plugin, "application/openmetrics-text; version=1.0.0")[0])
    found = {}
    for family in families:
        name, kind = family.name, family.type
        if kind in {"counter", "info"}:
            name, kind = (f"{name}_total", kind) if kind == "counter" else (f"{name}_info", "gauge")
        labels = {label: None for sample in family.samples for label in sample.labels if label != "le"}
        found[name] = (kind, tuple(sorted(labels)))
    return found


def test_every_metric_and_nothing_else_is_told() -> None:
    assert {name: (kind, tuple(sorted(labels))) for name, (kind, labels, _) in TABLE.items()} == exposed()


def test_every_value_of_a_label_is_told() -> None:
    for name, *values in samples(
        Plugin(), jobs=dict.fromkeys(("pending", "processing", "completed", "failed", "cancelled"), 0)
    ):
        metric = re.sub(r"_(sum|count)$", "", f"hypersdkd_{name}")
        if metric in TABLE and {*TABLE[metric][1]} & {"state", "status", "stage", "reason"}:
            assert f"`{values[0]}`" in TABLE[metric][2], metric
    assert all(f"`{stage.value}`" in TABLE["hypersdkd_stage_duration_seconds"][2] for stage in Stage)


def test_what_is_asked_of_prometheus_names_metrics_that_there_are() -> None:
    texts = [PAGE, *(path.read_text() for path in (ROOT / "etc" / "prometheus").iterdir())]
    named = {name for text in texts for name in re.findall(r"\bhypersdkd_[a-z_]+", text)}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named} == TABLE.keys()


@needs_promtool
def test_the_examples_are_what_prometheus_takes() -> None:
    place = ROOT / "etc" / "prometheus"
    assert "4 rules found" in promtool("check", "rules", str(place / "hypersdkd-rules.yml"))
    assert "is valid" in promtool("check", "config", str(place / "hypersdkd-scrape.yml"))


@needs_promtool
@pytest.mark.parametrize(
    ("series", "alerts"),
    [
        ({'up{job="hypersdkd"}': "0x60"}, {"HypersdkdDown"}),
        ({'up{job="hypersdkd"}': "1x60"}, set()),
        (
            {
                'hypersdkd_jobs_finished_total{status="failed"}': "0+1x60",
                'hypersdkd_jobs_finished_total{status="completed"}': "0x60",
            },
            {"HypersdkdJobsFail"},
        ),
        (
            {
                'hypersdkd_jobs_finished_total{status="failed"}': "0+1x60",
                'hypersdkd_jobs_finished_total{status="completed"}': "0+3x60",
            },
            set(),
        ),
        (
            {
                'hypersdkd_jobs{state="pending"}': "2x60",
                'hypersdkd_workers{state="idle"}': "1x60",
                "hypersdkd_pickup_seconds_count": "5x60",
            },
            {"HypersdkdQueueStands"},
        ),
        (
            {
                'hypersdkd_jobs{state="pending"}': "2x60",
                'hypersdkd_workers{state="idle"}': "0x60",
                "hypersdkd_pickup_seconds_count": "5x60",
            },
            set(),
        ),
        ({'hypersdkd_plugin_errors_total{plugin="acme"}': "0x50 1x10"}, {"HypersdkdPluginFails"}),
    ],
)
def test_an_alert_fires_when_it_should_and_only_then(
    series: Mapping[str, str], alerts: set[str], tmp_path: Path
) -> None:
    """After an hour of ``series``: a value a minute, as promtool writes them."""
    rules = ROOT / "etc" / "prometheus" / "hypersdkd-rules.yml"
    expected = {name: int(name in alerts) for name in re.findall(r"alert: (\w+)", rules.read_text())}
    assert alerts <= expected.keys()
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                "eval_time": "60m",
                "exp_samples": [{"labels": "{}", "value": number}],
            }
            for name, number in expected.items()
        ],
    }
    test = tmp_path / "test.yml"  # JSON is YAML too
    test.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [case]}))
    promtool("test", "rules", str(test))


def test_the_scrape_job_of_the_page_is_that_of_the_example() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert shown in (ROOT / "etc" / "prometheus" / "hypersdkd-scrape.yml").read_text()


def promtool(*words: str, text: str = "") -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *words], input=text, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
