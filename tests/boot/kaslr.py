"""Linux unpacks and moves itself (KASLR): hooks and faults on symbols of the kernel and of a module
find them by themselves. The script that does it is kaslr.lua."""
import os

import guest

test = guest.Test()
script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kaslr.lua")
said = test.run([test.program, script, guest.KERNEL, test.initrd], timeout=280).decode(errors="replace")

guest.found_in(r'^UNKNOWN\tfalse\t.*no symbol "e1000_probe".*pending = true waits', said, "the option is taught")
guest.found_in(r"^PENDING\ttrue\ttrue\ttrue\ttrue", said, "nothing is placed before the kernel is")
guest.found_in(r"^FIRST\tx86_64_start_kernel", said, "the first C function")
guest.equal(said.count("FIRST"), 1, "calls of it")
guest.found_in(r"^OPEN\t/init\n(OPEN.*\n)*OPEN\t/proc/cmdline", said, "names of files opened")
guest.found_in(r"^PROBE\te1000_probe\+0x4/0x[0-9a-f]+ \[e1000\]", said, "a name in the module")
guest.found_in(r"^FRAME\treally_probe\+.*\torc\n(FRAME.*\torc\n)*FRAME\te1000_init_module\+.* \[e1000\]\t"
               r"orc\nFRAME\tdo_one_initcall\+.*\torc\nFRAME\tdo_init_module\+.*\torc", said,
               "a backtrace through the module, by its own tables")
guest.found_in(r"^WHY\tentered from user mode", said, "its end")
guest.found_in(r"^LOADED\tfalse\t1\t1", said, "hook and fault are armed when the module is there")
guest.found_in(r"^DRIVER\tE1000", said, "the guest sees the fault")
guest.found_in(r'^UNLOADED\ttrue\t1\tfalse\t.*no symbol "e1000_probe"', said, "the module is gone")
guest.found_in(r"^AGAIN\tfalse\t2", said, "the module is there again")
slide = int(guest.found_in(r"^STOPPED\tpaused\t(0x[0-9a-f]+)\ttrue", said, "the slide").group(1), 16)
assert slide > 0 and slide % 0x200000 == 0, f"KASLR has not moved the kernel: {slide:#x}"
guest.found_in(r"^RESET\ttrue\ttrue\t0$", said, "after a reset all wait again")
