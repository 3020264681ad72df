--- The monitor's `dump-guest-memory`: an ELF core file with what RAM and ROM hold and what the cpus'
-- registers are, for gdb, readelf and crash.
--
-- System V ABI, ELF-64 Object File Format; the notes are those of Linux on x86-64: struct
-- elf_prstatus, the image of FXSAVE, and with AVX the area of XSAVE. The virtual address of a segment
-- is its physical one: nobody knows here which mapping is wanted.
local util = require "perilune.util"

local M = {}

local PT_LOAD, PT_NOTE = 1, 4
local NT_PRSTATUS, NT_FPREGSET, NT_X86_XSTATE = 1, 2, 0x202
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

--- SDM vol. 1 10.5.1.
local function fxsave(f)
    local parts = { string.pack("<I2I2I1xI2i8i8I4I4", f.fcw, f.fsw, f.ftwx, f.last_opcode, f.last_ip,
        f.last_dp, f.mxcsr, 0xffff) }
    for _, st in ipairs(f.fpr) do
        parts[#parts + 1] = st
    end
    parts[#parts + 1] = table.concat(f.xmm)
    return table.concat(parts) .. ("\0"):rep(96)
end

--- As far as YMM registers reach (SDM vol. 1 13.4); debuggers look at offset 464 for what is in it,
-- as Linux leaves it there: x87, SSE and AVX.
local function xstate(state)
    return state.xsave:sub(1, 464) .. string.pack("<I8", 7) .. state.xsave:sub(473, 832)
end

local function note(kind, owner, text)
    local padded = owner .. ("\0"):rep(8 - #owner)
    return string.pack("<I4I4I4", #owner + 1, #text, kind) .. padded .. text
end

--- The notes of a cpu: its number counts as the process id, from 1.
local function notes_of(cpu)
    local pid, state = cpu.index + 1, cpu:state()
    local has_avx = pcall(function()
        return cpu.ymm0
    end)
    return note(NT_PRSTATUS, "CORE", ("\0"):rep(32) .. string.pack("<i4i4i4i4", pid, 0, pid, pid)
            .. ("\0"):rep(64) .. registers(cpu) .. ("\0"):rep(8))
        .. note(NT_FPREGSET, "CORE", fxsave(state.fpu))
        .. (has_avx and note(NT_X86_XSTATE, "LINUX", xstate(state)) or "")
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
        notes[i] = notes_of(cpu)
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
