-- A campaign of faults: what becomes of a program when one bit flips, in a register or in memory?
-- Run it: perilune examples/campaign.lua            200 flips in a program without an operating system
--         perilune examples/campaign.lua --linux    the same while Linux boots and computes
--         perilune examples/campaign.lua --help
--
-- Every run is a process; one is repeated by `perilune examples/campaign.lua --seed 1 --run 17`.
local campaign = require "perilune.fault.campaign"

-- ---- a program of its own: it makes 96 numbers, sorts them, looks whether they are in order, and
-- prints a checksum as letters. Exit status 1; 3 after it has found a disorder and printed "!".

local CODE, TABLE, STACK = 0x1000, 0x4000, 0x8000
local program = "\xfa\x0f\x01\x16\xec\x10"             -- cli; lgdt [0x10ec]
    .. "\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"             -- mov eax, cr0; or al, 1; mov cr0, eax
    .. "\xea\x13\x10\x08\x00"                         -- jmp 8:0x1013, which is 32-bit code
    .. "\xb8\x10\x00\x00\x00\x8e\xd8\x8e\xc0\x8e\xd0" -- mov eax, 16; mov ds, eax; es; ss
    .. "\xbc\x00\x80\x00\x00\xbf\x00\x40\x00\x00"     -- mov esp, STACK; mov edi, TABLE
    .. "\xb9\x60\x00\x00\x00\xb8\x01\x00\x00\x00"     -- mov ecx, 96; mov eax, 1
    .. "\x69\xc0\x0d\x66\x19\x00\x05\x5f\xf3\x6e\x3c" -- make: imul eax, 1664525; add eax, 1013904223
    .. "\xab\xe2\xf2"                                 -- stosd; loop make
    .. "\xe8\x0e\x00\x00\x00\xe8\x41\x00\x00\x00"     -- call sort; call verify
    .. "\xe8\x5d\x00\x00\x00\xb0\x00\xe6\xf4"         -- call print; mov al, 0; out 0xf4, al
    -- sort, by insertion
    .. "\xbe\x04\x00\x00\x00"                         -- mov esi, 4
    .. "\x8b\x86\x00\x40\x00\x00\x89\xf7"             -- outer: mov eax, [esi+TABLE]; mov edi, esi
    .. "\x85\xff\x74\x15"                             -- inner: test edi, edi; jz place
    .. "\x8b\x97\xfc\x3f\x00\x00\x39\xc2\x76\x0b"     -- mov edx, [edi+TABLE-4]; cmp edx, eax; jbe place
    .. "\x89\x97\x00\x40\x00\x00\x83\xef\x04\xeb\xe7" -- mov [edi+TABLE], edx; sub edi, 4; jmp inner
    .. "\x89\x87\x00\x40\x00\x00\x83\xc6\x04"         -- place: mov [edi+TABLE], eax; add esi, 4
    .. "\x81\xfe\x80\x01\x00\x00\x72\xce\xc3"         -- cmp esi, 384; jb outer; ret
    -- verify
    .. "\xbe\x00\x40\x00\x00\xb9\x60\x00\x00\x00"     -- mov esi, TABLE; mov ecx, 96
    .. "\x31\xd2\xad\x39\xd0\x72\x05"                 -- xor edx, edx; next: lodsd; cmp eax, edx; jb bad
    .. "\x89\xc2\xe2\xf7\xc3"                         -- mov edx, eax; loop next; ret
    .. "\x66\xba\xf8\x03\xb0!\xee"                    -- bad: mov dx, 0x3f8; mov al, '!'; out dx, al
    .. "\xb0\x01\xe6\xf4"                             -- mov al, 1; out 0xf4, al
    -- print
    .. "\xbe\x00\x40\x00\x00\xb9\x60\x00\x00\x00"     -- mov esi, TABLE; mov ecx, 96
    .. "\x31\xdb\xc1\xc3\x05\xad\x31\xc3\xe2\xf8"     -- xor ebx, ebx; add: rol ebx, 5; lodsd; xor ebx, eax; loop add
    .. "\xb1\x08\x66\xba\xf8\x03"                     -- mov cl, 8; mov dx, 0x3f8
    .. "\xc1\xc3\x04\x88\xd8\x24\x0f\x04\x61"         -- digit: rol ebx, 4; mov al, bl; and al, 15; add al, 'a'
    .. "\xee\xe2\xf4\xc3\x90"                         -- out dx, al; loop digit; ret
    -- 0x10d4: segments: none, code, data; 0x10ec: what lgdt wants
    .. string.pack("<I8I8I8I2I4", 0, 0xcf9a000000ffff, 0xcf92000000ffff, 23, 0x10d4)

local function bare()
    local registers = { name = "registers" }
    for i, name in ipairs { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip" } do
        registers[i] = campaign.register(name, 32)
    end
    table.insert(registers, campaign.register("rflags", 12))
    return {
        create = function()
            local vm = perilune.machine("minimal", { memory = "1M", serial = "ring",
                idle = "warp", reboot = false })
            vm:on_reset(function()
                vm.memory:write_bytes(CODE, program)
                local cpu = vm.cpus[1]
                cpu.cs, cpu.cs_base, cpu.rip = 0, 0, CODE
            end)
            vm:reset()
            return vm
        end,
        groups = { registers, { name = "RAM",
            campaign.ram("code", CODE, #program),
            campaign.ram("table", TABLE, 4 * 96),
            campaign.ram("stack", STACK - 16, 16),
            campaign.ram("unused", 0x20000, 0x10000),
        } },
        detected = function(run)
            return run.exit == "debug-exit" and run.status == 3
        end,
    }
end

-- ---- Debian's kernel with busybox: it boots to a shell, which computes something and powers off.

local COMMAND = "echo begin; seq 2000 | sort -r | md5sum; cat /bin/busybox | md5sum; echo end; exit\n"

local function linux(kernel, initrd)
    local cache = os.getenv("PERILUNE_CACHE")
        or (os.getenv("XDG_CACHE_HOME") or os.getenv("HOME") .. "/.cache") .. "/perilune"
    kernel = kernel or cache .. "/vmlinuz"
    initrd = initrd or os.getenv("PERILUNE_INITRD") or cache .. "/initrd.gz"
    local registers = { name = "registers" }
    for i, name in ipairs { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10",
        "r11", "r12", "r13", "r14", "r15", "rip" } do
        registers[i] = campaign.register(name)
    end
    table.insert(registers, campaign.register("rflags", 22))
    return {
        create = function()
            local vm = perilune.machine("pc", { memory = "128M", kernel = kernel, initrd = initrd,
                append = "console=ttyS0 panic=-1 nokaslr", serial = "ring", nic = "none",
                idle = "warp", reboot = false })
            local prompt
            prompt = vm:on("serial", { text = "/root # " }, function()
                vm:send(COMMAND)
                prompt:remove()
            end)
            vm:on("serial", { text = "Kernel panic" }, function()
                vm:stop("panic", 1)
            end)
            return vm
        end,
        groups = function(vm)
            local function between(name, first, last)
                local base = vm:symbol "_text" - 0x1000000
                return campaign.ram(name, vm:symbol(first) - base, vm:symbol(last) - vm:symbol(first))
            end
            return { registers, { name = "RAM",
                between("kernel text", "_stext", "_etext"),
                between("kernel data", "_sdata", "_edata"),
                between("kernel bss", "__bss_start", "__bss_stop"),
                campaign.ram("other", 0x5000000, 0x3000000),
            } }
        end,
        --- Only what the shell has computed is the output: a message's time may differ.
        output = function(text)
            return text:match("\r\nbegin\r\n(.-)\r\nend\r\n") or ""
        end,
        detected = function(run)
            return run.exit == "poweroff" and (run.output:find("Oops", 1, true)
                or run.output:find("BUG:", 1, true) or run.output:find("WARNING:", 1, true)
                or run.output:find("segfault", 1, true)) ~= nil
        end,
    }
end

return campaign.main(arg, {
    { name = "bare", help = "a small program on the bare machine", make = bare },
    { name = "linux", args = "[KERNEL INITRD]", help = "Linux; the guest is in the cache of "
        .. "scripts/fetch-guest unless files are given", make = linux },
})
