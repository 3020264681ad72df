"""What Perilune adds to KVM: bench_kvm, a program that has a bare loop around KVM_RUN beside it."""
import os

from .measure import Sample, run, table

WAYS = ("exit", "ioeventfd", "coalesced")


def numbers(setup):
    """By name, of all runs; None: no /dev/kvm."""
    found = {}
    for _ in range(setup.runs):
        result = run([os.path.join(setup.build, "bench_kvm")], 300, (0, 77))
        if result.status == 77:
            print("  " + result.text())
            return None
        for line in result.text().splitlines():
            name, _, value = line.partition("\t")
            if value:
                found.setdefault(name, []).append(float(value))
    return {name: Sample(values) for name, values in found.items()}


def main(setup):
    found = numbers(setup)
    if found is None:
        return {}

    def ns(name):
        return found[name].show("{:.0f}") if name in found else "–"

    table(["exit to a device in C, ns", "bare loop", "ours", "more", "%", "other calls of the kernel"],
          [[kind, ns(f"{kind} bare"), ns(f"{kind} ours"), ns(f"{kind} more"),
            f"{100 * found[f'{kind} more'].median / found[f'{kind} bare'].median:.1f}",
            ns(f"{kind} calls")] for kind in ("pio", "mmio")])
    print("  Wanted: at most 300 ns and 5 % more, no other calls.")
    table(["a BAR moves, µs, 100 regions", "nobody in the guest", "a guest spins"],
          [["registers of a device", ns("move registers"), ns("move registers running")],
           ["memory", ns("move memory"), ns("move memory running")],
           ["the kernel's share: one call", ns("move bare"), ""],
           ["removed and made anew", ns("move bare by two calls"), ""]])
    print("  Wanted: at most 100 µs.")
    table(["all vcpus that spin stand still, µs", "median", "best"],
          [[f"{n} vcpus", ns(f"pause {n}"), ns(f"pause best {n}")] for n in (1, 2, 4)])
    print("  Wanted: less than 1000 µs.")
    table(["a write and its loop, bare, ns", *WAYS],
          [[kind, *(ns(f"{kind} {way}") for way in WAYS)] for kind in ("pio", "mmio")])
    return {name: sample.data() for name, sample in found.items()}
