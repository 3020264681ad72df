"""A multiboot program and its modules: `--initrd "FILE ARGUMENTS,FILE"`, the command line, the memory map."""
import sys

import guest

test, program = guest.Test(linux=False), sys.argv[3]
for name, text in ("one.bin", "first"), ("two,2.bin", "second"):
    with open(test.path(name), "w", encoding="utf-8") as f:
        f.write(text)
initrd = f"{test.path('one.bin')} --depth 3,{test.path('two,2.bin').replace(',', ',,')},{test.path('one.bin')} again"
command = [test.program, "--machine", "pc", "--memory", "64M", "--kernel", program, "--append", "a b=c", "--nographic"]
lines = test.run(command + ["--initrd", initrd], status=43).decode().splitlines()
guest.equal([line for line in lines if not line.startswith("memory")],
            ["cmdline: multiboot a b=c", "module: one.bin --depth 3 = first", "module: two,2.bin = second",
             "module: one.bin again = first"], "what the program was told")
memory = [tuple(int(n, 16) for n in line.split()[1:]) for line in lines if line.startswith("memory")]
guest.equal(memory[0], (0, 0x9fc00, 1), "the first of the map")
assert (0x9fc00, 0x400, 2) in memory and (0xf0000, 0x10000, 2) in memory, memory
ram = [m for m in memory if m[0] == 0x100000]
assert len(ram) == 1 and ram[0][2] == 1 and ram[0][1] > 62 << 20, memory

guest.equal(test.run(command, status=43).decode().count("module"), 0, "modules without --initrd")
test.run(command + ["--initrd", test.path("one.bin") + ",,"], status=2)
guest.found_in("module .*one.bin,: No such file", test.errors, "a file that is not there")
test.run(command + ["--initrd", test.path("one.bin") + ","], status=2)
guest.found_in("a module without a file name", test.errors, "a list that ends in a comma")
print("three modules and", len(memory), "ranges of memory")
