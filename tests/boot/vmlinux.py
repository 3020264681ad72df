"""Debian's kernel as a plain vmlinux, entered by PVH."""
import lzma
import struct

import guest

test = guest.Test()
with open(guest.KERNEL, "rb") as f:
    image = f.read()
# The Linux/x86 boot protocol: setup_sects at 0x1f1, payload_offset and payload_length at 0x248.
setup = (image[0x1f1] + 1) * 512
offset, length = struct.unpack_from("<II", image, 0x248)
payload = image[setup + offset:setup + offset + length]
if not payload.startswith(b"\xfd7zXZ\0"):
    guest.skip("the kernel's payload is not packed with xz")
vmlinux = lzma.LZMADecompressor().decompress(payload)  # what follows the stream is its size
assert vmlinux.startswith(b"\x7fELF"), "the payload is not an ELF file"
with open(test.path("vmlinux"), "wb") as f:
    f.write(vmlinux)

serial = test.run(test.linux("poweroff", "--no-reboot", "--stats", test.path("stats.json"),
                             kernel=test.path("vmlinux")))
guest.found_in("^PERILUNE: init kernel=", serial, "init")
guest.found_in("Booting paravirtualized kernel|Linux version", serial, "kernel messages")
stats = test.stats()
guest.equal(stats["exit_reason"], "poweroff", "exit_reason")
guest.equal(stats["boot"]["format"], "pvh", "what the file was taken for")
print("vmlinux boots by PVH in", stats["instructions"], "instructions")
