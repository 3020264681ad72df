"""scripts/demo, in a tree that is built and with a guest that is fetched: it works, it tells, and
it leaves no web server behind, neither at its end nor after Ctrl-C."""
import os
import signal
import subprocess
import time

import guest

test = guest.Test()
demo = os.path.join(guest.TOP, "scripts/demo")
check = subprocess.run([os.path.join(guest.TOP, "scripts/bootstrap"), "build", "--check"],
                       capture_output=True, text=True, check=False)
if check.returncode:
    guest.skip("scripts/demo would install packages: " + check.stderr.strip())
environment = {**os.environ, "TMPDIR": test.folder}


def servers():
    """Process ids of web servers that serve a folder of this test."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "http.server" in words and any(w.startswith(test.folder) for w in words):
            found.append(int(pid))
    return found


output = test.run([demo], timeout=250, env=environment).decode(errors="replace")
guest.found_in("^PERILUNE: ok net bytes=4194304", output, "download")
guest.found_in("Then the guest powered the machine off", output, "the summary")
guest.found_in("million instructions in", output, "the summary")
guest.equal(servers(), [], "web servers left behind")
guest.equal([n for n in os.listdir(test.folder) if n.startswith("perilune-demo")], [],
            "folders left behind")

process = subprocess.Popen([demo], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env=environment, start_new_session=True)
seen = b""
while b"Linux version" not in seen:
    block = os.read(process.stdout.fileno(), 65536)
    assert block, f"it ended before the boot: {seen.decode(errors='replace')[-1000:]}"
    seen += block
assert servers(), "no web server while the guest boots"
os.killpg(process.pid, signal.SIGINT)  # what a terminal does for Ctrl-C
process.communicate(timeout=60)
assert process.returncode not in (0, None), f"exit status {process.returncode} after Ctrl-C"
time.sleep(0.2)
guest.equal(servers(), [], "web servers left behind after Ctrl-C")
print("scripts/demo works, and cleans up after Ctrl-C")
