"""iperf3 between the guest and this host's loopback, both ways: e1000 and slirp, beside QEMU's.

In one boot there are three transfers: two small ones, of which the first is for what is only done
once, and one of the wanted size. Differences of the latter two leave out what iperf3's start takes. QEMU's instructions are counted by a plugin, in runs of their own.
"""
import bisect
import json
import pathlib
import re
import socket
import subprocess
import tempfile

from .measure import Failure, Sample, ratio, show, table
from .setup import ROOT

SMALL = 1 << 20
WAYS = {"guest sends": "", "guest receives": "-R"}


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


class Server:
    """iperf3 of the guest's packages, run on this host with its own libraries."""

    def __init__(self, setup):
        root, lib = setup.cache / "net-tools", "lib/x86_64-linux-gnu"
        self.port = free_port()
        self.output = tempfile.TemporaryFile(mode="w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [root / lib / "ld-linux-x86-64.so.2", "--library-path",
             f"{root / lib}:{root / 'usr' / lib}", root / "usr/bin/iperf3", "-s", "-B", "127.0.0.1",
             "-p", str(self.port), "--json", "--forceflush"],
            stdout=self.output, stderr=subprocess.DEVNULL)

    def stop(self):
        """What it says of each transfer."""
        self.process.terminate()
        self.process.wait()
        self.output.seek(0)
        text, found, decoder = self.output.read().strip(), [], json.JSONDecoder()
        self.output.close()
        while text:
            one, end = decoder.raw_decode(text)
            found.append(one)
            text = text[end:].strip()
        return found


class Transfers:
    """The transfers of one run."""

    NAMES = "begin-2", "end-2", "begin-3", "end-3"

    def __init__(self, setup, run, how, size):
        sizes = (SMALL, SMALL, SMALL + size)
        server = Server(setup)
        try:
            self.result, self.drops = run(
                f"console=ttyS0 perilune.test=iperf perilune.port={server.port}"
                f" perilune.bytes={','.join(map(str, sizes))} perilune.how={how}")
        finally:
            by_server = server.stop()
        self.marks = {line.split()[-1]: at for at, line in self.result.lines
                      if line.startswith("PERILUNE: mark ")}
        told = [json.loads(line.split(" ", 2)[2])["end"] for _, line in self.result.lines
                if line.startswith("PERILUNE: json ")]
        if len(told) != 3 or len(by_server) < 3 or len(self.marks) != 6:
            raise Failure(f"iperf3 has not made three transfers:\n{self.result.tail()}")
        self.received = [end["sum_received"]["bytes"] for end in told]
        # What was under way when the client had enough is not lost.
        if self.received[2] < size:
            raise Failure(f"iperf3 has received {self.received[2]} of {sizes[2]} bytes")
        self.retransmits = told[2]["sum_sent"].get("retransmits", "no")
        # By the clock of the host, where the server is.
        total = by_server[2]["end"]["sum_sent" if how else "sum_received"]
        self.rate = total["bytes"] / total["seconds"] / 1e6
        counts = re.findall(r"PERILUNE: count (\w+) (\d+)", self.result.text())
        self.lost = sum(int(value) for name, value in counts
                        if re.search("missed|dropped|errors|fifo", name))

    def per_thousand(self, counts):
        """Bytes for a thousand instructions; `counts`: instructions at the marks."""
        a, b, c, d = (counts[name] for name in self.NAMES)
        return 1000 * (self.received[2] - self.received[1]) / ((d - c) - (b - a))


class Programs:
    """Ours and QEMU's."""

    def __init__(self, setup):
        self.setup = setup
        self.kernel, self.initrd = setup.vmlinux(), initrd(setup)
        self.limit = 300 + setup.megabytes
        self.plugin = pathlib.Path(setup.work.name) / "count.so"
        if setup.qemu:
            subprocess.run(["gcc", "-O2", "-shared", "-fPIC", ROOT / "tests/bench/qemu_count.c",
                            "-o", self.plugin], check=True)

    def ours(self, words):
        result, stats = self.setup.run_ours(
            ["--kernel", self.kernel, "--initrd", self.initrd, "--nic", "user", "--script",
             str(ROOT / "tests/bench/net.lua"), "--append", words], timeout=self.limit)
        return result, sum(link["dropped"] for link in stats["links"].values())

    def theirs(self, words, *more):
        return self.setup.run_qemu(["-kernel", self.kernel, "-initrd", self.initrd, "-nic",
                                    "user,model=e1000", "-append", words, *more],
                                   timeout=self.limit), 0

    def our_density(self, how, size):
        t = Transfers(self.setup, self.ours, how, size)
        return t, t.per_thousand({name: int(n) for name, n in re.findall(
            r"^count (\S+) (\d+)$", t.result.text(), re.MULTILINE)})

    def their_density(self, how, size):
        out = pathlib.Path(self.setup.work.name) / "counts"
        t = Transfers(self.setup, lambda words: self.theirs(
            words, "-plugin", f"file={self.plugin},out={out}"), how, size)
        rows = [line.split() for line in out.read_text(encoding="utf-8").splitlines()[:-1]]
        times, counts = [float(row[0]) for row in rows], [int(row[1]) for row in rows]
        return t.per_thousand({name: counts[bisect.bisect(times, t.result.start + at) - 1]
                               for name, at in t.marks.items()})


def main(setup):
    programs, size = Programs(setup), setup.megabytes << 20
    data, rows = {}, []
    for way, how in WAYS.items():
        if setup.way not in way:
            continue
        rates, dense = [[], []], [[], []]
        for _ in range(setup.runs):
            t, density = programs.our_density(how, size)
            rates[0].append(t.rate)
            dense[0].append(density)
            # At once, so that a long transfer is not lost with the next one.
            print(f"  {way}: {t.received[2]} bytes, {t.retransmits} segments sent again, "
                  f"{t.drops} frames dropped by the link, {t.lost} lost by the card", flush=True)
            if setup.qemu:
                rates[1].append(Transfers(setup, programs.theirs, how, size).rate)
                dense[1].append(programs.their_density(how, size))
        for what, form, both in (("MB/s by the host's clock", "{:.1f}", rates),
                                 ("bytes in 1000 instructions", "{:.0f}", dense)):
            mine, other = (Sample(values) if values else None for values in both)
            rows.append([f"{way}, {what}", mine.show(form), show(other, form), ratio(mine, other)])
            data[f"{way}, {what}"] = {"ours": mine.data(), "qemu": other.data() if other else None}
    table([f"iperf3, {setup.megabytes} MiB", "ours", "QEMU", "ours/QEMU"], rows)
    return data
