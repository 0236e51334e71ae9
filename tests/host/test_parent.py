"""Names of a parent are file names alone, wherever it was."""

from __future__ import annotations

from hypersdkd.host.parent import path_names


def test_names() -> None:
    paths = (
        "C:\\VMs\\base.vhd",
        ".\\base.vhd",
        "../../etc/passwd",
        "file:///srv/a%20b.vhd",
        "\\\\?\\Volume{1}\\c.vhdx\0rubbish",
        "D:\\",
        "..",
        "a\\..",
        "",
    )
    assert path_names(paths) == ("base.vhd", "passwd", "a b.vhd", "c.vhdx")


def test_an_address_cannot_smuggle_a_path() -> None:
    assert path_names(["file:///a%2f..%2f..%5cshadow%00x"]) == ("shadow\0x",)  # no file can have that name
