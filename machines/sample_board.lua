-- A small board that no other emulator has: RAM, and devices written in Lua wired to an 8259A.
--
--     0x10000000  edu-uart      serial port at serial0   line 4
--     0x10001000  edu-gpio      line 0 of its outputs goes back to its input 0   line 5
--     0x10002000  edu-watchdog  resets the board   line 6
--     0x10003000  edu-i2c       line 7; an EEPROM at 0x50, a temperature sensor at 0x48
return machine.define {
    name = "sample_board",
    desc = "a small board of devices written in Lua",
    props = {
        memory = { "size", "16M", max = 1 << 28, help = "RAM from address 0" },
        watchdog = { "enum", "reset", values = { "reset", "poweroff", "pause", "none" },
            help = "what the watchdog does" },
        eeprom = { "string", "", help = "a file with what the EEPROM holds at first" },
    },
    build = function(m, p)
        m.memory:map(0, m:ram("ram", p.memory))
        local isa = m:device("isabus-bridge").bus["isa.0"]
        isa:device("isa-debug-exit", { iobase = 0xf4 })

        local pic = isa:device("isa-i8259", { iobase = 0x20, master = true, cpu = p.cpus > 0 and 0 or -1 })

        local serial = p.serials[1]
        local uart = m:device(device.load "edu-uart",
            { addr = 0x10000000, chardev = serial and serial.chardev })
        local gpio = m:device(device.load "edu-gpio", { addr = 0x10001000 })
        local watchdog = m:device(device.load "edu-watchdog",
            { addr = 0x10002000, action = p.watchdog })
        gpio:connect("out", 0, gpio:gpio_in("in", 0))
        local i2c = m:device(device.load "edu-i2c", { addr = 0x10003000 })
        i2c.bus["i2c.0"]:device(device.load "edu-eeprom", { address = 0x50, file = p.eeprom })
        local sensor = i2c.bus["i2c.0"]:device(device.load "edu-lm75", { address = 0x48 })
        sensor:connect("os", 0, gpio:gpio_in("in", 1)) -- too hot: low
        for i, chip in ipairs { uart, gpio, watchdog, i2c } do
            chip:connect("sysbus-irq", 0, pic:gpio_in(3 + i))
        end
    end,
}
