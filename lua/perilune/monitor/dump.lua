--- The monitor's `dump-guest-memory`: an ELF core file with what RAM and ROM hold and what the cpus'
-- registers are, for gdb, readelf and crash.
--
-- System V ABI, ELF-64 Object File Format; the note is struct elf_prstatus of Linux on x86-64. The
-- virtual address of a segment is its physical one: nobody knows here which mapping is wanted.
local util = require "perilune.util"

local M = {}

local PT_LOAD, PT_NOTE = 1, 4
local NT_PRSTATUS = 1
local EHDR, PHDR = 64, 56
local PIECE = 1 << 20 -- bytes that are copied at a time
local PAGE = 4096

--- In the order of struct user_regs_struct. orig_rax is -1: no system call is to be restarted.
local order = { "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
    "rsi", "rdi", false, "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs",
    "gs" }

local function registers(cpu)
    local parts = {}
    for i, name in ipairs(order) do
        parts[i] = string.pack("<i8", name and cpu[name] or -1)
    end
    return table.concat(parts)
end

--- One note per cpu: its number counts as the process id, from 1.
local function note(cpu)
    local pid = cpu.index + 1
    local status = ("\0"):rep(32) .. string.pack("<i4i4i4i4", pid, 0, pid, pid) .. ("\0"):rep(64)
        .. registers(cpu) .. ("\0"):rep(8)
    return string.pack("<I4I4I4", 5, #status, NT_PRSTATUS) .. "CORE\0\0\0\0" .. status
end

--- Stretches of directly readable memory, neighbours joined: { { start, size }, ... } by address.
local function stretches(vm)
    local list = {}
    for _, r in ipairs(vm.memory:flat().ranges) do
        if r.kind ~= "i/o" then
            local last = list[#list]
            if last and last.start + last.size == r.start then
                last.size = last.size + (r.last - r.start + 1)
            else
                list[#list + 1] = { start = r.start, size = r.last - r.start + 1 }
            end
        end
    end
    return list
end

local function elf_header(segments)
    return string.pack("<c4BBBBc8I2I2I4I8I8I8I4I2I2I2I2I2I2", "\127ELF", 2, 1, 1, 0, ("\0"):rep(8), 4,
        62, 1, 0, EHDR, 0, 0, EHDR, PHDR, segments, 0, 0, 0)
end

local function program_header(kind, flags, offset, addr, size)
    return string.pack("<I4I4I8i8i8I8I8I8", kind, flags, offset, addr, addr, size, size,
        kind == PT_LOAD and PAGE or 4)
end

local function copy(vm, file, stretch)
    local done = 0
    while done < stretch.size do
        local n = math.min(PIECE, stretch.size - done)
        assert(file:write((vm.memory:read_bytes(stretch.start + done, n))))
        done = done + n
    end
end

local function write(vm, file, list)
    local notes = {}
    for i, cpu in ipairs(vm.cpus) do
        notes[i] = note(cpu)
    end
    local text = table.concat(notes)
    local after = EHDR + PHDR * (#list + 1)
    local offset = (after + #text + PAGE - 1) // PAGE * PAGE
    assert(file:write(elf_header(#list + 1), program_header(PT_NOTE, 0, after, 0, #text)))
    for _, s in ipairs(list) do
        assert(file:write(program_header(PT_LOAD, 7, offset, s.start, s.size)))
        offset = offset + (s.size + PAGE - 1) // PAGE * PAGE
    end
    assert(file:write(text))
    for _, s in ipairs(list) do
        local at = assert(file:seek())
        assert(file:write(("\0"):rep(-at % PAGE)))
        copy(vm, file, s)
    end
end

--- Write the core file. Returns { path, bytes, segments = { { start, size }, ... } }. A file that could
-- not be finished is removed.
function M.dump(vm, path)
    local file, problem = io.open(path, "wb")
    if not file then
        util.fail(("dump-guest-memory: %s"):format(problem))
    end
    local list = stretches(vm)
    local ok, failure = pcall(write, vm, file, list)
    local bytes = ok and file:seek() or 0
    if not file:close() or not ok then
        os.remove(path)
        util.fail(("dump-guest-memory: %s: %s"):format(path, tostring(failure)))
    end
    return { path = path, bytes = bytes, segments = list }
end

function M.register(monitor)
    monitor.command { name = "dump-guest-memory",
        help = "write RAM and registers into an ELF core file",
        args = { { "path", "word" } },
        run = function(a)
            local vm = monitor.vm()
            return monitor.still(vm, M.dump, vm, a.path)
        end,
        show = function(d)
            return ("%d bytes written, %d segments"):format(d.bytes, #d.segments)
        end }
end

return M
