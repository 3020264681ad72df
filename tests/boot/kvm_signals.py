"""SIGINT, SIGTERM and a terminal that is closed end a machine under KVM in order, whatever its cpus do."""
import os
import signal
import time

import guest

if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    guest.skip("/dev/kvm is missing or not accessible")
test = guest.Test(linux=False)
SAY = b"\x66\xba\xf8\x03\xb0!\xee"  # mov dx, 0x3f8; mov al, '!'; out dx, al
PAUSE = """vm:on("pio", { port = 0x80 }, function() return "stop" end)"""
# Of three addresses the last ones are more than a host has breakpoints for.
HOOK = """vm:on("exec", { at = { 0x100027, 0x10002e } }, function() end)"""
STATES = {  # name: code after that, irqchips, more options
    "spinning": (b"\xeb\xfe", ("user",), ()),
    "halted": (b"\xfa\xf4\xeb\xfd", ("user", "kernel"), ()),
    "flooding": (b"\xe6\x81\xeb\xfc", ("user",), ()),  # out 0x81, al; jmp
    "flooding with reads of no memory": (b"\xa1\x00\x00\x00\xe0\xeb\xf9", ("user",), ()),
    "waiting to be started": (b"\xfa\xf4\xeb\xfd", ("user", "kernel"), ("--smp", "2")),
    "paused": (b"\xe6\x80\xeb\xfc", ("user",), ("--script", test.path("pause.lua"))),
    # inc eax; dec eax; nop; nop; jmp: each is hooked, and stepped over
    "stepping over hooks": (b"\x40\x48\x90\x90\xeb\xfa", ("user",), ("--script", test.path("hook.lua"))),
}
EARLY = 0, 0.01, 0.02, 0.04, 0.08, 0.16  # seconds after the program was started

with open(test.path("pause.lua"), "w", encoding="utf-8") as f:
    f.write(PAUSE)
with open(test.path("hook.lua"), "w", encoding="utf-8") as f:
    f.write(HOOK)


def end(name, number, command):
    with guest.Terminal(command) as t:
        # The guest's word and the monitor's may come in either order.
        t.expect("paused by the hook on pio" if name == "paused" else "!")
        if number == signal.SIGHUP:
            os.close(t.master)  # whoever had the window is gone
            guest.equal(t.process.wait(30), -number, f"{name}: how it ended")
            t.master = os.open(os.devnull, os.O_RDONLY)
            return
        t.expect_raw()
        os.kill(t.process.pid, number)
        guest.equal(t.wait(), -number, f"{name}: how it ended")
        assert t.is_restored(), f"{name}: the terminal is not as it was before"


def end_early(number, delay, command):
    """While the machine is made, or right after."""
    with guest.Terminal(command) as t:
        time.sleep(delay)
        os.kill(t.process.pid, number)
        guest.equal(t.wait(), -number, f"{delay} s after its start: how it ended")
        assert t.is_restored(), f"{delay} s after its start: the terminal is not as it was before"


for name, (code, chips, options) in STATES.items():
    with open(test.path("program"), "wb") as f:
        f.write(guest.bare_program(SAY + code))
    for chip in chips:
        for number in guest.INT, guest.TERM, signal.SIGHUP:
            end(name, number, [test.program, "--machine", "pc", "--memory", "16M", "--nographic",
                               "--accel", f"kvm,irqchip={chip}", "--kernel", test.path("program"),
                               "--stats", test.path("stats.json"), *options])
            guest.equal(test.stats()["exit_reason"], "signal", "exit_reason")
            os.unlink(test.path("stats.json"))
        print(f"{name}, irqchip={chip}: ends in order")

with open(test.path("program"), "wb") as f:
    f.write(guest.bare_program(SAY + b"\xeb\xfe"))
for chip in "user", "kernel":
    for number in guest.INT, guest.TERM, signal.SIGHUP:
        for delay in EARLY:
            end_early(number, delay, [test.program, "--machine", "pc", "--memory", "16M", "--nographic",
                                      "--accel", f"kvm,irqchip={chip}", "--kernel", test.path("program")])
    print(f"in its first moments, irqchip={chip}: ends in order")
