"""Linux on the pc in many settings: one case of the table below, named as the last argument.

Each boot says what it found (perilune.test=facts in scripts/make-initramfs) and must have found just
that; and no line of its console may complain."""
import re
import sys

import guest

COMPLAINTS = (r"\bBUG\b|WARNING|Call Trace|lockup|Oops|panic - |rcu.*(stall|detected)|clocksource: .* skewed|"
              r"Marking TSC unstable|nobody cared|spurious|IO-APIC.*(fail|not connected|bug)|PERILUNE: failed|"
              r"APIC error|timer doesn't work")
# What a boot finds unless its case says otherwise.
USUAL = {"cpus": "1", "clocksource": "tsc", "clockevent": "lapic-deadline", "serial": "IO-APIC"}
PIC = {"serial": "XT-PIC"}
NO_LAPIC = {"serial": "XT-PIC", "clockevent": "pit"}
MIB = 1024


def case(options="", append="", lines=(), allow=None, memory="512M", least=None, most=None, end="poweroff", absent=(),
         **facts):
    """A row: options of the program, words of the kernel's command line, patterns that the console
    has, complaints that are right there, and how much of the memory Linux must have, in KiB."""
    return {"options": options.split(), "append": append, "lines": lines, "allow": allow, "memory": memory,
            "least": least or 440 * MIB, "most": most or 512 * MIB, "end": end, "absent": absent,
            "facts": {**USUAL, **facts}}


CASES = {
    "cpus1": case("--smp 1", lines=["Switched APIC routing to physical x2apic"]),
    "cpus2": case("--smp 2", cpus="2", lines=["Brought up 1 node, 2 CPUs"]),
    "cpus4": case("--smp 4", cpus="4", lines=["Brought up 1 node, 4 CPUs"]),
    "cpus8": case("--smp 8", cpus="8", lines=["Brought up 1 node, 8 CPUs"]),
    "nosmp": case("--smp 2", "nosmp", lines=["SMP mode deactivated"], **PIC),
    "maxcpus1": case("--smp 4", "maxcpus=1", lines=["Brought up 1 node, 1 CPU"]),
    "noapic": case("--smp 2", "noapic", cpus="2", **PIC),
    "nolapic": case("--smp 2", "nolapic", lines=["SMP disabled|SMP mode deactivated|Local APIC disabled"],
                    **NO_LAPIC),
    # With the deadline timer Linux leaves the PIT alone, and would have no timer at all.
    "nolapic_timer": case("--cpu base,-tsc_deadline_timer", "nolapic_timer", clockevent="pit"),
    # By the MP table.
    "acpi_off": case("--smp 2", "acpi=off", lines=["found SMP MP-table at"], end="reboot", cpus="2"),
    "acpi_noirq": case("--smp 2", "acpi=noirq", cpus="2", lines=["found SMP MP-table at"]),
    "nox2apic": case("--smp 2", "nox2apic", cpus="2", lines=["IOAPIC\[0\]: apic_id 0, version 32"],
                     absent=["x2apic enabled"]),
    "no_deadline": case("--cpu base,-tsc_deadline_timer", clockevent="lapic"),
    "tsc_unstable": case("--smp 2", "tsc=unstable", allow="Marking TSC unstable", cpus="2", clocksource="acpi_pm"),
    "hpet": case("--smp 2 --set hpet=on", "tsc=unstable", allow="Marking TSC unstable", cpus="2", clocksource="hpet",
                 lines=["hpet0: 3 comparators, 64-bit 100.000000 MHz counter"]),
    "hpet_nolapic": case("--set hpet=on", "nolapic", serial="XT-PIC", clockevent="hpet",
                         lines=["ACPI: HPET id: 0x8086a201 base: 0xfed00000"]),
    "hpet_noapic": case("--smp 2 --set hpet=on", "noapic", cpus="2", **PIC),
    "notsc_jiffies": case("", "tsc=unstable clocksource=jiffies acpi_pm=off nohz=off highres=off",
                          allow="Marking TSC unstable", clocksource="jiffies"),
    "no_highres": case("", "highres=off nohz=off"),
    "memory88m": case(memory="88M", least=32 * MIB, most=96 * MIB),
    "memory2g": case(memory="2G", least=1900 * MIB, most=2048 * MIB),
    "memory8g": case(memory="8G", least=7700 * MIB, most=8192 * MIB, lines=[r"\[mem 0x0+100000000-0x0+23fffffff\]"]),
    "packed": case("--set boot.decompress=guest"),
}


def command_of(test, name, c):
    command = test.linux("facts", "--no-reboot", "--set", "idle=warp", "--stats", test.path(name + ".json"),
                         *c["options"], append=f"perilune.end={c['end']} {c['append']}")
    command[command.index("--memory") + 1] = c["memory"]
    return command


def boot(test, name, c):
    return test.run(command_of(test, name, c), timeout=2 * guest.BOOT_TIMEOUT).decode(errors="replace")


def check(test, name, c, serial):
    for line in serial.splitlines():
        assert not re.search(COMPLAINTS, line) or c["allow"] and re.search(c["allow"], line), line
    for what, expected in c["facts"].items():
        found = guest.found_in(rf"^PERILUNE: {what} (\S*)", serial, what)[1]
        guest.equal(found, expected, what)
    memory = int(guest.found_in(r"^PERILUNE: memory (\d+)", serial, "memory")[1])
    assert c["least"] <= memory <= c["most"], f"memory: {memory} KiB, not {c['least']} to {c['most']}"
    guest.found_in(rf"^PERILUNE: ok facts slept={c['facts']['cpus']}", serial, "timers")
    for pattern in c["lines"]:
        guest.found_in(pattern, serial, "the console")
    for pattern in c["absent"]:
        assert not re.search(pattern, serial), pattern
    guest.equal(test.stats(name + ".json")["exit_reason"], "poweroff" if c["end"] == "poweroff" else "reset",
                "exit_reason")
    return memory


def main():
    test, name = guest.Test(), sys.argv[3]
    if name == "row":
        several = CASES["cpus2"]
        counts = set()
        for n in range(20):
            serial = boot(test, str(n), several)
            check(test, str(n), several, serial)
            counts.add(test.stats(f"{n}.json")["instructions"])
        assert len(counts) == 1, f"20 boots differ in their instructions: {counts}"
        print("20 boots of", counts.pop(), "instructions")
        return
    if name == "memory32m":
        test.run(command_of(test, name, case(memory="32M")), status=2)
        guest.found_in(r"ELF segment 0 .* is outside RAM; the machine has 32375 KiB", test.errors, "the refusal")
        return
    serial = boot(test, name, CASES[name])
    with open(test.path("serial"), "w", encoding="utf-8") as f:
        f.write(serial)
    memory = check(test, name, CASES[name], serial)
    print(test.stats(name + ".json")["instructions"], "instructions,", memory, "KiB")


main()
