"""Every row of the opcode table is executed by some test: coverage.py BUILD TOP.

Runs the programs that execute guest code on the software CPU, each with PERILUNE_OPCODES, and adds up the
rows that they have decoded. Prints how many of them there are, and by name those that nothing has executed;
fails when these are not those in EXPECTED. Where the host lacks an instruction, its row is compared with
nothing: then it is a skip (77).
"""
import collections
import glob
import os
import subprocess
import sys
import tempfile

build, top = sys.argv[1:3]
# Place and name: why no test executes it.
EXPECTED = {}


def run(command, folder, **more):
    environment = {**os.environ, "PERILUNE_OPCODES": folder, "PERILUNE_CASES": "60000", **more}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=150, check=False)
    return done.returncode


def run_all(folder):
    for test in sorted(glob.glob(os.path.join(build, "tests", "test_soft_*"))):
        assert run([test], folder) == 0, f"{test} fails"
    for program in sorted(glob.glob(os.path.join(build, "tests", "cpu", "cpu_*"))):
        options = ["-smp", "3"] if program.endswith(("_smm", "_smp")) else []
        status = run([os.path.join(top, "tests/cpu/run-perilune"), os.path.join(build, "perilune"), "soft", program,
                      "--cpu", "max", *options], folder)
        assert status == 0, f"{program} fails"


def read(folder):
    counts, names = collections.Counter(), {}
    for path in os.listdir(folder):
        with open(os.path.join(folder, path), encoding="utf-8") as f:
            for line in f:
                count, place, name = line.rstrip("\n").split("\t")
                counts[place, name] += int(count)
    listing = subprocess.run([os.path.join(build, "tests/cpu/opcode_table"), "list"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    for line in listing.splitlines():
        _, place, name = line.split("\t")
        counts[place, name] += 0
    return counts


with tempfile.TemporaryDirectory() as folder:
    run_all(folder)
    rows = read(folder)
missing = {f"{place}: {name}" for (place, name), count in rows.items() if not count}
print(f"{len(rows) - len(missing)} of {len(rows)} rows of the opcode table are executed")
for row in sorted(missing):
    print("not executed:", row, "-", EXPECTED.get(row, "unexpected"))
for row in sorted(set(EXPECTED) - missing):
    print("executed, though it is expected not to be:", row)
with open("/proc/cpuinfo", encoding="utf-8") as f:
    lacks = {"avx2", "fma", "f16c", "adx", "bmi2", "sha_ni", "vaes", "xsavec"} - set(f.read().split())
if missing and lacks:
    print("skipped: the host has no", ", ".join(sorted(lacks)))
    sys.exit(77)
sys.exit(missing != set(EXPECTED))
