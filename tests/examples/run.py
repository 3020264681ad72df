"""An example does what its first comment says: RUN PERILUNE SCRIPT [--loose].

The line "Run it: COMMAND" is executed by a shell at the top of the source, `perilune` being the program
under test and what is in [brackets] left out. Standard output must be the lines that are indented in
the comment, where "[...]" stands for any lines and "..." for anything in one. --loose: numbers may be
others, since they depend on the guest's kernel.
"""
import os
import re
import subprocess
import sys

import expect

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED, TIMEOUT = 77, 280
INDENT = "--     "

program, name = os.path.abspath(sys.argv[1]), sys.argv[2]
loose = sys.argv[3:] == ["--loose"]

with open(os.path.join(TOP, "examples", name), encoding="utf-8") as f:
    comment = re.match(r"(--.*\n)+", f.read()).group()
command = re.search(r"^-- Run it: (.*)$", comment, re.MULTILINE).group(1)
command = re.sub(r" \[\S+\]", "", command).replace("perilune ", f"'{program}' ", 1)
expected = [line[len(INDENT):] for line in comment.splitlines() if line.startswith(INDENT)]
assert expected, f"{name} does not say what it prints"
done = subprocess.run(command, shell=True, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                      timeout=TIMEOUT, check=False)
output = done.stdout.decode(errors="replace")
if output.startswith("SKIPPED:"):
    print(output)
    sys.exit(SKIPPED)
if done.returncode or not expect.matches(output, expected, loose):
    print(f"{command}\nexit status {done.returncode}, output:\n{output}\nexpected:\n" + "\n".join(expected))
    sys.exit(1)
print(f"{command}: {len(output.splitlines())} lines as {name} says")
