"""The exit status tells how a machine ended, and --stats why."""
import resource
import socket
import subprocess

import guest

test = guest.Test(linux=False)


def bare(name, code):
    with open(test.path(name), "wb") as f:
        f.write(guest.bare_program(code))
    return ["--kernel", test.path(name)]


def run(status, reason, *arguments):
    test.run([test.program, "--nographic", "--memory", "16M", "--stats", test.path("stats.json"),
              *arguments], timeout=60, status=status)
    stats = test.stats()
    guest.equal(stats["exit_reason"], reason, "exit_reason")
    guest.equal(stats["exit_status"], status, "exit_status")


def refused(status, expected, *arguments):
    output = test.run([test.program, *arguments], timeout=60, status=status)
    guest.equal(output, b"", "standard output")
    guest.found_in(expected, test.errors, "standard error")


HLT = b"\xf4\xeb\xfd"  # hlt; jmp back to it
for value, status in (0, 1), (1, 3), (0x31, 99), (0x7f, 255):
    # mov al, value; out 0xf4, al
    image = bare("debug-exit", bytes((0xb0, value, 0xe6, 0xf4)) + HLT)
    for machine in "pc", "minimal":
        run(status, "debug-exit", "--machine", machine, *image)
print("isa-debug-exit ends with (value << 1) | 1")

# lidt of six zero bytes at 2 MiB; int3
triple = bare("triple-fault", b"\x0f\x01\x1d\x00\x00\x20\x00\xcc" + HLT)
run(6, "triple-fault", "--machine", "pc", "--no-reboot", *triple)
# Through the keyboard controller, as software asks for a reset: mov al, 0xfe; out 0x64, al
reset = bare("reset", b"\xb0\xfe\xe6\x64" + HLT)
run(0, "reset", "--machine", "pc", "--no-reboot", *reset)
print("a triple fault ends with 6, a reset that was asked for with 0")

refused(2, "--memroy: unknown option; did you mean --memory", "--memroy", "1G")
refused(2, "no/such/kernel", "--machine", "pc", "--kernel", "no/such/kernel")
refused(2, "pcc.*pc", "--machine", "pcc", "--kernel", triple[1])
refused(2, "memory", "--machine", "pc", "--memory", "0", "--kernel", triple[1])
print("a wrong command line ends with 2 and says what is wrong")

with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    rule = f"tcp:127.0.0.1:{taken.getsockname()[1]}-:80"
    refused(4, "cannot listen", "--machine", "pc", "--nic", f"user,hostfwd={rule}", *triple)
print("a failure of the host ends with 4:", test.errors.strip())

# Whatever number of file descriptors there is: all goes well, or the end is 4 and says why.
done = bare("done", bytes((0xb0, 1, 0xe6, 0xf4)) + HLT)
ended = {}
for count in (*range(4, 50), 64):
    run = subprocess.run([test.program, "--machine", "pc", "--nographic", "--memory", "16M", "--nic",
                          "user", "--monitor", f"unix:{test.path('monitor')}",
                          *done],
                         stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count,) * 2))
    ended.setdefault(run.returncode, []).append(count)
    guest.equal(run.returncode in (3, 4), True, f"status {run.returncode} with {count} descriptors")
    if run.returncode == 4:
        guest.found_in("Too many open files", run.stderr.decode(), "standard error")
guest.equal(sorted(ended), [3, 4], "statuses with few descriptors")
print(f"less than {min(ended[3])} file descriptors end with 4")

with open(test.program, "rb") as program:
    sanitized = b"__asan_init" in program.read()
if sanitized:
    print("not tried: RAM that the host cannot map; AddressSanitizer itself maps terabytes")
else:
    run = subprocess.run([test.program, "--machine", "pc", "--nographic", "--memory", "512M",
                          *triple], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS,
                                                               (256 << 20,) * 2))
    guest.equal(run.returncode, 4, "status where the host has too little memory")
    guest.found_in("cannot map 536870912 bytes", run.stderr.decode(), "standard error")
    print("so does RAM that the host cannot map")
