---@meta
-- Made by scripts/make-reference from the tables of the program: change those, not this.

do

---a bus
---@class perilune.bus
---@field name string # its name
---@field type string # System, PCI, ISA, ...
---@field parent perilune.device|nil # the device that provides it; nil: the machine
---@field devices perilune.device[] # what sits on it, in order of being put there
local it = {}

---a new device on this bus
---@param type string|perilune.device_definition
---@param properties? table<string, any>
---@return perilune.device
function it:device(type, properties) end
end

do

---a character backend, such as what a serial port is connected to
---@class perilune.chardev
---@field id string # its id
---@field kind string # null, ring, file, stdio, pty, socket or mux
---@field filename string # what it is connected to, as info chardevs shows it
---@field peer string|nil # of a socket: the other end's address, if it has one
---@field port integer|nil # of a TCP socket: its port
---@field connected boolean # may somebody be at the other end
---@field attached boolean # has it a front end
---@field mux boolean # is it shared by several front ends
---@field bytes_out integer # bytes written by the guest
---@field bytes_in integer # bytes given to the guest
local it = {}

---to the guest, as if it had been typed
---@param text string
function it:write(text) end

---what a ring holds, and how many bytes were ever written
---@return string
---@return integer
function it:read() end

---call f(text) for all that the guest writes; nil ends that
---@param f function
function it:on_output(f) end

---be its front end: f(text) for input, g(event) for opened, closed, focused, unfocused
---@param f function
---@param g? function
function it:attach(f, g) end

---to the other end, as its front end
---@param text string
function it:send(text) end

---at a mux: what is typed goes here
function it:focus() end

---serve the loop until somebody is at the other end
function it:wait() end

---take it out of the machine; nothing may be attached
function it:remove() end
end

do

---a clock
---@class perilune.clock
---@field now integer # the time, ns
---@field deadline integer|nil # when the next timer fires, ns; nil: none is set
local it = {}
end

do

---machines on one virtual clock: perilune.cluster()
---@class perilune.cluster
---@field name string # what it is called
---@field state string # how it stands
---@field now integer # virtual time that all have reached, ns
---@field quanta integer # how many there were
---@field latency_ns integer # the least latency of a link, ns
---@field pause_reason string|nil # why it was paused; nil: it was not
---@field paused_by perilune.vm|nil # the machine that paused it; nil: none
---@field members perilune.vm[] # machines, in the order of adding
---@field exit { vm?: perilune.vm, reason?: string, status?: integer }[] # those that have ended
---@field exit_status integer|nil # the first that is not 0, in order of the machines; nil while one has not ended
local it = {}

---join two wires; a machine stands for its only one
---@param a perilune.vm|perilune.port
---@param b perilune.vm|perilune.port
---@param options? { name?: string, latency?: integer|string }
---@return perilune.cluster_link
function it:link(a, b, options) end

---hub { a, b, ..., name =, latency = }: what one sends, all others get
---@param spec table
---@return perilune.cluster_link
function it:hub(spec) end

---in order of making
---@return perilune.cluster_link[]
function it:links() end

---until all have ended or one pauses; also until a virtual time, or until f() is true
---@param until_? integer|string|function
---@return perilune.cluster
function it:run(until_) end

---run without waiting
function it:resume() end

---stop all at the end of the quantum
---@param reason? string
function it:pause(reason) end

---end all machines
---@param reason? string
---@param status? integer
function it:stop(reason, status) end

---reset all machines
function it:reset() end

---add a machine that stands still
---@param vm perilune.vm
function it:add(vm) end

---dissolve it; the machines stay, each on a clock of its own
function it:close() end

---what has happened, as data
---@return table
function it:stats() end
end

do

---machines on one virtual clock, below perilune.cluster()
---@class perilune.cluster_core
local it = {}

---make a machine that stands still a member
---@param vm perilune.vm
function it:add(vm) end

---run to a time, or until f() is true
---@param time? integer|string
---@param f? function
function it:run(time, f) end

---run without waiting
function it:resume() end

---stop all at the end of the quantum
---@param reason? string
function it:pause(reason) end

---end all machines
---@param reason? string
---@param status? integer
function it:stop(reason, status) end

---state, now, pause_reason, paused_by, quanta
---@return table
function it:status() end

---in the order of adding
---@return perilune.vm[]
function it:members() end

---join wires
---@param name string
---@param latency integer|string
---@param ports perilune.port[]
---@return string
function it:link(name, latency, ports) end

---take a link away
---@param name string
function it:unlink(name) end

---pull a link out or plug it in
---@param name string
---@param up boolean
function it:set_up(name, up) end

---counters, latency, ports
---@param name string
---@return table
function it:link_info(name) end

---in order of making
---@return string[]
function it:links() end

---dissolve it; the machines stay
function it:close() end
end

do

---what joins wires of machines
---@class perilune.cluster_link
---@field name string # its name
---@field up boolean # is it plugged in; frames are lost while it is not
---@field latency_ns integer # how long a frame takes, ns
---@field ports perilune.port[] # the wires that it joins
local it = {}

---take it away; frames under way are lost
function it:remove() end

---sent by all machines
---@return { frames?: integer, bytes?: integer, dropped?: integer }
function it:stats() end
end

do

---a cpu; its registers are properties while it stands still
---@class perilune.cpu
---@field index integer # its number, from 0
---@field apic_id integer # number of its local APIC
---@field instructions integer # instructions retired
---@field stalled boolean # does a stall go on
---@field [string] any # registers: rax ... r15, rip, rflags, cr0 ..., cs, cs_base ...
local it = {}

---virtual memory; nil and the address where nothing is mapped
---@param address integer
---@param n integer
---@return string|nil
---@return integer
function it:read(address, n) end

---virtual memory up to a zero byte, 4096 bytes at most unless more are asked for
---@param address integer
---@param most? integer
---@return string|nil
---@return integer
function it:string(address, most) end

---the physical address, nil where nothing is mapped
---@param address integer
---@return integer|nil
function it:translate(address) end

---all of its state, by the names of linux/kvm.h
---@return table
function it:state() end

---the fields that the table has; what the cpu has no place for
---@param state table
---@return string[]
function it:set_state(state) end

---model-specific registers that belong to its state, by number
---@return table<integer, integer>
function it:msrs() end

---instructions; without an address where the cpu stands
---@param address? integer
---@param count? integer
---@return { addr?: integer, bytes?: string, text?: string }[]
function it:disas(address, count) end

---calls, innermost first
---@param most? integer
---@return { rip?: integer, name?: string, method?: string }[]
---@return string
function it:backtrace(most) end

---deliver an exception before the next instruction
---@param vector integer
---@param error_code? integer
function it:inject(vector, error_code) end

---a pulse on its NMI pin
function it:nmi() end

---log a machine check in a bank; #MC if it is uncorrected and enabled
---@param options { bank?: integer, status?: integer, addr?: integer, misc?: integer, mcg_status?: integer }
function it:mce(options) end

---execute nothing for so much virtual time; timers and devices go on
---@param ns integer
function it:stall(ns) end

---let the TSC gain on all other clocks from now on
---@param ppm integer
function it:skew(ppm) end
end

do

---what the functions of a device type written in Lua get
---@class perilune.dev
---@field regs table<string, integer> # what its registers hold
---@field props table<string, any> # its properties
---@field name string # its path or id, for messages
---@field now integer # virtual time, ns
---@field vm perilune.vm # the machine
---@field device perilune.device # the device as the rest of the machine sees it
---@field [string] any # state fields of the definition, and what its functions put there
local it = {}

---drive an interrupt line, or the PCI pin
---@param n? integer
---@param level boolean|integer
---@overload fun(self: perilune.dev, level: boolean|integer)
function it:irq(n, level) end

---drive an output line
---@param name string
---@param n integer
---@param level boolean|integer
function it:gpio(name, n, level) end

---what an input is driven to
---@param name string
---@param n? integer
---@return boolean
function it:level(name, n) end

---read memory, and whether all of it was there
---@param addr integer
---@param n integer
---@return string
---@return boolean
function it:dma_read(addr, n) end

---write memory, and whether all of it arrived
---@param addr integer
---@param bytes string
---@return boolean
function it:dma_write(addr, bytes) end

---a timer of the definition
---@param name string
---@return perilune.timer
function it:timer(name) end

---to the character backend; nowhere without one
---@param bytes string|integer
function it:send(bytes) end

---there is room again for what waits at the backend
function it:accept() end

---begin a transfer on the bus that it provides; whether a device acknowledges
---@param address integer
---@param read boolean
---@return boolean
function it:i2c_start(address, read) end

---whether the device acknowledges the byte
---@param byte integer
---@return boolean
function it:i2c_send(byte) end

---the next byte from the device; last: it will not be acknowledged
---@param last? boolean
---@return integer
function it:i2c_receive(last) end

---end the transfer
function it:i2c_stop() end

---reset, poweroff, pause or exit, at the next safe point
---@param what string
---@param status? integer
function it:request(what, status) end

---what the guest did wrong
---@param text string
function it:log(text) end

---take the device out of the machine
function it:remove() end

---an element of an array of registers
---@param name string
---@param index integer
---@param value? integer
---@return integer
function it:reg(name, index, value) end
end

do

---a device; its type's properties are properties here
---@class perilune.device
---@field type string # its type
---@field id string|nil # the id that it was given; nil: none
---@field path string|nil # its path; nil before it is realized
---@field parent_bus perilune.bus|nil # where it sits; nil: on none
---@field buses perilune.bus[] # buses that it provides, in order of creation
---@field bus table<string, perilune.bus> # the same by name
---@field connected boolean # false after disconnect()
---@field [string] any # properties of the device's type
local it = {}

---a property by name
---@param name string
---@return any
function it:get(name) end

---set a property; construct-only ones refuse once it is realized
---@param name string
---@param value any
function it:set(name, value) end

---properties as listings show them
---@return { name?: string, text?: string, [any]: any }[]
function it:properties() end

---an input line
---@param name? string
---@param n integer
---@return perilune.irq
---@overload fun(self: perilune.device, n: integer): perilune.irq
function it:gpio_in(name, n) end

---let an output drive a line; nil disconnects. Without arguments: undo disconnect()
---@param name? string
---@param n? integer
---@param irq? perilune.irq
function it:connect(name, n, irq) end

---take a PCI function off its bus, as by surprise; connect() puts it back
function it:disconnect() end

---its input and output lines
---@return { direction?: string, name?: string, count?: integer }[]
function it:lines() end

---place a memory window of a system-bus device
---@param n integer
---@param addr integer
---@param priority? integer
function it:map(n, addr, priority) end

---reset it and what sits on its buses
function it:reset() end

---a new device on the one bus that it provides
---@param type string|perilune.device_definition
---@param properties? table<string, any>
---@return perilune.device
function it:device(type, properties) end

---unplug it; false: it goes when the hook that asks is over
---@return boolean
function it:remove() end

---is it of that type, or inherits from it
---@param type string
---@return boolean
function it:is_a(type) end

---of interrupt controllers and the interval timer, by the names of linux/kvm.h
---@return table
function it:chip_state() end

---the fields that it has
---@param state table
function it:set_chip_state(state) end

---what a snapshot of it would hold
---@return table<string, any>
function it:state() end

---registers known by name; `width` in bits
---@return { name?: string, offset?: integer, width?: integer, count?: integer, window?: string }[]
function it:registers() end

---what a register reads as, without side effects; NAME[3] in an array
---@param name string
---@return integer
function it:reg(name) end

---change what a register holds, and nothing else
---@param name string
---@param value integer
function it:set_reg(name, value) end

---what its bus knows of it
---@return { pci?: table, mmio?: table, isa_irqs?: table }
function it:info() end
end

do

---a dump of packets into a file
---@class perilune.dump
---@field id string # its id
---@field path string # the file
local it = {}

---end it and close the file
function it:remove() end
end

do

---a fault: fault.inject()
---@class perilune.fault
---@field state "waiting"|"active"|"over"|"released" # how it stands
---@field pending perilune.hook|nil # its trigger has fired, and it waits for its symbol
---@field hits integer # how often it has happened
---@field index integer # its number
---@field name string|nil # the name that it was given; nil: none
---@field vm perilune.vm # its machine
local it = {}

---end it, whatever its duration; what it delays comes to pass
function it:release() end

---what has happened
---@return { insn?: integer, ns?: integer, event?: string, [any]: any }[]
function it:history() end
end

do

---a stream of random numbers, the same for the same seed: fault.random()
---@class perilune.fault_random
local it = {}

---64 random bits
---@return integer
function it:next() end

---0 to n - 1; n is from 1 to 2^53
---@param n integer
---@return integer
function it:below(n) end

---at least 0 and less than 1
---@return number
function it:unit() end

---time to the next event of a Poisson process, in units of its mean
---@return number
function it:exponential() end
end

do

---a filter on a network: perilune.filter.add()
---@class perilune.filter
---@field id string # its id
---@field kind string # such as filter-buffer
---@field vm perilune.vm # its machine
local it = {}

---end it
function it:remove() end
end

do

---a function that is called at events
---@class perilune.hook
---@field event string # what it listens to
---@field hits integer # how often it was called
---@field errors integer # how often it raised
---@field cost_ns integer # time spent in it, ns
---@field installed boolean # false once it was removed
---@field pending boolean # its symbol is nowhere yet: the kernel or the module is not there
---@field symbol string|nil # the symbol that it follows
---@field means string|nil # what serves it on KVM: "hardware", "software", "tap", "filter", "pending" while its address is not mapped; nil where there is but one way
---@field where string # where its function was written, file:line
---@field stopped boolean # it has paused the machine, which is paused since
local it = {}

---end it; safe inside of it
function it:remove() end
end

do

---sends what comes in at one port out at all others
---@class perilune.hub
local it = {}

---one more port
---@return perilune.port
function it:port() end
end

do

---an interrupt line, seen from its sink
---@class perilune.irq
---@field level boolean # is it high
---@field driven boolean # what its source drives, whatever hooks have swallowed
---@field number integer # which of its sink's inputs it is
---@field rises integer # how often it has gone high
---@field falls integer # how often it has gone low
local it = {}

---drive it
---@param level boolean|integer
function it:set(level) end

---drive it high and low again
function it:pulse() end

---be at this level, whatever drives it and past hooks
---@param boolean boolean
function it:force(boolean) end
end

do

---a wire between two network ports
---@class perilune.link
---@field name string # its name
---@field up boolean # is the wire plugged in; frames are dropped while it is not
---@field ports { [1]: perilune.port, [2]: perilune.port } # both ends
local it = {}

---counters of both directions
---@return { from?: string, frames?: integer, bytes?: integer, dropped?: integer }[]
function it:stats() end

---send a frame as if port `from` had; `delay` in ns
---@param from perilune.port|string
---@param bytes string
---@param delay? integer
function it:send(from, bytes, delay) end
end

do

---the parts of a machine: what a definition's build function gets
---@class perilune.machine
---@field name string # what the machine is called
---@field memory perilune.space # the physical address space
---@field io perilune.space # the ports
---@field main_bus perilune.bus # the system bus
---@field vm perilune.vm # what runs it
local it = {}

---a region of RAM, not mapped yet
---@param name string
---@param size integer|string
---@return perilune.region
function it:ram(name, size) end

---a region of ROM, not mapped yet
---@param name string
---@param size integer|string
---@return perilune.region
function it:rom(name, size) end

---a region that holds others
---@param name string
---@param size? integer|string
---@return perilune.region
function it:container(name, size) end

---a new device, on the bus that properties.bus names or the first that fits
---@param type string|perilune.device_definition
---@param properties? table<string, any>
---@return perilune.device
function it:device(type, properties) end

---make a device type written in Lua known
---@param definition perilune.device_definition
function it:define(definition) end

---the next cpu
---@param model? string
---@return integer
function it:cpu(model) end

---a line that ends in the script
---@return perilune.irq
function it:line() end

---a network backend
---@param options { type?: string, id?: string, hostfwd?: string|string[], restrict?: boolean }
---@return perilune.port
function it:netdev(options) end

---a network hub
---@param name string
---@return perilune.hub
function it:hub(name) end

---join two ports
---@param a perilune.port
---@param b perilune.port
---@param name? string
---@return perilune.link
function it:link(a, b, name) end

---write every frame into a pcap file
---@param from perilune.link|perilune.port|string
---@param path string
---@param id? string
---@return perilune.dump
function it:dump(from, path, id) end

---network ports, in order of creation
---@return perilune.port[]
function it:ports() end

---dumps of packets, in order of creation
---@return perilune.dump[]
function it:dumps() end

---f's changes of memory take effect at once, at its end
---@param f function
---@param options? { diff?: boolean }
---@return { space?: string, change?: string, [any]: any }[]|nil
function it:batch(f, options) end

---a character backend
---@param options { type?: string, id?: string, path?: string, input?: string, append?: boolean, size?: integer|string, signal?: boolean, host?: string, port?: integer, server?: boolean, insecure?: boolean, delay?: boolean, mux?: boolean, reconnect?: integer, chardev?: string }
---@return perilune.chardev
function it:chardev(options) end

---devices of a type, or of one that inherits from it
---@param options { type?: string }
---@return perilune.device[]
function it:find(options) end

---put a kernel in place
---@param options { kernel?: string, initrd?: string, append?: string, rsdp?: integer, e820?: table, decompress?: string, seed?: string }
function it:load_boot(options) end

---put a file into memory as it is
---@param path string
---@param addr integer
function it:load_raw(path, addr) end
end

do

---an end of a network: card, backend or port of a hub
---@class perilune.port
---@field id string # its id
---@field kind string # nic, user, hub-port or wire
---@field link perilune.link|nil # where it is plugged in; nil: nowhere
---@field joined string|nil # of a wire: the cluster's link at its far end
local it = {}

---forward a port of the host: "tcp:127.0.0.1:2222-:22"
---@param rule string
function it:hostfwd_add(rule) end

---remove a backend that no device uses
function it:remove() end

---end a forwarding
---@param rule string
function it:hostfwd_remove(rule) end
end

do

---a memory region
---@class perilune.region
---@field name string # its name
---@field kind string # ram, rom, romd or i/o
---@field addr integer # its offset in the region that it is in
---@field last integer # its last offset: one less than the size
---@field priority integer # the higher one wins where siblings overlap
---@field enabled boolean # disabled is as if it were not there
---@field readonly boolean # the guest cannot write
---@field parent perilune.region|nil # the region that it is in; nil: none
---@field target perilune.region|nil # what an alias shows; nil: it is no alias
---@field target_offset integer # where in the target an alias begins
local it = {}

---a window of it, not mapped yet
---@param name string
---@param offset integer
---@param size integer|string
---@return perilune.region
function it:alias(name, offset, size) end

---put a region into this one
---@param addr integer
---@param region perilune.region
---@param priority? integer
---@return perilune.region
function it:map(addr, region, priority) end

---take it out of the region that it is in
function it:unmap() end

---a disabled region is as if it were not there
---@param boolean boolean
function it:set_enabled(boolean) end

---RAM that the guest cannot write
---@param boolean boolean
function it:set_readonly(boolean) end

---have it noted which pages of the memory are written, by cpus and all others
---@param boolean boolean
function it:dirty_log(boolean) end

---the pages written since dirty_log(true) or the last dirty(), as offsets, ascending
---@return { start?: integer, last?: integer }[]
function it:dirty() end

---what was put into it
---@return perilune.region[]
function it:children() end
end

do

---what a cpu or a device that does DMA sees
---@class perilune.space
---@field name string # its name
---@field root perilune.region # the region at its root
local it = {}

---put a region somewhere
---@param addr integer
---@param region perilune.region
---@param priority? integer
---@return perilune.region
function it:map(addr, region, priority) end

---an access of 1, 2, 4 or 8 bytes; a second result says what went wrong
---@param addr integer
---@param size integer
---@return integer
function it:read(addr, size) end

---an access of 1, 2, 4 or 8 bytes
---@param addr integer
---@param size integer
---@param value integer
---@return boolean
function it:write(addr, size, value) end

---as DMA reads
---@param addr integer
---@param n integer
---@return string
function it:read_bytes(addr, n) end

---as DMA writes
---@param addr integer
---@param bytes string
---@return boolean
function it:write_bytes(addr, bytes) end

---the same, but ROM takes it too
---@param addr integer
---@param bytes string
---@return boolean
function it:program_bytes(addr, bytes) end

---of all memory that it shows: see region
---@param boolean boolean
function it:dirty_log(boolean) end

---pages written, as addresses, where the log is on: see region
---@return { start?: integer, last?: integer }[]
function it:dirty() end

---what each address leads to
---@return { id?: userdata, root?: perilune.region, ranges?: table[] }
function it:flat() end
end

do

---the guest's symbols
---@class perilune.symbols
---@field count integer # how many are loaded; the kernel's are, once one is needed
---@field slide integer # how far the kernel was moved, bytes
local it = {}

---read symbols of an ELF file, a System.map or a kernel image
---@param path string
---@param bias? integer
---@return integer
function it:load(path, bias) end

---begin to read the kernel's, on a thread, for whoever asks first; a monitor does
function it:prepare() end

---find how far KASLR moved the kernel, in bytes; its symbols move along
---@return integer
function it:find_slide() end

---read those of the modules that the running Linux has loaded
---@return { name?: string, count?: integer }[]
function it:load_modules() end

---the address of a symbol, such as "name+0x10"
---@param text string
---@return integer
function it:address(text) end

---where a symbol is at this moment; nil: which of the two is not known yet, and why
---@param text string
---@return integer|nil
---@return "kernel"|"symbol"
---@return string
function it:lookup(text) end

---the symbol that holds an address: "name+0x12/0x80"
---@param address integer
---@return string
function it:name(address) end

---symbols that begin so, in order
---@param prefix string
---@param most? integer
---@return string[]
function it:names(prefix, most) end
end

do

---a coroutine that waits for what a machine does: vm:task()
---@class perilune.task
---@field vm perilune.vm # its machine
---@field name string # its name, or its number
---@field status "ready"|"waiting"|"running"|"done"|"failed"|"cancelled" # how it stands
---@field waiting string|nil # what it waits for; nil: it does not wait
---@field error string|nil # why it has failed; nil: it has not
local it = {}

---is it not over
---@return boolean
function it:is_alive() end

---end it where it waits; a task that cancels itself ends at once
function it:cancel() end
end

do

---the terminal that the monitor reads lines from
---@class perilune.terminal
local it = {}

---wait for a line, a key or the end of the machine
---@param prompt string
---@param vm? perilune.vm
---@return string
---@return string
function it:read(prompt, vm) end

---candidates, after the event "complete"
---@param options string[]
function it:answer(options) end

---pcall(f, ...), and Ctrl-C raises "interrupted" in it
---@param f function
---@param ...? any
---@return boolean
---@return any
---@return any ...
function it:call(f, ...) end

---a line unasked, above the one that is being edited
---@param text string
function it:tell(text) end

---does somebody type, or is it a pipe
---@return boolean
function it:interactive() end

---does the monitor read the terminal now, not the serial port
---@return boolean
function it:has_focus() end

---give the terminal back
function it:close() end
end

do

---a timer of a device written in Lua
---@class perilune.timer
local it = {}

---fire once, that long from now
---@param ns integer
function it:set(ns) end

---fire once, at that virtual time
---@param ns integer
function it:at(ns) end

---do not fire
function it:cancel() end

---when it fires; nil: it is not set
---@return integer|nil
function it:deadline() end
end

do

---lines of events: what vm:trace_output() returns
---@class perilune.trace_output
---@field file string|nil # where the lines go; nil: standard error
---@field format string # text or json
---@field lines integer # how many there were
local it = {}

---write what matches: "e1000.*,-e1000.reg_*"
---@param patterns string
function it:enable(patterns) end

---write what matches no more
---@param patterns string
function it:disable(patterns) end

---go on in another file; without one: standard error
---@param path? string
function it:move(path) end

---give what is kept to the host
function it:flush() end

---write nothing more
function it:close() end
end

do

---a machine that runs: what perilune.machine() returns
---@class perilune.vm
---@field name string # what the machine is called
---@field state string # created, paused, running or ended
---@field accel string # what executes guest code: soft or kvm
---@field irqchip string # who has the interrupt controllers: user (the machine's devices), split or kernel
---@field exit_reason string # why the run has ended
---@field exit_status integer # the exit status that follows from it
---@field pause_reason string # why it was paused
---@field instructions integer # instructions retired by all cpus
---@field machine perilune.machine # what devices, regions and networks are made with
---@field boot table|nil # how the kernel was loaded; nil: none was
---@field memory perilune.space # the physical address space
---@field io perilune.space # the ports
---@field main_bus perilune.bus # the system bus
---@field cpus perilune.cpu[] # cpus, counted from 1
---@field net table<string, perilune.port> # all network ports
---@field symbols perilune.symbols # symbols of the guest
---@field clock table<string, perilune.clock> # virtual, virtual_rt, host and realtime
local it = {}

---run the machine until it has ended or was paused
---@return perilune.vm
function it:run() end

---execute so many instructions (1), of that cpu alone, then pause; pause_reason is "step"
---@param count? integer
---@param cpu? perilune.cpu
---@return perilune.vm
function it:step(count, cpu) end

---serve the loop until the machine has ended, whoever ends it
function it:wait() end

---let a machine that stands still run, without waiting for it
function it:resume() end

---make it stand still between two instructions
---@param reason? string
function it:pause(reason) end

---end the run
---@param reason? string
---@param status? integer
function it:stop(reason, status) end

---reset devices and cpus, and put firmware or kernel in place again
function it:reset() end

---press the reset button: the same soon, without waiting; ends the run if reboot is off
function it:request_reset() end

---end the machine and free it; its handles are closed
function it:close() end

---call f at an event; docs/hooks.md has the events and their filters
---@param event string
---@param filter perilune.event
---@param f function
---@return perilune.hook
---@overload fun(self: perilune.vm, event: "cpuid", filter: perilune.event.cpuid, f: fun(cpu: perilune.cpu, leaf: integer, subleaf: integer, eax: integer, ebx: integer, ecx: integer, edx: integer): integer|nil, integer|nil, integer|nil, integer|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "dma", filter: perilune.event.dma, f: fun(device: perilune.device, address: integer, bytes: string, dir: string): string|false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "exception", filter: perilune.event.exception, f: fun(cpu: perilune.cpu, vector: integer, error_code: integer): false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "exec", filter: perilune.event.exec, f: fun(cpu: perilune.cpu): "stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "insn", filter: perilune.event.insn, f: fun(cpu: perilune.cpu): "stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "irq", filter: perilune.event.irq, f: fun(line: perilune.irq, level: boolean|integer): false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "msr", filter: perilune.event.msr, f: fun(cpu: perilune.cpu, index: integer, value: integer, dir: string): integer|false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "packet", filter: perilune.event.packet, f: fun(bytes: string, from: string): string|integer|false|"stop"|nil, integer|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "pio", filter: perilune.event.pio, f: fun(port: integer, value: integer, size: integer, dir: string): integer|false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "read", filter: perilune.event.read, f: fun(offset: integer, value: integer, size: integer): integer|false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "read", filter: perilune.event.read.gva, f: fun(offset: integer, value: integer, size: integer, cpu: perilune.cpu): integer|false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "serial", filter: perilune.event.serial, f: fun(text: string, complete: boolean): "stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "state", filter: perilune.event.state, f: fun(vm: perilune.vm, state: string, reason: string)): perilune.hook
---@overload fun(self: perilune.vm, event: "symbols", filter: perilune.event.symbols, f: fun(vm: perilune.vm)): perilune.hook
---@overload fun(self: perilune.vm, event: "write", filter: perilune.event.write, f: fun(offset: integer, value: integer, size: integer): integer|false|"stop"|nil): perilune.hook
---@overload fun(self: perilune.vm, event: "write", filter: perilune.event.write.gva, f: fun(offset: integer, value: integer, size: integer, cpu: perilune.cpu): integer|false|"stop"|nil): perilune.hook
function it:on(event, filter, f) end

---call f(vm) once at a time of a clock
---@param time integer|string
---@param f function
---@param clock? string|{ clock?: perilune.clock, on_error?: "pause"|"disable"|"abort", name?: string }
---@return perilune.hook
function it:at(time, f, clock) end

---call f(vm) again and again
---@param time integer|string
---@param f function
---@param clock? string|{ clock?: perilune.clock, on_error?: "pause"|"disable"|"abort", name?: string }
---@return perilune.hook
function it:every(time, f, clock) end

---call f(event, source, ...) at events; docs/tracing.md has them
---@param patterns string
---@param f function
---@param options? { on_error?: "pause"|"disable"|"abort", name?: string }
---@return perilune.hook
function it:trace(patterns, f, options) end

---where events are to be written as lines; nothing is enabled yet
---@param options? { file?: string, format?: string }
---@return perilune.trace_output
function it:trace_output(options) end

---the events that somebody listens to
---@return table<string, integer>
function it:traced() end

---the hooks installed, in order of adding
---@return perilune.hook[]
function it:hooks() end

---can the backend do it: "hook.exec", "deterministic", ...
---@param feature string
---@return boolean
function it:supports(feature) end

---read symbols of an ELF file, a System.map or a kernel image
---@param path string
---@param bias? integer
---@return integer
function it:load_symbols(path, bias) end

---find how far KASLR moved the kernel, in bytes; its symbols move along
---@return integer
function it:find_slide() end

---read the symbols of the modules that the running Linux has loaded
---@return { name?: string, count?: integer }[]
function it:load_modules() end

---the address of a symbol, such as "name+0x10"
---@param text string
---@return integer
function it:symbol(text) end

---the symbol that holds an address: "name+0x12/0x80"
---@param address integer
---@return string
function it:symbolize(address) end

---symbols that begin so, in order
---@param prefix string
---@param most? integer
---@return string[]
function it:symbol_names(prefix, most) end

---call f(vm) at every reset, after devices and cpus were reset
---@param f function
function it:on_reset(f) end

---put a kernel in place
---@param options { kernel?: string, initrd?: string, append?: string, rsdp?: integer, e820?: table, decompress?: string, seed?: string }
function it:load_boot(options) end

---put a file into memory as it is
---@param path string
---@param addr integer
function it:load_raw(path, addr) end

---let virtual time pass on a machine without a cpu
---@param ns integer
function it:advance(ns) end

---run f(vm) beside the machine; it may wait. docs/testing.md has this and what follows
---@param f function
---@param options? { name?: string, on_error?: "pause"|"disable"|"abort" }
---@return perilune.task
function it:task(f, options) end

---those that are not over, in order of creation
---@return perilune.task[]
function it:tasks() end

---until the guest has written a text: what it wrote up to and with it
---@param text string
---@param timeout? integer|string
---@param options? { chardev?: string, pattern?: boolean }
---@return string
---@return any ...
function it:wait_serial(text, timeout, options) end

---until it is about to execute
---@param at integer|string
---@param timeout? integer|string
---@return perilune.cpu
function it:wait_exec(at, timeout) end

---until so much virtual time has passed
---@param time integer|string
function it:wait_time(time) end

---until so many instructions have retired
---@param n integer
function it:wait_insn(n) end

---until it stops
---@param timeout? integer|string
---@return "pause"|"exit"
---@return string
function it:wait_stop(timeout) end

---to the guest; waits while it does not take what was sent before
---@param text string
---@param options? { chardev?: string, timeout?: integer|string }
function it:send(text, options) end

---counters of the run
---@return { instructions?: integer, exits?: integer, [any]: any }
function it:stats() end

---SHA-256 over all RAM and ROM
---@return string
function it:ram_sha256() end

---f's changes of memory take effect at once, at its end
---@param f function
---@param options? { diff?: boolean }
---@return { space?: string, change?: string, [any]: any }[]|nil
function it:batch(f, options) end

---all devices in order of creation
---@return perilune.device[]
function it:devices() end

---devices of a type, or of one that inherits from it
---@param options { type?: string }
---@return perilune.device[]
function it:find(options) end

---by path, id, or an end of a path that is unique
---@param path string
---@return perilune.device
function it:device(path) end

---all address spaces in order of creation
---@return perilune.space[]
function it:spaces() end

---all network links in order of creation
---@return perilune.link[]
function it:links() end

---all character backends in order of creation
---@return perilune.chardev[]
function it:chardevs() end

---the character backend of that id
---@param id string
---@return perilune.chardev
function it:chardev(id) end
end
