"""Nanoseconds of one operation, by programs of tests/bench/guest, each of which does nothing else.

The guest's clock is virtual, so what is timed is the process: with many passes and with few, and
the difference counts. The many are as many as take most of a second, on each of the two. The time
is the processor's, since a guest that computes has nothing to wait for, and other load on the host
would be counted otherwise.
"""
import re
import subprocess

from .measure import Failure, Sample, ratio, run, show, table
from .setup import DEBUG_EXIT

# Program: what one operation is, how many of them a pass is.
PROGRAMS = {
    "alu": ("integer instruction", 18),
    "branch": ("conditional jump, random", 8),
    "loadstore": ("load or store", 16),
    "tlbmiss": ("load or store that misses the TLB", 2),
    "call": ("call and return", 4),
    "indirect": ("indirect jump, random", 1),
    "sse": ("SSE2 instruction on doubles", 8),
    "rep_movs": ("rep movs, a KiB", 64),
    "rep_stos": ("rep stos, a KiB", 64),
    "pio": ("port read, serial LSR", 1),
    "mmio": ("register read, I/O APIC", 1),
    "fault": ("page fault, invlpg and iret", 1),
    "syscall": ("syscall and sysret", 1),
}
START = 2000
LONG_S = 0.6
FEW = 20  # the short run has so many times fewer passes


class Ours:
    def __init__(self, setup, program):
        self.setup, self.program = setup, setup.guest(program)

    def run(self, passes):
        result, stats = self.setup.run_ours(["--kernel", self.program, "--append", str(passes)],
                                            120, (1,), memory="128M")
        return result.cpu, stats["instructions"]


class Qemu(Ours):
    def run(self, passes):
        return self.setup.run_qemu(["-kernel", self.program, "-append", str(passes), *DEBUG_EXIT],
                                   120, (1,), memory="128M").cpu, 0


def calibrate(engine):
    """Passes that take about LONG_S longer than next to none."""
    base, passes = engine.run(1)[0], START
    while True:
        spent = engine.run(passes)[0] - base
        if spent > LONG_S / 8:
            return max(int(passes * LONG_S / spent), FEW)
        passes *= 8


def one(engine, passes):
    """Nanoseconds and instructions of one pass."""
    few = passes // FEW
    short, long = engine.run(few), engine.run(passes)
    return ((long[0] - short[0]) * 1e9 / (passes - few), (long[1] - short[1]) / (passes - few))


def main(setup):
    rows, data = [], {}
    for name, (what, operations) in PROGRAMS.items():
        engines = [Ours(setup, name)] + ([Qemu(setup, name)] if setup.qemu else [])
        passes = [calibrate(engine) for engine in engines]
        got = [[] for _ in engines]
        for _ in range(setup.runs):
            for samples, engine, count in zip(got, engines, passes):
                samples.append(one(engine, count))
        samples = [Sample(ns / operations for ns, _ in column) for column in got]
        mips = Sample(count / ns * 1e3 for ns, count in got[0])
        theirs = samples[1] if setup.qemu else None
        rows.append([what, samples[0].show(), show(theirs), ratio(samples[0], theirs),
                     mips.show("{:.0f}")])
        data[name] = {"ns": samples[0].data(), "mips": mips.data(),
                      "qemu_ns": theirs.data() if theirs else None}
    table(["ns per operation", "ours", "QEMU", "ours/QEMU", "our MIPS"], rows)
    print("  Loops around the operations are counted in; MIPS count all instructions of a pass.")
    return data


CALLGRIND_PASSES = {"rep_movs": 200, "rep_stos": 200}


def host_instructions(setup, name, passes):
    """Host instructions of a run within soft_exec() under callgrind, and the guest's."""
    stats = f"{setup.work.name}/stats.json"
    result = run(["valgrind", "--tool=callgrind", "--toggle-collect=soft_exec",
                  "--callgrind-out-file=/dev/null", setup.binary, "--machine", "pc", "--memory",
                  "128M", "--kernel", setup.guest(name), "--append", str(passes), "--nic", "none",
                  "--nographic", "--no-reboot", "--stats", stats],
                 300, (1,))
    counted = re.search(r"Collected : (\d+)", result.text())
    instructions = re.search(r'"instructions": (\d+)', open(stats, encoding="utf-8").read())
    if not counted or not instructions:
        raise Failure(f"valgrind or the statistics say no count:\n{result.tail()}")
    return int(counted[1]), int(instructions[1])


def callgrind(setup):
    """Host instructions per guest instruction: exact, and the same on every machine of a kind."""
    rows, data = [], {}
    for name, (what, operations) in PROGRAMS.items():
        many = CALLGRIND_PASSES.get(name, 40000)
        few = many // FEW
        short, long = host_instructions(setup, name, few), host_instructions(setup, name, many)
        host, guest = long[0] - short[0], long[1] - short[1]
        per_operation = host / (many - few) / operations
        rows.append([what, f"{per_operation:.1f}", f"{host / guest:.1f}"])
        data[name] = {"per_operation": per_operation, "per_guest_instruction": host / guest}
    table(["host instructions per", "operation", "guest instruction"], rows)
    version = subprocess.run(["valgrind", "--version"], stdout=subprocess.PIPE, text=True,
                             check=True)
    print(f"  Counted by {version.stdout.strip()}, not timed.")
    return data
