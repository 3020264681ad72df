"""cmake --install puts a program into an empty prefix that finds its files there and boots."""
import os
import subprocess
import sys

import guest

test = guest.Test(linux=False)
build = os.path.abspath(sys.argv[3])
prefix = test.path("prefix")
subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True, timeout=60,
               stdout=subprocess.DEVNULL)
program = os.path.join(prefix, "bin", "perilune")
for name in "bin/perilune", "share/perilune/lua/perilune/cli.lua", "share/perilune/machines/pc.lua":
    assert os.path.exists(os.path.join(prefix, name)), f"{name} is not installed"

# What it loads comes from the prefix: the path of its own modules says so.
where = subprocess.run([program, "-e", 'print(package.searchpath("perilune.cli", package.path))'],
                       capture_output=True, text=True, timeout=60, check=True, cwd="/").stdout
guest.equal(os.path.realpath(where.strip()),
            os.path.realpath(os.path.join(prefix, "share/perilune/lua/perilune/cli.lua")),
            "the module that the installed program loads")
assert "pc" in test.run([program, "--machine", "help"], cwd="/").decode()

if not guest.have_guest():
    guest.skip("no guest in the cache: the installed program was not booted (the rest passed)")
test.program = program
serial = test.run(test.linux("poweroff", "--no-reboot"), cwd="/")
guest.found_in("^PERILUNE: init kernel=", serial, "init")
print("the installed program boots")
