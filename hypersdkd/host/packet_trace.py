"""What a guest's network card said: the few packets that tell its addresses, out of a QEMU filter-dump.

Formats: pcap's file (draft-ietf-opsawg-pcap), Ethernet, ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), DHCP (RFC
2131).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: Bytes of a trace that are read.
TRACE_LIMIT: Final = 4 << 20

_FILE_HEADER: Final = 24
_MAGIC: Final = 0xA1B2C3D4
_RECORD: Final = struct.Struct("=IIII")
_ARP, _IPV4, _IPV6, _VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
_DHCP_COOKIE: Final = bytes.fromhex("63825363")

#: DHCP options: what a client asks for, and what it says it is.
_REQUESTED, _VENDOR_CLASS, _END, _PAD = 50, 60, 255, 0

#: What firmware says it is: it asks for an address to boot from the network, before any system runs.
_FIRMWARE: Final = (b"PXEClient", b"HTTPClient")


@dataclass(frozen=True, slots=True)
class Said:
    """That a card of this ``mac`` used, or asked for, this ``address``; ``how``: ``arp dhcp ipv4 ipv6``."""

    mac: str
    how: str
    address: str


def said(trace: bytes) -> tuple[Said, ...]:
    """Each once, in order. What is no packet that tells an address is passed over, as is the firmware's own."""
    return tuple(dict.fromkeys(found for frame in _frames(trace) if (found := _of_frame(frame)) is not None))


def question(address: str) -> bytes:
    """A frame that asks who has an IPv4 address, from nobody: an ARP probe of RFC 5227. Raises ``ValueError``."""
    asker = b"\x02hyper"  # of our own: its second lowest bit is set
    asked = ipaddress.IPv4Address(address).packed
    body = struct.pack(">HHBBH", 1, _IPV4, 6, 4, 1) + asker + bytes(4) + bytes(6) + asked
    return (b"\xff" * 6 + asker + _ARP.to_bytes(2) + body).ljust(60, b"\0")


def _frames(trace: bytes) -> Iterator[bytes]:
    if len(trace) < _FILE_HEADER or struct.unpack_from("=I", trace)[0] != _MAGIC:
        return
    position = _FILE_HEADER
    while position + _RECORD.size <= len(trace):
        _, _, size, _ = _RECORD.unpack_from(trace, position)
        position += _RECORD.size
        yield trace[position : position + size]
        position += size


def _of_frame(frame: bytes) -> Said | None:
    mac, kind, payload = frame[6:12].hex(":"), int.from_bytes(frame[12:14]), frame[14:]
    if kind == _VLAN:
        kind, payload = int.from_bytes(payload[2:4]), payload[4:]
    how, address = "", b""
    if kind == _ARP and len(payload) >= 28:
        # A client that makes sure that an address is free (RFC 5227) does not use it as its own yet.
        how, address = "arp", payload[14:18] if any(payload[14:18]) else payload[24:28]
    elif kind == _IPV4 and len(payload) >= 20:
        how, address = _of_ipv4(payload)
    elif kind == _IPV6 and len(payload) >= 40:
        how, address = "ipv6", payload[8:24]
    return Said(mac, how, str(ipaddress.ip_address(address))) if any(address) else None


def _of_ipv4(packet: bytes) -> tuple[str, bytes]:
    header = (packet[0] & 0xF) * 4
    ports = packet[header : header + 4]
    if packet[9] == 17 and ports == bytes((0, 68, 0, 67)):
        return "dhcp", _of_dhcp(packet[header + 8 :])
    return "ipv4", packet[12:16]


def _of_dhcp(message: bytes) -> bytes:
    """The address that a client asks for or has; empty where it names none, or is firmware."""
    if message[236:240] != _DHCP_COOKIE:
        return b""
    asked = message[12:16]
    position = 240
    while position + 1 < len(message) and message[position] != _END:
        if message[position] == _PAD:
            position += 1
            continue
        option, size = message[position], message[position + 1]
        value = message[position + 2 : position + 2 + size]
        if option == _VENDOR_CLASS and value.startswith(_FIRMWARE):
            return b""
        if option == _REQUESTED and size == 4 and len(value) == 4:
            asked = value
        position += 2 + size
    return asked
