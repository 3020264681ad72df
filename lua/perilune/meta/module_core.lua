---@meta perilune.core
-- Made by scripts/make-reference from the tables of the program: change those, not this.

---what the Lua part of Perilune needs from C and no object has
---@class perilune.modules.core
local M = {}

---an empty machine
---@param options { name?: string, accel?: string, irqchip?: string, idle?: string, ns_per_instruction?: integer, epoch_ns?: integer, seed?: integer, no_reboot?: boolean, no_shutdown?: boolean }
---@return perilune.vm
---@return perilune.machine
function M.new_vm(options) end

---a cluster without machines
---@param name string
---@param latency integer|string
---@param parallel boolean
---@return perilune.cluster_core
function M.new_cluster(name, latency, parallel) end

---device types, sorted by name
---@return { name?: string, parent?: string, desc?: string, bus?: string, abstract?: boolean }[]
function M.types() end

---raise for what is wrong with a definition
---@param definition perilune.device_definition
---@param place string
function M.check_device_type(definition, place) end

---one device type with its properties
---@param type string|perilune.device_definition
---@return { name?: string, properties?: table[], [any]: any }
function M.type_info(type) end

---"512M" in bytes; nil for what is no size
---@param text string
---@return integer|nil
function M.parse_size(text) end

---"1.5ms" in nanoseconds; nil for what is no time
---@param text string
---@return integer|nil
function M.parse_time(text) end

---every event that can be traced
---@return { name?: string, help?: string, args?: table[] }[]
function M.trace_events() end

---the nearest candidate; nil when none is near
---@param name string
---@param candidates string[]
---@return string|nil
function M.nearest(name, candidates) end

---fields and methods of an object
---@param object any
---@return string[]
function M.names(object) end

---open the terminal for the monitor
---@param options { history?: string, chardev?: perilune.chardev, focus?: boolean }
---@return perilune.terminal
function M.terminal(options) end

---a listening socket; the descriptor is the caller's
---@param options { who?: string, path?: string, host?: string, port?: integer, insecure?: boolean }
---@return integer fd
---@return integer port
function M.listen(options) end

---an error object; kind is config or host
---@param kind string
---@param text string
---@return any
function M.new_error(kind, text) end

---leave the program
---@param status? integer
function M.exit(status) end

---what one call of a hook may take, bytes that all of Lua may hold, errors that are shown
---@param options { hook_instructions?: integer, memory?: integer, errors_per_second?: integer }
function M.limits(options) end

---write to the log
---@param level string
---@param who string
---@param text string
function M.log(level, who, text) end

---error, warning, info or debug
---@param level string
function M.log_level(level) end

---write the log into a file
---@param path string
function M.log_file(path) end

---the monotonic time of the host
---@return integer
function M.realtime_ns() end

---serve the loop until done() is true
---@param done function
function M.wait(done) end

---all types of objects with their members
---@return { name?: string, label?: string, help?: string, members?: table[], [any]: any }[]
function M.api() end

---is there such a backend
---@param name string
---@return boolean
function M.has_accel(name) end

---trials of what the host can do for a backend, as numbers; nil and why it cannot be used
---@param accel string
---@param thorough? boolean
---@return table|nil
---@return string
function M.survey(accel, thorough) end

---features of cpus: which the backend offers here, which a --cpu has
---@param accel string
---@param cpu? string
---@return { name?: string, leaf?: integer, reg?: string, bit?: integer, offered?: boolean, chosen?: boolean, [any]: any }[]|nil
---@return string
function M.cpu_features(accel, cpu) end

---of libraries
---@return table<string, string>
function M.versions() end

return M
