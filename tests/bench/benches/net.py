"""iperf3 between the guest and this host's loopback, both ways: e1000 and slirp, beside QEMU's."""
import json
import pathlib
import re
import socket
import subprocess

from .measure import Failure, Sample, ratio, show, table
from .setup import ROOT

SMALL = 1 << 20
WAYS = {"guest sends": "", "guest receives": "-R"}


def program(setup):
    """iperf3 of the guest, run on the host with its own libraries."""
    root = setup.cache / "net-tools"
    lib = "lib/x86_64-linux-gnu"
    return [str(root / lib / "ld-linux-x86-64.so.2"), "--library-path",
            f"{root / lib}:{root / 'usr' / lib}", str(root / "usr/bin/iperf3")]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def initrd(setup):
    """The usual one with the tools behind it."""
    tools, script = setup.cache / "net-tools.gz", ROOT / "scripts" / "make-net-tools"
    if not tools.exists() or tools.stat().st_mtime < script.stat().st_mtime:
        subprocess.run([script], check=True, stdout=subprocess.DEVNULL)
    path = pathlib.Path(setup.work.name) / "initrd-net.gz"
    path.write_bytes(pathlib.Path(setup.initrd()).read_bytes() + tools.read_bytes())
    return str(path)


class Transfer:
    """One run of iperf3: seconds, bytes, what was lost on the way."""

    def __init__(self, result, size):
        self.result = result
        begin, first = result.time_of("PERILUNE: begin iperf")
        end, last = result.time_of("PERILUNE: end iperf status=0")
        self.seconds = end - begin
        self.guest_seconds = float(last.rsplit("=", 1)[1]) - float(first.rsplit("=", 1)[1])
        told = json.loads(result.time_of("PERILUNE: json ")[1].split(" ", 2)[2])
        self.sent, self.received = (told["end"][f"sum_{w}"]["bytes"] for w in ("sent", "received"))
        # What was under way when the client had enough is not lost.
        if self.received < size - (1 << 20):
            raise Failure(f"iperf3 has received {self.received} of {size} bytes")
        self.retransmits = told["end"]["sum_sent"].get("retransmits", 0)
        self.counts = {name: int(value) for name, value in
                       re.findall(r"PERILUNE: count (\w+) (\d+)", result.text())}
        self.lost = sum(value for name, value in self.counts.items()
                        if re.search("missed|no_buffer|dropped|errors|fifo", name))


def transfer(setup, run, how, size):
    port = free_port()
    server = subprocess.Popen([*program(setup), "-s", "-1", "-B", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        result, instructions, drops = run(
            f"console=ttyS0 perilune.test=iperf perilune.port={port} perilune.bytes={size}"
            f" perilune.how={how}")
    finally:
        server.terminate()
        server.wait()
    t = Transfer(result, size)
    t.instructions, t.drops = instructions, drops
    return t


def main(setup):
    kernel, ramdisk = setup.vmlinux(), initrd(setup)
    size = setup.megabytes << 20
    limit = 300 + setup.megabytes
    plugin = str(pathlib.Path(setup.work.name) / "count.so")
    if setup.qemu:
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-Wl,-z,undefs",
                        ROOT / "tests/bench/qemu_count.c", "-o", plugin], check=True)

    def ours(words):
        result, stats = setup.run_ours(["--kernel", kernel, "--initrd", ramdisk, "--nic", "user",
                                        "--append", words], timeout=limit)
        drops = sum(link["dropped"] for link in stats["links"].values())
        return result, stats["instructions"], drops

    def theirs(words, *more):
        result = setup.run_qemu(["-kernel", kernel, "-initrd", ramdisk, "-nic", "user,model=e1000",
                                 "-append", words, *more], timeout=limit)
        counted = re.search(r"^instructions (\d+)$", result.text(), re.MULTILINE)
        return result, int(counted[1]) if counted else 0, 0

    def counted(words):
        return theirs(words, "-plugin", plugin)

    data, rows, losses = {}, [], []
    for way, how in WAYS.items():
        def per_thousand(run, how=how):
            """Bytes for a thousand instructions of the guest: two runs, so that the rest is out."""
            small, big = (transfer(setup, run, how, n) for n in (SMALL, SMALL + size))
            return 1000 * (big.received - small.received) / (big.instructions - small.instructions)

        runs = [[transfer(setup, r, how, size) for _ in range(setup.runs)]
                for r in [ours] + ([theirs] if setup.qemu else [])]
        rates = [Sample(t.received / 1e6 / t.seconds for t in of) for of in runs]
        dense = [Sample([per_thousand(r)]) for r in [ours] + ([counted] if setup.qemu else [])]
        rates += [None] * (2 - len(rates))
        dense += [None] * (2 - len(dense))
        rows.append([f"{way}, MB/s by the host's clock", rates[0].show("{:.1f}"),
                     show(rates[1], "{:.1f}"), ratio(*rates)])
        rows.append([f"{way}, bytes in 1000 instructions", dense[0].show("{:.0f}"),
                     show(dense[1], "{:.0f}"), ratio(*dense)])
        for t in runs[0]:
            losses.append(f"  {way}: {t.received} bytes, {t.retransmits} segments sent again, "
                          f"{t.drops} frames dropped by the link, {t.lost} lost by the card")
        data[way] = {"ours": rates[0].data(), "ours_per_1000": dense[0].median,
                     "qemu": rates[1].data() if rates[1] else None,
                     "qemu_per_1000": dense[1].median if dense[1] else None}
    table([f"iperf3, {setup.megabytes} MiB", "ours", "QEMU", "ours/QEMU"], rows)
    print("\n".join(losses))
    return data
