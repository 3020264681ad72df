"""What hooks cost: nothing where there are none, nanoseconds where C turns an event away or a Lua
function is entered, how that grows with their number; and how soon the monitor answers."""
import os
import socket
import subprocess
import time

from .measure import Failure, Sample, ratio, run, table
from .setup import ROOT

BENCH = os.path.join(ROOT, "tests", "bench")
WANTED_NS = {"fires": "150", "when": "20", "skip": "20", "elsewhere": "20"}
WHAT = {"fires": "exec hook that fires, an empty function", "when": "exec hook, condition does not hold",
        "skip": "exec hook that lets it pass (skip)",
        "elsewhere": "exec hook on another page, same offset"}
COUNTS = ("1", "10", "100", "1000", "10000")
ASKED = 200  # times each line
WANTED_MS = 20


def lua(setup, script, *args):
    """Numbers by name, that a script of tests/bench prints as "name value" lines, of all runs."""
    found = {}
    for _ in range(setup.runs):
        command = [setup.binary, os.path.join(BENCH, script), *args]
        for line in run(command, 300, (0,)).text().splitlines():
            name, _, value = line.partition("\t")
            if value:
                found.setdefault(name, []).append(float(value))
    return {name: Sample(values) for name, values in found.items()}


def boot(setup):
    """A boot without hooks beside one in which some were installed and removed: what is left."""
    script = os.path.join(setup.work.name, "installed.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write("for n = 1, 100 do vm:on('exec', { at = n }, print):remove() end\n"
                   "vm:on('write', { gva = 4096 }, print):remove()\n")
    common = ["--kernel", setup.vmlinuz(), "--initrd", setup.initrd(), "--append",
              "console=ttyS0 perilune.test=poweroff"]
    samples = [[], []]
    for _ in range(setup.runs):
        for column, more in zip(samples, ([], ["--script", script])):
            column.append(setup.run_ours(common + more)[0].cpu)
    plain, used = (Sample(column) for column in samples)
    table(["boot, processor seconds", "no hooks", "hooks come and gone", "ratio"],
          [["bzImage to power off", plain.show(), used.show(), ratio(used, plain)]])
    print("  Wanted: a ratio of at most 1.01.")
    return {"plain_s": plain.data(), "used_s": used.data()}


def events(setup, program):
    found = lua(setup, "hooks.lua", program, "events")
    table(["ns above the program without", "ours", "wanted"],
          [[WHAT[name], sample.show("{:.0f}"), WANTED_NS[name]] for name, sample in found.items()])
    return {name: sample.data() for name, sample in found.items()}


def numbers(setup, program):
    found = lua(setup, "hooks.lua", program, "many")
    removal = lua(setup, "hooks.lua", program, "remove")["remove 10000"]
    rows = [[count] + [found[f"{what} {count}"].show("{:.0f}") for what in ("fires", "add", "change")]
            for count in COUNTS]
    table(["exec hooks installed", "ns, one fires", "ns to add", "ns, one added and one removed"
           " by the one that fires"], rows)
    print(f"  Removing 10000 one by one: {removal.show('{:.0f}')} ns each.")
    return {name: sample.data() for name, sample in {**found, "remove 10000": removal}.items()}


class Monitor:
    """A client of a monitor's socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        for _ in range(500):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.02)
        else:
            raise Failure("the monitor's socket does not come")
        self.answer()

    def answer(self):
        got = b""
        while not got.endswith(b"perilune> "):
            more = self.socket.recv(65536)
            if not more:
                raise Failure("the monitor closed the connection")
            got += more
        return got

    def ask(self, line):
        """Milliseconds to the whole answer."""
        start = time.monotonic()
        self.socket.sendall(line.encode() + b"\n")
        self.answer()
        return (time.monotonic() - start) * 1e3


def repl(setup):
    """The monitor while the guest computes without a pause."""
    path = os.path.join(setup.work.name, "monitor")
    process = subprocess.Popen(
        [setup.binary, "--machine", "pc", "--memory", "128M", "--nic", "none", "--kernel",
         setup.guest("alu"), "--append", "4000000000", "--monitor", f"unix:{path}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows, data = [], {}
    try:
        client = Monitor(path)
        for line in ("info status", "1+1"):
            times = []
            for _ in range(ASKED):
                times.append(client.ask(line))
                time.sleep(0.002)
            sample = Sample(times)
            rows.append([line, f"{sample.median:.2f}", f"{max(times):.2f}"])
            data[line] = sample.data()
        if process.poll() is not None:
            raise Failure("the guest ended before the questions did")
    finally:
        process.kill()
        process.wait()
    table([f"monitor, guest busy, ms ({ASKED} times)", "median", "worst"], rows)
    print(f"  Wanted: below {WANTED_MS} ms.")
    return data


def main(setup):
    program = setup.guest("hook")
    data = {"boot": boot(setup)}
    print()
    data["events"] = events(setup, program)
    print()
    for line in run([setup.binary, os.path.join(BENCH, "luadev.lua")], 300, (0,)).text().splitlines():
        if line:
            print(f"  {line}")
    print("  Wanted: a function at most 250 ns, a plain register about as much as in C.\n")
    data["numbers"] = numbers(setup, program)
    print()
    data["repl"] = repl(setup)
    return data
