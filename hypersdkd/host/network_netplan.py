"""Interfaces in netplan's files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from hypersdkd.host.network_names import DRIVER, LEFT_DRIVERS, Interface, card_name, mac_of
from hypersdkd.model.problem import ProblemError, fail

_DRIVER: Final = re.compile(
    rf"(\bdriver:[ \t]*)([\"']?)(?:{'|'.join(LEFT_DRIVERS)})\2(?=[ \t]*(?:[,}}#\r]|$))", re.MULTILINE
)

_CONTENT: Final = re.compile(r"^[ \t]*[^\s#]", re.MULTILINE)


def netplan_interfaces(text: str, path: str) -> Iterator[Interface]:
    """The cards of a file. Raises ``guest-file-unusual`` for what is not YAML."""
    if not _CONTENT.search(text):
        return
    # Only a guest with netplan needs a YAML parser, and a worker is to start quickly.
    from hypersdkd.model.yaml_document import parse_yaml  # noqa: PLC0415

    try:
        document = parse_yaml(text.encode(errors="replace").decode())
    except ProblemError as error:
        raise fail("guest-file-unusual", f"{path} in the guest: {error.problem.message}") from error
    network = _object(_object(document).get("network"))
    for key, value in _object(network.get("ethernets")).items():
        card = _object(value)
        match = _object(card.get("match"))
        mac = mac_of(str(match.get("macaddress") or ""))
        given = card.get("set-name") or match.get("name") or ("" if match else key)
        name = card_name(str(given))
        if name or (mac and not given):
            yield Interface(name, path, mac, tuple(_addresses(card.get("addresses"))))


def _addresses(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else ():
        yield str(next(iter(item), "")) if isinstance(item, dict) else str(item)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def driver_replaced(text: str) -> str:
    """Matches by a driver that the guest leaves behind match virtio's; the key has no other meaning in netplan."""
    return _DRIVER.sub(rf"\1\2{DRIVER}\2", text)
