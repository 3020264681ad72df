"""Linux on the software CPU's model "max": the kernel keeps its state with XSAVE, its modules choose
AVX2, AES, PCLMULQDQ and SHA for themselves and pass their own tests of them, and so does the C library
of what runs in it; and with a feature switched off nothing of it is used."""
import gzip
import os
import re

import guest

MODULES = ("raid6_pq", "xor", "aesni-intel", "ghash-clmulni-intel", "sha1-ssse3", "sha256-ssse3", "sha512-ssse3",
           "crc32-pclmul", "crct10dif-pclmul", "chacha-x86_64", "poly1305-x86_64", "camellia-aesni-avx2", "serpent-avx2")
SCRIPT = """
grep -m1 '^flags' /proc/cpuinfo | sed 's/^flags/PERILUNE: flags/'
while read -r module; do
    insmod "/lib/tests/$module" || echo "PERILUNE: refused $module"
done </lib/tests/order
sed -n '/^driver\\|^selftest/p' /proc/crypto | paste -s -d ' \\n' | sed 's/^/PERILUNE: /'
dd if=/dev/zero bs=1024 count=257 2>/dev/null | tr '\\000' 'a' >/tmp/a
for sum in md5sum sha1sum sha256sum sha512sum; do
    echo "PERILUNE: $sum $($sum </tmp/a)"
done
echo "PERILUNE: found $(printf 'b' | cat /tmp/a - /tmp/a | grep -c b)"
"""
test = guest.Test()


def entry(name, mode, content):
    """One file of an archive in cpio's newc format."""
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def module_files():
    """The modules and what they need, in the order of loading."""
    order = []
    with open(os.path.join(guest.CACHE, "modules", "modules.dep"), encoding="utf-8") as f:
        lines = [line.replace(":", "").split() for line in f]
    for module in MODULES:
        found = [files for files in lines if os.path.basename(files[0]).split(".")[0] == module]
        assert found, f"no module {module}"
        order += [file for file in reversed(found[0]) if file not in order]
    return order


def archive():
    """The initial file system with the test and its modules behind it."""
    files = module_files()
    parts = [entry("etc/tests", 0o40755, b""), entry("etc/tests/cpu", 0o100644, SCRIPT.encode()),
             entry("lib/tests", 0o40755, b""),
             entry("lib/tests/order", 0o100644, "".join(os.path.basename(f) + "\n" for f in files).encode())]
    for file in files:
        if not file.endswith(".ko"):
            guest.skip(f"{file} is packed")
        with open(os.path.join(guest.CACHE, "modules", file), "rb") as f:
            parts.append(entry("lib/tests/" + os.path.basename(file), 0o100644, f.read()))
    parts.append(entry("TRAILER!!!", 0, b""))
    path = test.path("initrd.gz")
    with open(test.initrd, "rb") as first, open(path, "wb") as out:
        out.write(first.read())
        out.write(gzip.compress(b"".join(parts), 1))
    return path


def boot(model, initrd):
    out = test.run(test.linux("cpu", "--no-reboot", "--accel", "soft", "--cpu", model, initrd=initrd))
    text = out.decode(errors="replace")
    for bad in "selftest : failed", "Oops", "invalid opcode", "WARNING:":
        assert bad not in text, f"{model}: {bad}\n{text[-3000:]}"
    assert not re.search(r"alg: .*fail", text), text[-3000:]
    assert "invalid or unimplemented" not in test.errors, test.errors
    guest.found_in("reboot: Power down", text, "power off")
    return text


initrd = archive()
full = boot("max", initrd)
assert "PERILUNE: refused" not in full, full[-3000:]
guest.found_in("Enabled xstate features 0x7, context size is 832 bytes", full, "XSAVE")
guest.found_in("raid6: using algorithm avx2x", full, "raid6")
guest.found_in("xor: automatically using best checksumming function *avx", full, "xor")
for driver in "__cbc-aes-aesni", "sha256-ni", "sha1-ni", "sha512-avx2", "crc32-pclmul", "chacha20-simd", "poly1305-simd":
    guest.found_in(rf"PERILUNE: driver +: {driver} selftest +: passed", full, driver)

plain = boot("max,-avx,-aes,-sha_ni,-pclmulqdq,-bmi1,-bmi2", initrd)
guest.found_in("raid6: using algorithm sse2x", plain, "raid6 without AVX")
guest.found_in("PERILUNE: refused aesni-intel.ko", plain, "AES without AES")
assert "sha256-ni" not in plain
for line in "md5sum", "sha1sum", "sha256sum", "sha512sum", "found":
    guest.equal(guest.found_in(f"PERILUNE: {line} .*", full, line)[0],
                guest.found_in(f"PERILUNE: {line} .*", plain, line)[0], line)
print("the same sums with and without AVX, AES and SHA")
