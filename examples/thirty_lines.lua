-- A machine of one's own, whole: RAM, a ROM with a program, a serial port, a port that ends the run.
-- Run it: perilune examples/thirty_lines.lua
local program = "\xbe\x16\x00" -- mov si, text
    .. "\xba\xf8\x03"          -- mov dx, 0x3f8
    .. "\x2e\xac\x84\xc0"      -- next: lodsb from cs:si; test al, al
    .. "\x74\x03\xee\xeb\xf7"  -- jz done; out dx, al; jmp next
    .. "\xb0\x15\xe6\xf4"      -- done: mov al, 21; out 0xf4, al
    .. "\xf4\xeb\xfd"          -- hlt; jmp back to it
    .. "Hello from the ROM\n\0" -- text

local board = machine.define {
    name = "board",
    desc = "a ROM that says hello",
    props = { memory = { "size", "1M", help = "RAM from address 0" } },
    build = function(m, p)
        m.memory:map(0, m:ram("ram", p.memory))
        m.memory:map(0xffff0000, m:rom("rom", "64K"))
        m.memory:program_bytes(0xffff0000, program)
        m.memory:program_bytes(0xfffffff0, "\xe9\x0d\x00") -- where a cpu starts: jmp 0
        local isa = m:device("isabus-bridge").bus["isa.0"]
        isa:device("isa-serial", p.serials[1])
        isa:device("isa-debug-exit", { iobase = 0xf4 })
    end,
}

local vm = perilune.machine(board, { serial = "stdio" })
vm:run()
print(("%s with %d after %d instructions"):format(vm.exit_reason, vm.exit_status, vm.instructions))
vm:close()
