"""A bare program finds testdev, and isa-debugcon at a port of its own."""
import sys

import guest

test, program = guest.Test(linux=False), sys.argv[3]
for device in "testdev", "pc-testdev":
    out = test.path(device)
    test.run([test.program, "--machine", "pc", "--memory", "16M", "--kernel", program, "--nographic",
              "--device", device, "--chardev", f"file,id=dbg,path={out}",
              "--device", "isa-debugcon,iobase=0x402,chardev=dbg"], timeout=40, status=ord("K") << 1 & 0xff | 1)
    with open(out, encoding="utf-8") as f:
        guest.equal(f.read(), "IIK", "what it said to " + device)
