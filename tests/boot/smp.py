"""Linux brings both cpus of a machine with two up, finds their time stamp counters in step, and two
boots of it are the same run."""
import guest

COMPARED = ("instructions", "virtual_ns", "interrupts", "exceptions", "exits", "idle_skipped_ns",
            "ram_sha256")
test = guest.Test()


def boot(name):
    serial = test.run(test.linux("poweroff", "--smp", "2", "--no-reboot", "--set", "idle=warp",
                                 "--set", "stats.ram_hash=true", "--stats", test.path(name)))
    stats = test.stats(name)
    return {**{key: stats[key] for key in COMPARED}, "serial": serial}


first = boot("first.json")
guest.found_in("Brought up 1 node, 2 CPUs", first["serial"], "both cpus")
guest.found_in("reboot: Power down", first["serial"], "power off")
for complaint in b"TSC warp", b"Marking TSC unstable", b"soft lockup", b"rcu_sched detected":
    assert complaint not in first["serial"], complaint
second = boot("second.json")
for key, value in first.items():
    guest.equal(second[key], value, key)
print(first["instructions"], "instructions, twice")
