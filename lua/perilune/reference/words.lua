--- The words of signatures: each stands for a type, and says what is meant and in which unit. Names of
-- types of objects (vm, cpu, device, ...) stand for themselves.
--
-- A row is { words, luals = the type as LuaLS writes it, or of = a type in words, help = meaning }.
local M = {}

M.rows = {
    { "value", luals = "any", help = "anything" },
    { "boolean", luals = "boolean", help = "true or false" },
    { "string", luals = "string", help = "text" },
    { "integer", luals = "integer", help = "a whole number of 64 bits; an address wraps above 2^63" },
    { "number", luals = "number", help = "a number" },
    { "table", luals = "table", help = "a table" },
    { "userdata", luals = "userdata", help = "something that is only compared" },
    { "coroutine", luals = "thread", help = "a coroutine" },
    { "false", luals = "false", help = "false itself" },
    { "nil", luals = "nil", help = "nothing" },
    { "f g", luals = "function", help = "a function" },
    { "name id kind label help desc method type model", luals = "string",
        help = "a name, or a line of text" },
    { "text line prompt what who place feature format", luals = "string",
        help = "text" },
    { "prefix pattern patterns rule reason file host accel irqchip idle", luals = "string", help = "text" },
    { "direction", luals = "string", help = "\"in\" or \"out\"" },
    { "on_error", of = '"pause" or "disable" or "abort"',
        help = "what happens when a function raises; \"pause\" unless given" },
    { "path", luals = "string", help = "the name of a file, or the path of a device" },
    { "bytes", luals = "string", help = "bytes as a string" },
    { "byte", luals = "integer", help = "0 to 255" },
    { "level", of = "boolean or integer",
        help = "true or 1 is high, false or 0 low" },
    { "n count most index total status priority vector error_code offset bias bank misc mcg_status "
        .. "instructions exits frames dropped width eq ne lt gt mask insn", luals = "integer",
        help = "a whole number" },
    { "address addr rip rsdp", luals = "integer", help = "an address" },
    { "symbol", luals = "string", help = "a symbol of the guest: \"do_sys_openat2\", \"name+0x10\"" },
    { "range", of = "{ integer, integer }", help = "first and last" },
    { "size", of = "integer or string", help = "bytes, or text such as \"512M\"" },
    { "ns delay epoch_ns ns_per_instruction", luals = "integer", help = "nanoseconds" },
    { "time timeout duration latency", of = "integer or string",
        help = "nanoseconds, or text: \"30s\", \"1.5ms\", \"20us\", \"2min\"" },
    { "ppm", luals = "integer", help = "parts per million" },
    { "reg", luals = "string", help = "the name of a register" },
    { "properties", of = "{ [string] = value }", help = "values by name of property" },
    { "definition", luals = "perilune.device_definition", help = "what device.define() returns" },
    { "diff", of = "{ { space = string, change = string, ... }, ... }",
        help = "changes of address spaces" },
}

M.types = {}
for _, row in ipairs(M.rows) do
    for word in row[1]:gmatch("%S+") do
        M.types[word] = row
    end
end

return M
