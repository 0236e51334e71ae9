"""Defining a converted guest: by the real virsh over libvirt's own test driver; faults by a fake one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypersdkd_plugins.define_domain import Plugin, define

from hypersdkd.host.libvirt_domain import Domain, domain_xml
from hypersdkd.model.change import Change
from tests.plugins.fake_tool import fake_tool
from tests.problems import raises_problem


def heard(uri: str) -> Callable[..., None]:
    (subscriber,) = Plugin({"uri": uri}).hypersdkd_subscribers()

    def hear(*events: dict[str, object]) -> None:
        subscriber.hear([Change(str(number), "guest", {"job": "j", **event}) for number, event in enumerate(events)])

    return hear


def written(path: object, vm: str = "a") -> dict[str, object]:
    return {"vm": vm, "type": "finding", "key": "domain_xml", "value": str(path)}


@pytest.mark.skipif(shutil.which("virsh") is None, reason="libvirt-clients is not installed")
def test_libvirt_takes_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "-web 01.xml"
    path.write_bytes(domain_xml(Domain("web01", [(tmp_path / "web01.qcow2", "qcow2")], (), {})))
    define("test:///default", path)
    path.write_text("<domain/>")
    with raises_problem("tool-failed", "virsh define of -web 01.xml failed"):
        define("test:///default", path)


def test_a_guest_is_defined_once_it_has_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tool(tmp_path, monkeypatch, "virsh", f'printf "%s\\n" "$*" >>{tmp_path}/said')
    hear = heard("test:///default")
    hear(written("/out/a.xml"), written("/out/b.xml", "b"), written("/out/c.xml", "c"))
    assert not (tmp_path / "said").exists()
    hear({"vm": "b", "type": "failed"}, {"vm": "c", "type": "started"}, {"vm": "d", "type": "finished"})
    hear(*({"vm": vm, "type": "finished"} for vm in "abc"))
    hear({"vm": "a", "type": "finished"})
    said = (tmp_path / "said").read_text()
    assert said == "--connect test:///default define --validate --file /out/a.xml\n"


def test_one_that_libvirt_refuses_keeps_nobody_from_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tool(tmp_path, monkeypatch, "virsh", f'echo "$6" >>{tmp_path}/said; echo "error: no" >&2; exit 1')
    ends: list[dict[str, object]] = [{"vm": vm, "type": "finished"} for vm in "ab"]
    with raises_problem("tool-failed", "a.xml failed: error: no"):
        heard("test:///default")(written("/out/a.xml"), written("/out/b.xml", "b"), *ends)
    assert (tmp_path / "said").read_text() == "/out/a.xml\n/out/b.xml\n"


@pytest.mark.parametrize("path", ["a.xml", "/etc/passwd", "--help.xml"])
def test_what_is_no_xml_of_ours_is_not_defined(path: str) -> None:
    with raises_problem("tool-failed", "no libvirt XML of ours"):
        define("test:///default", Path(path))


def test_it_is_off_until_a_connection_is_named() -> None:
    assert list(Plugin({}).hypersdkd_subscribers()) == []
    for settings in ({"url": "x"}, {"uri": 1}):
        with pytest.raises(ValueError, match="one setting uri"):
            Plugin(settings)
