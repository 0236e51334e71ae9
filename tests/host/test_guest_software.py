"""What is installed, as Debian, Fedora, openSUSE and Arch leave it, and as a hostile guest might."""

from __future__ import annotations

import pytest

from hypersdkd.host.guest_software import former_tools, initramfs_tool, kernels, product, selinux
from tests.plugins.paper_system import Entry, Link, PaperSystem


@pytest.mark.parametrize(
    ("release", "image", "initramfs", "more"),
    [
        ("6.1.0-1-amd64", "/boot/vmlinuz-6.1.0-1-amd64", "/boot/initrd.img-6.1.0-1-amd64", {}),
        ("5.14.0-1.el9.x86_64", "/boot/vmlinuz-5.14.0-1.el9.x86_64", "/boot/initramfs-5.14.0-1.el9.x86_64.img", {}),
        ("6.4.0-1-default", "/boot/vmlinuz-6.4.0-1-default", "/boot/initrd-6.4.0-1-default", {}),
        ("6.6.1-arch1-1", "/boot/vmlinuz-linux", "/boot/initramfs-linux.img", {"pkgbase": "linux\n"}),
        ("6.6.1-1", "/lib/modules/6.6.1-1/vmlinuz", "", {"pkgbase": "../../etc\n"}),
    ],
)
def test_kernels(release: str, image: str, initramfs: str, more: dict[str, str]) -> None:
    modules = f"/usr/lib/modules/{release}"
    files: dict[str, Entry | str] = {
        "/lib": Link("usr/lib"),
        f"{modules}/modules.dep": "",
        "/usr/lib/modules/gone/leftover": "",
        image.replace("/lib/", "/usr/lib/"): "MZ",
        **{f"{modules}/{name}": text for name, text in more.items()},
        **({initramfs: "0707"} if initramfs else {}),
    }
    (found,) = kernels(PaperSystem(files))
    assert (found.release, found.image, found.initramfs) == (release, image, initramfs)
    assert found.modules == f"/lib/modules/{release}"


@pytest.mark.parametrize(
    ("token", "path"),
    [
        ("/etc/machine-id", "/boot/efi/0123abcd/6.8.5-1.fc40/initrd"),
        ("/etc/kernel/entry-token", "/efi/0123abcd/6.8.5-1.fc40/initrd"),
    ],
)
def test_a_kernel_that_kernel_install_put_beside_its_loaders_entry(token: str, path: str) -> None:
    modules = "/lib/modules/6.8.5-1.fc40"
    files = {f"{modules}/modules.dep": "", f"{modules}/vmlinuz": "MZ", token: "0123abcd\n", path: "0707"}
    assert [kernel.initramfs for kernel in kernels(PaperSystem(files))] == [path]
    assert [kernel.initramfs for kernel in kernels(PaperSystem({**files, token: "../0123abcd"}))] == [""]


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        ("/usr/sbin/update-initramfs", "initramfs-tools"),
        ("/usr/bin/dracut", "dracut"),
        ("/usr/bin/mkinitcpio", "mkinitcpio"),
        ("/usr/bin/other", ""),
    ],
)
def test_what_makes_the_initramfs(path: str, tool: str) -> None:
    assert initramfs_tool(PaperSystem({path: ""})) == tool


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n", "enforcing"),
        ("SELINUX = permissive # not yet\n", ""),
        ("SELINUX=permissive\n", "permissive"),
        ("", ""),
        (Link("../shadow"), ""),
    ],
)
def test_selinux(text: Entry | str, state: str) -> None:
    assert selinux(PaperSystem({"/etc/selinux/config": text, "/etc/shadow": "SELINUX=enforcing"})) == state


def test_tools_of_the_former_hypervisor() -> None:
    assert former_tools(
        PaperSystem({"/usr/bin/vmtoolsd": "", "/usr/sbin/VBoxService": "", "/usr/bin/VBoxService": ""})
    ) == (
        "open-vm-tools",
        "virtualbox-guest-utils",
    )
    assert former_tools(PaperSystem({})) == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [('ID=x\nPRETTY_NAME="A Linux 1"\n', "A Linux 1"), ("PRETTY_NAME=A\x1b[2J\n", r"A\x1b[2J"), ("ID=x\n", "")],
)
def test_its_name(text: str, name: str) -> None:
    assert product(PaperSystem({"/etc/os-release": Link("../usr/lib/os-release"), "/usr/lib/os-release": text})) == name
    assert len(product(PaperSystem({"/etc/os-release": "PRETTY_NAME=" + "x" * 5000}))) == 200
