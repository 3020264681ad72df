--- Small things that several modules need: errors, suggestions, files.
local core = require "perilune.core"
local uv = require "luv"

local M = {}

--- Raise an error that is the user's to mend: it is shown without a traceback. `fields` are kept in
-- it.
function M.fail(text, fields)
    local object = core.new_error("config", text)
    for k, v in pairs(fields or {}) do
        object[k] = v
    end
    error(object, 0)
end

--- 'text; did you mean "near"?' when one of `candidates` is near `name`.
function M.suggest(text, name, candidates)
    local near = core.nearest(name, candidates)
    return near and ('%s; did you mean "%s"?'):format(text, near) or text
end

--- The keys of `t`, sorted: walks must not depend on the order of hashing.
function M.sorted_keys(t)
    local keys = {}
    for k in pairs(t) do
        keys[#keys + 1] = k
    end
    table.sort(keys)
    return keys
end

--- Load a file of the user's; `require` finds what lies beside it, after everything else. Returns as
-- loadfile does.
function M.load_file(path, env)
    local dir = path:match("^(.*)/[^/]*$")
    local beside = dir and (";%s/?.lua"):format(dir == "" and "/" or dir)
    if beside and not (package.path .. ";"):find(beside .. ";", 1, true) then
        package.path = package.path .. beside
    end
    return loadfile(path, "t", env or _G)
end

function M.file_exists(path)
    local stat = uv.fs_stat(path)
    return stat ~= nil and stat.type ~= "directory"
end

--- Names of the entries of a directory, sorted; empty when it cannot be read.
function M.list_dir(path)
    local names = {}
    local scan = uv.fs_scandir(path)
    while scan do
        local name = uv.fs_scandir_next(scan)
        if not name then
            break
        end
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

--- "a=b,c=d" as QEMU writes it: ",," is a comma. Returns the values without a key, and { key = {
-- value, ... } }.
function M.parse_list(text)
    local plain, keyed = {}, {}
    local part = ""
    local function add()
        local key, value = part:match("^([%w%._-]+)=(.*)$")
        if key then
            keyed[key] = keyed[key] or {}
            table.insert(keyed[key], value)
        else
            plain[#plain + 1] = part
        end
        part = ""
    end
    local at = 1
    while at <= #text do
        local c = text:sub(at, at)
        if c == "," and text:sub(at + 1, at + 1) == "," then
            part = part .. ","
            at = at + 2
        elseif c == "," then
            add()
            at = at + 1
        else
            part = part .. c
            at = at + 1
        end
    end
    if part ~= "" or text == "" then
        add()
    end
    return plain, keyed
end

--- "on", "off", "yes", "no", "true", "false" → boolean; nil for anything else.
function M.parse_bool(text)
    local words = { on = true, yes = true, ["true"] = true, off = false, no = false,
        ["false"] = false }
    return words[text]
end

M.reference = { { name = "perilune.util", label = "module", help = "helpers", of = M,
    functions = {
        { "fail", "(text [, fields: table])", "raise an error that is shown without a traceback" },
        { "suggest", "(text, name, candidates: { string, ... }) → text",
            'text; did you mean "NEAR"? if one of the candidates is near' },
        { "sorted_keys", "(table) → { value, ... }", "the keys of a table, sorted" },
        { "load_file", "(path) → f", "the chunk of a Lua file; modules beside it can be required" },
        { "file_exists", "(path) → boolean", "is there a file, not a directory" },
        { "list_dir", "(path) → { name, ... }", "names in a directory, sorted" },
        { "parse_list", "(text) → { string, ... }, { [name] = { string, ... } }",
            '"a,b=c" as the command line writes lists: what has no key, and what has' },
        { "parse_bool", "(text) → boolean or nil", "on, off, yes, no, true, false; nil for anything else" },
    } } }

return M
