std = "lua54"
max_line_length = 120
-- What the program gives to scripts and machine definitions.
read_globals = { "perilune", "machine", "device", "vm" }
files["lua/perilune/cli.lua"] = { globals = { "perilune", "machine", "vm", "arg" } }
files["lua/perilune/init.lua"] = { globals = { "device" } }
