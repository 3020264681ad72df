"""boot.decompress=guest leaves the kernel packed: its own code unpacks it, and then Linux boots."""
import guest

test = guest.Test()
counts = {}
for who in "host", "guest":
    serial = test.run(test.linux("poweroff", "--no-reboot", "--set", f"boot.decompress={who}",
                                 "--stats", test.path(who + ".json")), timeout=280)
    guest.found_in("^PERILUNE: init kernel=", serial, "init")
    stats = test.stats(who + ".json")
    guest.equal(stats["exit_reason"], "poweroff", "exit_reason")
    guest.equal(stats["boot"]["unpacked"], who == "host", "unpacked on the host")
    counts[who] = stats["instructions"]
assert counts["guest"] > counts["host"] + 500_000_000, f"the guest unpacked nothing: {counts}"
print("instructions with the kernel unpacked by the host and by the guest:", counts)
