-- What tests of the command line share: running the binary without a terminal, and small programs
-- for it.
local uv = require "luv"

local M = {}

local perilune_path = uv.exepath()
M.dir = assert(uv.fs_mkdtemp("/tmp/perilune-cli.XXXXXX"))

--- A file in a directory of the test's own; returns its path.
function M.write(name, text)
    local path = M.dir .. "/" .. name
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    return path
end

function M.read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("a")
    file:close()
    return text
end

--- Run a shell command in which $P stands for the binary; returns what it said and its status.
function M.shell(command)
    local pipe = assert(io.popen(("P='%s'; %s 2>&1; echo status=$?"):format(perilune_path,
        command)))
    local text = pipe:read("a")
    pipe:close()
    local output, status = text:match("^(.*)status=(%d+)\n$")
    return output, math.tointeger(status)
end

--- Run with these arguments and nothing on standard input.
function M.run(...)
    local words = {}
    for _, word in ipairs { ... } do
        words[#words + 1] = "'" .. word .. "'"
    end
    return M.shell("timeout 30 $P " .. table.concat(words, " ") .. " </dev/null")
end

--- A 64-bit ELF of these segments: { address, file size, memory size, bytes }; entered at the
-- first. `cut`: its length.
function M.elf(segments, cut)
    local header = "\127ELF\2\1\1" .. ("\0"):rep(9)
        .. string.pack("<I2I2I4I8I8I8I4I2I2I2I2I2I2", 2, 62, 1, segments[1][1], 64, 0, 0, 64, 56,
            #segments, 0, 0, 0)
    local offset = 64 + 56 * #segments
    local table_bytes, data = "", ""
    for _, s in ipairs(segments) do
        table_bytes = table_bytes
            .. string.pack("<I4I4I8I8I8I8I8I8", 1, 7, offset + #data, s[1], s[1], s[2], s[3], 16)
        data = data .. (s[4] or ("\xf4"):rep(s[2]))
    end
    local image = header .. table_bytes .. data
    return cut and image:sub(1, cut) or image
end

--- A program as a file: 64-bit code at 1 MiB.
function M.program(name, code)
    return M.write(name, M.elf { { 0x100000, #code, #code, code } })
end

function M.clean()
    os.execute("rm -rf " .. M.dir)
end

return M
