"""Appliances as VMware, VirtualBox and oVirt export them, written by us; disks in them are qemu-img's."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import images

VMDK = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
QCOW2 = "http://www.gnome.org/~markmc/qcow-image-format.html"

_HEADS = {
    "vmware": 'xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" '
    'xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/'
    'CIM_ResourceAllocationSettingData"',
    "virtualbox": 'ovf:version="2.0" xmlns="http://schemas.dmtf.org/ovf/envelope/2" '
    'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2" xmlns:vbox="http://www.virtualbox.org/ovf/machine" '
    'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" '
    'xmlns:sasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_StorageAllocationSettingData.xsd"',
    "0.9": 'xmlns:ovf="http://www.vmware.com/schema/ovf/1/envelope" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"',
}


def ovf(
    disks: Sequence[Mapping[str, object]],
    *,
    dialect: str = "vmware",
    name: str = "web01",
    extra: str = "",
    system: str = "",
) -> bytes:
    """A descriptor. A disk: ``file``, and perhaps ``size capacity units format compression bus unit boot id``."""
    files, known, items = [], [], []
    for number, disk in enumerate(disks, start=1):
        attributes = "".join(f' ovf:{key}="{disk[key]}"' for key in ("size", "compression", "chunkSize") if key in disk)
        files.append(f'<File ovf:id="file{number}" ovf:href="{disk["file"]}"{attributes}/>')
        identity = disk.get("id", f"vmdisk{number}")
        boot = ' ovf:boot="true"' if disk.get("boot") else ""
        known.append(
            f'<Disk ovf:diskId="{identity}" ovf:fileRef="file{number}" ovf:capacity="{disk.get("capacity", 16)}" '
            f'ovf:capacityAllocationUnits="{disk.get("units", "byte * 2^20")}" '
            f'ovf:format="{disk.get("format", VMDK)}"{boot}/>'
        )
        item, prefix = ("StorageItem", "sasd") if dialect == "virtualbox" else ("Item", "rasd")
        items.append(
            f"<{item}><{prefix}:AddressOnParent>{disk.get('unit', number - 1)}</{prefix}:AddressOnParent>"
            f"<{prefix}:HostResource>ovf:/disk/{identity}</{prefix}:HostResource>"
            f"<{prefix}:InstanceID>{100 + number}</{prefix}:InstanceID>"
            f"<{prefix}:Parent>{disk.get('bus', 3)}</{prefix}:Parent>"
            f"<{prefix}:ResourceType>17</{prefix}:ResourceType></{item}>"
        )
    body = f"""<Info>A machine</Info><Name>{name}</Name>
  <OperatingSystemSection ovf:id="96" vmw:osType="debian12_64Guest"><Info>The system</Info></OperatingSystemSection>
  <VirtualHardwareSection><Info>Hardware</Info>
  <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
    <rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
  <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
    <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>4096</rasd:VirtualQuantity></Item>
  <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
  <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceType>5</rasd:ResourceType></Item>
  <Item><rasd:Address>1</rasd:Address><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
  {"".join(items)}
  <Item><rasd:Address>00:50:56:AA:BB:01</rasd:Address><rasd:Connection>VM Network</rasd:Connection>
    <rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>
    <rasd:ResourceType>10</rasd:ResourceType></Item>
  {extra}
  </VirtualHardwareSection>"""
    if dialect == "0.9":
        sections = (
            f"<References>{''.join(files)}</References>"
            f'<Section xsi:type="ovf:DiskSection_Type"><Info/>{"".join(known)}</Section>'
            f'<Content ovf:id="{name}" xsi:type="ovf:VirtualSystem_Type">{body}</Content>'
        )
        sections = sections.replace("InstanceID", "InstanceId").replace(' vmw:osType="debian12_64Guest"', "")
        root = "ovf:Envelope"
    else:
        sections = (
            f"<References>{''.join(files)}</References><DiskSection><Info/>{''.join(known)}</DiskSection>"
            f'<VirtualSystem ovf:id="{name}">{body}</VirtualSystem>{system}'
        )
        if dialect == "virtualbox":
            sections = sections.replace(' vmw:osType="debian12_64Guest"', "")
        root = "Envelope"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {_HEADS[dialect]}>{sections}</{root}>'.encode()


def mf(files: Mapping[str, bytes], algorithm: str = "sha256", line: str = "{word}({name})= {digits}\n") -> bytes:
    """Checksums of ``files`` in the spelling of ``line``."""
    word = algorithm.upper()
    rows = [
        line.format(word=word, name=name, digits=hashlib.new(algorithm, data).hexdigest())
        for name, data in files.items()
    ]
    return "".join(rows).encode()


def ova(path: Path, members: Mapping[str, bytes], form: int = tarfile.USTAR_FORMAT) -> Path:
    """An archive of ``members``, in their order."""
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def disk(here: Path, data: bytes, form: str = "vmdk", *options: str) -> bytes:
    """An image of ``data``, in memory; streamOptimized if it is a VMDK."""
    raw, made = here / "data.raw", here / "made.disk"
    raw.write_bytes(data)
    words = [
        word
        for option in options or (("subformat=streamOptimized",) if form == "vmdk" else ())
        for word in ("-o", option)
    ]
    images.qemu_img("convert", "-f", "raw", "-O", form, *words, raw, made)
    content = made.read_bytes()
    raw.unlink()
    made.unlink()
    return content


def gz(data: bytes) -> bytes:
    """Compressed as exporters do."""
    return gzip.compress(data, compresslevel=1)
