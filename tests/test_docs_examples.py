"""Each file of docs/examples is on its page, is valid, and is converted when it is dropped."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hypersdkd.model.job_config import read_job_config
from hypersdkd.model.manifest import read_manifest
from tests.images import MIB, make, qemu_img, raw_disk
from tests.system.daemon_process import DaemonProcess
from tests.system.jobs import Outcome, outcome

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*"))
MANIFESTS = [name for name in FILES if not name.startswith("disk-mode/")]
JOB_CONFIGS = [name for name in FILES if name.startswith("disk-mode/")]

#: Where the examples let the sources be.
SOURCES = "/srv/exports"

OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References><File ovf:href="{disk}" ovf:id="file1" ovf:size="{size}"/></References>
  <DiskSection><Info>Disks</Info>
    <Disk ovf:capacity="16" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1"
        ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id="{name}"><Info>A machine</Info><Name>{name}</Name>
    <VirtualHardwareSection><Info>Hardware</Info>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


def appliance(ovf: Path) -> list[Path]:
    """An OVF and its disk, in the order that an archive of them has."""
    disk = make(ovf.with_name(f"{ovf.stem}-disk1.vmdk"), "subformat=streamOptimized")
    ovf.write_text(OVF.format(disk=disk.name, size=disk.stat().st_size, name=ovf.stem))
    return [ovf, disk]


def archive(path: Path, files: list[Path], mode: str = "w") -> None:
    """A tar archive of ``files`` by their names alone."""
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
        for file in files:
            tar.add(file, file.name)


#: How each source that an example names is made.
MAKERS: dict[str, Callable[[Path], object]] = {
    "web01.vmdk": lambda path: make(path, "subformat=streamOptimized"),
    "shop01.ova": lambda path: archive(path, appliance(path.with_suffix(".ovf"))),
    "crm01/crm01.ovf": appliance,
    "mail01.vhd": lambda path: make(path, form="vpc"),
    "files01.vhdx": make,
    "legacy01.img": raw_disk,
    "cloud01.tar.gz": lambda path: archive(path, [raw_disk(path.with_name("disk.raw"), MIB * 4)], "w:gz"),
    "build01.qcow2": make,
    "lab01.vdi": make,
    "db01-system.vmdk": make,
    "db01-data.img": lambda path: raw_disk(path, 4 * MIB),
    "erp01/disk-0.img": lambda path: raw_disk(path, 8 * MIB, seed=11),
    "erp01/disk-1.img": lambda path: raw_disk(path, 4 * MIB, seed=12),
}

#: What asks for changes of a guest, of which the tests' disks have none.
NO_GUEST = {f"stages/{name}.yaml": "guest-no-system" for name in ("fix-all", "fix-boot-only", "fix-bypath-only")}

#: Waits for a guest to start, minutes long where there is none: its own tests have it.
BOOTED = "stages/boot-test.yaml"

#: What is asked for and left out, with a warning at its place.
WARNED: dict[str, list[str]] = {}


def text(name: str, sources: Path | str = SOURCES) -> str:
    """An example's text, with its sources where they are."""
    return (EXAMPLES / name).read_text().replace(SOURCES, str(sources))


# -- on their page ------------------------------------------------------------------------------------


def test_the_page_has_each_file_and_no_other() -> None:
    page = (EXAMPLES / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[(\S+)\]\(\1\) \| .+ \|$", page, re.MULTILINE)) == FILES


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".yaml")])
def test_it_begins_with_what_it_is_for(name: str) -> None:
    assert text(name).startswith("# ")


def test_each_source_is_named_and_made() -> None:
    named = {path for name in FILES for path in re.findall(rf"{SOURCES}/([\w./-]+)", text(name))}
    assert named == set(MAKERS)


# -- valid --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANIFESTS)
def test_it_is_valid(name: str) -> None:
    validation = read_manifest(text(name).encode(), name.rpartition(".")[2])
    assert validation.problems == ()
    assert [warning.path for warning in validation.warnings] == WARNED.get(name, [])
    assert all(guest.name for guest in validation.guests)


@pytest.mark.parametrize("name", JOB_CONFIGS)
def test_a_job_config_is_valid(name: str) -> None:
    validation = read_job_config(text(name).encode(), name.rpartition(".")[2])
    assert validation is not None
    assert (validation.problems, validation.warnings) == ((), ())


# -- dropped ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    exports = tmp_path_factory.mktemp("examples") / "exports"
    for name, maker in MAKERS.items():
        (exports / name).parent.mkdir(parents=True, exist_ok=True)
        maker(exports / name)
    return exports


@pytest.fixture(scope="module")
def outcomes(exports: Path) -> Iterator[dict[str, Outcome]]:
    """Every manifest dropped at once, and what became of it."""
    dropped = {name: name.replace("/", "-") for name in MANIFESTS if name != BOOTED}
    with DaemonProcess(exports.parent) as daemon:
        for name, job in dropped.items():
            daemon.drop(job, text(name, exports).encode())
        yield {name: outcome(daemon, job) for name, job in dropped.items()}


@pytest.mark.system
@pytest.mark.parametrize("name", [name for name in MANIFESTS if name != BOOTED])
def test_it_ends_as_it_should(outcomes: dict[str, Outcome], name: str) -> None:
    ended = outcomes[name]
    if name in NO_GUEST:
        ended.assert_failed(NO_GUEST[name])
        return
    assert (ended.kind, ended.code) == ("processed", ""), ended.record
    guests = read_manifest(text(name).encode(), name.rpartition(".")[2]).guests
    wanted = [guest.output_format for guest in guests for _disk in guest.disks]
    outputs = ended.record["artifacts"]["outputs"]
    assert [json.loads(qemu_img("info", "--output=json", path).stdout)["format"] for path in outputs] == wanted


@pytest.mark.system
def test_job_configs_are_converted_in_disk_mode(exports: Path, tmp_path: Path) -> None:
    dropped = {name: name.replace("/", "-") for name in JOB_CONFIGS}
    with DaemonProcess(tmp_path, mode="disk", source_dirs=[str(exports)]) as daemon:
        for name, job in dropped.items():
            daemon.drop(job, text(name, exports).encode())
        for name, job in dropped.items():
            ended = outcome(daemon, job)
            assert (ended.kind, ended.record["taken_for"]) == ("processed", "job-config"), ended.record
            validation = read_job_config(text(name).encode(), name.rpartition(".")[2])
            assert validation is not None
            outputs = ended.record["artifacts"]["outputs"]
            found = [json.loads(qemu_img("info", "--output=json", path).stdout)["format"] for path in outputs]
            assert found == [guest.output_format for guest in validation.guests]
