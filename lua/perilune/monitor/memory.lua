--- Monitor commands that read and write memory and ports.
local args = require "perilune.monitor.args"
local util = require "perilune.util"
local value = require "perilune.monitor.value"

local M = {}

local unpack_of = { [1] = "<I1", [2] = "<I2", [4] = "<I4", [8] = "<i8" }
local PIECE = 1 << 20 -- bytes that are copied at a time
local STRING_PIECE = 64 -- bytes of a string that are read at a time; divides a page

-- ---- values ----

local escapes = { [0] = "\\0", [9] = "\\t", [10] = "\\n", [13] = "\\r", [39] = "\\'", [92] = "\\\\" }

local function character(n)
    n = n & 0xff
    return "'" .. (escapes[n] or n >= 32 and n < 127 and string.char(n)
        or ("\\x%02x"):format(n)) .. "'"
end

local function signed(n, size)
    local unused = 64 - 8 * size
    local top = n << unused
    return unused == 0 and n or top // (1 << unused)
end

--- One value in the way that a format letter says, padded to a column.
local function value_text(n, f)
    if f.format == "x" then
        return ("0x%0" .. 2 * f.size .. "x"):format(n)
    elseif f.format == "o" then
        return "0" .. ("%0" .. (8 * f.size + 2) // 3 .. "o"):format(n)
    elseif f.format == "c" then
        return character(n)
    elseif f.format == "u" then
        return n < 0 and ("%.0f"):format(n + 2.0 ^ 64) or ("%d"):format(n)
    end
    return ("%d"):format(signed(n, f.size))
end

local function show_dump(data)
    if data.text then
        return data.text
    end
    local f, lines = data.format, {}
    local per_line = f.format == "c" and 8 or math.max(1, 16 // f.size)
    for i = 1, #data, per_line do
        local parts = {}
        for k = i, math.min(i + per_line - 1, #data) do
            parts[#parts + 1] = value_text(data[k], f)
        end
        lines[#lines + 1] = ("%016x: %s"):format(data.addr + (i - 1) * f.size,
            table.concat(parts, " "))
    end
    return table.concat(lines, "\n")
end

local function disassemble(cpu, addr, count)
    local result, lines = cpu:disas(addr, count), {}
    for i, insn in ipairs(result) do
        lines[i] = ("%016x: %s"):format(insn.addr, insn.text)
    end
    result.text = table.concat(lines, "\n")
    return result
end

--- Text up to a zero byte, at most `most` bytes. What is behind it need not be there.
local function string_at(read, addr, most)
    local parts, done = {}, 0
    while done < most do
        local n = STRING_PIECE - (addr + done) % STRING_PIECE
        local bytes = read(addr + done, n)
        local text = bytes:match("^[^\0]*")
        parts[#parts + 1] = text
        if #text < #bytes then
            break
        end
        done = done + n
    end
    return table.concat(parts):sub(1, most)
end

local function dump(read, addr, f)
    if f.format == "s" then
        local text = string_at(read, addr, math.max(f.count, 256))
        return { text = ("%016x: %q"):format(addr, text), addr = addr, text }
    end
    local bytes = read(addr, f.count * f.size)
    local data = { addr = addr, format = f }
    for i = 0, f.count - 1 do
        data[i + 1] = string.unpack(unpack_of[f.size], bytes, i * f.size + 1)
    end
    return data
end

-- ---- where bytes come from ----

local function first_cpu(vm)
    local cpu = vm.cpus[1]
    if not cpu then
        util.fail("the machine has no cpu; xp reads physical memory")
    end
    return cpu
end

local function read_virtual(vm)
    return function(addr, n)
        local bytes, where = first_cpu(vm):read(addr, n)
        if not bytes then
            util.fail(("nothing is mapped at virtual address 0x%x"):format(where))
        end
        return bytes
    end
end

--- Raises where an address leads to nothing.
local function check_there(vm, addr, n)
    local at, last = addr, addr + n - 1
    for _, r in ipairs(vm.memory:flat().ranges) do -- in order
        if not math.ult(at, r.start) and not math.ult(r.last, at) then
            if not math.ult(r.last, last) then
                return
            end
            at = r.last + 1
        end
    end
    util.fail(("nothing is at physical address 0x%x"):format(at))
end

--- For people, who would take a value for what is there.
local function read_checked(vm)
    return function(addr, n)
        check_there(vm, addr, n)
        return (vm.memory:read_bytes(addr, n))
    end
end

local function read_physical(vm)
    return function(addr, n)
        return (vm.memory:read_bytes(addr, n))
    end
end

local function check_size(size)
    if size < 0 then
        util.fail("size must not be negative")
    end
end

local function save(read, a)
    check_size(a.size)
    local file, problem = io.open(a.path, "wb")
    if not file then
        util.fail(problem)
    end
    local done = 0
    local ok, failure = pcall(function()
        while done < a.size do
            local n = math.min(PIECE, a.size - done)
            assert(file:write(read(a.addr + done, n)))
            done = done + n
        end
    end)
    file:close()
    if not ok then
        error(failure, 0)
    end
    return done
end

--- The sum that people check memory with: 16 bits, rotated right by one before each byte is added
-- (BSD checksum, sum(1)).
local function bsd_sum(read, start, size)
    check_size(size)
    local sum, done = 0, 0
    while done < size do
        local n = math.min(PIECE, size - done)
        for _, byte in ipairs { string.byte(read(start + done, math.min(n, 4096)), 1, -1) } do
            sum = ((sum >> 1 | sum << 15) + byte) & 0xffff
        end
        done = done + math.min(n, 4096)
    end
    return sum
end

-- ---- commands ----

local format_row = { "format", "format", optional = true,
    help = "count, x d u o c s i, size b h w g; such as /10xw" }
local last_format = { count = 1, format = "x", size = 4 }

local function examine(monitor, name, help, reader)
    monitor.command { name = name, help = help,
        args = { format_row, { "addr", "value", help = "address" } },
        run = function(a)
            local vm = monitor.vm()
            local f = args.parse_format(a.format or "", last_format)
            f.count = a.format and f.count or 1
            last_format = { count = 1, format = f.format, size = f.size }
            return monitor.still(vm, function()
                if f.format == "i" then
                    return disassemble(first_cpu(vm), a.addr, f.count)
                end
                return dump(reader(vm), a.addr, f)
            end)
        end,
        show = show_dump }
end

local function saver(monitor, name, help, reader)
    monitor.command { name = name, help = help,
        args = { { "addr", "value" }, { "size", "value", help = "bytes" }, { "path", "word" } },
        run = function(a)
            local vm = monitor.vm()
            return monitor.still(vm, save, reader(vm), a)
        end,
        show = function(n)
            return ("%d bytes written"):format(n)
        end }
end

--- An integer by its format, text as it is, all else as a line of Lua would show it.
local function show_value(v, a)
    local f = args.parse_format(a.format or "", { format = "x", size = 8 })
    if f.format == "i" or f.format == "s" then
        util.fail(("format %s is for memory: x and xp"):format(f.format))
    elseif not math.tointeger(v) then
        return type(v) == "string" and v or value.show(v)
    end
    return f.format == "x" and ("0x%x"):format(v) or value_text(v, f)
end

local port_suffix = { "b", "w", [4] = "l" }

--- Bytes of an access to a port.
local function port_size(a)
    local size = args.parse_format(a.format or "", { size = 1 }).size
    if size > 4 then
        util.fail("ports have at most 4 bytes: b, h or w")
    elseif a.port < 0 or a.port + size > 0x10000 then
        util.fail(("there is no port 0x%x; the last is 0xffff"):format(a.port))
    end
    return size
end

--- Switch the log of all memory, or read it.
local function dirty(vm, word)
    if not word then
        return vm.memory:dirty()
    end
    local on = util.parse_bool(word)
    if on == nil then
        util.fail(('dirty: "%s" is neither on nor off'):format(word))
    end
    vm.memory:dirty_log(on)
end

local function show_dirty(ranges)
    local lines = {}
    for i, r in ipairs(ranges or {}) do
        local count = ((r.last >> 12) - (r.start >> 12)) + 1
        lines[i] = ("%016x-%016x: %d page%s"):format(r.start, r.last, count, count == 1 and "" or "s")
    end
    return table.concat(lines, "\n")
end

function M.register(monitor)
    examine(monitor, "x", "virtual memory, as the first cpu sees it", read_virtual)
    examine(monitor, "xp", "physical memory", read_checked)
    saver(monitor, "memsave", "write virtual memory to a file", read_virtual)
    saver(monitor, "pmemsave", "write physical memory to a file", read_physical)
    monitor.command { name = "print", alias = { "p" }, help = "the value of an expression",
        args = { format_row, { "value", "any", help = "Lua; $rip is a register" } },
        run = function(a)
            return a.value
        end,
        show = show_value }
    monitor.command { name = "i", help = "read a port",
        args = { format_row, { "port", "value" } },
        run = function(a)
            return (monitor.vm().io:read(a.port, port_size(a)))
        end,
        show = function(n, a)
            local size = port_size(a)
            return ("port%s[0x%04x] = 0x%0" .. 2 * size .. "x"):format(port_suffix[size], a.port, n)
        end }
    monitor.command { name = "o", help = "write a port",
        args = { format_row, { "port", "value" }, { "value", "value" } },
        run = function(a)
            monitor.vm().io:write(a.port, port_size(a), a.value)
        end }
    monitor.command { name = "dirty", help = "the pages of memory written since the last time",
        args = { { "state", "word", optional = true, help = "on or off: whether that is noted" } },
        run = function(a)
            return dirty(monitor.vm(), a.state)
        end,
        show = show_dirty }
    monitor.command { name = "sum", help = "BSD checksum of physical memory",
        args = { { "addr", "value" }, { "size", "value", help = "bytes" } },
        run = function(a)
            local vm = monitor.vm()
            return monitor.still(vm, bsd_sum, read_physical(vm), a.addr, a.size)
        end,
        show = function(n)
            return ("%05d"):format(n)
        end }
end

return M
