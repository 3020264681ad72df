-- Hostile and broken scripts: every kind of callback with every kind of misbehaviour. What must hold
-- afterwards: the process lives, the policy has acted, the error was reported once and names the
-- line of the script, and the machine can be reset and run on.
--
-- The cases run in processes of their own (hostile_cases.lua), whose log is read here.
local check = require "check"
local uv = require "luv"

local case, equal = check.case, check.equal
local here = debug.getinfo(1, "S").source:match("^@(.*)/")

--- Runs hostile_cases.lua. Returns its exit status, or the signal that ended it, and what it wrote.
local function run(...)
    local words = { uv.exepath(), here .. "/hostile_cases.lua", ... }
    local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
    local text = pipe:read("a")
    local _, how, code = pipe:close()
    return how == "signal" and "signal " .. code or code, text
end

--- "<<< name" and ">>> verdict" enclose a case's log.
local function cases(text)
    local found = {}
    for name, log, verdict in text:gmatch("<<< ([^\n]*)\n(.-)>>> ([^\n]*)\n") do
        found[#found + 1] = { name = name, log = log, verdict = verdict }
    end
    return found
end

local function count(text, words)
    return select(2, text:gsub(words:gsub("%p", "%%%0"), ""))
end

local MISDEEDS = { "raise", "raise_table", "raise_nil", "raise_liar", "forever", "memory", "recursion", "handler",
    "wait", "remove" }

for _, misdeed in ipairs(MISDEEDS) do
    local status, text = run(misdeed)
    local all = cases(text)
    case(misdeed .. ": the process goes on to its end", function()
        equal(status, 0, text:sub(-2000))
        equal(#all > 10, true, "cases: " .. #all)
    end)
    for _, c in ipairs(all) do
        case(("%s: %s"):format(misdeed, c.name), function()
            equal(c.verdict, "good", c.log)
            if misdeed == "memory" then
                equal(count(c.log, "not enough memory, in the function at") + count(c.log, "stack traceback"), 1, c.log)
            elseif misdeed ~= "remove" then
                equal(count(c.log, "stack traceback"), 1, "tracebacks in: " .. c.log)
            end
            -- Without memory there is no traceback, only the function called: of a predicate the library's.
            local called = misdeed == "memory" and c.name == "fault predicate" and "fault/trigger.lua:%d+"
            if misdeed ~= "remove" then
                equal(c.log:find(called or "hostile_cases.lua:%d+") ~= nil, true, "a line in: " .. c.log)
            end
        end)
    end
end

case("whatever is left open does not matter at the end", function()
    local status, text = run("leave")
    equal(status, 0, text)
end)

local _, kinds = run("kinds")
for kind in kinds:gmatch("%S+") do
    case("exit: " .. kind, function()
        local status, text = run("exit", kind)
        equal(status, 7, text)
        equal(text:find("traceback", 1, true), nil, text)
    end)
end

check.finish()
