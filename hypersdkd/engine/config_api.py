"""Settings of the API: where it is served, and to whom."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hypersdkd.engine.config_read import is_loopback, split_address
from hypersdkd.engine.config_types import AbsolutePath, Group, SecretPath


def _address(value: str) -> str:
    host, _port = split_address(value)
    try:
        ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ValueError(f"{value!r}: {host} is not an IP address (0.0.0.0 or [::] stand for all)") from None
    return value


def _host_name(value: str) -> str:
    if not value or set(value) & set("/:?#@*[] ") or not value.isascii() or not value.isprintable():
        raise ValueError(f"{value!r} is not a host's name; it stands without scheme, port and wildcard")
    return value


Address = Annotated[str, AfterValidator(_address)]
HostName = Annotated[str, AfterValidator(_host_name)]


class TlsSettings(Group):
    """The server's certificate."""

    cert: SecretPath | None = Field(
        None,
        description="The certificate in PEM, with the chain below it. With it every TCP address speaks TLS and "
        "nothing else. May begin with $CREDENTIALS_DIRECTORY/. Default: none.",
    )
    key: SecretPath | None = Field(
        None,
        description="The certificate's private key in PEM, without a password, that others than its owner and "
        "group cannot read. May begin with $CREDENTIALS_DIRECTORY/. Default: none.",
    )

    @model_validator(mode="after")
    def _both(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("needs cert and key, or neither")
        return self


class ApiSettings(Group):
    """Where the API is served, and to whom."""

    listen: tuple[Address, ...] = Field(
        ("127.0.0.1:8080",),
        strict=False,
        description="Addresses as HOST:PORT or [HOST]:PORT; port 0 takes a free one. One that is not loopback "
        'needs tokens_file and tls. Default: ["127.0.0.1:8080"], where HyperSDK\'s clients look. Empty: no TCP '
        "at all.",
    )
    socket: AbsolutePath | None = Field(
        None,
        description="A unix socket to serve as well; its group may connect (0660), without a token. Default: none.",
    )
    tokens_file: SecretPath | None = Field(
        None,
        description="A file with a line for each bearer token, made by hypersdkd --make-token, that only its owner "
        "(the daemon's user or root) can read. With it every call by TCP needs a token, on loopback too. May begin "
        "with $CREDENTIALS_DIRECTORY/. Default: none.",
    )
    names: tuple[HostName, ...] = Field(
        (),
        strict=False,
        description="Further names by which the daemon is called, such as that of a proxy in front of it. The "
        "names in the certificate, the addresses and localhost need not stand here. Default: none; a call by any "
        "other name is refused.",
    )
    tls: TlsSettings = Field(TlsSettings(), description="The certificate by which TCP is served.")

    @model_validator(mode="after")
    def _beyond_loopback(self) -> ApiSettings:
        lacking = [] if self.tokens_file else ["tokens_file: FILE"]
        lacking += [] if self.tls.cert else ["tls: {cert: FILE, key: FILE}"]
        open_ones = [each for each in self.listen if not is_loopback(split_address(each)[0])]
        if open_ones and lacking:
            reached = ", ".join(open_ones)
            raise ValueError(
                f"other machines can reach {reached}: add {' and '.join(lacking)} below api (docs/access.md)"
            )
        return self
