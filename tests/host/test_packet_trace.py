"""A card's addresses out of a trace of packets, and nothing else out of anything else."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.packet_trace import Said, said

MAC = "00:50:56:aa:bb:01"
RAW_MAC = bytes.fromhex(MAC.replace(":", ""))


def pcap(*frames: bytes) -> bytes:
    header = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536, 1)
    return header + b"".join(struct.pack("=IIII", 1, 2, len(frame), len(frame)) + frame for frame in frames)


def ethernet(kind: int, payload: bytes) -> bytes:
    return b"\xff" * 6 + RAW_MAC + kind.to_bytes(2) + payload


def ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def arp(sender: str, target: str) -> bytes:
    return ethernet(0x0806, bytes.fromhex("0001080006040001") + RAW_MAC + ip(sender) + b"\0" * 6 + ip(target))


def udp(source: str, ports: tuple[int, int], payload: bytes) -> bytes:
    head = bytes((0x45, 0)) + bytes(7) + b"\x11" + b"\0\0" + ip(source) + b"\xff" * 4
    return ethernet(0x0800, head + struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload)


def dhcp(options: bytes, client: str = "0.0.0.0") -> bytes:
    message = bytes(12) + ip(client) + bytes(220) + bytes.fromhex("63825363") + options + b"\xff"
    return udp("0.0.0.0", (68, 67), message)


def test_what_tells_an_address() -> None:
    trace = pcap(
        arp("10.0.2.77", "10.0.2.2"),
        arp("10.0.2.77", "10.0.2.9"),
        arp("0.0.0.0", "10.0.2.78"),
        dhcp(b"\0\x32\x04" + ip("10.0.2.15")),
        dhcp(b"", client="10.0.2.16"),
        udp("10.0.2.79", (40000, 53), b"query"),
        ethernet(0x86DD, bytes(8) + ip("fe80::250:56ff:feaa:bb01") + bytes(16)),
        ethernet(0x8100, b"\0\x05\x08\x06" + arp("10.0.5.1", "10.0.5.2")[14:]),
    )
    assert said(trace) == (
        Said(MAC, "arp", "10.0.2.77"),
        Said(MAC, "arp", "10.0.2.78"),
        Said(MAC, "dhcp", "10.0.2.15"),
        Said(MAC, "dhcp", "10.0.2.16"),
        Said(MAC, "ipv4", "10.0.2.79"),
        Said(MAC, "ipv6", "fe80::250:56ff:feaa:bb01"),
        Said(MAC, "arp", "10.0.5.1"),
    )


def test_firmware_that_asks_for_something_to_boot_is_no_system() -> None:
    vendor = b"\x3c\x09PXEClient"
    assert said(pcap(dhcp(b"\x32\x04" + ip("10.0.2.15") + vendor), dhcp(b""))) == ()


@given(st.lists(st.binary(max_size=80)), st.binary(max_size=60))
def test_noise_is_passed_over(frames: list[bytes], tail: bytes) -> None:
    said(pcap(*frames) + tail)
    said(tail)
    said(pcap(*(ethernet(kind, frame) for frame in frames for kind in (0x0806, 0x0800, 0x86DD))))
    said(pcap(dhcp(tail)))
