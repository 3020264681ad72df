"""Debian's kernel under KVM with several cpus, once with each choice of who has the interrupt chips: all come up,
and it powers off."""
import os

import guest

PATIENCE = 150  # seconds for each; KVM may be a processor that another program emulates
guest.need_kvm()
test = guest.Test()
# Unpacking the kernel is what other tests are about.
vmlinux = os.path.join(guest.CACHE, "vmlinux")
kernel = vmlinux if os.path.exists(vmlinux) else guest.KERNEL

for irqchip, cpus in ("kernel", 4), ("split", 2), ("user", 2):
    serial = test.run(test.linux("poweroff", "--smp", str(cpus), "--accel", f"kvm,irqchip={irqchip}",
                                 "--stats", test.path("stats.json"), kernel=kernel,
                                 append="pci=noearly"), timeout=PATIENCE)
    guest.found_in(f"Total of {cpus} processors activated", serial, irqchip)
    guest.found_in("reboot: Power down", serial, irqchip)
    for complaint in b"TSC warp", b"soft lockup", b"rcu_preempt detected stalls":
        assert complaint not in serial, complaint
    guest.equal(test.stats()["exit_reason"], "poweroff", irqchip)
    print(irqchip, test.stats()["exits"])
