"""Debian's kernel under KVM with two cpus, once with each choice of who has the interrupt chips: both come up, and
it powers off."""
import os

import guest

PATIENCE = 150  # seconds for each; KVM may be a processor that another program emulates
guest.need_kvm()
test = guest.Test()
# Unpacking the kernel is what other tests are about.
vmlinux = os.path.join(guest.CACHE, "vmlinux")
kernel = vmlinux if os.path.exists(vmlinux) else guest.KERNEL

for irqchip in "kernel", "split", "user":
    serial = test.run(test.linux("poweroff", "--smp", "2", "--accel", f"kvm,irqchip={irqchip}",
                                 "--stats", test.path("stats.json"), kernel=kernel,
                                 append="pci=noearly"), timeout=PATIENCE)
    guest.found_in("Total of 2 processors activated", serial, irqchip)
    guest.found_in("reboot: Power down", serial, irqchip)
    for complaint in b"TSC warp", b"soft lockup", b"rcu_preempt detected stalls":
        assert complaint not in serial, complaint
    guest.equal(test.stats()["exit_reason"], "poweroff", irqchip)
    print(irqchip, test.stats()["exits"])
