-- The reference: signatures can be read, every function is described and everything described is
-- there, values have the types that signatures say, and the annotations name what there is.
local check = require "check"
local luals = require "perilune.reference.luals"
local markdown = require "perilune.reference.markdown"
local reference = require "perilune.reference"
local signature = require "perilune.reference.signature"
local suite = require "perilune.test.suite"
local uv = require "luv"
local words = require "perilune.reference.words"

local case, equal, raises = check.case, check.equal, check.raises

local top = os.getenv("PERILUNE_TOP")
local types = reference.types()
local by_name = {}
for _, t in ipairs(types) do
    by_name[t.name] = t
end

--- Modules of nobody's but Perilune's own, and where their help is instead.
local internal_modules = {
    boot = "of the machine pc", chardev = "docs/chardev.md", cli = "perilune --help", net = "docs/net.md",
    props = "of machine.define", topology = "of vm:batch()", ["fault.bits"] = "of faults",
    monitor = "its parts", ["test.command"] = "perilune test --help", ["test.report"] = "of the runner",
    ["test.runner"] = "of perilune test", reference = "what this is about", meta = "made from it",
    fault = "its parts are perilune.fault", selftest = "of perilune --doctor",
}

local function luals_type(kind, text)
    return signature.luals(signature.of { kind = kind, signature = text }, luals.class)
end

local function luals_call(text)
    return signature.luals_call(signature.call(text), luals.class)
end

case("signatures as types", function()
    equal(luals_type("property", "{ cpu, ... }"), "perilune.cpu[]")
    equal(luals_type("property", "{ [id] = port }"), "table<string, perilune.port>")
    equal(luals_type("property", '"a" or "b" or nil'), '"a"|"b"|nil')
    equal(luals_type("key", "function(dev, n) → boolean"), "(fun(dev: perilune.dev, n: integer): boolean)")
    equal(luals_type("property", "{ vm =, size =, ... }"),
        "{ vm?: perilune.vm, size?: integer|string, [any]: any }")
    equal(luals_call("(addr [, n]) → bytes, boolean"),
        "fun(addr: integer, n?: integer): string, boolean")
    equal(luals_call("(at: address or symbol)"), "fun(at: integer|string)")
    equal(luals_call("{ type = } → { device, ... }"), "fun(options: { type?: string }): perilune.device[]")
    local call = signature.call("([[name,] n, irq])")
    equal(#call.parameters, 3)
    equal(signature.shorter(call), nil, "all may be left out")
    equal(#signature.shorter(signature.call("([n,] level)")).parameters, 1)
end)

case("what is no signature is refused", function()
    for text, words_of in pairs { ["(a"] = "cannot be read", ["(a, b]) → c"] = "a name is missing",
        ["(a [, b)"] = "a bracket stays open", ["{ a b }"] = '"}" is missing', ["() → "] = "cannot be read",
        ["(a) b"] = "too much", ["(a: )"] = "a name is missing" } do
        raises(words_of, signature.call, text)
    end
    raises("too much", signature.type, "a, b")
    raises('"}" is missing', signature.type, "{ why it ends }")
end)

case("every signature is one, of words that there are", function()
    local used, wrong = {}, {}
    local function look(where, tree)
        signature.each_word(tree, function(word)
            used[word] = true
            if not words.types[word] and not by_name[word] then
                wrong[#wrong + 1] = ("%s: %q"):format(where, word)
            end
        end)
    end
    for _, t in ipairs(types) do
        if t.signature then
            look(t.name, signature.call(t.signature))
        end
        for _, m in ipairs(t.label ~= "commands" and t.members or {}) do
            look(reference.full_name(t, m), signature.of(m))
        end
    end
    for _, row in pairs(words.types) do
        if row.of then
            look(row[1], signature.type(row.of))
        end
    end
    equal(table.concat(wrong, ", "), "", "words without a meaning")
    local idle = {}
    for word in pairs(words.types) do
        equal(by_name[word], nil, word .. " is a word and a type")
        idle[#idle + 1] = not used[word] and word or nil
    end
    table.sort(idle)
    equal(table.concat(idle, " "), "", "words that no signature has")
end)

case("everything has help and a name of its own", function()
    local seen, seen_types = {}, {}
    for _, t in ipairs(types) do
        equal(seen_types[t.name], nil, "type " .. t.name)
        seen_types[t.name] = true
        equal((t.help or "") ~= "", true, "help of " .. t.name)
        for _, m in ipairs(t.members) do
            local name = t.name .. "." .. m.name
            equal(seen[name], nil, name)
            seen[name] = true
            equal((m.help or "") ~= "" and (m.signature or "") ~= "", true, name)
        end
    end
end)

-- ---- Lua against its description ----

local function described(row)
    local names = {}
    for _, kind in ipairs { "functions", "methods", "properties", "keys" } do
        for _, m in ipairs(row[kind] or {}) do
            names[m[1]] = kind
        end
    end
    return names
end

case("Lua: what is there is described, and what is described is there", function()
    for _, row in ipairs(reference.described()) do
        local names, internal = described(row), { reference = true }
        for _, name in ipairs(row.internal or {}) do
            internal[name] = true
            equal(names[name], nil, row.name .. "." .. name .. " is internal and described")
            equal(row.of[name] ~= nil, true, row.name .. "." .. name .. ", which is internal")
        end
        local is_module = row.label == "module"
        for name, value in pairs(row.of or {}) do
            local public = not name:find("^__") and (is_module or type(value) == "function")
            equal(not public or names[name] ~= nil or internal[name] == true, true,
                row.name .. "." .. name .. " has a description")
        end
        for name, kind in pairs(row.label ~= "globals" and row.of and names or {}) do
            if kind == "functions" or kind == "methods" or is_module then
                equal(row.of[name] ~= nil, true, row.name .. "." .. name .. " exists")
            end
        end
        for _, name in ipairs(row.property_names and row.property_names() or {}) do
            equal(names[name], "properties", row.name .. "." .. name)
        end
    end
end)

case("Lua: every module is in the reference or somebody's part", function()
    local function is_known(name)
        for _, module in ipairs(reference.modules) do
            if module == name then
                return true
            end
        end
        local short = name:gsub("^perilune%.", "")
        return internal_modules[short] ~= nil or internal_modules[short:match("^[^.]+")] ~= nil
    end
    local function walk(dir, name)
        local entries = uv.fs_scandir(dir)
        for entry, kind in function() return uv.fs_scandir_next(entries) end do
            local base = entry:gsub("%.lua$", "")
            local full = base == "init" and name or name .. "." .. base
            if kind == "directory" then
                walk(dir .. "/" .. entry, full)
            elseif entry:find("%.lua$") then
                equal(is_known(full), true, "module " .. full)
            end
        end
    end
    walk(top .. "/lua/perilune", "perilune")
end)

case("Lua: global functions of test files", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("for name in pairs(_ENV) do seen[name] = true end")
    file:close()
    local seen = {}
    local root, problem = suite.load(path, { seen = seen, skip = function() end }, 0, "")
    os.remove(path)
    equal(problem, nil)
    equal(root ~= nil, true)
    seen.seen = nil
    for _, m in ipairs(by_name.test.members) do
        equal(seen[m.name], true, m.name)
        seen[m.name] = nil
    end
    equal(next(seen), nil, "described")
end)

-- ---- values against their types ----

local fits

local simple = { any = function() return true end, integer = function(v)
    return math.type(v) == "integer"
end, ["false"] = function(v) return v == false end }

local function fits_word(word, v)
    local row = words.types[word]
    if not row then -- an object of C, one of Lua, or a module
        return type(v) == "userdata" or type(v) == "table"
    elseif row.of then
        return fits(signature.type(row.of), v)
    end
    local test = simple[row.luals]
    if test then
        return test(v)
    end
    return type(v) == row.luals
end

local function each(t, test)
    for k, v in pairs(t) do
        if not test(k, v) then
            return false
        end
    end
    return true
end

function fits(node, v)
    if node.kind == "word" then
        return fits_word(node.word, v)
    elseif node.kind == "text" then
        return node.text == ("%q"):format(v)
    elseif node.kind == "or" then
        for _, part in ipairs(node) do
            if fits(part, v) then
                return true
            end
        end
        return false
    elseif node.kind == "function" or type(v) ~= "table" then
        return node.kind == "function" and type(v) == "function"
    elseif node.kind == "list" then
        return each(v, function(_, e) return fits(node[1], e) end)
    elseif node.kind == "map" then
        return each(v, function(k, e) return fits(node.key, k) and fits(node.value, e) end)
    end
    return true
end

--- Methods whose call would change what is looked at, or wait.
local eventful = { run = true, step = true, wait_stop = true, remove = true, cpu = true, line = true }

case("properties and results have the types that they say", function()
    local vm = perilune.machine("pc", { memory = "16M", nic = "user", serial = { "ring" } })
    local other = perilune.machine("pc", { memory = "16M", nic = "wire" })
    local lab <close> = perilune.cluster { other }
    local nic = vm:find { type = "e1000" }[1]
    local task = vm:task(function() end)
    local objects = { vm = vm, machine = vm.machine, cpu = vm.cpus[1], space = vm.memory,
        region = vm.memory.root, device = nic, bus = nic.parent_bus, irq = vm.machine:line(),
        link = vm:links()[1], port = vm.net.net0, chardev = vm:chardevs()[1], clock = vm.clock.virtual,
        symbols = vm.symbols, hook = vm:on("exec", { at = 0x1234 }, function() end), task = task,
        cluster = lab, fault = require("perilune.fault").inject(vm, { target = "reg", reg = "rax",
            effect = "flip", trigger = { time = "1s" } }),
        ["perilune"] = require "perilune", ["perilune.monitor"] = require "perilune.monitor",
        trace_output = vm:trace_output(), machine_definition = machine.load "pc" }
    local count, wrong = 0, {}
    local function compare(where, tree, value)
        count = count + 1
        if not fits(tree, value) then
            wrong[#wrong + 1] = ("%s is %s"):format(where, tostring(value))
        end
    end
    for name, object in pairs(objects) do
        for _, m in ipairs(by_name[name].members) do
            local tree, where = signature.of(m), ("%s.%s: %s"):format(name, m.name, m.signature)
            local first = m.kind == "method" and tree.parameters[1]
            if m.kind == "property" then
                compare(where, tree, object[m.name])
            elseif m.kind == "method" and tree.results[1] and not eventful[m.name] and not tree.table
                and (not first or first.optional) then
                local ok, value = pcall(object[m.name], object)
                if ok then -- or this machine has not what it is about
                    compare(where, tree.results[1], value)
                end
            end
        end
    end
    equal(table.concat(wrong, ", "), "", "values of another type")
    equal(count > 110, true, count .. " values seen")
    lab:close()
    vm:close()
    other:close()
end)

case("filters take each text that they say, and no other", function()
    local vm = perilune.machine("pc", { memory = "16M", nic = "user" })
    local rest = { event = { line = vm.machine:line() }, ["event.dma"] = { device = vm:find { type = "e1000" }[1] },
        ["event.pio"] = { port = 0x80 }, ["event.read"] = { at = 0 }, ["event.write"] = { at = 0 } }
    local count = 0
    for name, key in ("event.on_error event.state.state event.dma.dir event.pio.dir event.pio.phase "
        .. "event.read.phase event.write.phase"):gmatch("(%S+)%.(%S+)") do
        local kind = name:match("^event%.(%a+)$") or "irq"
        local function try(text)
            local filter = { [key] = text }
            for k, v in pairs(rest[name] or {}) do
                filter[k] = v
            end
            vm:on(kind, filter, function() end):remove()
        end
        local m = reference.find(name .. "." .. key)[1].member
        for text in m.signature:gmatch('"(%a+)"') do
            try(text)
            count = count + 1
        end
        equal(pcall(try, "nonsense"), false, m.name)
    end
    equal(count, 19)
    vm:close()
end)

case("tables of options take each key that they say", function()
    local vm = perilune.machine("pc", { memory = "16M", nic = "user" })
    local function f() end
    local count = 0
    for name, before in pairs { ["vm:batch"] = { f }, ["vm:at"] = { 0, f }, ["vm:every"] = { 1, f },
        ["vm:trace"] = { "e1000.*", f }, ["vm:trace_output"] = {}, ["vm:find"] = {}, ["vm:task"] = { f },
        ["vm:wait_serial"] = { "x", "1ns" }, ["vm:send"] = { "" }, ["vm:load_boot"] = {}, ["cpu:mce"] = {},
        ["machine:netdev"] = {}, ["machine:chardev"] = {}, ["machine:batch"] = { f },
        ["machine:load_boot"] = {} } do
        local object = ({ vm = vm, cpu = vm.cpus[1], machine = vm.machine })[name:match("^%a+")]
        local m = reference.find(name)[1].member
        local function try(key)
            local args = table.move(before, 1, #before, 1, {})
            args[#args + 1] = { [key] = coroutine.create(f) } -- a value that nothing takes
            local ok, problem = pcall(object[m.name], object, table.unpack(args))
            return not ok and tostring(problem):find("unknown key", 1, true) ~= nil
        end
        equal(try("nonsense"), true, name .. " refuses what it does not know")
        local fields
        for _, p in ipairs(signature.of(m).parameters) do
            for _, part in ipairs { p.type, table.unpack(p.type) } do
                fields = part.fields or fields
            end
        end
        for _, field in ipairs(fields) do
            equal(try(field.name), false, name .. " knows " .. field.name)
            count = count + 1
        end
    end
    equal(count > 50, true, "keys seen")
    vm:close()
end)

-- ---- what is made of it ----

case("docs/api.md has every entry", function()
    local sections, current = {}, nil
    for line in markdown.page():gmatch("[^\n]+") do
        equal(utf8.len(line) <= 120, true, "120 columns: " .. line)
        current = line:match("^### (.*)$") or current
        if current then
            sections[current] = (sections[current] or "") .. line:gsub("^ +", " ")
        end
    end
    for _, t in ipairs(types) do
        equal(sections[t.name] ~= nil, true, t.name)
        for _, m in ipairs(t.members) do
            for _, part in ipairs { m.name, m.signature, m.help:gsub("docs/.*", "") .. "" } do
                equal(sections[t.name]:find(part, 1, true) ~= nil, true, t.name .. ": " .. part)
            end
        end
    end
end)

--- { [class] = { [member] = true } } from annotations; "" has global functions.
local function read_annotations(text, found, mentioned)
    local class, of = "", {}
    for line in text:gmatch("[^\n]+") do
        class = line:match("^%-%-%-@class ([%w_.]+)") or class
        found[class] = found[class] or {}
        local field = line:match('^%-%-%-@field %["([^"]+)"%]') or line:match("^%-%-%-@field ([%w_]+)")
        local variable = line:match("^local (%w+) = {}")
        local owner, name = line:match("^function ([%w_]*)[:.]?([%w_]*)%(")
        if variable then
            of[variable] = class
        elseif owner then
            local to = name ~= "" and of[owner] or ""
            found[to] = found[to] or {}
            found[to][name ~= "" and name or owner] = true
        elseif field then
            found[class][field] = true
        end
        if line:find("^%-%-%-@%a") and not line:find("^%-%-%-@meta") then
            for each_class in line:gsub("#.*$", ""):gmatch("perilune%.[%w_.]*[%w_]") do
                mentioned[each_class] = true
            end
        end
    end
end

case("the annotations parse, have every member and name nothing else", function()
    local found, mentioned = {}, {}
    for name, text in pairs(luals.files()) do
        local chunk, problem = load(text, "=" .. name, "t")
        equal(chunk ~= nil, true, problem)
        read_annotations(text, found, mentioned)
    end
    for _, t in ipairs(types) do
        if t.label ~= "commands" then
            local class = t.label == "globals" and "" or luals.class(t.name)
            equal(found[class] ~= nil, true, "class " .. class)
            for _, m in ipairs(t.members) do
                equal(found[class][m.name], true, class .. "." .. m.name)
                found[class][m.name] = nil
            end
            equal(next(found[class]), nil, class .. " has nothing else")
            found[class] = "seen"
        end
    end
    for class, rest in pairs(found) do
        equal(rest == "seen" or next(rest) == nil, true, "class " .. class)
    end
    for class in pairs(mentioned) do
        equal(found[class], "seen", "class " .. class .. " in an annotation")
    end
end)

check.finish()
