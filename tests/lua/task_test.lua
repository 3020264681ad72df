-- Tasks and waiting: each sentence of docs/testing.md, on the software cpu.
local bare = require "bare"

--- Real-mode code at 0x1000 of machine "minimal". Returns its vm.
local function program(code, options)
    return bare.program(code, options, machine)
end

local EXIT = bare.EXIT
local SPIN = "\xeb\xfe"

--- Code that writes a text to the first serial port: a mov and an out for each byte.
local function saying(text)
    local code = { "\xba\xf8\x03" }
    for c in text:gmatch(".") do
        code[#code + 1] = "\xb0" .. c .. "\xee"
    end
    return table.concat(code)
end

local BOOT = saying "one\r\nlogin: value=42\r\n# "

-- Sends back what it gets, up to a "q", which ends it.
local ECHO = "\xba\xfd\x03" .. -- 1000 mov dx, 0x3fd
    "\xec\xa8\x01\x74\xfb" ..  -- 1003 in al, dx; test al, 1; jz 0x1003
    "\xba\xf8\x03\xec" ..      -- 1008 mov dx, 0x3f8; in al, dx
    "\x3cq\x74\x03" ..         -- 100c cmp al, 'q'; je 0x1013
    "\xee\xeb\xed" ..          -- 1010 out dx, al; jmp 0x1000
    EXIT

-- Ten rounds.
local INC, STORE = 0x1003, 0x1004
local COUNTING = "\xb9\x0a\x00" .. -- 1000 mov cx, 10
    "\x40" ..                      -- 1003 inc ax
    "\xa3\x00\x20" ..              -- 1004 mov [0x2000], ax
    "\x49" ..                      -- 1007 dec cx
    "\x75\xf9" ..                  -- 1008 jnz 0x1003
    EXIT

describe("in the main script", function()
    it("wait_serial runs the machine to the end of the text and pauses it", function()
        local vm = program(BOOT .. EXIT)
        assert.equal("one\r\nlogin:", vm:wait_serial("login:"))
        assert.equal("paused", vm.state)
        assert.equal("wait", vm.pause_reason)
        assert.equal(1 + 2 * #"one\r\nlogin:", vm.instructions)
        assert.equal(0, #vm:hooks())
    end)

    it("text that came after the last match and before the wait is seen", function()
        local vm = program(BOOT .. EXIT)
        vm:run()
        assert.equal("one", vm:wait_serial("one"))
        assert.equal("\r\nlogin:", vm:wait_serial("login:"))
        assert.raises('the machine has ended (debug-exit); the last on serial0:\n    one\n    login: value=42\n    #',
            vm.wait_serial, vm, "one")
    end)

    it("text whose beginning came before the wait is seen", function()
        local vm = program(BOOT .. EXIT)
        vm:wait_insn(1 + 2 * #"one\r\nlog")
        assert.equal("one\r\nlogin:", vm:wait_serial("login:", "1ms"))
    end)

    it("a pattern is looked for at the end of a line, or when nothing follows", function()
        local vm = program(BOOT .. SPIN)
        local text, value = vm:wait_serial("value=(%d+)", "1s", { pattern = true })
        assert.equal("one\r\nlogin: value=42", text)
        assert.equal("42", value)
        assert.equal("\r\n# ", vm:wait_serial("[#$] $", "1s", { pattern = true }))
    end)

    it("a timeout says what was waited for, where, and the last lines", function()
        local vm = program(BOOT .. SPIN)
        local problem = assert.raises("task_test.lua:", function()
            vm:wait_serial("password", "2ms")
        end)
        assert.contains('waited 2ms for text "password" on serial0; the last on serial0:\n    one\n',
            problem)
        assert.equal("paused", vm.state)
        assert.equal(2000000, vm.clock.virtual.now)
        assert.equal(0, #vm:hooks())
        assert.raises("waited 50 ns for", vm.wait_serial, vm, "x", 50)
    end)

    it("the end of the machine and other pauses end a wait", function()
        local vm = program(BOOT .. EXIT)
        assert.raises('the machine ended (debug-exit) while text "x" on serial0 was waited for',
            vm.wait_serial, vm, "x")
        vm = program(BOOT .. EXIT)
        vm:on("insn", { at = 5 }, function() return "stop" end)
        assert.raises("the machine was paused (hook) while text", vm.wait_serial, vm, "one")
        assert.equal("one", vm:wait_serial("one"))
    end)

    it("wait_exec stops before the instruction, each time", function()
        local vm = program(COUNTING)
        for n = 0, 9 do
            local cpu = vm:wait_exec(INC)
            assert.equal(INC, cpu.rip)
            assert.equal(n, cpu.rax)
        end
        assert.raises("while execution at 0x1003 was waited for", vm.wait_exec, vm, INC)
    end)

    it("wait_time and wait_insn are exact", function()
        local vm = program(COUNTING)
        vm:wait_time(7)
        assert.equal(7, vm.instructions)
        vm:wait_insn(5)
        assert.equal(12, vm.instructions)
        vm:wait_time("10ns")
        assert.equal(22, vm.instructions)
    end)

    it("wait_stop returns when it stops, and why", function()
        local vm = program(COUNTING)
        vm:on("exec", { at = STORE, when = { reg = "rax", eq = 3 } }, function() return "stop" end)
        assert.same({ "pause", "hook" }, { vm:wait_stop() })
        assert.same({ "exit", "debug-exit" }, { vm:wait_stop("1s") })
        assert.raises("has ended", vm.wait_stop, vm)
        vm = program(SPIN)
        assert.raises("waited 1ms for its stop", vm.wait_stop, vm, "1ms")
    end)

    it("send reaches the guest, and nothing of much is lost", function()
        local vm = program(ECHO)
        vm:send("hello")
        assert.equal("hello", vm:wait_serial("hello", "1ms"))
        local parts = {}
        for n = 1, 3000 do
            parts[n] = ("%d."):format(n)
        end
        local text = table.concat(parts)
        vm:send(text .. "!")
        assert.equal(text .. "!", vm:wait_serial("!", "1s"))
        vm:send("q")
        vm:run()
        assert.equal("debug-exit", vm.exit_reason)
    end)

    it("send to a guest that does not read fails after its timeout", function()
        local vm = program(SPIN)
        assert.raises("for the guest to take", vm.send, vm, ("x"):rep(10000), { timeout = "5ms" })
    end)

    it("wrong arguments teach", function()
        local vm = program(SPIN)
        assert.raises('there is no chardev "serial1"; did you mean "serial0"?', vm.wait_serial, vm,
            "x", 1, { chardev = "serial1" })
        assert.raises('did you mean "pattern"?', vm.wait_serial, vm, "x", 1, { patern = true })
        assert.raises("a text is needed", vm.wait_serial, vm, "")
        assert.raises("is not a time", vm.wait_serial, vm, "x", "soon")
        assert.raises("is not a time", vm.wait_time, vm, "soon")
        assert.raises("takes a function", vm.task, vm, 1)
        assert.raises('did you mean "name"?', vm.task, vm, print, { nam = 1 })
        assert.raises('did you mean "wait_serial"', function() return vm.wait_seria end)
        assert.equal(0, #vm:hooks())
    end)
end)

describe("a task", function()
    it("begins when the machine runs, and waits as the main script does", function()
        local vm = program(BOOT .. COUNTING)
        local log = {}
        local task = vm:task(function(v)
            assert(v == vm)
            log[#log + 1] = vm:wait_serial("login:", "1s") .. vm.instructions
            log[#log + 1] = select(2, vm:wait_serial("value=(%d+)", "1s", { pattern = true }))
            local before = vm.instructions
            vm:wait_insn(3)
            vm:wait_time(4)
            log[#log + 1] = vm.instructions - before
        end, { name = "boot" })
        assert.equal("ready", task.status)
        assert.equal("task boot (ready)", tostring(task))
        assert.equal(0, #log)
        vm:run()
        assert.equal("done", task.status)
        assert.same({ "one\r\nlogin:" .. 1 + 2 * #"one\r\nlogin:" - 1, "42", 7 }, log)
    end)

    it("sees the cpu before the instruction", function()
        local vm = program(COUNTING)
        local seen = {}
        vm:task(function()
            while true do
                local cpu = vm:wait_exec(INC)
                assert.equal(INC, cpu.rip)
                seen[#seen + 1] = cpu.rax
            end
        end)
        vm:run()
        assert.equal("0 1 2 3 4 5 6 7 8 9", table.concat(seen, " "))
    end)

    it("has its own place in the text, which begins at its creator's", function()
        local vm = program(BOOT .. EXIT)
        local log = {}
        vm:task(function()
            log.first = vm:wait_serial("login:")
            vm:task(function()
                log.inner = vm:wait_serial("value")
            end)
        end)
        vm:task(function()
            log.second = vm:wait_serial("value")
        end)
        vm:run()
        assert.same({ first = "one\r\nlogin:", second = "one\r\nlogin: value", inner = " value" }, log)
        assert.equal("one", vm:wait_serial("one"))
    end)

    it("made by a hook begins at what comes after", function()
        local vm = program(BOOT .. EXIT)
        local text
        vm:on("serial", { text = "login:" }, function()
            vm:task(function() text = vm:wait_serial("42") end)
        end)
        vm:run()
        assert.equal(" value=42", text)
    end)

    it("comes in the order of waiting, and the next wait sees what is left", function()
        local vm = program(BOOT .. EXIT)
        local log = {}
        for n = 1, 3 do
            vm:task(function()
                vm:wait_serial("one")
                log[#log + 1] = "one" .. n
                vm:wait_serial("login")
                log[#log + 1] = "login" .. n
            end)
        end
        vm:run()
        assert.equal("one1 one2 one3 login1 login2 login3", table.concat(log, " "))
    end)

    it("answers, in several machines", function()
        local function make()
            local vm = program(ECHO, { serial = "null" })
            local heard = {}
            vm:task(function()
                vm:send("abc")
                heard[1] = vm:wait_serial("abc", "1ms")
                vm:send(("x"):rep(20000) .. ".")
                heard[2] = #vm:wait_serial(".", "1s")
                vm:send("q")
            end)
            return vm, heard
        end
        local a, heard_a = make()
        local b, heard_b = make()
        b:resume()
        a:run()
        b:wait()
        assert.same({ "abc", 20001 }, heard_a)
        assert.same({ "abc", 20001 }, heard_b)
        assert.equal(a.instructions, b.instructions)
        assert.equal(a:ram_sha256(), b:ram_sha256())
    end)

    it("sends and hears the same in every run", function()
        local function run()
            local vm = program(ECHO)
            local times = {}
            vm:task(function()
                for n = 1, 50 do
                    vm:send(("%d "):format(n))
                    vm:wait_serial(" ")
                    times[n] = vm.instructions
                end
                vm:send("q")
            end)
            vm:every(1000, function() end)
            vm:run()
            local hash = vm:ram_sha256()
            return table.concat(times, " "), hash, vm.instructions
        end
        assert.same({ run() }, { run() })
    end)

    it("may be stopped for, and main's own pauses are not told", function()
        local vm = program(BOOT .. COUNTING)
        local log = {}
        vm:task(function()
            while true do
                log[#log + 1] = table.concat({ vm:wait_stop() }, ":")
            end
        end)
        vm:wait_serial("one")
        vm:wait_time(5)
        vm:on("insn", { after = 1 }, function() return "stop" end)
        vm:run()
        vm:run()
        assert.equal("pause:hook exit:debug-exit", table.concat(log, " "))
    end)
end)

describe("what goes wrong in a task", function()
    local function failing(options)
        local vm = program(BOOT .. EXIT)
        local function culprit() error("on purpose") end
        local task = vm:task(function()
            vm:wait_serial("login:")
            culprit()
        end, options)
        return vm, task
    end

    -- A failed task fails a test; these are meant to.
    local function expected(task)
        assert.equal("failed", task.status)
        task.told = true
    end

    it("is kept with the traceback of the task", function()
        local vm, task = failing { on_error = "disable", name = "bad" }
        vm:run()
        expected(task)
        assert.contains("on purpose\nstack traceback:", task.error)
        assert.contains("in upvalue 'culprit'", task.error)
        assert.equal("debug-exit", vm.exit_reason)
    end)

    it("pauses unless it says otherwise", function()
        local vm, task = failing()
        vm:run()
        expected(task)
        assert.equal("paused", vm.state)
        assert.equal("script error", vm.pause_reason)
        vm:run()
    end)

    it("ends the run if it asks for that", function()
        local vm, task = failing { on_error = "abort" }
        vm:run()
        expected(task)
        assert.equal("script-error", vm.exit_reason)
        vm:close()
    end)

    it("is not the others' matter", function()
        local vm, task = failing { on_error = "disable" }
        local text
        vm:task(function() text = vm:wait_serial("42") end)
        vm:run()
        expected(task)
        assert.equal("one\r\nlogin: value=42", text)
    end)

    it("can be caught", function()
        local vm = program(BOOT .. SPIN)
        local caught, then_text
        vm:task(function()
            local ok, problem = pcall(vm.wait_serial, vm, "nothing", "1us")
            caught = not ok and problem
            then_text = vm:wait_serial("42")
            vm:stop("done")
        end)
        vm:run()
        assert.contains('waited 1us for text "nothing"', caught)
        assert.equal("one\r\nlogin: value=42", then_text)
    end)

    it("may not wait in another way, nor run for ever", function()
        local vm = program(BOOT .. EXIT)
        local refused
        local yields = vm:task(function() coroutine.yield() end, { on_error = "disable" })
        vm:task(function()
            refused = select(2, pcall(vm.run, vm))
        end)
        local endless = vm:task(function()
            while true do pcall(function() while true do end end) end
        end, { on_error = "disable" })
        vm:run()
        expected(yields)
        assert.contains("coroutine.yield() in a task", yields.error)
        assert.contains("a hook may not", refused)
        expected(endless)
        assert.contains("used up its budget", endless.error)
        assert.equal("debug-exit", vm.exit_reason)
    end)

    it("a promise that the machine's end breaks fails, an open wait is cancelled", function()
        local vm = program(BOOT .. EXIT)
        local promised = vm:task(function() vm:wait_serial("nothing", "1s") end)
        local open = vm:task(function() vm:wait_serial("nothing") end)
        vm:run()
        expected(promised)
        assert.contains("the machine ended (debug-exit) while", promised.error)
        assert.equal("cancelled", open.status)
        vm = program(BOOT .. SPIN)
        local closed = vm:task(function() vm:wait_serial("nothing", "1s") end)
        vm:wait_serial("one")
        assert.equal("waiting", closed.status)
        vm:close()
        assert.equal("cancelled", closed.status)
        assert.raises("closed vm", vm.tasks, vm)
    end)
end)

describe("cancelling", function()
    it("ends a task where it waits, and closes its variables", function()
        local vm = program(BOOT .. EXIT)
        local closed
        local task = vm:task(function()
            local _ <close> = setmetatable({}, { __close = function() closed = true end })
            vm:wait_serial("42")
            error("never")
        end)
        vm:wait_serial("one")
        assert.equal('task 1 (waits for text "42" on serial0)', tostring(task))
        assert.equal(1, #vm:tasks())
        task:cancel()
        assert.is_true(closed)
        assert.equal("cancelled", task.status)
        assert.equal(0, #vm:tasks())
        assert.equal(0, #vm:hooks())
        task:cancel()
        vm:run()
        assert.equal("debug-exit", vm.exit_reason)
    end)

    it("one that has not begun never does", function()
        local vm = program(BOOT .. EXIT)
        local task = vm:task(function() error("never") end)
        task:cancel()
        vm:run()
        assert.equal("debug-exit", vm.exit_reason)
    end)

    it("itself ends it at once, also within pcall", function()
        local vm = program(BOOT .. EXIT)
        local after = 0
        local task
        task = vm:task(function()
            vm:wait_serial("one")
            pcall(task.cancel, task)
            pcall(vm.wait_serial, vm, "login")
            after = after + 1
            vm:wait_serial("login")
            after = after + 1
        end)
        vm:run()
        assert.equal("cancelled", task.status)
        assert.equal(1, after)
        assert.equal("debug-exit", vm.exit_reason)
    end)

    it("another task from a hook on the same text is safe", function()
        local vm = program(BOOT .. EXIT)
        local others = {}
        vm:task(function()
            vm:wait_serial("one")
            for _, task in ipairs(others) do
                task:cancel()
            end
            others = {}
            collectgarbage()
        end)
        for n = 1, 5 do
            others[n] = vm:task(function()
                vm:wait_serial("one")
                error("never")
            end)
        end
        vm:run()
        assert.equal("debug-exit", vm.exit_reason)
    end)
end)

describe("hooks", function()
    it("may not wait, but may send a little", function()
        local vm = program(ECHO)
        local waited, sent
        vm:on("insn", { at = 10 }, function()
            waited = select(2, pcall(vm.wait_serial, vm, "x"))
            sent = select(2, pcall(vm.send, vm, ("x"):rep(100000)))
            vm:send("abcq")
        end)
        vm:run()
        assert.contains("a hook may not wait; a task may", waited)
        assert.contains("a hook may not wait", sent)
        assert.equal("abc", vm:wait_serial("abc"))
    end)

    it("tell a line that is not finished when nothing follows", function()
        local vm = program(BOOT .. SPIN)
        local told = {}
        vm:on("serial", { quiet = "10us" }, function(text, finished)
            told[#told + 1] = text .. (finished and "" or "...")
        end)
        vm:wait_time("1ms")
        assert.equal("one|login: value=42|# ...", table.concat(told, "|"))
        assert.raises('"quiet" without', vm.on, vm, "serial", { text = "x", quiet = 1 }, print)
    end)

    it("of timers have a policy and a name", function()
        local vm = program(COUNTING)
        local h = vm:at(5, function() error("on purpose") end, { on_error = "disable", name = "t" })
        vm:run()
        assert.equal("debug-exit", vm.exit_reason)
        assert.equal(1, h.errors)
        assert.raises('did you mean "clock"', vm.at, vm, 5, print, { clok = "host" })
    end)

    it("on the state are told of a stop that a timer in real time asks for", function()
        local vm = program(SPIN)
        local reason
        vm:on("state", { state = "exit" }, function(_, _, why) reason = why end)
        vm:at(vm.clock.realtime.now + 1000000, function() vm:stop("late") end, "realtime")
        vm:run()
        assert.equal("late", reason)
    end)
end)
