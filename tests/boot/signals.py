"""SIGINT and SIGTERM end a running machine in order: statistics are written, the terminal is as it
was, and the process has died of the signal, as whoever sent it expects."""
import os

import guest

test = guest.Test()
for number in guest.INT, guest.TERM:
    name = f"{number.name}.json"
    with guest.Terminal(test.linux("shell", "--stats", test.path(name))) as t:
        t.expect("Linux version")
        t.expect_raw()
        os.kill(t.process.pid, number)
        guest.equal(t.wait(), -number, f"how it ended after {number.name}")
        assert t.is_restored(), f"the terminal is not as it was before, after {number.name}"
    stats = test.stats(name)
    guest.equal(stats["exit_reason"], "signal", "exit_reason")
    assert stats["instructions"] > 0, stats
    print(number.name, "ends it in order")
