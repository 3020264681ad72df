"""Debian's e1000 driver tests the card itself (ethtool -t: registers, EEPROM, interrupts, loopback, link), and what
the card counts is what was sent."""
import re

import guest

PINGS, FRAME = 20, 1000 + 8 + 20 + 14 + 4  # with the FCS, as the card counts
SMALLEST = 64
TESTS = ["Register", "Eeprom", "Interrupt", "Loopback", "Link"]

test = guest.Test()
initrd = test.with_net_tools()
serial = test.run(test.linux("ethtool", "--nic", "user", "--no-reboot", "--stats", test.path("stats.json"),
                             initrd=initrd)).decode(errors="replace").replace("\r", "")
guest.found_in(r"^PERILUNE: ok ethtool$", serial, "the end")
guest.equal(re.findall(r"^PERILUNE: test (\w+) test +\(\S+\)\s+(\d+)$", serial, re.MULTILINE),
            [(name, "0") for name in TESTS], "ethtool -t eth0 offline")
guest.found_in(r"^PERILUNE: self-test status=0$", serial, "exit status of ethtool -t")
guest.found_in(rf"^PERILUNE: ping sent={PINGS} received={PINGS}$", serial, "pings")


def counters(when):
    return {name: int(value) for name, value in
            re.findall(rf"^PERILUNE: {when} (\w+): (\d+)$", serial, re.MULTILINE)}


before, after = counters("before"), counters("after")
assert len(after) > 40, after
grown = {name: after[name] - before[name] for name in after}
for way in ("rx", "tx"):
    others = grown[f"{way}_packets"] - PINGS  # ARP, IPv6's own
    assert 0 <= others <= 6, grown
    assert grown[f"{way}_bytes"] >= PINGS * FRAME + others * SMALLEST, grown
    if others == 0:
        guest.equal(grown[f"{way}_bytes"], PINGS * FRAME, f"{way}_bytes")
guest.equal(after["rx_long_byte_count"], after["rx_bytes"], "rx_long_byte_count")
wrong = {name: value for name, value in after.items()
         if value and re.search("error|missed|drop|fail|coll|no_buffer|timeout", name)}
guest.equal(wrong, {}, "counters of errors")
guest.found_in(r"^PERILUNE: settings Speed: 1000Mb/s$", serial, "speed")
guest.found_in(r"^PERILUNE: settings Supports Wake-on: umbg$", serial, "wake-up, as with a power management capability")
links = list(test.stats()["links"].values())
guest.equal(links[0]["dropped"], 0, "frames dropped by the link")
print("the driver's self-test passes; counters grew by", grown["rx_packets"], "and", grown["tx_packets"], "packets")
