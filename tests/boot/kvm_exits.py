"""What becomes of a machine when KVM cannot go on, or says that the guest is done: the report, the reason
of the end, the exit status. kvm_exits.py PERILUNE FOLDER FAKE_KVM: exits that this host does not have
are made by the library of tests/kvm/fake_kvm.c."""
import errno
import os
import sys

import guest

if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    guest.skip("/dev/kvm is missing or not accessible")
test = guest.Test(linux=False)
library = sys.argv[3]
FAIL_ENTRY, INTERNAL_ERROR, SYSTEM_EVENT = 9, 17, 24
SET_MEMORY, RUN = 0x46, 0x80  # numbers of ioctls
HOST, TRIPLE_FAULT = 4, 6  # exit statuses


def image(name, code):
    with open(test.path(name), "wb") as f:
        f.write(guest.bare_program(code))
    return test.path(name)


halts = image("halts", b"\xf4\xeb\xfd")


def run(status, reason, *arguments, fake=None, kernel=halts):
    """The whole program with a KVM that behaves like that; returns what it said."""
    how = {}
    if fake:
        how["env"] = dict(os.environ, FAKE_KVM=fake, LD_PRELOAD=library,
                          ASAN_OPTIONS="verify_asan_link_order=0")
    test.run([test.program, "--machine", "pc", "--accel", "kvm,irqchip=user", "--memory", "16M",
              "--nographic", "--kernel", kernel, "--stats", test.path("stats.json"), *arguments],
             timeout=60, status=status, **how)
    stats = test.stats()
    guest.equal(stats["exit_reason"], reason, f"exit_reason, {fake}")
    return test.errors


def fails(fake, *words):
    """It pauses with a report; nobody could let it go on, and so it ends."""
    said = run(HOST, "cpu-error", fake=fake)
    for word in words:
        assert word in said, f"{fake}: no {word!r} in {said!r}"
    for word in ("at cs:rip ", "code f4 eb fd", "\nrax ", "\nr12 ", " cr0 ", " efer ", "--accel soft"):
        assert word in said, f"{fake}: no {word!r} in the report {said!r}"


for suberror, *words in (
        (1, "cannot emulate an instruction (0x1): ", "interprets instructions that touch devices"),
        (2, "an exception while another was delivered (0x2): "),
        (3, "an exit while an event was delivered (0x3): ", "lies outside of RAM"),
        (4, "an exit that the host's kernel does not know (0x4): "),
        (9, "an internal error of the host's kernel (0x9); ")):
    fails(f"exit={INTERNAL_ERROR} what={suberror}", *words)
for reason, *words in (
        (0x80000021, "refuses the guest's state (0x80000021): ", "unrestricted guests"),
        (0xffffffff, "refuses to enter the guest (0xffffffff): ", "SVM takes no state"),
        (0x7, "refuses to enter the guest (0x7); ")):
    fails(f"exit={FAIL_ENTRY} what={reason}", *words)
fails("exit=99", "an exit that is not known here (0x63)")
fails(f"exit={SYSTEM_EVENT} what=3", "the guest reports a crash to the host's kernel (0x3)")
fails(f"fail.{RUN}={errno.EFAULT}", os.strerror(errno.EFAULT), "KVM_RUN fails")
print("what KVM cannot go on from is reported, with registers and code")

run(0, "poweroff", fake=f"exit={SYSTEM_EVENT} what=1")
run(0, "reset", "--no-reboot", fake=f"exit={SYSTEM_EVENT} what=2")
print("the kernel's events end it as the machine's own do")

said = run(HOST, "cpu-error", fake=f"fail.{SET_MEMORY}={errno.ENOMEM}")
guest.found_in("does not give a memory slot for .*" + os.strerror(errno.ENOMEM), said, "what is said")
print("so do memory slots that the kernel does not give")

# lidt of six zero bytes at 2 MiB; ud2
triple = image("triple", b"\x0f\x01\x1d\x00\x00\x20\x00\x0f\x0b\xf4")
run(TRIPLE_FAULT, "triple-fault", "--no-reboot", kernel=triple)
# The same once the byte at 3 MiB says so: incb 0x300000; cmpb $3, 0x300000; jne; mov al, 0; out 0xf4, al
thrice = image("thrice", b"\xfe\x05\x00\x00\x30\x00" b"\x80\x3d\x00\x00\x30\x00\x03" b"\x75\x05"
               b"\xb0\x00\xe6\xf4\xf4" b"\x0f\x01\x1d\x00\x00\x20\x00\x0f\x0b\xf4")
run(1, "debug-exit", kernel=thrice)
print("a triple fault resets, or ends with 6")
