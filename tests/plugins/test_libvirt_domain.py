"""The libvirt XML of a job: for guests alone, with the networks of the configuration, and never in another's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypersdkd_plugins.libvirt_domain import write_domain

from hypersdkd.model.disk import OutputDisk
from tests.plugins.context import MemoryContext, context_for

NICS = [{"mac": "00:50:56:aa:bb:01", "network": "VM Network"}]


def converted(tmp_path: Path, **findings: object) -> MemoryContext:
    context = context_for(tmp_path, "web01.vmdk", "vmdk")
    path = Path(context.guest.outputs[0])
    context.add_output(OutputDisk(path.with_name(".x"), path, "qcow2", 1 << 20))
    for key, value in findings.items():
        context.finding(key, value)
    return context


@pytest.mark.parametrize("findings", [{}, {"system": {"os_type": ""}}, {"nics": []}, {"source": {"nics": NICS}}])
def test_a_data_disk_gets_none(tmp_path: Path, findings: dict[str, object]) -> None:
    context = converted(tmp_path, **findings)
    write_domain(context)
    assert context.documents == {}


def test_a_guest_gets_one_beside_its_disks(tmp_path: Path) -> None:
    system = {"os_type": "windows", "firmware": "uefi"}
    context = converted(tmp_path, system=system, hardware={"cpus": 4, "memory_bytes": 1 << 30}, nics=NICS)
    context.guest = replace(context.guest, networks={"VM Network": "bridge:br0"})
    write_domain(context)
    root = ElementTree.fromstring(context.documents[".xml"])
    assert root.findtext("name") == "web01" and root.findtext("vcpu") == "4"
    assert [source.get("file") for source in root.iterfind("devices/disk/source")] == [context.guest.outputs[0]]
    assert [source.attrib for source in root.iterfind("devices/interface/source")] == [{"bridge": "br0"}]
    firmware, clock = root.find("os"), root.find("clock")
    assert firmware is not None and firmware.get("firmware") == "efi"
    assert clock is not None and clock.get("offset") == "localtime"
    assert context.findings["domain_xml"] == str(tmp_path / "output/web01.xml")
    assert context.warnings == []


def test_what_cannot_be_done_is_a_warning(tmp_path: Path) -> None:
    context = converted(tmp_path, nics=NICS)
    write_domain(context)
    write_domain(context)
    assert [problem.code for problem in context.warnings] == ["domain-network", "domain-unwritten"]
