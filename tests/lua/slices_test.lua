-- Time slices of several cpus on one thread: who executes when does not depend on who looks on, nor on when the host
-- asks for something. docs/soft-cpu.md, "Several cpus".
local bare = require "bare"
local check = require "check"

local case, equal = check.case, check.equal

local WRITE, OTHERS = 0x30e0, 3

-- The first cpu counts a turn and waits until the second has seen it, then for an NMI. The second is never out of PAUSE
-- for long, and writes to the line that the third waits for by MWAIT, but leaves it as it was; now and then it computes
-- for longer than a slice, and then changes it.
local NMI = 0x1082
local CODE = "\x31\xc0" ..            -- 1000 xor ax, ax
    "\x8e\xd8" ..                     -- 1002 mov ds, ax
    "\x8e\xd0" ..                     -- 1004 mov ss, ax
    "\x40" ..                         -- 1006 inc ax
    "\xf0\x0f\xc1\x06\x00\x30" ..     -- 1007 lock xadd [0x3000], ax
    "\x89\xc3" ..                     -- 100d mov bx, ax
    "\xc1\xe3\x08" ..                 -- 100f shl bx, 8
    "\x8d\xa7\x00\x41" ..             -- 1012 lea sp, [bx + 0x4100]
    "\x48" ..                         -- 1016 dec ax
    "\x74\x31" ..                     -- 1017 jz 0x104a: the second
    "\x48" ..                         -- 1019 dec ax
    "\x74\x51" ..                     -- 101a jz 0x106d: the third
    "\xe6\x80" ..                     -- 101c out 0x80, al: start the others
    "\xf3\x90" ..                     -- 101e pause
    "\x80\x3e\x00\x30" .. string.char(OTHERS) .. -- 1020 cmp byte [0x3000], 3
    "\x75\xf7" ..                     -- 1025 jne 0x101e
    "\xb9\x05\x00" ..                 -- 1027 mov cx, 5
    "\x42" ..                         -- 102a inc dx
    "\x89\x16\x40\x30" ..             -- 102b mov [0x3040], dx
    "\xbf\x00\x1c" ..                 -- 102f mov di, 0x1c00: longer than a slice
    "\x89\x3e\xe0\x30" ..             -- 1032 mov [WRITE], di
    "\x4f" ..                         -- 1036 dec di
    "\x75\xf9" ..                     -- 1037 jnz 0x1032
    "\xf3\x90" ..                     -- 1039 pause
    "\x39\x16\x80\x30" ..             -- 103b cmp [0x3080], dx
    "\x75\xf8" ..                     -- 103f jne 0x1039
    "\xf4" ..                         -- 1041 hlt
    "\xe2\xe6" ..                     -- 1042 loop 0x102a
    bare.EXIT ..                      -- 1044
    "\xf3\x90" ..                     -- 104a pause
    "\x46" ..                         -- 104c inc si
    "\xff\x06\x50\x30" ..             -- 104d inc word [0x3050]
    "\xff\x0e\x50\x30" ..             -- 1051 dec word [0x3050]
    "\xa1\x40\x30" ..                 -- 1055 mov ax, [0x3040]
    "\xa3\x80\x30" ..                 -- 1058 mov [0x3080], ax
    "\xf7\xc6\x7f\x00" ..             -- 105b test si, 0x7f
    "\x75\xe9" ..                     -- 105f jnz 0x104a
    "\xbf\x00\x30" ..                 -- 1061 mov di, 0x3000: longer than a slice
    "\x4f" ..                         -- 1064 dec di
    "\x75\xfd" ..                     -- 1065 jnz 0x1064
    "\xff\x06\x52\x30" ..             -- 1067 inc word [0x3052]
    "\xeb\xdd" ..                     -- 106b jmp 0x104a
    "\xb8\x40\x30" ..                 -- 106d mov ax, 0x3040
    "\x66\x31\xc9" ..                 -- 1070 xor ecx, ecx
    "\x66\x31\xd2" ..                 -- 1073 xor edx, edx
    "\x0f\x01\xc8" ..                 -- 1076 monitor
    "\x0f\x01\xc9" ..                 -- 1079 mwait
    "\xff\x06\xc0\x30" ..             -- 107c inc word [0x30c0]
    "\xeb\xeb" ..                     -- 1080 jmp 0x106d
    "\xff\x87\x00\x31" ..             -- 1082 inc word [bx + 0x3100]
    "\xcf"                            -- 1086 iret

local function make(code, cpus)
    return bare.program(code, { memory = "16M", cpus = cpus, cpu = "max", nic = "none", idle = "warp" },
        function(_, options)
            return perilune.machine("pc", options)
        end)
end

local function nothing() end

local function program()
    local vm = make(CODE, OTHERS)
    vm.memory:write(4 * 2, 4, NMI)
    vm:on("pio", { port = 0x80, dir = "out" }, function()
        vm.memory:write(0xfee00300, 4, 0xc4500) -- INIT to all others, start-up at 0x1000
        vm.memory:write(0xfee00300, 4, 0xc4601)
    end)
    vm:every("900ns", nothing) -- ends runs, and no slices
    vm:every("37us", function()
        vm.cpus[1]:nmi()
    end)
    vm:every("53us", function()
        vm.cpus[3]:nmi()
    end)
    return vm
end

--- What must not depend on anything from outside.
local function told(vm)
    local parts = { vm.exit_reason, vm.instructions, vm.clock.virtual.now, vm:ram_sha256() }
    for _, cpu in ipairs(vm.cpus) do
        parts[#parts + 1] = ("%d rip=%x rsi=%x rdi=%x"):format(cpu.instructions, cpu.rip, cpu.rsi, cpu.rdi)
    end
    return table.concat(parts, "\n")
end

local function to_the_end(vm, go)
    repeat
        go(vm)
    until vm.state == "ended"
    local result = told(vm)
    vm:close()
    return result
end

local function free(prepare)
    local vm = program()
    prepare(vm)
    return to_the_end(vm, vm.run)
end

local alone = free(nothing)
print(alone)

case("the same twice", function()
    equal(free(nothing), alone)
end)

case("in steps", function()
    local n = 0
    equal(to_the_end(program(), function(vm)
        n = n % 17 + 1
        vm:step(n)
    end), alone)
end)

case("with hooks on counts", function()
    for _, every in ipairs { 1, 7, 20000 } do
        equal(free(function(vm)
            vm:on("insn", { every = every }, nothing)
        end), alone)
    end
end)

for _, kind in ipairs { "gva", "at" } do
    case("stopped by writes, also by those that are the last of a slice, by " .. kind, function()
        equal(free(function(vm)
            vm:on("write", { [kind] = WRITE }, function()
                return "stop"
            end)
        end), alone)
    end)
end

case("while the host keeps asking for a pause", function()
    equal(free(function(vm)
        vm:every("20us", function()
            vm:pause()
        end)
    end), alone)
end)

for cpus = 1, 2 do
    case("a device writes to the line of an MWAIT, and nobody executes, with cpus: " .. cpus, function()
        local vm = make("\xb8\x40\x30" .. -- mov ax, 0x3040
            "\x66\x31\xc9" ..            -- xor ecx, ecx
            "\x0f\x01\xc8" ..            -- monitor
            "\x0f\x01\xc9" ..            -- mwait
            bare.EXIT, cpus)
        vm:at("50us", function()
            vm.memory:write(0x3040, 1, 1)
        end)
        vm:at("80us", function()
            return "stop"
        end)
        vm:run()
        equal(vm.exit_reason, "debug-exit")
        equal(vm.clock.virtual.now // 1000, 50)
        vm:close()
    end)
end

check.finish()
