"""What is measured and with what: the programs, the guest's files, how often."""
import json
import lzma
import os
import pathlib
import shutil
import subprocess
import tempfile
import zlib

from .measure import Failure, run

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("PERILUNE_CACHE") or pathlib.Path(base) / "perilune")


def unpack(data):
    """The payload of a bzImage: Linux's Documentation/x86/boot.rst, fields payload_offset and
    payload_length; the last four bytes of the payload are its unpacked size."""
    if data[0x202:0x206] != b"HdrS":
        raise Failure("the kernel is no bzImage")
    start = (data[0x1f1] + 1) * 512 + int.from_bytes(data[0x248:0x24c], "little")
    payload = data[start:start + int.from_bytes(data[0x24c:0x250], "little")]
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.decompress(payload[:-4])
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return subprocess.run(["zstd", "-qdc"], input=payload[:-4], stdout=subprocess.PIPE,
                              check=True).stdout
    raise Failure(f"the kernel is packed in an unknown way: {payload[:6].hex()}")


class Setup:
    def __init__(self, build, binary, runs, megabytes=64, beside_qemu=True, way=""):
        self.build = pathlib.Path(build)
        self.binary = str(binary or self.build / "perilune")
        self.runs = runs
        self.megabytes = megabytes
        self.way = way
        self.alone = not beside_qemu
        self.qemu = None if self.alone else shutil.which("qemu-system-x86_64")
        self.cache = cache_dir()
        self.work = tempfile.TemporaryDirectory(prefix="perilune-bench.")

    def guest(self, name):
        """One of the programs of tests/bench/guest."""
        return str(self.build / "tests" / "bench" / name)

    def vmlinuz(self):
        path = self.cache / "vmlinuz"
        if not path.exists():
            print(f"(no kernel in {self.cache}: scripts/fetch-guest)", flush=True)
            subprocess.run([ROOT / "scripts" / "fetch-guest"], check=True)
        return str(path)

    def vmlinux(self):
        """The kernel unpacked, kept in the cache."""
        source, path = pathlib.Path(self.vmlinuz()), self.cache / "vmlinux"
        if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
            new = path.with_suffix(".new")
            new.write_bytes(unpack(source.read_bytes()))
            new.rename(path)
        return str(path)

    def initrd(self):
        """As this tree's scripts/make-initramfs makes it."""
        self.vmlinuz()
        path, script = self.cache / "bench-initrd.gz", ROOT / "scripts" / "make-initramfs"
        if not path.exists() or path.stat().st_mtime < script.stat().st_mtime:
            subprocess.run([script, path], check=True, stdout=subprocess.DEVNULL)
        return str(path)

    def run_ours(self, options, timeout=120, expect=(0,), machine="pc", memory="512M"):
        """A run of Perilune and its statistics."""
        stats = os.path.join(self.work.name, "stats.json")
        command = [self.binary, "--machine", machine, "--memory", memory, "--nographic",
                   "--no-reboot", "--stats", stats, *options]
        if "--nic" not in options:
            command += ["--nic", "none"]
        result = run(command, timeout, expect)
        with open(stats, encoding="utf-8") as file:
            return result, json.load(file)

    def run_qemu(self, options, timeout=120, expect=(0,), memory="512M"):
        """QEMU with a machine as bare as it has it and its default cpu."""
        command = [self.qemu, "-accel", "tcg", "-m", memory, "-display", "none", "-vga", "none",
                   "-serial", "stdio", "-monitor", "none", "-no-reboot", *options]
        if "-nic" not in options:
            command += ["-nic", "none"]
        return run(command, timeout, expect)
