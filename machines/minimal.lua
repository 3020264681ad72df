-- The smallest machine that can say something: RAM, a serial port and a port that ends the run.
--
-- For programs that need no more: tests, experiments, first steps. There are no timers and no
-- interrupts.
return machine.define {
    name = "minimal",
    desc = "RAM, a serial port and isa-debug-exit",
    props = {
        memory = { "size", "64M", max = 1 << 31, help = "RAM from address 0" },
    },
    build = function(m, p)
        m.memory:map(0, m:ram("ram", p.memory))
        local isa = m:device("isabus-bridge").bus["isa.0"]
        for _, port in ipairs(p.serials) do
            isa:device("isa-serial", port)
        end
        isa:device("isa-debug-exit", { iobase = 0xf4 })
    end,
}
