"""Two Linux guests on one virtual clock ping each other over a link: every reply comes, twice the latency
is the least it takes, and a second run, on two threads and beside a load, is the same to the last bit
of RAM."""
import os
import re
import subprocess
import sys

import guest

LATENCY_MS = 5
test = guest.Test()
script = os.path.join(guest.TOP, "tests", "boot", "two_linux.lua")


def run(how):
    out = test.run([test.program, script, guest.KERNEL, test.initrd, f"{LATENCY_MS}ms", how,
                    test.path(how + ".pcap")], timeout=280)
    with open(test.path(how + ".pcap"), "rb") as f:
        return out.decode(), f.read()


first, dump = run("serial")
for node in "12":
    guest.found_in(rf"^{node}\tPERILUNE: ok ping sent=3 received=3", first, f"pings of guest {node}")
guest.found_in(r"^state\tended\t\t0", first, "end of both")
times = [float(t) for t in re.findall(r"reply time=([0-9.]+) ms", first)]
guest.equal(len(times), 6, "number of replies")
assert all(2 * LATENCY_MS <= t < 2 * LATENCY_MS + 2 for t in times), times

load = subprocess.Popen([sys.executable, "-c",
                         f"import time\nend = time.time() + {guest.BOOT_TIMEOUT}\n"
                         "while time.time() < end: pass"])
try:
    second, second_dump = run("parallel")
finally:
    load.kill()
    load.wait()
guest.equal(second, first, "the second run")
guest.equal(second_dump, dump, "the second packet dump")
print(first)
