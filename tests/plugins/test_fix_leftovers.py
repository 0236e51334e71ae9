"""Guest tools of the former hypervisor, in a guest."""

from __future__ import annotations

from hypersdkd_plugins.fix_leftovers import fix_leftovers

from tests.plugins.paper_system import Entry, Link, PaperContext, PaperSystem

UNITS = "/etc/systemd/system"
AGENT = "/usr/lib/systemd/system/qemu-guest-agent.service"


def run(files: dict[str, Entry | str]) -> PaperSystem:
    system = PaperSystem(files)
    fix_leftovers(PaperContext(system))
    return system


def test_services_are_disabled_and_stay_installed() -> None:
    kept: dict[str, Entry | str] = {
        f"{UNITS}/multi-user.target.wants/ssh.service": Link("/lib/systemd/system/ssh.service"),
        f"{UNITS}/open-vm-tools.service": "[Service]\n# an administrator's own\n",
        f"{UNITS}/vgauthd.service": Link("/dev/null"),
        "/lib/systemd/system/vboxadd.service": "",
    }
    gone: dict[str, Entry | str] = {
        f"{UNITS}/multi-user.target.wants/vboxadd.service": Link("/lib/systemd/system/vboxadd.service"),
        f"{UNITS}/x.service.requires/hv-kvp-daemon.service": Link("/lib/systemd/system/hv-kvp-daemon.service"),
        f"{UNITS}/run-vmblock\\x2dfuse.mount": Link("/lib/systemd/system/x.mount"),
    }
    assert set(run({**kept, **gone}).files) == set(kept)


def test_init_scripts_are_stopped() -> None:
    system = run(
        {"/etc/rc3.d/S20vmware-tools": Link("../init.d/vmware-tools"), "/etc/init/vmware-tools.conf": "start\n"}
    )
    assert system.files["/etc/rc3.d/K20vmware-tools"] == Link("../init.d/vmware-tools")
    assert "/etc/rc3.d/S20vmware-tools" not in system.files
    assert system.text("/etc/init/vmware-tools.override") == "manual\n"
    assert run(dict(system.files)).changes == ()


def test_a_script_beside_a_unit_of_its_name_is_not_run_anyway() -> None:
    files: dict[str, Entry | str] = {
        "/etc/rc2.d/S01open-vm-tools": Link("../init.d/open-vm-tools"),
        "/lib/systemd/system/open-vm-tools.service": "",
    }
    assert run(files).changes == ()


def test_the_display_and_shared_folders() -> None:
    system = run(
        {
            "/etc/X11/xorg.conf.d/10-x.conf": 'Driver "vmware"\n',
            "/etc/fstab": ".host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0\n",
        }
    )
    assert system.text("/etc/X11/xorg.conf.d/10-x.conf") == 'Driver "modesetting"\n'
    assert "defaults,nofail" in system.text("/etc/fstab")


def test_an_agent_that_was_masked_stays_so() -> None:
    unit = "[Install]\nWantedBy=multi-user.target\n"
    wanted = f"{UNITS}/multi-user.target.wants/qemu-guest-agent.service"
    assert run({AGENT: unit}).files[wanted] == Link(AGENT)
    assert wanted not in run({AGENT: unit, f"{UNITS}/qemu-guest-agent.service": Link("/dev/null")}).files
