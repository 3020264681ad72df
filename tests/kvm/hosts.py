#!/usr/bin/env python3
"""What is said on hosts where KVM is missing, closed, old, in use or hanging: hosts.py PERILUNE FAKE_KVM.

FAKE_KVM is the library of fake_kvm.c. Where the host has no usable /dev/kvm only what needs none is tried."""
import errno
import os
import shutil
import subprocess
import sys
import time

program, library = sys.argv[1:3]
MACHINE = ["--machine", "minimal", "--dump", "flat"]
CREATE_VM, CREATE_VCPU, SET_MEMORY, GET_SUPPORTED_CPUID = 0x01, 0x41, 0x46, 0x05
failed = 0


def run(arguments, fake="", before=()):
    """Returns what it said on standard output, on standard error, its status and the seconds it took."""
    env = dict(os.environ, FAKE_KVM=fake, LD_PRELOAD=library, ASAN_OPTIONS="verify_asan_link_order=0")
    started = time.monotonic()
    done = subprocess.run([*before, program, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    return done.stdout, done.stderr, done.returncode, time.monotonic() - started


def expect(what, found, wanted):
    global failed
    if wanted not in found:
        failed += 1
        print(f"FAIL {what}: {found!r} has no {wanted!r}")
    else:
        print(f"ok   {what}")


def refused(what, words, fake="", before=()):
    """--accel kvm ends with status 4 and words that name the remedy; the machine is not made."""
    out, err, status, _ = run(["--accel", "kvm", *MACHINE], fake, before)
    expect(what, f"{status} {out}{err}", "4 perilune: kvm: ")
    for word in words:
        expect(f"{what}: {word}", err, word)
    if "--accel soft" not in err:
        expect(what, err, "--accel soft")
    out, err, status, _ = run(["--accel", "auto", *MACHINE], fake, before)
    expect(f"{what}: auto", f"{status} {err}", "0 perilune: --accel auto: soft, because")
    expect(f"{what}: auto in one line", str(err.count("\n")), "1")


refused("missing", ["/dev/kvm is missing", "modprobe kvm_intel", "firmware"], f"open={errno.ENOENT}")
refused("no permission", ["no permission for /dev/kvm", "usermod -aG kvm"], f"open={errno.EACCES}")
refused("in use", ["another hypervisor"], f"open={errno.EBUSY}")
refused("strange", ["cannot open /dev/kvm", os.strerror(errno.EIO)], f"open={errno.EIO}")
out, err, status, _ = run(["--doctor"], f"open={errno.ENOENT}")
expect("the doctor without KVM", f"{status} {out}", "0 Perilune")
expect("the doctor without KVM", out, "missing  /dev/kvm         /dev/kvm is missing")
out, err, status, _ = run(["--cpu", "help"], f"open={errno.ENOENT}")
expect("--cpu help without KVM", f"{status} {out}", "kvm: /dev/kvm is missing")

# Another user, and a /dev without the device: really so, where this one may.
if os.geteuid() == 0 and os.path.exists("/dev/kvm"):
    if shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0:
        empty = subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()
        refused("a private /dev", ["/dev/kvm is missing"],
                before=["unshare", "-m", "sh", "-c", f'mount --bind {empty} /dev && exec "$0" "$@"'])
        os.rmdir(empty)
    mode = os.stat("/dev/kvm").st_mode & 0o006
    if shutil.which("setpriv") and not mode and os.access(program, os.X_OK):
        refused("another user", ["no permission for /dev/kvm"],
                before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])

if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("skipped: /dev/kvm is missing or not accessible: what needs a real one")
    sys.exit(1 if failed else 0)

refused("an old interface", ["version 11", "another kernel"], "version=11")
refused("no user memory", ["lacks user memory", "newer kernel"], "cap.3=0")
refused("no read-only slots", ["lacks read-only memory slots"], "cap.81=0")
refused("no immediate exit", ["lacks immediate exit"], "cap.136=0")
refused("no machine", ["cannot create a virtual machine", "another hypervisor"], f"fail.{CREATE_VM}={errno.EBUSY}")

out, err, status, _ = run(["--accel", "kvm", *MACHINE], f"fail.{CREATE_VCPU}={errno.ENOMEM}")
expect("no vcpu", f"{status} {err}", "4 perilune: kvm: cannot create a vcpu")

out, err, status, _ = run(["--accel", "kvm", "--smp", "3", "--machine", "pc", "--dump", "flat"], "cap.66=2")
expect("too many cpus", err, "at most 2 cpus in a machine: use --smp 2")

CAP_NR_VCPUS, CAP_MAX_VCPUS = 9, 66
for known, most in (f"cap.{CAP_MAX_VCPUS}=0 cap.{CAP_NR_VCPUS}=3", 3), (f"cap.{CAP_MAX_VCPUS}=0 cap.{CAP_NR_VCPUS}=0", 4):
    out, err, status, _ = run(["--accel", "kvm", "--smp", "5", "--machine", "pc", "--dump", "flat"], known)
    expect("too many cpus of an old kernel", err, f"at most {most} cpus in a machine: use --smp {most}")
for irqchip, cap, lacks in (("kernel", 0, "interrupt controllers"), ("kernel", 33, "an interval timer"),
                            ("split", 121, "local APICs alone")):
    out, err, status, _ = run(["--accel", f"kvm,irqchip={irqchip}", "--machine", "pc", "--dump", "flat"], f"cap.{cap}=0")
    expect(f"irqchip={irqchip}", f"{status} {err}", f"4 perilune: kvm: irqchip={irqchip}: this kernel lacks {lacks}; "
           "use irqchip=user")
out, err, status, _ = run(["--accel", "kvm", "--machine", "pc", "--dump", "flat"], "cap.0=0")
expect("no chips in the kernel: the machine's own", str(status), "0")

# A host that hangs: nothing takes longer than its patience; one that is fast is taken.
out, err, status, seconds = run(["--accel", "auto", *MACHINE], "hang=1")
expect("hanging: auto", f"{status} {err}", "0 perilune: --accel auto: soft, because")
expect("hanging: auto comes back", str(seconds < 20), "True")
out, err, status, seconds = run(["--doctor"], "hang=1")
expect("hanging: doctor", f"{status} {out}", "missing  exits            a guest does not get to a port")
expect("hanging: the doctor comes back", str(seconds < 40), "True")
out, err, status, _ = run(["--accel", "auto", *MACHINE], f"rax={10 ** 13}")
expect("fast: auto", f"{status} {err}", "0 perilune: --accel auto: kvm, because guest code runs at ")
sys.exit(1 if failed else 0)
