"""What the boot tests share: where things are, runs of the program, a terminal, bare programs.

A test is called as TEST PERILUNE FOLDER: the program under test and a folder of its own to write
to. It exits with 0, with 77 and a word when it cannot run here, or raises.
"""
import contextlib
import fcntl
import functools
import hashlib
import http.server
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

SKIPPED = 77
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("PERILUNE_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "perilune")
KERNEL = os.path.join(CACHE, "vmlinuz")
# In seconds; a boot takes some 10, beside others and under sanitizers far more: TEST_BOOT_TIMEOUT=600.
BOOT_TIMEOUT = int(os.environ.get("TEST_BOOT_TIMEOUT", "150"))


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def have_guest():
    return os.path.exists(KERNEL) and os.path.exists(os.path.join(CACHE, "busybox"))


def need_kvm():
    """Skip without a KVM that a Linux gets through: one with a processor's extension behind it."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip("/dev/kvm is missing or not accessible")
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        if not re.search(r"^flags.* (vmx|svm)\b", f.read(), re.MULTILINE):
            skip("behind /dev/kvm is no processor with vmx or svm; tests/nested/run has one")


class Test:
    """The program under test and the folder of this test, which starts empty."""

    def __init__(self, linux=True):
        self.program, self.folder = (os.path.abspath(a) for a in sys.argv[1:3])
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        # boot.initrd has packed it next to the folders of the tests.
        self.initrd = os.path.join(os.path.dirname(self.folder), "initrd.gz")
        if linux and not have_guest():
            skip(f"{CACHE} holds no guest; scripts/fetch-guest fills it")

    def path(self, name):
        return os.path.join(self.folder, name)

    def with_net_tools(self):
        """An initramfs with ethtool and iperf3; skips where the packages cannot be had."""
        tools = os.path.join(CACHE, "net-tools.gz")
        script = os.path.join(TOP, "scripts", "make-net-tools")
        if not os.path.exists(tools) or os.path.getmtime(tools) < os.path.getmtime(script):
            made = subprocess.run([script], capture_output=True, text=True, check=False)
            if made.returncode:
                skip(made.stderr.strip())
        with open(self.path("initrd-net.gz"), "wb") as f:
            for part in (self.initrd, tools):
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, f)
        return f.name

    def linux(self, test, *more, kernel=KERNEL, append="", initrd=None):
        """The command that boots Linux into the initramfs's test of that name."""
        return [self.program, "--machine", "pc", "--memory", "512M", "--kernel", kernel,
                "--initrd", initrd or self.initrd, "--nographic",
                "--append", f"console=ttyS0 panic=-1 perilune.test={test} {append}".strip(), *more]

    def run(self, command, timeout=BOOT_TIMEOUT, status=0, **how):
        """Run to the end. Returns standard output as bytes; fails for another exit status."""
        how.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, check=False, **how)
        if done.returncode != status:
            print(done.stdout.decode(errors="replace")[-3000:])
            print(done.stderr.decode(errors="replace"))
            raise AssertionError(f"exit status {done.returncode}, expected {status}: {command}")
        self.errors = done.stderr.decode(errors="replace")
        return done.stdout

    def stats(self, name="stats.json"):
        with open(self.path(name), encoding="utf-8") as f:
            return json.load(f)


def equal(found, expected, what):
    assert found == expected, f"{what}: found {found!r}, expected {expected!r}"


def found_in(pattern, text, what):
    """The match of a pattern in text (bytes or str), which must be there."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"{what}: no {pattern!r} in the last of it:\n{text[-2000:]}"
    return match


@contextlib.contextmanager
def web_server(folder, files):
    """Serve files (name → bytes) on a free port of 127.0.0.1; gives the port."""
    os.makedirs(folder, exist_ok=True)
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Terminal:
    """A program on a terminal of its own: what it prints, what is typed at it."""

    def __init__(self, command):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def show_threads(self):
        """What each thread does: state R and a system call of its own, such as ioctl's 16, are a thread in the guest."""
        folder = f"/proc/{self.process.pid}/task"
        for task in sorted(os.listdir(folder)):
            words = []
            for name in "comm", "wchan", "syscall", "stat":
                try:
                    with open(f"{folder}/{task}/{name}", encoding="utf-8") as f:
                        words.append(f.read().strip())
                except OSError as e:
                    words.append(e.strerror)
            state = words[3].rpartition(")")[2].split()
            print(f"thread {words[0]}: state {state[0]}, {words[1]}, system call {words[2]}, "
                  f"{state[11]} and {state[12]} ticks of the user's and the kernel's time")

    def __exit__(self, *exc):
        if self.process.poll() is None:
            if exc[0]:
                self.show_threads()
            self.process.kill()
            self.process.wait()
        if exc[0]:
            print(self.output.decode(errors="replace")[-3000:])
        os.close(self.slave)
        os.close(self.master)

    def read(self, seconds):
        """Take in what is there, waiting up to this long for the first of it."""
        if select.select([self.master], [], [], seconds)[0]:
            self.output += os.read(self.master, 65536)
            return True
        return False

    def expect(self, text, timeout=BOOT_TIMEOUT):
        """Wait for text; what follows it is left for the next call. Returns what came before."""
        text = text.encode()
        until = time.monotonic() + timeout
        while text not in self.output:
            assert time.monotonic() < until, f"{text!r} did not come within {timeout} s"
            if not self.read(0.5):
                assert self.process.poll() is None, f"ended without printing {text!r}"
        before, _, self.output = self.output.partition(text)
        return before.decode(errors="replace")

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, timeout=30):
        """Its exit status (negative: the signal it died of), while its output is taken in."""
        until = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < until, f"still running after {timeout} s"
            self.read(0.05)
        while self.read(0.05):
            pass
        return self.process.returncode

    def expect_raw(self, timeout=10):
        """The guest has the terminal: keys go to it one by one. The guest may speak before that."""
        until = time.monotonic() + timeout
        while termios.tcgetattr(self.slave)[3] & termios.ICANON:
            assert time.monotonic() < until, "the terminal is not in raw mode while the guest has it"
            self.read(0.01)

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before


def bare_program(code):
    """A multiboot 1 image (specification 0.6.96, section 3.1) that runs this 32-bit code."""
    base, flags = 0x100000, 1 << 16
    magic, entry = 0x1badb002, base + 32
    header = struct.pack("<IIIIIIII", magic, flags, -(magic + flags) & 0xffffffff,
                         base, base, base + 32 + len(code), 0, entry)
    return header + code


def sha256(data):
    return hashlib.sha256(data).hexdigest()


TERM, INT = signal.SIGTERM, signal.SIGINT
