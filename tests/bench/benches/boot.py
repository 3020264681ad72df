"""A kernel's boot to an init that powers off, beside QEMU with the same files."""
import re
import subprocess

from .measure import Failure, Sample, ratio, show, table

APPEND = "console=ttyS0 perilune.test=poweroff"


def run_case(setup, kernel, ours_extra, qemu_kernel):
    """Runs of ours with their statistics, and of QEMU; in turn, so that a drift of the machine's
    speed hits both."""
    initrd = setup.initrd()
    ours, stats, theirs = [], [], []
    for _ in range(setup.runs):
        result, data = setup.run_ours(["--kernel", kernel, "--initrd", initrd, "--append", APPEND,
                                       *ours_extra])
        result.time_of("PERILUNE: init")
        ours.append(result)
        stats.append(data)
        if setup.qemu and qemu_kernel:
            other = setup.run_qemu(["-kernel", qemu_kernel, "-initrd", initrd, "-append", APPEND])
            other.time_of("PERILUNE: init")
            theirs.append(other)
    return ours, stats, theirs


def times(runs):
    """Wall and processor seconds as Samples; None without runs."""
    return (Sample(r.wall for r in runs), Sample(r.cpu for r in runs)) if runs else (None, None)


def resident(pid, guest_kib):
    """KiB of host memory of a process, and of it without the mapping of the guest's RAM."""
    everything = other = size = 0
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as maps:
        for line in maps:
            field = re.match(r"(Size|Rss): +(\d+) kB", line)
            if field and field[1] == "Size":
                size = int(field[2])
            elif field:
                everything += int(field[2])
                other += int(field[2]) if size < guest_kib else 0
    return everything, other


def memory(setup, kernel):
    """MiB that the host has spent when the guest's init speaks: in all, and beside the guest's RAM."""
    command = ["timeout", "120", setup.binary, "--machine", "pc", "--memory", "512M", "--kernel",
               kernel, "--initrd", setup.initrd(), "--append", APPEND, "--nic", "none",
               "--nographic", "--no-reboot"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if line.startswith(b"PERILUNE: init"):
                with open(f"/proc/{process.pid}/task/{process.pid}/children",
                          encoding="utf-8") as children:
                    child = int(children.read().split()[0])
                found = [kib / 1024 for kib in resident(child, 500 << 10)]
                process.stdout.read()
                return found
    raise Failure("memory: the guest's init did not speak")


def main(setup):
    vmlinuz, vmlinux = setup.vmlinuz(), setup.vmlinux()
    cases = [
        ("vmlinux by PVH", vmlinux, [], vmlinux),
        ("bzImage, host unpacks", vmlinuz, [], None),
        ("bzImage, guest unpacks", vmlinuz, ["--set", "boot.decompress=guest"], vmlinuz),
    ]
    rows, data, by_pvh = [], {}, None
    for name, kernel, extra, qemu_kernel in cases:
        runs, stats, others = run_case(setup, kernel, extra, qemu_kernel)
        by_pvh = by_pvh or others
        (wall, cpu), (other_wall, other_cpu) = times(runs), times(others or by_pvh)
        mips = Sample(s["mips"] for s in stats)
        count = stats[-1]["instructions"] / 1e6
        rows.append([name, f"{count:.0f}", mips.show("{:.0f}"),
                     wall.show(), show(other_wall), ratio(wall, other_wall),
                     f"{cpu.median:.2f}", f"{other_cpu.median:.2f}" if other_cpu else "–",
                     ratio(cpu, other_cpu)])
        data[name] = {"minstructions": count, "mips": mips.data(), "wall_s": wall.data(),
                      "cpu_s": cpu.data(),
                      "unpack_s": stats[-1].get("boot", {}).get("payload_ns", 0) / 1e9,
                      "qemu_wall_s": other_wall.data() if other_wall else None,
                      "qemu_cpu_s": other_cpu.data() if other_cpu else None}
    table(["boot to power off", "M instr.", "MIPS", "wall s", "QEMU", "ratio", "cpu s", "QEMU",
           "ratio"], rows)
    print("  QEMU unpacks no kernel itself: beside “host unpacks” stands its vmlinux by PVH. The host"
          f" took\n  {data['bzImage, host unpacks']['unpack_s']:.2f} s to unpack. wall: the whole"
          " process, QEMU's with its SeaBIOS. cpu: processor time of the\n  same runs, which other load"
          " disturbs less. MIPS: of the run by the wall, start apart.")
    everything, other = memory(setup, vmlinuz)
    print(f"  Host memory when init speaks: {everything:.0f} MiB, of them {other:.0f} beside the"
          " guest's RAM.")
    data["memory_mib"] = {"all": everything, "beside_guest_ram": other}
    return data
