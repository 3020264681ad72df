-- What guests leave KVM for, through a whole machine: ports and memory accesses of every kind, failures, floods.
-- The software CPU is asked the same.
local backends = require "backends"
local bare = require "bare"
local check = require "check"
local uv = require "luv"

local equal = check.equal
local EXIT = bare.EXIT

local on_each, program = backends.on_each, backends.program

local function run(vm)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
end

on_each("rep outs: every element, in order, in any direction, over pages", function()
    for _, case in ipairs {
        { op = "\xf3\x6e", size = 1, count = 300, from = 0x1f80 },
        { op = "\xf3\x6f", size = 2, count = 200, from = 0x1fff },
        { op = "\xf3\x66\x6f", size = 4, count = 1100, from = 0x2ffd },
        { op = "\xfd\xf3\x6f", size = 2, count = 5, from = 0x2008, step = -2 },
        { op = "\xf3\x6e", size = 1, count = 0, from = 0x2000 },
        { op = "\x6e", size = 1, count = 9, once = true, from = 0x2000 },
    } do
        -- mov si, from; mov cx, count; mov dx, 0x80; ...
        local code = ("\xbe%s\xb9%s\xba\x80\x00%s"):format(("<I2"):pack(case.from), ("<I2"):pack(case.count), case.op)
        local vm = program(code .. "\x89\x0e\x00\x90" .. EXIT) -- mov [0x9000], cx
        local bytes = {}
        for n = 0, 0x6fff - 0x1f00 do
            bytes[#bytes + 1] = string.char(n * 7 % 251)
        end
        if case.from >= 0x1e00 then
            vm.memory:write_bytes(0x1f00, table.concat(bytes))
        end
        local seen, expected = {}, {}
        vm:on("pio", { port = { 0x80, 0x83 }, dir = "out" }, function(port, value, size)
            seen[#seen + 1] = ("%d %d %x"):format(port, size, value)
        end)
        for n = 0, (case.once and 1 or case.count) - 1 do
            expected[#expected + 1] = ("128 %d %x"):format(case.size,
                vm.memory:read(case.from + n * (case.step or case.size), case.size))
        end
        run(vm)
        equal(#seen, #expected)
        for n = 1, #expected do
            equal(seen[n], expected[n], n)
        end
        equal(vm.memory:read(0x9000, 2), case.once and case.count or 0)
        vm:close()
    end
end)

on_each("rep ins: every element to its place, over pages", function()
    for _, case in ipairs { { "\xf3\x6c", 1, 300 }, { "\xf3\x6d", 2, 260 }, { "\xf3\x66\x6d", 4, 1030 } } do
        local op, size, count = table.unpack(case)
        local vm = program(("\xbf\xfd\x2f\xb9%s\xba\x80\x00%s"):format(("<I2"):pack(count), op) .. EXIT)
        local n = 0
        vm:on("pio", { port = { 0x80, 0x83 }, dir = "in" }, function(_, _, width)
            equal(width, size)
            n = n + 1
            return n * 0x01030107 & (1 << size * 8) - 1
        end)
        run(vm)
        equal(n, count)
        for k = 1, count do
            equal(vm.memory:read(0x2ffd + (k - 1) * size, size), k * 0x01030107 & (1 << size * 8) - 1, k)
        end
        equal(vm.memory:read(0x2ffc, 1), 0)
        equal(vm.memory:read(0x2ffd + count * size, 1), 0)
        vm:close()
    end
end)

--- The bytes that accesses carried, by address, and how many there were of each.
local function by_byte(vm, kind, first, last)
    local bytes, times = {}, {}
    vm:on(kind, { at = { first, last } }, function(offset, value, size)
        for n = 0, size - 1 do
            bytes[first + offset + n] = value >> 8 * n & 0xff
            times[first + offset + n] = (times[first + offset + n] or 0) + 1
        end
    end)
    return bytes, times
end

on_each("accesses of memory that exits: each width, also over the end of a page", function()
    -- mov eax, 0x44332211; mov [at], al/ax/eax; mov ebx/bx/bl, [at]; mov [0x9000], ebx
    local widths = { { 1, "\xa2", "\x8a\x1e" }, { 2, "\xa3", "\x8b\x1e" }, { 4, "\x66\xa3", "\x66\x8b\x1e" } }
    for _, case in ipairs(widths) do
        local size, store, load = table.unpack(case)
        for at = 0x3ffc, 0x4001 do
            local place = ("<I2"):pack(at)
            local vm = program("\x66\xb8\x11\x22\x33\x44\x66\x31\xdb" .. store .. place .. load .. place
                .. "\x66\x89\x1e\x00\x90" .. EXIT)
            local written, writes = by_byte(vm, "write", 0x3000, 0x4fff)
            local read, reads = by_byte(vm, "read", 0x3000, 0x4fff)
            run(vm)
            local value = 0x44332211 & (1 << 8 * size) - 1
            for n = 0, size - 1 do
                equal(written[at + n], 0x11 * (n + 1), ("size %d at %x, byte %d"):format(size, at, n))
                equal(read[at + n], 0x11 * (n + 1))
                equal(writes[at + n], 1)
                equal(reads[at + n], 1)
            end
            equal(written[at - 1] or written[at + size], nil)
            equal(vm.memory:read(at, size), value)
            equal(vm.memory:read(0x9000, 4), value)
            vm:close()
        end
    end
end)

on_each("what memory that is read-only is written by", function()
    -- inc word [0x3000]; xchg [0x3002], ax; mov sp, 0x3006; push cx; mov di, 0x3008; mov cx, 4; rep stosb;
    -- mov ax, [0x3000]; mov [0x9000], ax
    local vm = program("\xb8\x34\x12\xb9\x78\x56\xff\x06\x00\x30\x87\x06\x02\x30\xbc\x06\x30\x51"
        .. "\xbf\x08\x30\xb9\x04\x00\xf3\xaa\xa1\x00\x30\xa3\x00\x90" .. EXIT)
    vm.memory:write_bytes(0x3000, ("\x11"):rep(16))
    local bytes = {}
    vm:on("write", { at = { 0x3000, 0x3fff } }, function(offset, value, size)
        for n = 0, size - 1 do
            bytes[offset + n] = value >> 8 * n & 0xff
        end
        return false
    end)
    run(vm)
    local seen = {}
    for n = 0, 11 do
        seen[#seen + 1] = bytes[n] and ("%02x"):format(bytes[n]) or "--"
    end
    equal(table.concat(seen, " "), "12 11 34 12 78 56 -- -- 11 11 11 11") -- al is what xchg has loaded
    equal(vm.memory:read_bytes(0x3000, 16), ("\x11"):rep(16), "all of it was dropped")
    equal(vm.memory:read(0x9000, 2), 0x1111)
    vm:close()
end)

-- An emulated PC whose kernel is the host (tests/nested/run).
local function on_tcg()
    local f <close> = assert(io.open("/proc/cpuinfo"))
    return f:read("a"):find("QEMU TCG", 1, true)
end

on_each("a triple fault resets the machine, which starts anew", function()
    if on_tcg() and backends.current == "kvm" then
        print("     skipped: QEMU's TCG below KVM hangs after the reset of a guest in real mode; cause unknown")
        return
    end
    local vm = program("\xfe\x06\x00\x90\x80\x3e\x00\x90\x03\x75\x06" .. EXIT -- inc byte [0x9000]; cmp, 3; jne
        .. "\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"                                 -- CR0.PE
        .. "\x0f\x01\x1e\x00\x80\x0f\x0b")                                   -- lidt [0x8000], zeros; ud2
    local resets = {}
    vm:on("state", { state = "reset" }, function(_, _, reason)
        resets[#resets + 1] = reason
    end)
    run(vm)
    equal(table.concat(resets, " "), "triple-fault triple-fault")
    equal(vm.memory:read(0x9000, 1), 3)
    vm:close()
end)

on_each("whoever floods the host with exits is paused and goes on", function()
    for what, code in pairs {
        ports = "\x41\xe6\x80\xeb\xfb",           -- inc cx; out 0x80, al; jmp
        strings = "\x41\xb9\xff\x0f\xbe\x00\x20\xba\x80\x00\xf3\x6e\xeb\xf3",
        memory = "\x41\xa1\x00\x30\xeb\xfa",      -- inc cx; mov ax, [0x3000]; jmp
        readonly = "\x41\xa3\x00\x30\xeb\xfa",
    } do
        local vm = program(code)
        vm:on(what == "readonly" and "write" or "read", { at = 0x3000, size = 2 }, function() end)
        for n = 1, 5 do
            local timer = uv.new_timer()
            timer:start(20, 0, function()
                vm:pause("enough")
            end)
            vm:run()
            timer:close()
            equal(vm.state .. " " .. vm.pause_reason, "paused enough", what .. n)
            local rip = vm.cpus[1].rip
            equal(rip >= 0x1000 and rip < 0x1000 + #code, true, what)
        end
        vm:close()
    end
end)

on_each("what the kernel cannot execute pauses with a report, and can be stepped over", function()
    -- The processor executes this; a kernel that interprets guest code knows it not: cvtdq2ps xmm0, xmm1
    local vm = program("\x0f\x20\xe0\x66\x0d\x00\x02\x00\x00\x0f\x22\xe0" -- CR4.OSFXSR
        .. "\x0f\x5b\xc1" .. EXIT)
    vm:run()
    if vm.state == "ended" then
        print("     it can here")
    else
        equal(vm.pause_reason, "cpu error")
        equal(vm.cpus[1].rip, 0x100c)
        vm:run() -- no better
        equal(vm.pause_reason, "cpu error")
        vm.cpus[1].rip = 0x100f
        vm:run()
    end
    equal(vm.exit_reason, "debug-exit")
    vm:close()
end)

check.finish()
