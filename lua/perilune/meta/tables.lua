---@meta
-- Made by scripts/make-reference from the tables of the program: change those, not this.

do

---a campaign, as campaign.main takes it
---@class perilune.campaign
---@field name? string # its name, and its option
---@field help? string # a line about it
---@field args? string # what follows the option, for help
---@field make? (fun(...: any): perilune.campaign.machine) # gets what follows the option
local it = {}
end

do

---what a campaign is about
---@class perilune.campaign.machine
---@field create? (fun(): perilune.vm) # the machine; its first serial port is the output
---@field groups? table[]|(fun(vm: perilune.vm): table[]) # groups of places: { name =, place, ... }
---@field detected? (fun(run: table): boolean) # has the program reported an error
---@field output? (fun(text: string): string) # the part of the output that counts
local it = {}
end

do

---a place of faults
---@class perilune.campaign.place
---@field name? string # its name
---@field pick? (fun(random: perilune.fault_random): perilune.fault.inject) # a fault in it
local it = {}
end

do

---what perilune.cluster takes: machines, and these keys
---@class perilune.cluster.options
---@field latency? integer|string # the least latency of a link; 100us unless given
---@field name? string # what it is called; cluster unless given
---@field parallel? boolean # one thread for each machine
local it = {}
end

do

---what device.define takes
---@class perilune.device.define
---@field name? string # the type's name
---@field desc? string # a line about it
---@field parent? "sys-bus-device"|"isa-device"|"pci-device"|"i2c-device"|"device" # what it is; sys-bus-device unless given, device is on no bus
---@field props? table<string, perilune.device.define.prop> # properties
---@field mmio? perilune.device.define.window|perilune.device.define.window[] # windows of memory
---@field pio? perilune.device.define.window|perilune.device.define.window[] # windows of ports
---@field registers? perilune.device.define.register[] # those of the first window
---@field irqs? integer # number of interrupt lines
---@field irq? integer # of an ISA device: the line it uses unless a property says otherwise
---@field gpio_in? table<string, integer|(fun(dev: perilune.dev, n: integer, level: boolean|integer))|perilune.device.define.line> # inputs
---@field gpio_out? table<string, integer|perilune.device.define.line> # outputs
---@field timers? table<string, (fun(dev: perilune.dev))> # timers on the virtual clock
---@field state? table<string, string|table> # further fields of dev, reset and saved: "u32", { "bytes", 64 }, ...
---@field chardev? perilune.device.define.chardev # it talks to a character backend
---@field pci? perilune.device.define.pci # of a PCI device
---@field i2c? perilune.device.define.i2c # of an I2C device
---@field i2c_bus? string # the name of an I2C bus that it provides
---@field realize? (fun(dev: perilune.dev)) # when it is put into a machine; an error refuses it
---@field reset? (fun(dev: perilune.dev)) # after registers and state have their reset values
---@field unrealize? (fun(dev: perilune.dev)) # when it is taken out of a machine that goes on
---@field on_error? "pause"|"disable"|"abort" # what happens when a function raises; "pause" unless given
local it = {}
end

do

---what a device does with a character backend
---@class perilune.device.define.chardev
---@field receive? (fun(dev: perilune.dev, bytes: string)) # bytes have come
---@field room? (fun(dev: perilune.dev): integer) # how many bytes it can take now
local it = {}
end

do

---an I2C device
---@class perilune.device.define.i2c
---@field start? (fun(dev: perilune.dev, read: boolean): boolean) # a transfer begins; false: not acknowledged
---@field send? (fun(dev: perilune.dev, byte: integer): boolean) # a byte comes; false: not acknowledged
---@field receive? (fun(dev: perilune.dev, last: boolean): integer) # a byte is wanted
---@field stop? (fun(dev: perilune.dev)) # the transfer ends
local it = {}
end

do

---lines of one name
---@class perilune.device.define.line
---@field count? integer # how many; 1 unless given
---@field changed? (fun(dev: perilune.dev, n: integer, level: boolean|integer)) # an input was driven; level is 0 or 1
local it = {}
end

do

---a PCI function
---@class perilune.device.define.pci
---@field vendor? integer # vendor id
---@field device? integer # device id
---@field class? integer # class and subclass, 16 bits
---@field revision? integer # revision id
---@field prog_if? integer # programming interface
---@field subsystem_vendor? integer # subsystem vendor id
---@field subsystem? integer # subsystem id
---@field pin? integer # interrupt pin: 1 is INTA#, 0 none
---@field bars? table<integer, perilune.device.define.window> # base address registers, from 0
---@field config_written? (fun(dev: perilune.dev, offset: integer, value: integer, size: integer)) # after a write to configuration space
local it = {}
end

do

---a property of a device type: { type, default, ... }
---@class perilune.device.define.prop
---@field help? string # a line about it
---@field min? integer # the least that it may be
---@field max? integer # the most
---@field values? string[] # of an enum
---@field live? boolean # may be set at any time
---@field required? boolean # must be given
---@field hex? boolean # is shown in hexadecimal
---@field type? string # of a device: the type that is wanted
---@field changed? (fun(dev: perilune.dev)) # after it was set while the machine is there; an error takes it back
local it = {}
end

do

---a register of 32 bits; masks of bits, or true for all
---@class perilune.device.define.register
---@field name? string # its name
---@field offset? integer # in the window; a multiple of 4
---@field count? integer # elements of an array
---@field reset? integer # its value after a reset
---@field rw? integer|boolean # bits that are written and read
---@field ro? integer|boolean # bits that only the device changes
---@field w1c? integer|boolean # bits that writing 1 clears
---@field rc? integer|boolean # bits that reading clears
---@field w1s? integer|boolean # bits that writing 1 sets
---@field wo? integer|boolean # bits that read as 0
---@field read? (fun(dev: perilune.dev, index: integer): integer) # what a read gives
---@field write? (fun(dev: perilune.dev, value: integer, index: integer)) # after a write, with what was written
---@field pure? boolean # read changes nothing
---@field help? string # a line about it
local it = {}
end

do

---a window of memory or ports
---@class perilune.device.define.window
---@field name? string # its name; that of the type unless given
---@field size? integer|string # bytes
---@field addr? integer # where it is unless a property says otherwise
---@field port? integer # the same of ports
---@field sizes? { [1]: integer, [2]: integer } # least and greatest access that is taken, bytes
---@field endian? "little"|"big" # the order of bytes; little unless given
---@field registers? perilune.device.define.register[] # its registers, in the place of functions
---@field read? (fun(dev: perilune.dev, offset: integer, size: integer): integer) # a read; without it all ones
---@field write? (fun(dev: perilune.dev, offset: integer, value: integer, size: integer)) # a write; without it nothing happens
---@field kind? "mem32"|"mem64"|"io" # of a BAR
local it = {}
end

do

---what device.define() returns
---@class perilune.device_definition
---@field name string # the type's name
---@field where string # file and line
local it = {}
end

do

---what the filters of all events know
---@class perilune.event
---@field on_error? "pause"|"disable"|"abort" # what happens when the function raises; "pause" unless given
---@field name? string # what messages call the hook
local it = {}
end

do

---effects, with their keys
---@class perilune.fault.effects
---@field flip { at?: integer, bit?: integer, bits?: integer[], count?: integer, mask?: integer|string } # invert bits; without bit, bits or mask: `count` random ones (1)
---@field ["stuck-at-0"] { at?: integer, bit?: integer, bits?: integer[], mask?: integer|string } # bits stay 0; without bit, bits or mask: all
---@field ["stuck-at-1"] { at?: integer, bit?: integer, bits?: integer[], mask?: integer|string } # bits stay 1; without bit, bits or mask: all
---@field set { at?: integer, value?: integer|string } # another value: `value`, or bytes from byte `at` on
---@field xor { at?: integer, value?: integer|string } # exclusive or with `value`
---@field random { at?: integer, bit?: integer, bits?: integer[], mask?: integer|string } # random bits; without bit, bits or mask: all
---@field corrupt { count?: integer } # `count` random bytes (1) become others
---@field truncate { length?: integer } # only the first `length` bytes; without length: random
---@field drop { [any]: any } # it does not happen; a read gives all ones
---@field error { [any]: any } # as if nobody answered: reads give all ones, writes are lost
---@field duplicate { count?: integer, time?: integer|string } # it happens `count` (1) times more, each `time` (0) later
---@field delay { time?: integer|string } # it happens `time` later
---@field reorder { within?: integer|string } # it happens after the next one, at the latest `within` (10ms)
---@field spurious { time?: integer|string, value?: integer|string } # one that nobody asked for
---@field disconnect { [any]: any } # unplugged: a PCI function is off its bus, a link is down
---@field skew { ppm?: integer } # the cpu's TSC gains `ppm` parts per million (negative: loses)
---@field exception { addr?: integer, code?: integer, vector?: integer } # exception `vector`, with error code `code`, address `addr`
---@field nmi { [any]: any } # a non-maskable interrupt
---@field mce { addr?: integer, bank?: integer, mcg_status?: integer, misc?: integer, status?: integer } # a machine check: bank, status, addr, misc, mcg_status
---@field stall { time?: integer|string } # it executes nothing for `time`
local it = {}
end

do

---what fault.inject takes, beside the keys of target and effect
---@class perilune.fault.inject
---@field duration? any # "once", "released" or { times =, time = }
---@field effect? string # what it does: fault.effects
---@field name? string # what it is called
---@field pending? boolean # its symbols may be unknown yet: a module's
---@field seed? integer # of its random numbers
---@field target? string # what it happens to: fault.targets
---@field trigger? any # when: fault.triggers, or its name; now unless given
local it = {}
end

do

---targets, with their keys
---@class perilune.fault.targets
---@field ram { cpu?: integer, gpa?: integer, gva?: integer, range?: integer|string, size?: integer|string, symbol?: string } # memory: `size` (1) bytes at gpa, gva or symbol, or in a `range` there
---@field reg { cpu?: integer, reg?: string, step?: integer } # register `reg` of `cpu` (0)
---@field mmio { device?: any|string, dir?: "read"|"write", gpa?: integer, offset?: integer, reg?: string, region?: string, size?: integer, window?: integer } # what device registers in memory answer and are written
---@field pio { device?: any|string, dir?: "read"|"write", offset?: integer, port?: integer, region?: string, size?: integer, window?: integer } # what ports answer and are written
---@field dma { device?: any|string, dir?: "read"|"write" } # what PCI function `device` reads from memory and writes to it
---@field msr { cpu?: integer, dir?: "read"|"write", index?: integer } # what RDMSR gives and WRMSR writes
---@field irq { device?: any|string, gpio?: string, line?: any, n?: integer } # a line: `line`, or input `gpio`, `n` (0) of `device`
---@field packet { from?: string, link?: any|string } # frames on `link`, in one direction with `from`
---@field pci { device?: any|string, dir?: "read"|"write" } # PCI function `device`: its configuration space, or all of it
---@field devreg { device?: any|string, reg?: string } # what register `reg` of `device` holds
---@field cpu { cpu?: integer } # cpu number `cpu` (0)
---@field disk { [any]: any } # disk requests: not there yet
local it = {}
end

do

---sources of triggers, with their keys; { exec = "do_exit", nth = 3 }
---@class perilune.fault.triggers
---@field now { now?: any } # at once
---@field insn { insn?: integer } # when so many instructions have retired in all
---@field after { after?: any } # so many instructions from now, or a time from now
---@field time { time?: integer|string } # at a time of the virtual clock
---@field period { period?: any } # again and again: instructions, or a time
---@field poisson { poisson?: number } # at random: so often in a virtual second on average
---@field exec { exec?: integer|string|{ [1]: integer, [2]: integer }, cpu?: integer, cr3?: integer } # an instruction at an address or symbol is about to be executed
---@field access { access?: integer|string|{ [1]: integer, [2]: integer } } # memory or a port is accessed: { gpa, gva or port, size, dir }
---@field hook { hook?: table } # any event of vm:on: { "exception", vector = 14 }
---@field event { event?: any } # what goes by at the target: an access, a packet, a change of level
---@field any { any?: table } # whenever one of them fires
---@field all { all?: table } # when each has fired, and whenever one fires after that
---@field sequence { sequence?: table } # each begins when the one before has fired; the last counts
---@field [string] any # filters of all: when = function, nth = n, every = n, probability = p
local it = {}
end

do

---what machine.define takes
---@class perilune.machine.define
---@field name? string # the machine's name
---@field desc? string # a line about it
---@field extends? string|perilune.machine_definition # whose properties and steps it inherits
---@field props? table<string, table> # properties: { type, default, help =, min =, max =, values = }
---@field build? (fun(machine: perilune.machine, properties: table<string, any>, super: function)) # put the parts together
---@field post? (fun(machine: perilune.machine, properties: table<string, any>, super: function): table) # at every reset what firmware would do; may return { rsdp =, e820 = }
---@field nic? (fun(machine: perilune.machine, properties: table<string, any>, nic: table, n: integer, super: function)) # a place for a network card
local it = {}
end

do

---properties that every machine has
---@class perilune.machine.properties
---@field accel? "auto"|"soft"|"kvm" # what executes guest code; auto tries KVM out and says what it chose; soft unless given
---@field append? string # kernel command line
---@field ["boot.decompress"] "auto"|"host"|"guest" # who unpacks a compressed kernel; auto unless given
---@field chardev? string|any[] # character backends: KIND,id=ID, for serial ports and devices
---@field cpu? string # cpu model and features: base, host or max, then ,+NAME ,-NAME; base unless given
---@field ["cpu.ns_per_instruction"] integer # virtual time that an instruction of the software cpu takes; 1 unless given
---@field cpus? integer # number of cpus, or none; 1 unless given
---@field device? string|any[] # further devices
---@field dump? string|any[] # packet dumps: netdev=ID,file=PATH
---@field epoch? string # time of day at the start: now, a date, or seconds since 1970; default now, with idle=warp 2026-01-01
---@field escapes? boolean|string # Ctrl-a x, Ctrl-a c and Ctrl-a h on a serial port at stdio; false unless given
---@field idle? "sleep"|"warp" # an idle machine waits in real time, or skips to its next timer; sleep unless given
---@field initrd? string # initial RAM disk
---@field kernel? string # kernel or program: bzImage, vmlinux, multiboot or plain ELF
---@field memory? integer|string # guest RAM; 512M unless given
---@field netdev? string|any[] # network backends, for devices that name them
---@field nic? string|any[] # network cards: none, user or wire with mac=, hostfwd=, model=, dump=; none unless given
---@field reboot? boolean|string # a reset starts again; off: it ends the run; true unless given
---@field seed? integer # where randomness given to the guest starts; 1 unless given
---@field serial? string|any[] # serial ports: chardev:ID, stdio, pty, null, none, ring, file:PATH, unix:PATH, tcp:HOST:PORT; null unless given
---@field shutdown? boolean|string # powering off ends the run; off: it pauses; true unless given
---@field ["stats.ram_hash"] boolean|string # put SHA-256 of all RAM into the statistics; false unless given
---@field trace? string|any[] # events as lines: PATTERN,...[,file=PATH][,format=json]
---@field [string] any # further ones of the machine's own
local it = {}
end

do

---what machine.define() returns
---@class perilune.machine_definition
---@field name string # its name
---@field desc string # a line about it
---@field where string # file and line
---@field parent perilune.machine_definition|nil # what it extends; nil: nothing
---@field props table<string, table> # rows of its properties, inherited ones too
local it = {}
end

do

---a command of the monitor
---@class perilune.monitor.command
---@field name? string # what is typed
---@field alias? string[] # other names
---@field args? table[] # arguments: { name, kind, optional =, help = }; docs/monitor.md
---@field help? string # a line about it
---@field run? (fun(args: table): any) # do it, with arguments by name; returns data
---@field show? (fun(value: any, args: table): string) # data as text; values are printed without it
---@field complete? (fun(): string[]) # candidates for the last word
---@field group? string # where help lists it
local it = {}
end

do

---CPUID is executed; integers replace eax, ebx, ecx, edx
---@class perilune.event.cpuid: perilune.event
---@field leaf? integer|{ [1]: integer, [2]: integer } # which one; all unless given
---@field cpu? integer # number of the cpu, from 0; all unless given
---@field skip? integer # let so many matching events pass first
---@field cr3? integer # only in the address space with this root of page tables
---@field when? { reg?: string, eq?: integer, ne?: integer, lt?: integer, gt?: integer, mask?: integer } # a register, compared (unsigned)
local it = {}
end

do

---a transfer of a device; a string of that length replaces the bytes, "" swallows a write
---@class perilune.event.dma: perilune.event
---@field device? perilune.device # a PCI function
---@field dir? "read"|"write" # which way; both unless given
local it = {}
end

do

---an exception is about to be delivered; false: it is not
---@class perilune.event.exception: perilune.event
---@field vector? integer|{ [1]: integer, [2]: integer } # which one; all unless given
---@field cpu? integer # number of the cpu, from 0; all unless given
---@field skip? integer # let so many matching events pass first
---@field cr3? integer # only in the address space with this root of page tables
---@field when? { reg?: string, eq?: integer, ne?: integer, lt?: integer, gt?: integer, mask?: integer } # a register, compared (unsigned)
local it = {}
end

do

---an instruction is about to execute
---@class perilune.event.exec: perilune.event
---@field at? integer|string|{ [1]: integer, [2]: integer } # linear address
---@field pending? boolean # wait for a symbol that is not known yet: a module's
---@field cpu? integer # number of the cpu, from 0; all unless given
---@field skip? integer # let so many matching events pass first
---@field cr3? integer # only in the address space with this root of page tables
---@field when? { reg?: string, eq?: integer, ne?: integer, lt?: integer, gt?: integer, mask?: integer } # a register, compared (unsigned)
local it = {}
end

do

---so many instructions have retired
---@class perilune.event.insn: perilune.event
---@field at? integer # instructions retired in all
---@field after? integer # instructions from now on
---@field every? integer # again and again after so many
local it = {}
end

do

---a line changes; false: it does not
---@class perilune.event.irq: perilune.event
---@field line? perilune.irq # the line
---@field nested? boolean # be told of what other hooks do
local it = {}
end

do

---an access to a model-specific register; dir is "read" or "write"
---@class perilune.event.msr: perilune.event
---@field index? integer|{ [1]: integer, [2]: integer } # which one; all unless given
---@field cpu? integer # number of the cpu, from 0; all unless given
---@field skip? integer # let so many matching events pass first
---@field cr3? integer # only in the address space with this root of page tables
---@field when? { reg?: string, eq?: integer, ne?: integer, lt?: integer, gt?: integer, mask?: integer } # a register, compared (unsigned)
local it = {}
end

do

---a frame; a string replaces it, a number delays it (ns), false drops it
---@class perilune.event.packet: perilune.event
---@field link? perilune.link # where
---@field from? string # id of the port that sends; both unless given
local it = {}
end

do

---an access to a port; dir is "in" or "out"
---@class perilune.event.pio: perilune.event
---@field port? integer|{ [1]: integer, [2]: integer } # number of a port
---@field dir? "in"|"out"|"both" # which way; both unless given
---@field phase? "before"|"after" # of a read: before or after the access
---@field nested? boolean # be told of what other hooks do
local it = {}
end

do

---a read of physical memory or of a device's register
---@class perilune.event.read: perilune.event
---@field at? integer|{ [1]: integer, [2]: integer } # physical address
---@field size? integer|string # bytes from `at` on
---@field phase? "before"|"after" # of a read: before or after the access
---@field device? perilune.device # in the place of `at`: the device of `reg`
---@field reg? string # name of a register
---@field nested? boolean # be told of what other hooks do
local it = {}
end

do

---a cpu's read of a linear address: vm:on("read", { gva = })
---@class perilune.event.read.gva: perilune.event
---@field gva? integer|string|{ [1]: integer, [2]: integer } # linear address
---@field size? integer # bytes from `gva` on
---@field pending? boolean # wait for a symbol that is not known yet: a module's
---@field cpu? integer # number of the cpu, from 0; all unless given
---@field skip? integer # let so many matching events pass first
---@field cr3? integer # only in the address space with this root of page tables
---@field when? { reg?: string, eq?: integer, ne?: integer, lt?: integer, gt?: integer, mask?: integer } # a register, compared (unsigned)
local it = {}
end

do

---the guest has written a text, or a line
---@class perilune.event.serial: perilune.event
---@field chardev? string # id of who writes; "serial0" unless given
---@field text? string # what is waited for; each line unless given
---@field since? integer # with text: the byte of history to begin at
---@field quiet? integer|string # tell of unfinished lines after such a pause
local it = {}
end

do

---the machine pauses, goes on, ends, was reset or switches itself off
---@class perilune.event.state: perilune.event
---@field state? "pause"|"resume"|"exit"|"reset"|"shutdown" # which one; all unless given
local it = {}
end

do

---symbols have changed: the kernel has been found, a module has come or gone, a file was loaded, the machine was reset
---@class perilune.event.symbols: perilune.event
local it = {}
end

do

---a write to physical memory or to a device's register
---@class perilune.event.write: perilune.event
---@field at? integer|{ [1]: integer, [2]: integer } # physical address
---@field size? integer|string # bytes from `at` on
---@field phase? "before"|"after" # of a read: before or after the access
---@field device? perilune.device # in the place of `at`: the device of `reg`
---@field reg? string # name of a register
---@field nested? boolean # be told of what other hooks do
local it = {}
end

do

---a cpu's write to a linear address: vm:on("write", { gva = })
---@class perilune.event.write.gva: perilune.event
---@field gva? integer|string|{ [1]: integer, [2]: integer } # linear address
---@field size? integer # bytes from `gva` on
---@field pending? boolean # wait for a symbol that is not known yet: a module's
---@field cpu? integer # number of the cpu, from 0; all unless given
---@field skip? integer # let so many matching events pass first
---@field cr3? integer # only in the address space with this root of page tables
---@field when? { reg?: string, eq?: integer, ne?: integer, lt?: integer, gt?: integer, mask?: integer } # a register, compared (unsigned)
local it = {}
end
