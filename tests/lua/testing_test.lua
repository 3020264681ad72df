-- perilune test: what it prints, its XML, and its exit status.
local check = require "check"
local command = require "command"

local equal = check.equal

local function has(text, words)
    equal(text:find(words, 1, true) ~= nil, true, ("%q in %s"):format(words, text))
end

local good = command.write("good.lua", [[
local calls = {}
describe("counting", function()
    setup(function() calls[#calls + 1] = "setup" end)
    before_each(function() calls[#calls + 1] = "before" end)
    after_each(function() calls[#calls + 1] = "after" end)
    it("starts", function() assert.equal("setup before", table.concat(calls, " ")) end)
    it("goes on", function() assert.equal("setup before after before", table.concat(calls, " ")) end)
    it("skips", function() skip("not & here") end)
    pending("comes later")
end)
]])

local bad = command.write("bad.lua", [[
it("differs", function() assert.equal(1, 2) end)
it("loops", function() while true do pcall(function() while true do end end) end end)
it("runs away", function()
    local vm = machine { "minimal", idle = "warp" }
    vm:on_reset(function()
        vm.memory:write_bytes(0x1000, "\xba\xf8\x03\xb0<\xee\xeb\xfe")
        local cpu = vm.cpus[1]
        cpu.cs, cpu.cs_base, cpu.rip = 0, 0, 0x1000
    end)
    vm:reset()
    vm:run()
end)
it("is fine", function() end)
]])

check.case("a file whose tests pass", function()
    local output, status = command.run("test", good)
    equal(status, 0)
    has(output, "counting starts")
    has(output, "counting skips: not & here")
    has(output, "2 passed, 0 failed, 2 skipped")
end)

check.case("failures: reasons, the last serial lines, logs, XML", function()
    local logs, xml = command.dir .. "/logs", command.dir .. "/out.xml"
    local output, status = command.run("test", bad, "--limit-host", "300ms", "--logs", logs,
        "--junit", xml)
    equal(status, 1)
    has(output, "bad.lua:1: value is 2 (0x2), expected 1 (0x1)")
    has(output, "took more than 0.3 s on the host (--limit-host)")
    has(output, "the last on serial0 of minimal")
    has(output, "1 passed, 3 failed, 0 skipped")
    equal(command.read(output:match("log: (%S+)")), "<")
    local text = command.read(xml)
    has(text, 'tests="4" failures="3" errors="0" skipped="0"')
    has(text, "&lt;")
    local _, parsed = command.shell(("python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' %s")
        :format(xml))
    equal(parsed, 0)
end)

check.case("virtual time is limited too", function()
    local output, status = command.run("test", bad, "--filter", "runs", "--limit-virtual", "1ms")
    equal(status, 1)
    has(output, "a machine ran for more than 0.001 s of its time (--limit-virtual)")
end)

check.case("lists and filters", function()
    local output, status = command.run("test", good, "--list", "--filter", "starts$")
    equal(status, 0)
    has(output, "good.lua:6: counting starts\n")
    equal(select(2, command.run("test", good, "--filter", "nothing")), 2)
end)

check.case("what is wrong: status 2, and 4 for the host", function()
    local broken = command.write("broken.lua", "it('x', ")
    equal(select(2, command.run("test", broken)), 2)
    equal(select(2, command.run("test", command.write("raises.lua", "error 'on purpose'"))), 2)
    equal(select(2, command.run("test", command.dir .. "/none.lua")), 2)
    local output, status = command.run("test", good, "--filtre", "x")
    equal(status, 2)
    has(output, "did you mean --filter?")
    equal(select(2, command.run("test")), 2)
    equal(select(2, command.run("test", good, "--limit-host", "soon")), 2)
    equal(select(2, command.run("test", good, "--junit", "/nowhere/at/all")), 4)
    output, status = command.run("test", "--help")
    equal(status, 0)
    has(output, "--limit-virtual TIME")
end)

command.clean()
check.finish()
