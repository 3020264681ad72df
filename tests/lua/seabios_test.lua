-- Firmware as it is for virtual PCs: Debian's SeaBIOS moves SMBASE into SMRAM, closes that, and from then on
-- goes from 16-bit code to its 32-bit code and back by SMIs. Skips without the package seabios.
local check = require "check"
local machine = require "perilune.machine"

local case, equal = check.case, check.equal
local IMAGE, SIZE = "/usr/share/seabios/bios-256k.bin", 256 << 10
local SEEN, TICK = 0x600, 0x7c00
-- pushal; mov ax, 0xbb00; stc; int 0x1a; mov cs:[SEEN + 2], ax; inc word cs:[SEEN]; popal; iret
local ASK = "\x66\x60\xb8\x00\xbb\xf9\xcd\x1a\x2e\xa3\x02\x06\x2e\xff\x06\x00\x06\x66\x61\xcf"

local image = io.open(IMAGE, "rb")
if not image or image:seek("end") ~= SIZE then
    print("SKIPPED: there is no " .. IMAGE .. " (Debian package seabios)")
    os.exit(0)
end
image:close()

local firmware_pc = machine.define {
    name = "firmware-pc",
    extends = "pc",
    build = function(m, _, super)
        super()
        local rom = m:rom("pc.bios", SIZE)
        m.memory:map((1 << 32) - SIZE, rom)
        m.memory:map(0xe0000, rom:alias("isa-bios", SIZE - 0x20000, 0x20000))
    end,
    post = function(m)
        m:load_raw(IMAGE, (1 << 32) - SIZE)
        return {}
    end,
}

local function config(vm, devfn, offset, size)
    vm.io:write(0xcf8, 4, 0x80000000 | devfn << 8 | offset & 0xfc)
    return vm.io:read(0xcfc + (offset & 3), size)
end

for cpus = 1, 2 do
    case(cpus .. " cpus", function()
        local vm <close> = perilune.machine(firmware_pc, { memory = "64M", cpus = cpus, idle = "warp",
            chardev = { "ring,id=log" }, device = { "isa-debugcon,iobase=0x402,readback=0xe9,chardev=log" } })
        local modes = {}
        vm:trace("soft.smm", function(_, source, begins, base)
            modes[#modes + 1] = ("%s %s %x"):format(source, begins, base)
        end)
        vm:reset()
        vm.io:write(0x70, 1, 0x5f) -- CMOS: how many others it waits for
        vm.io:write(0x71, 1, cpus - 1)
        vm:wait_serial("Press ESC for boot menu", "2s", { chardev = "log" })
        equal(table.concat(modes, ", "), "cpu0 true 30000, cpu0 false a0000")
        equal(config(vm, 0, 0x72, 1), 0x0a, "SMRAM is enabled and closed")
        equal(config(vm, 0x0b, 0x58, 4), 1 << 25, "the APM port makes SMIs")
        equal(vm.memory:read(0xa8000, 1), 0xff)

        -- Its 16-bit code calls its 32-bit code by an SMI there and one back, with another map each. Here a program's
        -- tick asks for the TPM's services, the answer being that there are none.
        vm.memory:write_bytes(TICK, ASK)
        vm.memory:write(4 * 0x1c, 4, TICK)
        vm:wait_time("300ms")
        local ticks = vm.memory:read(SEEN, 2)
        equal(ticks >= 5, true, ticks .. " ticks")
        equal(vm.memory:read(SEEN + 2, 2), 0x23)
        equal(#modes, 2 + 4 * ticks)
        equal(modes[#modes], "cpu0 false a0000")
    end)
end
check.finish()
