"""What is used of libguestfs' Python binding, with types; guestfs(3) says what each call does.

Each raises ``RuntimeError``. In the hands of ``host.appliance.Appliance`` a call has a time limit, and what it raises
is a ``ProblemError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Guestfs(Protocol):
    """A handle, made with ``python_return_dict``. Devices and paths are those of the appliance."""

    # -- before the launch

    def set_backend(self, backend: str) -> None:
        """How QEMU is run."""

    def set_backend_settings(self, settings: Sequence[str]) -> None:
        """``force_tcg``, or nothing."""

    def set_tmpdir(self, tmpdir: str) -> None:
        """Where its own small files lie."""

    def set_cachedir(self, cachedir: str) -> None:
        """Where it would keep an appliance that it made."""

    def set_path(self, searchpath: str) -> None:
        """Where the appliance is."""

    def get_path(self) -> str:
        """Where it would look for one."""

    def set_memsize(self, memsize: int) -> None:
        """Memory in MiB."""

    def set_smp(self, smp: int) -> None:
        """Processors."""

    def set_network(self, network: bool) -> None:
        """Whether there is one."""

    def set_autosync(self, autosync: bool) -> None:
        """Whether ``close`` writes out what is mounted."""

    def version(self) -> Mapping[str, int | str]:
        """libguestfs' own."""

    def add_drive(self, filename: str, *, format: str, label: str, cachemode: str) -> None:
        """A disk for the appliance."""

    def launch(self) -> None:
        """Start it."""

    def shutdown(self) -> None:
        """End it, with all that was written."""

    def close(self) -> None:
        """End it at once; nothing may be called any more."""

    # -- devices

    def list_devices(self) -> Sequence[str]:
        """Whole disks."""

    def list_partitions(self) -> Sequence[str]:
        """Partitions of all disks."""

    def list_md_devices(self) -> Sequence[str]:
        """Arrays."""

    def lvs(self) -> Sequence[str]:
        """Logical volumes."""

    def lvm_scan(self, activate: bool) -> None:
        """Look for volumes anew."""

    def blkid(self, device: str) -> Mapping[str, str]:
        """What is in a device."""

    def blockdev_getsize64(self, device: str) -> int:
        """Bytes."""

    def device_index(self, device: str) -> int:
        """A disk's place among those that were added."""

    def part_to_dev(self, partition: str) -> str:
        """A partition's disk."""

    def part_to_partnum(self, partition: str) -> int:
        """A partition's number."""

    def part_get_parttype(self, device: str) -> str:
        """``msdos``, ``gpt`` …"""

    def part_get_gpt_type(self, device: str, partnum: int) -> str:
        """A partition's type."""

    def part_get_mbr_id(self, device: str, partnum: int) -> int:
        """A partition's type."""

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        """Bytes of a device."""

    def cryptsetup_open(self, device: str, key: str, mapname: str) -> None:
        """Open an encrypted device as ``/dev/mapper/MAPNAME``."""

    # -- systems

    def inspect_os(self) -> Sequence[str]:
        """The root devices of all systems."""

    def inspect_get_type(self, root: str) -> str:
        """``linux``, ``windows`` …"""

    def inspect_get_distro(self, root: str) -> str:
        """``debian`` …"""

    def inspect_get_product_name(self, root: str) -> str:
        """As it calls itself."""

    def inspect_get_major_version(self, root: str) -> int:
        """0 if unknown."""

    def inspect_get_minor_version(self, root: str) -> int:
        """0 if unknown."""

    def inspect_get_arch(self, root: str) -> str:
        """``x86_64`` …"""

    def inspect_get_hostname(self, root: str) -> str:
        """As it calls itself."""

    def inspect_get_package_format(self, root: str) -> str:
        """``deb``, ``rpm`` …"""

    def inspect_get_package_management(self, root: str) -> str:
        """``apt`` …"""

    def inspect_get_mountpoints(self, root: str) -> Mapping[str, str]:
        """By its own table, as far as it was understood."""

    # -- files

    def mount_options(self, options: str, mountable: str, mountpoint: str) -> None:
        """Mount for reading and writing."""

    def umount_all(self) -> None:
        """Unmount everything."""

    def statvfs(self, path: str) -> Mapping[str, int]:
        """statvfs(3)."""

    def lstatns(self, path: str) -> Mapping[str, int]:
        """lstat(2)."""

    def realpath(self, path: str) -> str:
        """realpath(3)."""

    def readlink(self, path: str) -> str:
        """readlink(2)."""

    def ls0(self, dir: str, filenames: str) -> None:
        """The names in a directory, each with a NUL, into a file here."""

    def read_file(self, path: str) -> bytes:
        """The whole content."""

    def upload(self, filename: str, remotefilename: str) -> None:
        """From a file here."""

    def upload_offset(self, filename: str, remotefilename: str, offset: int) -> None:
        """The same, into the middle or at the end."""

    def chmod(self, mode: int, path: str) -> None:
        """chmod(2)."""

    def mkdir_p(self, path: str) -> None:
        """With those above it."""

    def rm(self, path: str) -> None:
        """unlink(2)."""

    def ln_s(self, target: str, linkname: str) -> None:
        """symlink(2)."""

    def command(self, arguments: Sequence[str]) -> str:
        """Run a program of the guest."""
