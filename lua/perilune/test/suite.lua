--- Test files: what describe(), it() and the others in them declare, as a tree.
--
-- A node: kind ("file", "describe" or "it"), name, parent, place, children, body; and of each of
-- `around` a list of functions.
local native = require "perilune.task_core"
local util = require "perilune.util"

local M = {}

local around = { "setup", "teardown", "before_each", "after_each" }

local function new_node(kind, name, parent, body)
    local node = { kind = kind, name = name, parent = parent, body = body, children = {} }
    for _, key in ipairs(around) do
        node[key] = {}
    end
    if parent then
        table.insert(parent.children, node)
    end
    return node
end

--- "describe it", as filters see it.
function M.full_name(node)
    local words = { node.name }
    while node.parent and node.parent.kind ~= "file" do
        node = node.parent
        table.insert(words, 1, node.name)
    end
    return table.concat(words, " ")
end

--- { node, ... } of all tests, in order.
function M.tests(node, into)
    into = into or {}
    if node.kind == "it" then
        into[#into + 1] = node
    end
    for _, child in ipairs(node.children) do
        M.tests(child, into)
    end
    return into
end

local function place(level)
    local info = debug.getinfo(level + 1, "Sl")
    return info.short_src, info.currentline
end

local function check(what, name, body, optional)
    if type(name) ~= "string" then
        error(("%s(name, f): the name is missing"):format(what), 3)
    elseif type(body) ~= "function" and not (optional and body == nil) then
        error(("%s(%q, f): the function is missing"):format(what, name), 3)
    end
end

--- Load a file. `given` are further names that it sees. Returns its node, or nil and what is wrong.
function M.load(path, given, limit_ns, late)
    local root = new_node("file", path)
    local current = root
    local env = {}
    function env.describe(name, body)
        check("describe", name, body)
        local outer = current
        current = new_node("describe", name, outer)
        body()
        current = outer
    end
    function env.it(name, body)
        check("it", name, body)
        local node = new_node("it", name, current, body)
        node.file, node.line = place(2)
    end
    function env.pending(name, body)
        check("pending", name, body, true)
        local node = new_node("it", name, current)
        node.skip = "pending"
        node.file, node.line = place(2)
    end
    for _, key in ipairs(around) do
        env[key] = function(body)
            if type(body) ~= "function" then
                error(key .. "(f): the function is missing", 2)
            end
            table.insert(current[key], body)
        end
    end
    for name, value in pairs(given) do
        env[name] = value
    end
    local chunk, problem = util.load_file(path, setmetatable(env, { __index = _G }))
    if not chunk then
        return nil, problem
    end
    local ok, raised, traceback = native.limited(limit_ns, late, chunk)
    for name in pairs(env) do -- what declares is for the file's own code, not for its tests
        if not given[name] and (name == "describe" or name == "it" or name == "pending") then
            env[name] = function()
                error(name .. "() inside of a test", 2)
            end
        end
    end
    if not ok then
        return nil, tostring(raised), traceback
    end
    return root
end

--- What test files see.
M.reference = { { name = "test", label = "globals", of = M,
    help = "global functions of test files, beside assert, machine and perilune",
    internal = { "full_name", "tests", "load" },
    functions = {
        { "describe", "(name, f)", "a group of tests" },
        { "it", "(name, f)", "a test; machines made in it are closed after it" },
        { "pending", "(name [, f])", "a test that is not run, and shown as skipped" },
        { "setup", "(f)", "once before the tests of the group" },
        { "teardown", "(f)", "once after them" },
        { "before_each", "(f)", "before each test of the group and of those in it" },
        { "after_each", "(f)", "after each, however it went" },
        { "skip", "([reason])", "in a test: end it, shown as skipped" },
    } } }

return M
