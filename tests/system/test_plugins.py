"""Plugins that misbehave in every way there is, in a real daemon: each harms nobody but itself."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from hypersdkd.client.http import DaemonRefusedError
from tests.images import MIB, raw_disk
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import manifest, outcome, row, run

pytestmark = pytest.mark.system

#: Seconds within which the API answers, whatever a plugin does.
ANSWER = 1.0

_HEAD = "import os, signal, sys, threading\nfrom hypersdkd.spec.hooks import hookimpl\n"

_CALLS = {
    "hypersdkd_status": "view",
    "hypersdkd_inspect_queue": "queue",
    "hypersdkd_validate_manifest": "text, syntax",
    "hypersdkd_submit_manifest": "submission, drop",
}
_DECLARATIONS = (
    "hypersdkd_loaders",
    "hypersdkd_steps",
    "hypersdkd_executors",
    "hypersdkd_subscribers",
    "hypersdkd_endpoints",
)

#: A subscriber and an endpoint that do what they are said to.
_EARS = """
from hypersdkd.spec.types import Endpoint, Response, Subscriber

@hookimpl
def hypersdkd_subscribers():
    return [Subscriber(__name__, hear)]

@hookimpl
def hypersdkd_endpoints():
    return [Endpoint("/api/plugins/" + __name__.removeprefix("hypersdkd_drop_in_") + "/x", "a test", answer)]

def answer(request, counts):
    return Response(b"heard")
"""

#: A step that does what its guest's name says.
_STEP = """
from hypersdkd.model.problem import fail
from hypersdkd.model.stage import Stage
from hypersdkd.spec.types import Step

def misbehave(context):
    match context.guest.name:
        case "raises": raise RuntimeError("no luck in the step")
        case "exits": sys.exit(3)
        case "refuses": raise fail("misbehaves.own-code", "I will not", remedy="Ask another one.")
        case "dies": os.kill(os.getpid(), signal.SIGKILL)
        case "surrogates": raise RuntimeError("caf\\udce9 \\x1b[31m\\n")

@hookimpl
def hypersdkd_steps():
    return [Step("misbehave", Stage.CONVERT, misbehave, order=1)]
"""

PLUGINS = {
    "import_raises": "raise RuntimeError('no luck at import')\n",
    "import_exits": "import sys\nsys.exit(3)\n",
    "import_syntax": "def broken(:\n",
    "unknown_hook": _HEAD + "@hookimpl\ndef hypersdkd_statsu(view):\n    return {}\n",
    "async_hook": _HEAD + "@hookimpl\nasync def hypersdkd_status(view):\n    return {}\n",
    "wrong_declaration": _HEAD + "@hookimpl\ndef hypersdkd_steps():\n    return ['step']\n",
    "status": _HEAD + "@hookimpl\ndef hypersdkd_status(view):\n    return {'mode': 'stolen'}\n",
    "steals_fields": _HEAD + "@hookimpl\ndef hypersdkd_status(view):\n    return {'mode': 'stolen', 'extra': 1}\n",
    "wrong_answers": _HEAD
    + "".join(f"@hookimpl\ndef {hook}({names}):\n    return 5\n" for hook, names in _CALLS.items()),
    "blocks": _HEAD + "@hookimpl\ndef hypersdkd_status(view):\n    threading.Event().wait()\n",
    "blocks_queue": _HEAD + "@hookimpl\ndef hypersdkd_inspect_queue(queue):\n    threading.Event().wait()\n",
    "blocks_validate": _HEAD
    + "@hookimpl\ndef hypersdkd_validate_manifest(text, syntax):\n"
    + "    b'block here' in text and threading.Event().wait()\n",
    "tells_problems": "from hypersdkd.model.problem import fail\n"
    + _HEAD
    + "".join(
        f"@hookimpl\ndef {hook}({_CALLS[hook]}):\n    raise fail('x', 'a problem')\n" for hook in list(_CALLS)[:2]
    ),
    "misbehaves": _HEAD + _STEP,
    "hears_and_raises": _HEAD + _EARS + "def hear(changes):\n    raise ValueError('no luck in hearing')\n",
    "hears_and_blocks": _HEAD + _EARS + "def hear(changes):\n    threading.Event().wait()\n",
    "takes_metrics": _HEAD + _EARS.replace('"/api', '"/metrics" or "/api') + "hear = print\n",
    **{
        f"raises_{hook}": _HEAD + f"@hookimpl\ndef {hook}({names}):\n    raise ValueError('no luck in {hook}')\n"
        for hook, names in _CALLS.items()
    },
    **{
        f"raises_{hook}": _HEAD + f"@hookimpl\ndef {hook}():\n    raise ValueError('no luck in {hook}')\n"
        for hook in _DECLARATIONS
    },
}

#: What becomes of each once its hook was called, and a part of what its record says.
FATES = {
    "import_raises": ("broken", "no luck at import"),
    "import_exits": ("broken", "SystemExit"),
    "import_syntax": ("broken", "SyntaxError"),
    "unknown_hook": ("broken", "did you mean hypersdkd_status"),
    "async_hook": ("broken", "async"),
    "wrong_declaration": ("broken", "must return Step declarations"),
    "blocks": ("faulty", "did not return within"),
    "blocks_queue": ("faulty", "did not return within"),
    "misbehaves": ("loaded", ""),
    "steals_fields": ("loaded", ""),
    "tells_problems": ("faulty", "a problem"),
    "hears_and_raises": ("faulty", "no luck in hearing"),
    "takes_metrics": ("broken", "/metrics is that of plugin metrics already"),
    "wrong_answers": ("faulty", "must return a"),
    **{f"raises_{hook}": ("faulty", f"no luck in {hook}") for hook in _CALLS},
    **{f"raises_{hook}": ("broken", f"no luck in {hook}") for hook in _DECLARATIONS},
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    running = DaemonProcess(tmp_path_factory.mktemp("plugins"))
    for name, text in PLUGINS.items():
        (running.plugins / f"{name}.py").write_text(text)
    loose = running.plugins / "writable_by_all.py"
    loose.write_text("raise SystemExit\n")
    loose.chmod(0o666)
    with running:
        yield running
        assert running.stop() == 0  # whatever still blocks


@pytest.fixture(scope="module")
def source(daemon):
    return raw_disk(daemon.root / "disk.raw", 4 * MIB)


@pytest.fixture(scope="module")
def called(daemon):
    """Every hook has been called at least once."""
    daemon.api.status()
    daemon.api.queue()
    daemon.api.submit_manifest(manifest("/srv/nothing.raw"))
    return daemon


def quickly(call):
    """The answer, in time."""
    began = time.monotonic()
    answer = call()
    assert time.monotonic() - began < ANSWER
    return answer


def records(daemon):
    return {record["source"]: record for record in daemon.api.status()["plugins"]}


def test_the_first_status_is_answered_in_time_and_whole(daemon):
    """It is the one that finds out who blocks."""
    status = quickly(daemon.api.status)
    assert (status["mode"], status["extra"]) == ("manifest", 1)
    quickly(daemon.api.queue)
    quickly(daemon.api.status)


def test_jobs_go_on(daemon, source):
    assert run(daemon, "goes-on.json", manifest(source)).kind == "processed"
    receipt = quickly(lambda: daemon.api.submit_manifest(manifest("/srv/nothing.raw")))
    outcome(daemon, receipt["job_id"]).assert_failed("source-missing")


@pytest.mark.parametrize("name", FATES)
def test_each_plugin_is_shown_as_what_it_is(called, name):
    record = records(called)[str(called.plugins / f"{name}.py")]
    state, words = FATES[name]
    assert record["state"] == state, record
    if words:
        assert words in record["problem"]["message"]
        assert record["problem"]["remedy"] and name in record["problem"]["message"]


def test_what_is_unsafe_or_has_a_taken_name_is_never_run(daemon):
    shown = records(daemon)
    loose = shown[str(daemon.plugins / "writable_by_all.py")]
    taken = shown[str(daemon.plugins / "status.py")]
    assert loose["state"] == taken["state"] == "refused"
    assert "written by its group" in loose["problem"]["message"]
    assert "taken" in taken["problem"]["message"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("raises", "step-failed", "plugin misbehaves, step misbehave: RuntimeError: no luck in the step"),
        ("exits", "step-failed", "plugin misbehaves, step misbehave: SystemExit: 3"),
        ("refuses", "misbehaves.own-code", "I will not"),
        ("dies", "worker-crashed", "the worker died 2 times"),
        ("surrogates", "step-failed", "RuntimeError"),
    ],
)
def test_a_step_that_misbehaves_fails_its_own_guest(daemon, source, name, code, words):
    failed = run(daemon, f"{name}.json", manifest(source))
    failed.assert_failed(code, words)
    assert failed.record["stage"] == "convert"
    assert failed.record["error"].isprintable()
    assert not list((daemon.base / "output").glob(f"*{name}*"))
    assert row(daemon, f"{name}.json", "failed")["problem"]["code"] == code


def test_a_rule_that_blocks_holds_up_nothing_but_its_first_manifest(daemon, source):
    held = json.dumps(json.loads(manifest("/srv/nothing.raw")) | {"name": "block here"}).encode()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(daemon.api.validate_manifest(held)))
    asking.start()
    daemon.drop("held.json", held)
    until(lambda: (daemon.base / "processing" / "held.json").exists(), daemon.base)
    while asking.is_alive():
        for ask in (daemon.api.healthy, daemon.api.status, daemon.api.queue, daemon.api.active_jobs):
            quickly(ask)
        asking.join(0.5)
    assert answers[0]["valid"] is True
    outcome(daemon, "held.json").assert_failed("source-missing")
    for name in ("blocks_validate", "hears_and_blocks"):
        assert records(daemon)[str(daemon.plugins / f"{name}.py")]["state"] == "faulty"
    assert run(daemon, "after.json", manifest(source)).kind == "processed"
    with pytest.raises(DaemonRefusedError, match="version is required"):
        daemon.api.submit_manifest(b"{}")


def test_an_endpoint_of_a_drop_in_is_published(daemon):
    paths = daemon.api.openapi()["paths"]
    assert {path for path in paths if path.startswith("/api/plugins/")} == {
        "/api/plugins/hears_and_raises/x",
        "/api/plugins/hears_and_blocks/x",
    }


def test_nothing_of_it_reaches_the_log_unescaped(daemon):
    assert all(json.loads(line) for line in daemon.logged())
    assert not Path(daemon.root / "plugins" / "writable_by_all.pyc").exists()
