--- Monitor commands that run, stop and reset the machine, and that are about the monitor itself.
local core = require "perilune.core"
local notice = require "perilune.monitor.notice"
local trace = require "perilune.trace"
local util = require "perilune.util"

local M = {}

local levels = { "error", "warning", "info", "debug" }

local function power_button(vm)
    local pm = vm:find { type = "PIIX4_PM" }[1]
    if not pm then
        util.fail("system_powerdown: this machine has no power button (no PIIX4_PM)")
    end
    pm:gpio_in("power-button", 0):pulse()
end

--- Machine checks and NMIs, as people know them.
local function register_faults(monitor)
    monitor.command { name = "nmi", help = "pulse the NMI pin of every cpu", run = function()
        for _, cpu in ipairs(monitor.vm().cpus) do
            cpu:nmi()
        end
    end }
    monitor.command { name = "mce", args = { { "cpu", "value", help = "number of the cpu, from 0" },
        { "bank", "value" }, { "status", "value", help = "IA32_MCi_STATUS" },
        { "mcgstatus", "value", help = "IA32_MCG_STATUS", optional = true },
        { "addr", "value", optional = true }, { "misc", "value", optional = true } },
        help = "a machine check",
        run = function(a)
            local vm = monitor.vm()
            local cpu = vm.cpus[a.cpu + 1]
            if not cpu then
                util.fail(("mce: there is no cpu %d; the machine has %d"):format(a.cpu, #vm.cpus))
            end
            monitor.still(vm, cpu.mce, cpu, { bank = a.bank, status = a.status, addr = a.addr,
                misc = a.misc, mcg_status = a.mcgstatus })
        end }
end

local function set_log(level)
    for _, name in ipairs(levels) do
        if name == level then
            return core.log_level(level)
        end
    end
    util.fail(util.suggest(('"%s" is none of %s'):format(level, table.concat(levels, ", ")), level,
        levels))
end

function M.register(monitor)
    monitor.command { name = "cont", alias = { "c" }, help = "let the machine run",
        run = function()
            local vm = monitor.vm()
            if vm.state == "ended" then
                util.fail(("the machine has ended (%s); system_reset is for one that runs")
                    :format(vm.exit_reason))
            elseif vm.state ~= "running" then
                vm:resume()
            end
        end }
    monitor.command { name = "stop", alias = { "s" }, help = "pause the machine", run = function()
        local vm = monitor.vm()
        if vm.state == "running" then
            vm:pause("user")
        end
    end }
    monitor.command { name = "quit", alias = { "q" }, args = { { "status", "value",
        optional = true, help = "exit status, 0 by default" } },
        help = "end the machine and the program",
        run = function(a)
            notice.announce("ended")
            core.exit(a.status or 0)
        end }
    monitor.command { name = "system_reset", help = "press the reset button", run = function()
        monitor.vm():request_reset()
        notice.announce("reset")
    end }
    monitor.command { name = "system_powerdown", help = "press the power button",
        run = function()
            power_button(monitor.vm())
        end }
    register_faults(monitor)
    monitor.command { name = "log", args = { { "level", "word",
        help = table.concat(levels, ", ") } }, help = "what is logged",
        complete = function()
            return levels
        end,
        run = function(a)
            set_log(a.level)
        end }
    monitor.command { name = "logfile", args = { { "path", "word", help = "is appended to" } },
        help = "where the log goes",
        run = function(a)
            core.log_file(a.path)
        end }
    monitor.command { name = "trace-event", args = { { "name", "word",
        help = "an event, or a pattern such as e1000.*" },
        { "state", "word", help = "on, off" } }, help = "write an event as lines, or no more",
        complete = trace.names,
        run = function(a)
            local on = util.parse_bool(a.state)
            if on == nil then
                util.fail(('"%s" is neither on nor off'):format(a.state))
            end
            local output = trace.output(monitor.vm())
            output[on and "enable" or "disable"](output, a.name)
        end }
    monitor.command { name = "trace-file", args = { { "path", "word", optional = true,
        help = "is written anew; off: standard error; flush: write what is kept" } },
        help = "where events are written; without a path: tell",
        complete = function()
            return { "flush", "off" }
        end,
        run = function(a)
            local vm = monitor.vm()
            if a.path == "flush" then
                trace.output(vm):flush()
            elseif a.path then
                trace.move(vm, a.path ~= "off" and a.path or nil)
            else
                return trace.output(vm).file or "standard error"
            end
        end,
        show = function(text)
            return text
        end }
end

return M
