"""A campaign of faults in Linux: two runs in processes, and one of them again by itself."""
import json
import os
import subprocess

import guest

test = guest.Test()
EXAMPLE = os.path.join(guest.TOP, "examples/campaign.lua")
OUTCOMES = ("masked", "detected", "wrong output", "crash", "hang")
LINUX = [test.program, EXAMPLE, "--linux", guest.KERNEL, test.initrd, "--seed", "1"]

table = subprocess.run([*LINUX, "--runs", "2", "--out", "linux"], cwd=test.folder, check=True,
                       stdout=subprocess.PIPE, text=True, timeout=6 * guest.BOOT_TIMEOUT).stdout
guest.found_in(r"\| registers", table, "the table")
with open(test.path("linux.jsonl"), encoding="utf-8") as results:
    header, *lines = results.read().splitlines()
golden = json.loads(header)["golden"]
guest.equal(golden["exit"], "poweroff", "the run without a fault")
guest.equal(golden["output"].count("  -"), 2, "two checksums in the output")
guest.equal(len(lines), 2, "runs")
for line in lines:
    run = json.loads(line)
    assert run["outcome"] in OUTCOMES, run
    guest.equal([entry["event"] for entry in run["log"]], ["inject", "hit"], "log of the fault")
    if run["outcome"] == "masked":
        guest.equal(run["output"], golden["output"], "output of a run that does not show its fault")

again = subprocess.run([*LINUX, "--run", "2", "--golden", "linux.jsonl"], cwd=test.folder,
                       check=True, stdout=subprocess.PIPE, text=True,
                       timeout=3 * guest.BOOT_TIMEOUT).stdout
guest.equal(again, lines[1] + "\n", "run 2 by itself")
