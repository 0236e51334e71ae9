"""The benchmarks: each runs real programs and returns numbers with their unit and, where there is one, a limit."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from guest_disk import build_raw, write_tree
from inotify_simple import INotify, flags
from own_daemon import BIN, OwnDaemon, own_daemon

from hypersdkd.engine.guest_files import WorkOrder, guest_run
from hypersdkd.engine.journal import read_journal
from hypersdkd.model.guest import DiskSource, Guest

RESULTS = Path(__file__).resolve().parent.parent / "bench-results"


@dataclass(frozen=True)
class Result:
    """One number. ``limit`` is what it must not be above, ``None`` where nothing is promised."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    note: str = ""


def manifest(source: Path, output_format: str = "qcow2", source_type: str = "raw") -> bytes:
    load = {"source_type": source_type, "source_path": str(source)}
    return json.dumps(
        {"version": "1.0", "pipeline": {"load": load, "convert": {"output_format": output_format}}}
    ).encode()


def wait_for(watch: INotify, name: str) -> None:
    """Until ``name`` was moved into a watched directory."""
    while not any(event.name == name for event in watch.read(timeout=30_000)):
        pass


def pickup(base: Path) -> list[Result]:
    """From the rename into to_be_processed until the file is in processing; the median of 20 on an idle daemon."""
    seconds = []
    with own_daemon(base) as daemon, INotify() as claims, INotify() as ends:
        claims.add_watch(daemon.queue / "processing", flags.MOVED_TO)
        for number in range(21):
            name = f"pickup-{number}.json"
            draft = base / name
            draft.write_bytes(manifest(daemon.exports / "absent.raw"))
            begin = time.perf_counter()
            draft.rename(daemon.queue / "to_be_processed" / name)
            wait_for(claims, name)
            seconds.append(time.perf_counter() - begin)
            today = next((daemon.queue / "failed").iterdir(), None)
            while today is None or not (today / f"{name}.error.json").exists():
                ends.read(timeout=20)  # nothing is watched: a pause, so that the next one meets an idle daemon
                today = next((daemon.queue / "failed").iterdir(), None)
    warm = sorted(seconds[1:])
    return [
        Result("pickup median", statistics.median(warm) * 1000, "ms", 50),
        Result("pickup slowest of 20", warm[-1] * 1000, "ms"),
    ]


def worker(base: Path) -> list[Result]:
    """From starting a worker until its first event is in the journal; the median of 10."""
    seconds = []
    for number in range(10):
        directory = base / f"guest-{number}"
        directory.mkdir()
        guest = Guest("bench", (DiskSource("raw", str(base / "absent.raw")),), outputs=(str(base / "out.qcow2"),))
        WorkOrder("bench", guest, (str(base),)).write(directory)
        begin = time.time()
        subprocess.run(
            guest_run(directory, "bench", "bench").command,
            stderr=subprocess.DEVNULL,
            check=False,
            start_new_session=True,
        )
        seconds.append(datetime.fromisoformat(read_journal(directory)[0].time).timestamp() - begin)
    bare = []
    for _number in range(10):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - begin)
    return [
        Result("worker start median", statistics.median(seconds) * 1000, "ms", 250),
        Result("bare python start median", statistics.median(bare) * 1000, "ms"),
    ]


def convert(base: Path) -> list[Result]:
    """A guest's CONVERT stage, and the guest whole, against bare qemu-img on the same 4 GiB raw disk; medians of 3."""
    tree = base / "tree"
    write_tree(tree, 512)
    bare, stage, whole = [], [], []
    with own_daemon(base) as daemon:
        source = daemon.exports / "source.raw"
        build_raw(source, tree, 4096)
        for number in range(4):
            begin = time.perf_counter()
            output = base / "bare.qcow2"
            subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-W", source, output], check=True)
            elapsed = time.perf_counter() - begin
            output.unlink()
            report = run_job(daemon, f"convert-{number}.json", manifest(source))
            if number == 0:
                continue  # the page cache and the disk are warm from here on
            bare.append(elapsed)
            stage.append(report["stages"]["convert"]["duration_seconds"])
            whole.append(report["vms"][0]["duration_seconds"])
    return [
        Result("convert: bare qemu-img -W", statistics.median(bare), "s"),
        Result("convert: stage against bare", statistics.median(stage) / statistics.median(bare), "x"),
        Result("convert: whole guest against bare", statistics.median(whole) / statistics.median(bare), "x"),
    ]


#: What VMware's export says of a guest with one disk.
_OVF = """<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:r="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
<References><File ovf:id="file1" ovf:href="disk.vmdk" ovf:size="{size}"/></References>
<DiskSection><Info>Disks</Info><Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{capacity}"
 ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
<VirtualSystem ovf:id="bench"><Info>A guest</Info><Name>bench</Name><VirtualHardwareSection><Info>Hardware</Info>
<Item><r:Address>0</r:Address><r:InstanceID>1</r:InstanceID><r:ResourceType>6</r:ResourceType></Item>
<Item><r:AddressOnParent>0</r:AddressOnParent><r:HostResource>ovf:/disk/disk1</r:HostResource>
<r:InstanceID>2</r:InstanceID><r:Parent>1</r:Parent><r:ResourceType>17</r:ResourceType></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>
"""


def build_ova(base: Path, exports: Path) -> tuple[Path, Path]:
    """An OVA of 1 GiB with its ``.mf``, and the disk in it by itself: a streamOptimized VMDK with data of which half
    does not compress."""
    raw, vmdk, descriptor, promise = exports / "disk.raw", exports / "disk.vmdk", base / "bench.ovf", base / "bench.mf"
    write_tree(base / "tree", 2048)
    build_raw(raw, base / "tree", 3072)
    shutil.rmtree(base / "tree")
    options = ["-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", *options, raw, vmdk], check=True)
    descriptor.write_text(_OVF.format(size=vmdk.stat().st_size, capacity=raw.stat().st_size))
    raw.unlink()
    with promise.open("w") as lines:
        for path in (descriptor, vmdk):
            with path.open("rb") as file:
                lines.write(f"SHA256({path.name})= {hashlib.file_digest(file, 'sha256').hexdigest()}\n")
    with tarfile.open(exports / "bench.ova", "w", format=tarfile.USTAR_FORMAT) as archive:
        for path in (descriptor, promise, vmdk):
            archive.add(path, path.name)
    return exports / "bench.ova", vmdk


def sources(base: Path) -> list[Result]:
    """An OVA of 1 GiB, its ``.mf`` verified, against its extracted disk, each the whole guest; medians of 5."""
    whole: dict[str, list[float]] = {"vmdk": [], "ova": []}
    with own_daemon(base) as daemon:
        ova, vmdk = build_ova(base, daemon.exports)
        for number in range(6):
            for kind, source in (("vmdk", vmdk), ("ova", ova)):
                report = run_job(daemon, f"{kind}-{number}.json", manifest(source, source_type=kind))
                if number:  # the page cache is warm
                    whole[kind].append(report["vms"][0]["duration_seconds"])
        size = ova.stat().st_size / (1 << 30)
    disk_seconds, ova_seconds = (statistics.median(whole[kind]) for kind in ("vmdk", "ova"))
    return [
        Result("sources: the extracted disk", disk_seconds, "s"),
        Result("sources: OVA against it", ova_seconds / disk_seconds, "x", 1.15, f"{size:.2f} GiB"),
    ]


def run_job(daemon: OwnDaemon, name: str, content: bytes) -> dict[str, object]:
    """Drop a manifest and wait for its report; the output is removed."""
    draft = daemon.base / name
    draft.write_bytes(content)
    command = [BIN / "hyperctl", "--url", daemon.url, "manifest", "submit", "--wait", draft]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: {name} did not complete:\n{done.stdout}")
    (path,) = (daemon.queue / "processed").glob("*/*.report.json")
    report: dict[str, object] = json.loads(path.read_text())
    shutil.rmtree(daemon.output)
    path.unlink()
    return report


def guest(base: Path) -> list[Result]:
    """The test guest with BIOS, LOAD to VALIDATE without a boot, against virt-v2v of the same file, to qcow2 both."""
    from tests.guests.build import made  # noqa: PLC0415 - needs Debian's guestfs, unlike the other benchmarks
    from tests.guests.converting import convert, convert_by_virt_v2v  # noqa: PLC0415
    from tests.guests.recipe import RECIPES  # noqa: PLC0415

    disks = made(RECIPES[0])
    convert(RECIPES[0], disks, base / "first", boot_test=False)  # makes the appliance, and warms the page cache
    ours = convert(RECIPES[0], disks, base / "ours", boot_test=False)
    theirs = convert_by_virt_v2v(disks, base / "virt-v2v", "qcow2")[1]
    return [
        Result("guest: the whole worker", ours.seconds, "s", note=f"appliances: {ours.launches}"),
        Result("guest: virt-v2v -i disk -o local", theirs, "s"),
        Result("guest: against virt-v2v", ours.seconds / theirs, "x", 0.4),
    ]


def api(base: Path) -> list[Result]:
    """Requests a second over one connection, one after the other, with nothing and with 10,000 jobs waiting."""
    results = []
    with own_daemon(base) as daemon:
        for count in (0, 10_000):
            if count:
                request(daemon, "POST", "/api/workflow/pause")
                for number in range(count):
                    draft = base / "draft.json"
                    draft.write_bytes(b"{}")
                    draft.rename(daemon.queue / f"to_be_processed/job-{number}.json")
                while json.loads(request(daemon, "GET", "/api/workflow/status"))["queue_depth"] < count:
                    time.sleep(0.1)
            for path in ("/api/workflow/status", "/api/workflow/jobs?status=pending&limit=100"):
                rate, slow = request_rate(daemon, path)
                results.append(
                    Result(f"{path.split('/')[-1]}, {count} waiting", rate, "req/s", note=f"p99 {slow:.1f} ms")
                )
    return results


def request(daemon: OwnDaemon, method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(daemon.url).netloc, timeout=30)
    connection.request(method, path)
    content = connection.getresponse().read()
    connection.close()
    return content


def request_rate(daemon: OwnDaemon, path: str, seconds: float = 2) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of their time in milliseconds."""
    connection = http.client.HTTPConnection(urlsplit(daemon.url).netloc, timeout=30)
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        times.append(time.perf_counter() - begin)
    connection.close()
    return len(times) / sum(times), statistics.quantiles(times, n=100)[98] * 1000


BENCHMARKS: dict[str, Callable[[Path], list[Result]]] = {
    "pickup": pickup,
    "worker": worker,
    "convert": convert,
    "sources": sources,
    "guest": guest,
    "api": api,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description="Measures; prints a table and writes JSON.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all without one")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    results: list[Result] = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="hypersdkd-bench-") as base:
            found = BENCHMARKS[name](Path(base))
        for result in found:
            limit = f"  (at most {result.limit:g})" if result.limit is not None else ""
            print(f"{result.name:<40} {result.value:>10.2f} {result.unit:<6} {result.note}{limit}", flush=True)
        results += found
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    path.write_text(json.dumps({"machine": machine, "results": [asdict(result) for result in results]}, indent=2))
    print(f"written to {path}")
    above = [result.name for result in results if result.limit is not None and result.value > result.limit]
    if above:
        print(f"above its limit: {', '.join(above)}", file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
