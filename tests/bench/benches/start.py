"""From the start of the process to the guest's first instruction, and what it is made of."""
import os

from .measure import Sample, run, table
from .setup import DEBUG_EXIT, ROOT

WANTED_MS = 20
FORM = "{:.1f}"


def to_first_byte(setup, start):
    """Milliseconds to the first byte that the guest writes, with its third instruction, and to
    the end of the process."""
    runs = [start() for _ in range(setup.runs * 3)]
    return Sample(r.first_byte * 1e3 for r in runs), Sample(r.wall * 1e3 for r in runs)


def stages(setup, *args):
    """Milliseconds by stage, as start.lua takes them."""
    found = {}
    for _ in range(setup.runs):
        script = os.path.join(ROOT, "tests", "bench", "start.lua")
        for line in run([setup.binary, script, *args], 60, (0,)).text().splitlines():
            stage, value = line.split()
            found.setdefault(stage, []).append(float(value))
    return {stage: Sample(values) for stage, values in found.items()}


def main(setup):
    program = setup.guest("first")
    rows, data = [], {}

    def add(name, seen, whole):
        rows.append([name, seen.show(FORM), whole.show(FORM)])
        data[name] = {"first_byte_ms": seen.data(), "process_ms": whole.data()}

    for machine in ("minimal", "pc"):
        add(f"{machine} machine", *to_first_byte(setup, lambda m=machine: setup.run_ours(
            ["--kernel", program], 20, (1,), machine=m)[0]))
    if setup.qemu:
        add("QEMU", *to_first_byte(setup, lambda: setup.run_qemu(
            ["-kernel", program, *DEBUG_EXIT], 20, (1,))))
    table(["a tiny ELF, 512 MiB, ms to", "first byte", "end"], rows)
    print(f"  Wanted: at most {WANTED_MS} ms to the first instruction, before the first byte.")

    # What --version does is what every start does before it comes to a machine.
    base = Sample(run([setup.binary, "--version"], 20, (0,)).wall * 1e3
                  for _ in range(setup.runs * 3))
    data["exec_ms"] = base.data()
    cases = [("minimal, a tiny ELF", "minimal", program), ("pc, a tiny ELF", "pc", program),
             ("pc, bzImage and initrd", "pc", setup.vmlinuz(), setup.initrd()),
             ("pc, vmlinux and initrd", "pc", setup.vmlinux(), setup.initrd())]
    rows = []
    for name, *args in cases:
        by_stage = stages(setup, *args)
        data[name] = {stage: sample.data() for stage, sample in by_stage.items()}
        total = base.median + by_stage["create"].median
        rows.append([name, base.show(FORM), by_stage["create"].show(FORM),
                     by_stage["+post"].show(FORM), by_stage["+acpi"].show(FORM),
                     by_stage["reset"].show(FORM), FORM.format(total),
                     by_stage["payload"].show("{:.0f}")])
    print()
    table(["made up of, in ms", "exec, Lua", "machine", "of it post", "of it ACPI", "a reset",
           "sum", "payload, apart"], rows)
    print("  exec, Lua: a whole run of --version. machine: devices, post step, tables, loading. a"
          " reset: post\n  step, tables and loading once more. sum: exec, Lua and machine.\n  payload: getting the"
          " kernel's segments into RAM, unpacked from a bzImage, read from a vmlinux.")
    return data
