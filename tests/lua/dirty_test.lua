-- Dirty logs: the same pages on every backend, whoever has written them.
local backends = require "backends"
local bare = require "bare"
local check = require "check"

local equal, raises = check.equal, check.raises
local on_each, program = backends.on_each, backends.program

--- "2 5-6": the numbers of the pages in a list of ranges.
local function pages(list)
    local parts = {}
    for i, r in ipairs(list) do
        local first, last = r.start >> 12, r.last >> 12
        assert(r.start & 0xfff == 0 and r.last & 0xfff == 0xfff and (i == 1 or r.start > list[i - 1].last + 1))
        parts[i] = first == last and ("%x"):format(first) or ("%x-%x"):format(first, last)
    end
    return table.concat(parts, " ")
end

--- The machine's RAM.
local function ram_of(vm)
    for _, r in ipairs(vm.memory.root:children()) do
        if r.kind == "ram" then
            return r
        end
    end
end

local function run(vm)
    vm:run()
    equal(vm.exit_reason, "debug-exit")
end

--- The log is on, and is read when the guest writes to port 0x80. What it has touched before that is mapped from then
--- on: a page that KVM maps while the log is on counts as written, whatever it was touched for.
local function log_from_port(vm, ram)
    vm:on("pio", { port = 0x80 }, function()
        ram:dirty()
    end)
    ram:dirty_log(true)
end

-- Each kind of store, to pages of its own.
local stores = table.concat {
    "\xa1\x00\xd0\xe6\x80",                     -- mov ax, [0xd000]; out 0x80, al
    "\xa2\x00\x20",                             -- mov [0x2000], al
    "\xc7\x06\xff\x3f\x01\x02",                 -- mov word [0x3fff], 0x201: into page 4
    "\xff\x06\x00\x60",                         -- inc word [0x6000]
    "\xbf\xfe\x7f\xb9\x00\x10\xf3\xaa",         -- mov di, 0x7ffe; mov cx, 0x1000; rep stosb: 7 and 8
    "\xbc\x02\xa0\x50\xbc\x00\x1f",             -- mov sp, 0xa002; push ax; mov sp, 0x1f00
    "\xbe\x00\x20\xbf\x00\xb0\xa5",             -- mov si, 0x2000; mov di, 0xb000; movsw
    "\xb8\x00\x00\xf0\x0f\xb1\x06\x00\xc0",     -- mov ax, 0; lock cmpxchg [0xc000], ax
    "\xa1\x00\xd0",                             -- mov ax, [0xd000]: no store
    "\xfe\x06\xf0\x1f",                         -- inc byte [0x1ff0]: beside its own code
}

on_each("every kind of store marks its page, once", function()
    local vm = program(stores .. bare.EXIT)
    local ram = ram_of(vm)
    log_from_port(vm, ram)
    equal(pages(ram:dirty()), "")
    run(vm)
    equal(pages(ram:dirty()), "1-4 6-8 a-c")
    equal(pages(ram:dirty()), "")
    vm:close()
end)

on_each("a page that was written before the log was read is seen again", function()
    -- mov cx, 5; (mov [0x2000], cx; mov [0x5ffe + n], cx (n = 0, 2); push cx; pop cx) three times; out 0x80, al; loop
    local vm = program("\xbc\x00\x90\xb9\x05\x00" ..
        ("\x89\x0e\x00\x20\x89\x0e\xfe\x5f\x89\x0e\x00\x60\x51\x59"):rep(3) .. "\xe6\x80\xe2\xd2" .. bare.EXIT)
    local ram, seen = ram_of(vm), {}
    vm:on("pio", { port = 0x80 }, function()
        if #seen == 2 then -- off and on again: everything counts as not written
            ram:dirty_log(false)
            ram:dirty_log(true)
        end
        seen[#seen + 1] = pages(ram:dirty())
    end)
    ram:dirty_log(true)
    run(vm)
    assert(seen[1]:find("2 5%-6 8$") and seen[4]:find("2 5%-6 8$"), table.concat(seen, ", ")) -- and what is mapped
    equal(table.concat({ seen[2], seen[3], seen[5] }, ", "), "2 5-6 8, , 2 5-6 8")
    vm:close()
end)

on_each("code that is written, and pages that a hook watches", function()
    -- mov cx, 3; a: inc byte [b + 1]; b: mov al, 0; mov [0x3000], al; mov [0x4000], al, 3 times; out 0x80, al; loop a
    local vm = program("\xb9\x03\x00\xfe\x06\x08\x10\xb0\x00\xa2\x00\x30" ..
        ("\xa2\x00\x40"):rep(3) .. "\xe6\x80\xe2\xea" .. bare.EXIT)
    local ram, seen = ram_of(vm), {}
    vm:on("pio", { port = 0x80 }, function(_, value)
        seen[#seen + 1] = ("%d: %s"):format(value, pages(ram:dirty()))
    end)
    local written, linear = 0, 0
    local _, refused = pcall(vm.on, vm, "write", { gva = 0x4000 }, function()
        linear = linear + 1
    end)
    vm:on("write", { at = 0x3000 }, function()
        written = written + 1
    end)
    ram:dirty_log(true)
    run(vm)
    equal(table.concat(seen, ", "), "1: 1 3-4, 2: 1 3-4, 3: 1 3-4")
    equal(written, 3)
    equal(linear, type(refused) == "string" and 0 or 9)
    vm:close()
end)

on_each("scripts, loaders and ROM", function()
    local vm = program("\xe6\x80\xa2\x00\x20" .. bare.EXIT)
    local ram = ram_of(vm)
    log_from_port(vm, ram)
    vm.memory:write(0x4ffe, 4, 1)
    vm.memory:write_bytes(0x8010, ("x"):rep(0x1000))
    vm.memory:program_bytes(0xa000, "x")
    equal(vm.memory:read(0xc000, 1), 0)
    equal(pages(ram:dirty()), "4-5 8-a")
    run(vm)
    equal(pages(ram:dirty()), "2")
    vm:reset()
    equal(pages(ram:dirty()), "1") -- the program that on_reset() writes
    vm:close()
end)

on_each("a map that changes loses nothing", function()
    -- out 0x80, al; mov [0x2000], al; out 0x81, al; mov [0x3000], al; exit
    local vm = program("\xe6\x80\xa2\x00\x20\xe6\x81\xa2\x00\x30" .. bare.EXIT)
    local ram = ram_of(vm)
    log_from_port(vm, ram)
    vm:on("pio", { port = 0x81 }, function()
        vm:batch(function()
            vm.memory:map(0x2000, vm.machine:rom("over", "4K"), 10)
            vm.memory:map(0x30000000, ram:alias("window", 0x3000, 0x1000))
        end)
    end)
    run(vm)
    local seen = pages(ram:dirty())
    assert(seen == "2-3" or backends.current == "kvm" and seen == "1-3", seen) -- its code is in a new slot
    vm:close()
end)

on_each("an address space shows the pages at all their places", function()
    local vm = program("\xe6\x80\xa2\x00\x20\xa2\x00\x50" .. bare.EXIT)
    local ram = ram_of(vm)
    raises("no dirty log is on in address space", function() vm.memory:dirty() end)
    vm.memory:dirty_log(true)
    vm.memory:map(0x20000000, ram:alias("low", 0x2800, 0x1000))
    vm.memory:map(0x30000000, ram:alias("more", 0x5000, 0x2000))
    vm:on("write", { at = { 0x5000, 0x5fff } }, function() end)
    log_from_port(vm, ram)
    run(vm)
    local parts = {}
    for i, r in ipairs(vm.memory:dirty()) do
        parts[i] = ("%x-%x"):format(r.start, r.last)
    end
    equal(table.concat(parts, " "), "2000-2fff 5000-5fff 20000000-200007ff 30000000-30000fff")
    equal(#vm.memory:dirty(), 0)
    vm.memory:dirty_log(false)
    raises("the dirty log of region \"ram\" is off", function() ram:dirty() end)
    vm:close()
end)

on_each("what has no log says so", function()
    local vm = program(bare.EXIT)
    local ram = ram_of(vm)
    raises("the dirty log of region \"ram\" is off: switch it on", function() ram:dirty() end)
    raises("is no memory", function() vm.memory.root:dirty_log(true) end)
    raises("boolean expected", function() ram:dirty_log(1) end)
    local rom = vm.machine:rom("rom", "8K")
    vm.memory:map(0x40000000, rom)
    rom:dirty_log(true)
    vm.memory:program_bytes(0x40001000, "x")
    vm.memory:write(0x40000000, 1, 1) -- dropped
    equal(pages(rom:dirty()), "1")
    raises("is a window of \"rom\"", function() rom:alias("part", 0, 0x1000):dirty_log(true) end)
    vm:close()
end)

check.finish()
