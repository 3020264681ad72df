"""Debian's kernel under KVM with two cpus: a shell on the serial console, what is typed runs, e1000 gets a lease
and a file whole, reboot and power off."""
import os

import guest

PROMPT = "/root # "
PATIENCE = 300  # seconds; KVM may be a processor that another program emulates
guest.need_kvm()
test = guest.Test()
content = os.urandom(1 << 20)
# Unpacking the kernel is what other tests are about.
vmlinux = os.path.join(guest.CACHE, "vmlinux")
kernel = vmlinux if os.path.exists(vmlinux) else guest.KERNEL

with guest.web_server(test.path("www"), {"file": content}) as port, guest.Terminal(test.linux(
        "shell", "--accel", "kvm", "--smp", "2", "--nic", "user", "--stats", test.path("stats.json"),
        kernel=kernel, append="quiet pci=noearly")) as t:
    t.expect(PROMPT, PATIENCE)
    t.type("echo value=$((6 * 7))\r")
    t.expect("value=42", PATIENCE)
    t.type("net-up\r")
    t.expect("PERILUNE: lease ip=10.0.2.15 router=10.0.2.2", PATIENCE)
    t.expect(PROMPT, PATIENCE)
    t.type(f"wget -q -O - http://10.0.2.2:{port}/file | sha256sum\r")
    t.expect(guest.sha256(content), PATIENCE)
    t.expect(PROMPT, PATIENCE)
    t.type("grep -c ^processor /proc/cpuinfo\r")
    t.expect("\n2", PATIENCE)
    t.expect(PROMPT, PATIENCE)
    t.type("cat /proc/uptime /proc/interrupts; dmesg | grep -i -e tsc -e timer; exit\r")
    print("the guest's clocks:", t.expect("Power down", PATIENCE).replace("\r", ""))
    guest.equal(t.wait(PATIENCE), 0, "exit status after the shell's end")

stats = test.stats()
guest.equal(stats["accel"], "kvm", "accel")
guest.equal(stats["exit_reason"], "poweroff", "exit_reason")
assert stats["exits"]["pio"] > 0 and stats["exits"]["mmio"] > 0, stats
guest.equal([link["dropped"] for link in stats["links"].values()], [0], "packets dropped")
print(stats)
