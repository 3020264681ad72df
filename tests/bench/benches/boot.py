"""A kernel's boot to an init that powers off, beside QEMU with the same files."""
from .measure import Sample, ratio, table

APPEND = "console=ttyS0 perilune.test=poweroff"


def run_case(setup, kernel, ours_extra, qemu_kernel):
    """Ours and QEMU's in turn, so that a drift of the machine's speed hits both."""
    initrd = setup.initrd()
    ours, stats, theirs = [], [], []
    for _ in range(setup.runs):
        result, data = setup.run_ours(["--kernel", kernel, "--initrd", initrd, "--append", APPEND,
                                       *ours_extra])
        result.time_of("PERILUNE: init")
        ours.append(result.wall)
        stats.append(data)
        if setup.qemu and qemu_kernel:
            other = setup.run_qemu(["-kernel", qemu_kernel, "-initrd", initrd, "-append", APPEND])
            other.time_of("PERILUNE: init")
            theirs.append(other.wall)
    return Sample(ours), stats, Sample(theirs) if theirs else None


def main(setup):
    vmlinuz, vmlinux = setup.vmlinuz(), setup.vmlinux()
    cases = [
        ("vmlinux by PVH", vmlinux, [], vmlinux),
        ("bzImage, host unpacks", vmlinuz, [], None),
        ("bzImage, guest unpacks", vmlinuz, ["--set", "boot.decompress=guest"], vmlinuz),
    ]
    rows, data, by_pvh = [], {}, None
    for name, kernel, extra, qemu_kernel in cases:
        ours, stats, theirs = run_case(setup, kernel, extra, qemu_kernel)
        by_pvh = by_pvh or theirs
        beside = theirs or by_pvh
        mips = Sample(s["mips"] for s in stats)
        count = stats[-1]["instructions"] / 1e6
        rows.append([name, f"{count:.0f}", mips.show("{:.0f}"), ours.show(),
                     beside.show() if beside else "–", ratio(ours, beside)])
        data[name] = {"minstructions": count, "mips": mips.data(), "wall_s": ours.data(),
                      "unpack_s": stats[-1].get("boot", {}).get("unpack_ns", 0) / 1e9,
                      "qemu_wall_s": beside.data() if beside else None}
    table(["boot to power off", "M instr.", "MIPS", "wall s", "QEMU wall s", "ours/QEMU"], rows)
    print("  QEMU unpacks no kernel itself: beside “host unpacks” stands its vmlinux by PVH. The"
          f"\n  host took {data['bzImage, host unpacks']['unpack_s']:.2f} s to unpack. Wall is the"
          " whole process; QEMU's holds SeaBIOS.\n  MIPS are those of the run, start apart.")
    return data
