"""docs/scripting.md and the monitor in README.md do what they say: GUIDE PERILUNE FOLDER [linux].

Its blocks "lua file=NAME" are written into the folder; those marked "lua run", or with the argument "lua
linux", are run there, and must print what the block behind them shows.
"""
import os
import re
import shutil
import subprocess
import sys

import expect

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED, TIMEOUT = 77, 280

program, folder = (os.path.abspath(a) for a in sys.argv[1:3])
kind = sys.argv[3] if sys.argv[3:] else "run"
kernel = os.path.expanduser("~/.cache/perilune/vmlinuz")
if kind == "linux" and not os.path.exists(kernel):
    print(f"skipped: no {kernel}; scripts/fetch-guest gets it")
    sys.exit(SKIPPED)
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)

with open(os.path.join(TOP, "docs", "scripting.md"), encoding="utf-8") as f:
    page = f.read()
blocks = re.findall(r"^```(.*)\n((?:.*\n)*?)^```$", page, re.MULTILINE)
ran = 0
for (mark, code), (next_mark, shown) in zip(blocks, blocks[1:] + [("", "")]):
    assert not mark or mark in ("lua run", "lua linux") or mark.startswith("lua file="), f"a block {mark}"
    name = mark.partition("file=")[2] or f"step{ran}.lua"
    if mark == f"lua {kind}" or "file=" in mark:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(code)
    if mark != f"lua {kind}":
        continue
    assert next_mark == "", "a script without a block of what it prints"
    done = subprocess.run([program, name], cwd=folder, stdin=subprocess.DEVNULL, check=False,
                          stdout=subprocess.PIPE, timeout=TIMEOUT)
    output = done.stdout.decode(errors="replace")
    if done.returncode or not expect.matches(output, shown.splitlines()):
        print(f"{code}\nexit status {done.returncode}, printed:\n{output}\nbut the page says:\n{shown}")
        sys.exit(1)
    ran += 1
if kind == "run":
    done = subprocess.run([program, "campaign.lua", "--runs", "5", "--out", "c"], cwd=folder, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode == 0 and b"registers" in done.stdout, done
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        lines = re.search(r"    \$ build/perilune\n((?:    .*\n)+)", f.read()).group(1).replace("    ", "")
    typed = "".join(re.findall(r"^perilune> (.*\n)", lines, re.MULTILINE))
    done = subprocess.run([program], input=typed.encode(), check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=TIMEOUT)
    shown = [line for line in lines.splitlines() if not line.startswith("perilune> ")]
    assert expect.matches(done.stdout.decode(), shown), (done, shown)
assert ran >= (7 if kind == "run" else 1), f"only {ran} scripts found"
print(f"{ran} scripts do what docs/scripting.md says")
