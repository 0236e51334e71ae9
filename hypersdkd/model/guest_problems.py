"""The codes of what can be wrong with a guest's own system, and with the appliance that looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypersdkd.model.code_meaning import CodeMeaning

GUEST_CODES: Final[Mapping[str, CodeMeaning]] = {
    # the appliance
    "appliance-missing": CodeMeaning(
        "libguestfs, which looks into guests, is not installed or not for this Python.",
        "Install it: `apt install python3-guestfs libguestfs-tools linux-image-amd64`.",
    ),
    "appliance-failed": CodeMeaning(
        "The libguestfs appliance did not start, or died.",
        "Run `libguestfs-test-tool` as the daemon's user; it says what is missing.",
    ),
    "appliance-timeout": CodeMeaning(
        "The libguestfs appliance did not answer in time and was ended.",
        "Look for a host without memory or processors to spare, then retry the job.",
    ),
    "appliance-slow": CodeMeaning(
        "The appliance runs without KVM, about ten times slower (a warning).",
        "Give the daemon's user a /dev/kvm that works: load kvm_intel or kvm_amd, allow nested virtualization.",
    ),
    # the guest
    "guest-no-system": CodeMeaning(
        "No operating system was found on the guest's disks, so nothing in it could be fixed.",
        "Leave FIX out for a data disk; name all disks of a guest whose system lies on several.",
    ),
    "guest-encrypted": CodeMeaning(
        "A disk of the guest is encrypted and there is no key for it.",
        "Put its passphrase into a file of mode 0600 and name that in pipeline.inspect.luks_key_file.",
    ),
    "guest-key-unusable": CodeMeaning(
        "The file with the keys of encrypted disks cannot be used.",
        "Write one passphrase a line into a file of the daemon's user or root, chmod 600.",
    ),
    "guest-hibernated": CodeMeaning(
        "Windows was hibernated or not shut down cleanly, so its file system cannot be written.",
        "Start the guest, run `powercfg /h off`, shut it down by `shutdown /s /t 0`, and export it again.",
    ),
    "guest-damaged": CodeMeaning(
        "A file system of the guest cannot be mounted, read or written (a warning where FIX can do without it).",
        "Check it in the running guest (fsck), shut that down cleanly, and export the disk again.",
    ),
    "guest-no-space": CodeMeaning(
        "A file system of the guest has not enough free space for FIX.",
        "Free the space that is named in the running guest, and export the disk again.",
    ),
    "guest-firmware": CodeMeaning(
        "What the disk can boot with is not what the guest was set to (a warning).",
        "Give the converted guest the firmware that the report names.",
    ),
    "guest-file-unusual": CodeMeaning(
        "A file of the guest is not what it should be: a strange link, a device, or far too large.",
        "Look at the file in the guest; turn off the fix that needs it if that is how it shall be.",
    ),
    "virt-v2v-failed": CodeMeaning(
        "virt-v2v, which was to change the guest, ended with an error; nothing was published.",
        "Read its output in the job's log; leave fix.engine out to have a Linux changed without it.",
    ),
    "virt-v2v-warning": CodeMeaning(
        "virt-v2v changed the guest and told of something (a warning).",
        "See whether the guest boots: validate.boot_test does.",
    ),
    "virtio-win-missing": CodeMeaning(
        "What virt-v2v puts into a Windows so that it boots on KVM is not on this host.",
        "Install the virtio-win drivers (or set VIRTIO_WIN) and rhsrvany for virt-v2v, or leave FIX out.",
    ),
    "guest-windows": CodeMeaning(
        "The guest is a Windows, which hypersdkd leaves to virt-v2v and was not tested with (a warning).",
        "Boot the converted guest before the old one is given up.",
    ),
    "boot-failed": CodeMeaning(
        "The converted guest did not boot in a throw-away machine with virtio devices; it was not published.",
        "See the console's log and the picture among the job's artifacts; boot_test: false converts it all the same.",
    ),
    "boot-undecided": CodeMeaning(
        "Whether the converted guest boots is not known (a warning).",
        "See the picture of its screen; with console=ttyS0 on the guest's kernel command line there is more to see.",
    ),
    "boot-network": CodeMeaning(
        "The converted guest boots, and does not answer to the address that its configuration has (a warning).",
        "Log in on its console and compare the names of its interfaces with its network configuration.",
    ),
    "domain-unwritten": CodeMeaning(
        "The libvirt XML could not be written beside the converted disks (a warning).",
        "Make room for its name, or define the guest by `virt-install --import`.",
    ),
    "domain-network": CodeMeaning(
        "A network of the source has no name here; the libvirt XML names libvirt's default (a warning).",
        "Name the network in the configuration's maps.networks, or edit the XML.",
    ),
    "guest-no-virtio": CodeMeaning(
        "A kernel of the guest has no drivers for KVM's virtio devices (a warning).",
        "Install a kernel with virtio in the guest, or give the converted guest a SATA disk and an e1000 card.",
    ),
    "guest-device-unknown": CodeMeaning(
        "The guest's configuration names a device by its bus, and it is not known which one that is (a warning).",
        "Convert all disks of the guest as one job, in boot order; or name the device by UUID in the guest.",
    ),
    "guest-boot-loader": CodeMeaning(
        "A UEFI guest has no loader where firmware looks that has forgotten its boot entry (a warning).",
        "Run `grub-install --force-extra-removable` in the guest before the export, or make the entry by hand.",
    ),
    "guest-network": CodeMeaning(
        "A network interface of the guest may get another name, and so lose its addresses (a warning).",
        "Convert from an OVF, which tells the MAC of each card; or match the interfaces by MAC in the guest.",
    ),
    "guest-command-failed": CodeMeaning(
        "A program of the guest that FIX ran ended with an error.", "Read its output in the detail."
    ),
    "guest-check-failed": CodeMeaning(
        "The guest as it would be converted did not pass a check.",
        "Read what the check found; convert without FIX to get the guest as it is.",
    ),
}
