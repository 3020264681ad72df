"""A network card is plugged into a Linux that runs, used, pulled out under it, and plugged in again;
the script that does it is hotplug.lua."""
import os

import guest

test = guest.Test()
script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hotplug.lua")
said = test.run([test.program, script, guest.KERNEL, test.initrd]).decode(errors="replace")

guest.found_in(r"^FOUND .*eth0.* 0x100e", said, "the card, found by a rescan")
guest.equal(said.count("1 packets received"), 2, "answers to pings: one through each card")
guest.found_in(r"^REMOVED false", said, "removal in a hook is put off")
guest.found_in(r"^LEFT lo$", said, "the card is gone, and the guest goes on")
guest.found_in(r"^HANDLE closed device", said, "the script's handle")
guest.found_in(r"^ENDED poweroff", said, "power off")
for bad in ("BUG:", "Oops", "Call Trace"):
    assert bad not in said, said[-3000:]
