-- Backtraces through a program without frame pointers, by its tables.
local check = require "check"

local equal = check.equal
local program = assert(os.getenv("PERILUNE_GUESTS")) .. "/calls"

local function trace(load)
    local vm = perilune.machine("minimal", { kernel = program, serial = "none" })
    if load then
        vm:load_symbols(program)
    end
    local names, methods, why = {}, {}, nil
    vm:on("exec", { at = vm.cpus[1]:disas("innermost", 2)[2].addr }, function(cpu)
        local frames
        frames, why = cpu:backtrace()
        for i, f in ipairs(frames) do
            names[i], methods[i] = f.name:match("^[%w_]+"), f.method
        end
        return "stop"
    end)
    vm:run()
    equal(vm.state, "paused")
    vm:close()
    return table.concat(names, " "), table.concat(methods, " "), why
end

check.case("DWARF, in the middle of a function, and the end of the stack", function()
    for _, load in ipairs { true, false } do -- the machine's own program needs no loading
        local names, methods, why = trace(load)
        equal(names, "innermost recurse recurse recurse recurse with_a_variable_frame main start")
        equal(methods, "start" .. (" dwarf"):rep(7))
        equal(why, "end of the stack")
    end
end)

check.case("a program that is elsewhere than it is linked", function()
    local vm = perilune.machine("minimal", { kernel = program, serial = "none" })
    vm:load_symbols(program)
    local innermost = vm:symbol("innermost")
    local frames
    vm:on("exec", { at = innermost }, function(cpu)
        frames = cpu:backtrace()
        return "stop"
    end)
    vm:run()
    equal(#frames, 8)
    -- The tables of a wrong place say nothing about this code.
    local other = perilune.machine("minimal", { kernel = program, serial = "none" })
    other:load_symbols(program, 0x10000000)
    equal(other:symbol("innermost"), innermost + 0x10000000)
    other:on("exec", { at = innermost }, function(cpu)
        frames = cpu:backtrace()
        return "stop"
    end)
    other:run()
    equal(frames[2] and frames[2].method ~= "dwarf" or #frames == 1, true)
    vm:close()
    other:close()
end)

check.case("instructions name what they refer to, without symbols being asked for first", function()
    local vm = perilune.machine("minimal", { kernel = program, serial = "none" })
    local text = {}
    for i, insn in ipairs(vm.cpus[1]:disas(nil, 4)) do
        text[i] = insn.text:gsub("0x%x+ ", "")
    end
    equal(text[3], "call <main>")
    text = {}
    for i, insn in ipairs(vm.cpus[1]:disas("main", 5)) do
        text[i] = insn.text
    end
    equal(table.concat(text, ";"):match("%[0x%x+ <input>%]") ~= nil, true, table.concat(text, ";"))
    vm:close()
end)

check.finish()
