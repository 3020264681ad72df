"""A shell on the serial console: what is typed runs, Ctrl-a h helps, Ctrl-a x ends the machine and
leaves the terminal as it was; and a reboot without --no-reboot runs the kernel once more."""
import guest

PROMPT = "/root # "
test = guest.Test()

with guest.Terminal(test.linux("shell", "--stats", test.path("stats.json"))) as t:
    t.expect(PROMPT)
    t.expect_raw()
    # The echo of what is typed holds the expression, only the shell's answer its value.
    t.type("echo value=$((6 * 7))\r")
    t.expect("value=42")
    t.expect(PROMPT)
    t.type("uname -m; cat /proc/cmdline\r")
    t.expect("x86_64")
    t.expect("perilune.test=shell")
    t.expect(PROMPT)
    t.type("\x01h")
    t.expect("Ctrl-a x")
    t.type("reboot -f\r")
    t.expect("Linux version")
    t.expect(PROMPT)
    t.type("echo again=$((1 + 1))\r")
    t.expect("again=2")
    t.type("\x01x")
    guest.equal(t.wait(), 0, "exit status after Ctrl-a x")
    assert t.is_restored(), "the terminal is not as it was before"
stats = test.stats()
assert stats["exit_reason"] != "poweroff", stats["exit_reason"]
print("shell, help, reboot and Ctrl-a x work; it ended by", stats["exit_reason"])

with guest.Terminal(test.linux("shell", "--no-reboot", "--stats", test.path("end.json"))) as t:
    t.expect(PROMPT)
    t.type("exit\r")
    guest.equal(t.wait(), 0, "exit status after the shell's end")
    assert t.is_restored(), "the terminal is not as it was before"
guest.equal(test.stats("end.json")["exit_reason"], "poweroff", "exit_reason")
print("the end of the shell powers off")
