--- Annotations for the Lua language server, in lua/perilune/meta, from the reference.
local reference = require "perilune.reference"
local signature = require "perilune.reference.signature"

local M = {}

--- The class of a type: "perilune.vm". Modules have names of objects: theirs are apart.
function M.class(name)
    local module = name:match("^perilune%.(.*)$")
    return module and "perilune.modules." .. module or name == "perilune" and name or "perilune." .. name
end

local class_of = M.class

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
    then true until while]]):gmatch("%S+") do
    keywords[word] = true
end

local function is_name(text)
    return text:find("^[%a_][%w_]*$") and not keywords[text]
end

local function field(m, optional)
    local name = is_name(m.name) and m.name .. (optional and "?" or "")
        or ('["%s"]'):format(m.name)
    return ("---@field %s %s # %s"):format(name, signature.luals(signature.of(m), class_of), m.help)
end

local function parameter(p)
    return ("---@param %s%s %s"):format(p.name, p.optional and "?" or "",
        signature.luals(p.type, class_of))
end

--- The call of a hook's function, which need not return anything.
local function answer(call)
    for i, result in ipairs(call.results) do
        call.results[i] = { kind = "or", result, { kind = "word", word = "nil" } }
    end
    return call
end

--- A function or method: where is "vm:" or "M.".
local function callable(out, m, where, self_class)
    local call = signature.of(m)
    out[#out + 1] = "\n---" .. m.help
    local names = {}
    for i, p in ipairs(call.parameters) do
        out[#out + 1] = parameter(p)
        names[i] = p.name
    end
    for _, result in ipairs(call.results) do
        out[#out + 1] = ("---@return %s%s"):format(signature.luals(result, class_of),
            result.name and " " .. result.name or "")
    end
    if call.more_results then
        out[#out + 1] = "---@return any ..."
    end
    local shorter = signature.shorter(call)
    if shorter then
        out[#out + 1] = "---@overload " .. signature.luals_call(shorter, class_of, self_class)
    end
    if self_class == "perilune.vm" and m.name == "on" then
        for _, t in ipairs(reference.types()) do
            if t.label == "event" then
                out[#out + 1] = ("---@overload fun(self: perilune.vm, event: %q, filter: %s, f: %s): perilune.hook")
                    :format(t.name:match("^event%.(%a+)"), class_of(t.name),
                        signature.luals_call(answer(signature.call(t.signature)), class_of))
            end
        end
    end
    out[#out + 1] = ("function %s%s(%s) end"):format(where, m.name, table.concat(names, ", "))
end

--- A class with its fields and functions; `variable` is what it is called in the file.
local function class(out, t, variable)
    local is_table = t.label == "table" or t.label == "event"
    out[#out + 1] = "\n---" .. t.help
    local parent = t.label == "event" and ": perilune.event" or ""
    out[#out + 1] = "---@class " .. class_of(t.name) .. parent
    for _, m in ipairs(t.members) do
        if m.kind ~= "method" and m.kind ~= "function" then
            out[#out + 1] = field(m, is_table and m.kind == "key")
        end
    end
    if t.further or t.name == "machine.properties" then
        out[#out + 1] = "---@field [string] any # " .. (t.further or "further ones of the machine's own")
    end
    out[#out + 1] = ("local %s = {}"):format(variable)
    for _, m in ipairs(t.members) do
        if m.kind == "method" or m.kind == "function" then
            callable(out, m, variable .. (m.kind == "method" and ":" or "."), class_of(t.name))
        end
    end
end

local notice = "-- Made by scripts/make-reference from the tables of the program: change those, not this."

local function begin(name)
    return { "---@meta" .. (name and " " .. name or ""), notice }
end

local function finish(out)
    return table.concat(out, "\n") .. "\n"
end

local function module_file(t)
    local out = begin(t.name)
    class(out, t, "M")
    out[#out + 1] = "\nreturn M"
    return finish(out)
end

--- Several classes in one file.
local function classes_file(list)
    local out = begin()
    for _, t in ipairs(list) do
        out[#out + 1] = "\ndo"
        class(out, t, "it")
        out[#out + 1] = "end"
    end
    return finish(out)
end

local globals = {
    { "perilune", "perilune" }, { "machine", "perilune.machine" }, { "device", "perilune.device" },
    { "vm", "vm" },
}

local function globals_file()
    local out = begin()
    for _, row in ipairs(globals) do
        out[#out + 1] = ("\n---@type %s\n%s = nil"):format(class_of(row[2]), row[1])
    end
    return finish(out)
end

--- Test files have further names; in busted's they are the same.
local function test_file(t)
    local out = begin()
    for _, m in ipairs(t.members) do
        callable(out, m, "")
    end
    return finish(out)
end

--- { [name of a file] = text }
function M.files()
    local files, objects, tables = { ["globals.lua"] = globals_file() }, {}, {}
    for _, t in ipairs(reference.types()) do
        if t.label == "module" then
            local name = t.name:gsub("^perilune%.?", ""):gsub("%.", "_")
            files[(name == "" and "perilune" or "module_" .. name) .. ".lua"] = module_file(t)
        elseif t.label == "globals" then
            files[t.name .. ".lua"] = test_file(t)
        elseif t.label == "table" or t.label == "event" then
            tables[#tables + 1] = t
        elseif t.label ~= "commands" then
            objects[#objects + 1] = t
        end
    end
    files["objects.lua"] = classes_file(objects)
    files["tables.lua"] = classes_file(tables)
    return files
end

return M
