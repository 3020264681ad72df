"""Two boots with idle=warp and no network are the same run: instructions, virtual time, serial
bytes, interrupts and the hash of all RAM; whatever the address space layout, environment, current
directory and load of the host are."""
import os
import shutil
import subprocess
import sys

import guest

COMPARED = ("instructions", "virtual_ns", "interrupts", "exceptions", "exits", "exit_reason",
            "idle_skipped_ns", "ram_sha256")
test = guest.Test()


def boot(name, prefix=(), **how):
    command = test.linux("poweroff", "--no-reboot", "--set", "idle=warp",
                         "--set", "stats.ram_hash=true", "--stats", test.path(name))
    serial = test.run([*prefix, *command], **how)
    stats = test.stats(name)
    return {**{key: stats[key] for key in COMPARED}, "serial": serial}


first = boot("first.json")
guest.found_in("reboot: Power down", first["serial"], "power off")
guest.equal(len(first["ram_sha256"]), 64, "length of the hash")

fixed = ["setarch", "-R"]
if not shutil.which("setarch") or subprocess.run([*fixed, "true"], check=False).returncode:
    print("setarch -R does not work here: the layouts of the two runs differ by chance alone")
    fixed = []
environment = {**os.environ, "TMPDIR": "/tmp", "LANG": "de_DE.UTF-8", "TZ": "Asia/Kathmandu",
               **{f"FILLER_{n}": "x" * 1000 for n in range(100)}}
load = subprocess.Popen([sys.executable, "-c",
                         f"import time\nend = time.time() + {guest.BOOT_TIMEOUT}\n"
                         "while time.time() < end: pass"])
try:
    second = boot("second.json", fixed, cwd="/", env=environment)
finally:
    load.kill()
    load.wait()
for key in first:
    guest.equal(second[key], first[key], f"the second run's {key}")
print(f"two runs of {first['instructions']} instructions are the same; RAM {first['ram_sha256']}")
