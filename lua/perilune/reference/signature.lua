--- Signatures: the text of a reference's entry as a tree, and the types in it.
--
--   signature  = ( "(" parameters ")" | table | "" ) [ "→" type { "," type } [ ", ..." ] ]
--   parameters   name [: type], "[" and "]" around what may be left out, "..." for any more
--   type       = one { "or" one }
--   one        = "text" | word | table | function parameters [ "→" types ]
--   table      = { type, ... }            a list
--              | { [word] = type }        by key
--              | { type, type }           so many
--              | { key =, key = type, ... }   fields; "..." for further ones
--
-- A parameter or key without a type, and a word in the place of a type, is one of `words` or the name
-- of a type of object. A call with a table is written { key =, ... } in the place of (...).
local words = require "perilune.reference.words"

local M = {}

-- ---- reading ----

local Reader = {}
Reader.__index = Reader

local function fail(reader, what)
    error(("signature %q: %s at %q"):format(reader.text, what, reader.text:sub(reader.at)), 0)
end

--- The next token, left where it is: kind, text.
function Reader:peek()
    self.at = self.text:find("%S", self.at) or #self.text + 1
    for _, pattern in ipairs { "^→", "^%.%.%.", '^"[^"]*"', "^[%a_][%w_.-]*", "^[%[%](){}=:,]" } do
        local token = self.text:match(pattern, self.at)
        if token then
            return token
        end
    end
    return nil
end

function Reader:take(wanted)
    local token = self:peek()
    if not token or wanted and token ~= wanted then
        fail(self, wanted and ("%q is missing"):format(wanted) or "cannot be read")
    end
    self.at = self.at + #token
    return token
end

function Reader:accept(token)
    if self:peek() == token then
        self:take()
        return true
    end
    return false
end

function Reader:word()
    local token = self:take()
    if not token:find("^[%a_]") then
        fail(self, ("a name is missing before %q"):format(token))
    end
    return token
end

--- Is it `name =`?
function Reader:at_field()
    local after = self.text:match("^%s*[%a_][%w_]*%s*()=", self.at)
    return after ~= nil
end

function Reader:fields(node)
    node.kind, node.fields = "fields", {}
    repeat
        if self:accept("...") then
            node.open = true
            break
        end
        local name = self:word()
        self:take("=")
        local next_one = self:peek()
        table.insert(node.fields, { name = name,
            type = (next_one == "," or next_one == "}") and { kind = "word", word = name }
                or self:type() })
    until not self:accept(",")
end

--- What is between braces.
function Reader:table()
    local node = {}
    self:take("{")
    if self:accept("[") then
        node.kind, node.key = "map", self:type()
        self:take("]")
        self:take("=")
        node.value = self:type()
    elseif self:at_field() or self:peek() == "..." then
        self:fields(node)
    else
        node.kind, node[1] = "tuple", self:type()
        while self:accept(",") do
            if self:accept("...") then
                node.kind = "list"
                break
            end
            node[#node + 1] = self:type()
        end
    end
    self:take("}")
    return node
end

function Reader:one()
    local token = self:peek()
    if token == "{" then
        return self:table()
    elseif token and token:sub(1, 1) == '"' then
        return { kind = "text", text = self:take() }
    elseif token == "function" then
        self:take()
        local node = { kind = "function", parameters = self:parameters() }
        node.results = self:accept("→") and { self:type() } or {}
        return node
    end
    return { kind = "word", word = self:word() }
end

function Reader:type()
    local first = self:one()
    if self:peek() ~= "or" then
        return first
    end
    local node = { kind = "or", first }
    while self:accept("or") do
        node[#node + 1] = self:one()
    end
    return node
end

function Reader:parameter(depth)
    if self:accept("...") then
        return { name = "...", type = { kind = "word", word = "value" }, optional = true, depth = depth }
    elseif self:peek() == "{" then
        return { name = "options", type = self:table(), optional = depth > 0, depth = depth }
    end
    local name = self:word()
    local given = self:accept(":") and self:type() or { kind = "word", word = name }
    return { name = name, type = given, optional = depth > 0, depth = depth }
end

--- "(a [, b])" as a list of { name, type, optional, depth }: depth is of the brackets around it.
function Reader:parameters()
    local list, depth = {}, 0
    self:take("(")
    while not self:accept(")") do
        if self:accept("[") then
            depth = depth + 1
        elseif depth > 0 and self:accept("]") then
            depth = depth - 1
        elseif not self:accept(",") then
            list[#list + 1] = self:parameter(depth)
        end
    end
    if depth > 0 then
        fail(self, "a bracket stays open")
    end
    return list
end

local function new_reader(text)
    return setmetatable({ text = text, at = 1 }, Reader)
end

local function finish(reader, node)
    if reader:peek() or reader.at <= #reader.text then
        fail(reader, "too much")
    end
    return node
end

--- The type that a property or a key has.
function M.type(text)
    local reader = new_reader(text)
    return finish(reader, reader:type())
end

--- { parameters =, results =, more_results =, table = called with a table } of what can be called.
function M.call(text)
    local reader = new_reader(text)
    local node = { parameters = {}, results = {} }
    if reader:peek() == "{" then
        node.table = true
        node.parameters[1] = { name = "options", type = reader:table(), depth = 0 }
    else
        node.parameters = reader:parameters()
    end
    if reader:accept("→") then
        repeat
            if reader:accept("...") then
                node.more_results = true
                break
            end
            local is_named = reader.text:match("^%s*[%a_][%w_]*:", reader.at)
            local name = is_named and reader:word() or nil
            if name then
                reader:take(":")
            end
            local result = reader:type()
            result.name = name
            node.results[#node.results + 1] = result
        until not reader:accept(",")
    end
    return finish(reader, node)
end

local callable = { method = true, ["function"] = true, event = true, command = false }

--- The tree of an entry { kind =, signature = }.
function M.of(entry)
    return (callable[entry.kind] and M.call or M.type)(entry.signature)
end

-- ---- words ----

--- Call f(word) for each word that stands for a type.
function M.each_word(node, f)
    if node.kind == "word" then
        f(node.word)
    end
    for _, part in ipairs(node) do
        M.each_word(part, f)
    end
    for _, key in ipairs { "key", "value", "type" } do
        if node[key] then
            M.each_word(node[key], f)
        end
    end
    for _, key in ipairs { "fields", "parameters", "results" } do
        for _, part in ipairs(node[key] or {}) do
            M.each_word(part.kind and part or part.type, f)
        end
    end
end

-- ---- types of LuaLS ----

local write

local function write_call(node, class_of, self_type)
    local parts = { self_type and "self: " .. self_type }
    for _, p in ipairs(node.parameters) do
        parts[#parts + 1] = p.name == "..." and "...: any"
            or ("%s%s: %s"):format(p.name, p.optional and "?" or "", write(p.type, class_of))
    end
    local results = {}
    for i, r in ipairs(node.results) do
        results[i] = write(r, class_of)
    end
    return ("fun(%s)%s"):format(table.concat(parts, ", "),
        #results > 0 and ": " .. table.concat(results, ", ") or "")
end

local writers = {
    text = function(node)
        return node.text
    end,
    word = function(node, class_of)
        local word = words.types[node.word]
        return word and (word.of and write(M.type(word.of), class_of) or word.luals)
            or class_of(node.word)
    end,
    ["or"] = function(node, class_of)
        local parts, seen = {}, {}
        for _, part in ipairs(node) do
            for text in (write(part, class_of) .. "|"):gmatch("([^|]*)|") do
                if not seen[text] or text:find("[(%[{]") then
                    seen[text] = true
                    parts[#parts + 1] = text
                end
            end
        end
        return table.concat(parts, "|")
    end,
    list = function(node, class_of)
        local text = write(node[1], class_of)
        return (text:find("[|(]") and "(" .. text .. ")" or text) .. "[]"
    end,
    tuple = function(node, class_of)
        local parts = {}
        for i, part in ipairs(node) do
            parts[i] = ("[%d]: %s"):format(i, write(part, class_of))
        end
        return "{ " .. table.concat(parts, ", ") .. " }"
    end,
    map = function(node, class_of)
        return ("table<%s, %s>"):format(write(node.key, class_of), write(node.value, class_of))
    end,
    fields = function(node, class_of)
        local parts = {}
        for i, field in ipairs(node.fields) do
            parts[i] = ("%s%s: %s"):format(field.name, node.results and "" or "?",
                write(field.type, class_of))
        end
        parts[#parts + 1] = node.open and "[any]: any" or nil
        return "{ " .. table.concat(parts, ", ") .. " }"
    end,
    ["function"] = function(node, class_of)
        return write_call(node, class_of)
    end,
}

function write(node, class_of)
    local text = writers[node.kind](node, class_of)
    return node.kind == "function" and "(" .. text .. ")" or text
end

--- A type as LuaLS writes it. class_of(word) names the class of an object.
M.luals = write
M.luals_call = write_call

--- The ways to leave out what stands before something that must be there: trees of calls.
function M.shorter(node)
    local last_needed = 0
    for i, p in ipairs(node.parameters) do
        last_needed = not p.optional and i or last_needed
    end
    local kept = {}
    for i, p in ipairs(node.parameters) do
        if not p.optional or i > last_needed then
            kept[#kept + 1] = p
        end
    end
    if #kept == #node.parameters then
        return nil
    end
    return { parameters = kept, results = node.results, table = node.table }
end

return M
