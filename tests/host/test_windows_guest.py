"""A real appliance over what libguestfs takes for a hibernated Windows on NTFS.

No Windows has been here: its directories, the head of a program, and the mark that it leaves in hibernation's file.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, cast

from hypersdkd.host import qemu_img
from hypersdkd.host.appliance import Appliance, prepare
from hypersdkd.host.guest_inspection import inspect
from tests.guests.tiny import SIZE, boot_record
from tests.problems import raises_problem

#: The head of a program for x86_64: by it the system's architecture is told.
PROGRAM = b"MZ".ljust(60, b"\0") + struct.pack("<I4sH18xH", 64, b"PE\0\0", 0x8664, 0x20B) + bytes(512)

#: What ntfs-3g's own check knows a hibernated system by.
HIBERNATED = b"hibr".ljust(4096, b"\0")


def test_windows_that_was_hibernated_is_refused(tmp_path: Path) -> None:
    disk, overlay = tmp_path / "disk.raw", tmp_path / "overlay.qcow2"
    disk.write_bytes(boot_record())
    os.truncate(disk, SIZE)
    qemu_img.make_overlay(overlay, qemu_img.reference(disk, "raw"), "raw", SIZE)
    files = prepare(Path(os.environ["LIBGUESTFS_CACHEDIR"], "hypersdkd-appliance"))
    with Appliance.launch([overlay], tmp_path, files) as appliance:
        handle = cast(Any, appliance.guestfs)
        handle.mkfs("ntfs", "/dev/sda1")
        handle.part_set_mbr_id("/dev/sda", 1, 7)
        handle.mount("/dev/sda1", "/")
        handle.mkdir_p("/Windows/System32/config")
        handle.write("/Windows/System32/cmd.exe", PROGRAM)
        handle.write("/hiberfil.sys", HIBERNATED)
        handle.umount_all()
        with raises_problem("guest-hibernated", "hibernated") as caught:
            inspect(appliance.guestfs, ())
        assert "powercfg /h off" in caught[0].remedy
        handle.umount_all()
        handle.mount_options("remove_hiberfile", "/dev/sda1", "/")  # and so it was that file alone
        assert not handle.statvfs("/")["flag"] & os.ST_RDONLY
