"""Linux sleeps (suspend to idle) and a magic packet wakes it, another packet does not: PME# and its ACPI event;
the script that does it is wake.lua."""
import os

import guest

test = guest.Test()
script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wake.lua")
said = test.run([test.program, script, guest.KERNEL, test.with_net_tools()]).decode(errors="replace")
said = said.replace("\r", "")

guest.found_in(r"^PCI0\s+S0\s+\*", said, "the bridge, which can wake")
guest.found_in(r"^by another packet: false$", said, "asleep")
guest.found_in(r"^by magic: true$", said, "awake")
guest.found_in(r"^events 1 ", said, "general purpose events")
guest.found_in(r"1 packets received", said, "an answer through the card afterwards")
guest.found_in(r"^ended: poweroff$", said, "power off")
