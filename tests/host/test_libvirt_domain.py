"""libvirt's XML: valid by libvirt's own schema, whatever the guest is called."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.libvirt_domain import Domain, domain_xml
from hypersdkd.model.guest_hardware import Card
from tests.problems import raises_problem

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")

PLAIN = Domain("web01", [(Path("/srv/output/web01.qcow2"), "qcow2")], [], {})
RICH = Domain(
    "a/b <\"&'> \x1b[31m\nü" * 9,
    [(Path(f"/srv/out put/<&>-disk{number}.{kind}"), kind) for number, kind in enumerate(["raw", "vmdk", "vdi"] * 10)],
    [Card("00:50:56:aa:bb:01", "VM Network"), Card("00:50:56:aa:bb:02", "DMZ"), Card("00:50:56:aa:bb:03", "Lab")],
    {"VM Network": "lan", "DMZ": "bridge:br1"},
    cpus=8,
    memory=(3 << 30) + 1,
    uefi=True,
    local_time=True,
)


@pytest.mark.parametrize("domain", [PLAIN, RICH, replace(PLAIN, name=" / "), replace(PLAIN, uefi=True)])
def test_libvirts_schema_takes_it(domain: Domain, tmp_path: Path) -> None:
    path = tmp_path / "domain.xml"
    path.write_bytes(domain_xml(domain))
    done = subprocess.run(
        ["xmllint", "--nonet", "--noout", "--relaxng", str(SCHEMA), str(path)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_what_it_says() -> None:
    root = ElementTree.fromstring(domain_xml(RICH))
    assert "/" not in (root.findtext("name") or "/") and len(root.findtext("name") or "") <= 200
    assert [root.findtext("vcpu"), root.findtext("memory")] == ["8", str((3 << 20) + 1)]
    assert [disk.get("dev") for disk in root.iterfind("devices/disk/target")][24:] == [
        "vdy", "vdz", "vdaa", "vdab", "vdac", "vdad",
    ]  # fmt: skip
    assert [disk.get("file") for disk in root.iterfind("devices/disk/source")][:1] == ["/srv/out put/<&>-disk0.raw"]
    assert [card.attrib for card in root.iterfind("devices/interface/source")] == [
        {"network": "lan"},
        {"bridge": "br1"},
        {"network": "default"},
    ]
    assert [mac.get("address") for mac in root.iterfind("devices/interface/mac")] == [card.mac for card in RICH.cards]
    assert RICH.unmapped() == ("Lab",)


def test_a_guest_of_which_nothing_is_known_has_a_network_card() -> None:
    root = ElementTree.fromstring(domain_xml(PLAIN))
    assert [card.get("type") for card in root.iterfind("devices/interface")] == ["network"]
    assert root.find("devices/interface/mac") is None
    assert [root.findtext("vcpu"), root.findtext("memory")] == ["2", str(2 << 20)]


def test_a_path_that_xml_cannot_hold_is_refused() -> None:
    for path in ("/srv/\x01", "/srv/\udcff"):
        with raises_problem("name-invalid"):
            domain_xml(replace(PLAIN, disks=[(Path(path), "raw")]))


@given(st.text(), st.text(), st.text())
def test_any_text_is_text(name: str, network: str, mapped: str) -> None:
    domain = replace(PLAIN, name=name, cards=[Card("00:50:56:aa:bb:01", network)], networks={network: mapped})
    try:
        root = ElementTree.fromstring(domain_xml(domain))
    except Exception as error:
        assert type(error).__name__ == "ProblemError"
    else:
        assert len(root.findall("devices/interface")) == 1
