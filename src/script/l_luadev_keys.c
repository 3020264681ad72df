/* The tables that definitions of devices in Lua consist of: their keys, by which they are checked
 * and from which the reference is made. */
#include "script/luadev_internal.h"

#include "base/alloc.h"

static const struct binding_member define_keys[] = {
    { "name", NULL, "string", "the type's name" },
    { "desc", NULL, "string", "a line about it" },
    { "parent", NULL,
      "\"sys-bus-device\" or \"isa-device\" or \"pci-device\" or \"i2c-device\" or \"device\"",
      "what it is; sys-bus-device unless given, device is on no bus" },
    { "props", NULL, "{ [name] = device.define.prop }", "properties" },
    { "mmio", NULL, "device.define.window or { device.define.window, ... }", "windows of memory" },
    { "pio", NULL, "device.define.window or { device.define.window, ... }", "windows of ports" },
    { "registers", NULL, "{ device.define.register, ... }", "those of the first window" },
    { "irqs", NULL, "integer", "number of interrupt lines" },
    { "irq", NULL, "integer",
      "of an ISA device: the line it uses unless a property says otherwise" },
    { "gpio_in", NULL, "{ [name] = integer or function(dev, n, level) or device.define.line }",
      "inputs" },
    { "gpio_out", NULL, "{ [name] = integer or device.define.line }", "outputs" },
    { "timers", NULL, "{ [name] = function(dev) }", "timers on the virtual clock" },
    { "state", NULL, "{ [name] = string or table }",
      "further fields of dev, reset and saved: \"u32\", { \"bytes\", 64 }, ..." },
    { "chardev", NULL, "device.define.chardev", "it talks to a character backend" },
    { "pci", NULL, "device.define.pci", "of a PCI device" },
    { "i2c", NULL, "device.define.i2c", "of an I2C device" },
    { "i2c_bus", NULL, "string", "the name of an I2C bus that it provides" },
    { "realize", NULL, "function(dev)", "when it is put into a machine; an error refuses it" },
    { "reset", NULL, "function(dev)", "after registers and state have their reset values" },
    { "unrealize", NULL, "function(dev)", "when it is taken out of a machine that goes on" },
    { "on_error", NULL, "\"pause\" or \"disable\" or \"abort\"",
      "what happens when a function raises; \"pause\" unless given" },
    { NULL },
};

const struct binding_type luadev_define_keys = { .meta = "device.define",
                                                 .label = "table",
                                                 .help = "what device.define takes",
                                                 .properties = define_keys };

static const struct binding_member prop_keys[] = {
    { "help", NULL, "string", "a line about it" },
    { "min", NULL, "integer", "the least that it may be" },
    { "max", NULL, "integer", "the most" },
    { "values", NULL, "{ string, ... }", "of an enum" },
    { "live", NULL, "boolean", "may be set at any time" },
    { "required", NULL, "boolean", "must be given" },
    { "hex", NULL, "boolean", "is shown in hexadecimal" },
    { "type", NULL, "string", "of a device: the type that is wanted" },
    { "changed", NULL, "function(dev)",
      "after it was set while the machine is there; an error takes it back" },
    { NULL },
};

const struct binding_type luadev_prop_keys = {
    .meta = "device.define.prop",
    .label = "table",
    .help = "a property of a device type: { type, default, ... }",
    .properties = prop_keys
};

static const struct binding_member window_keys[] = {
    { "name", NULL, "string", "its name; that of the type unless given" },
    { "size", NULL, "size", "bytes" },
    { "addr", NULL, "integer", "where it is unless a property says otherwise" },
    { "port", NULL, "integer", "the same of ports" },
    { "sizes", NULL, "{ integer, integer }", "least and greatest access that is taken, bytes" },
    { "endian", NULL, "\"little\" or \"big\"", "the order of bytes; little unless given" },
    { "registers", NULL, "{ device.define.register, ... }",
      "its registers, in the place of functions" },
    { "read", NULL, "function(dev, offset, size: integer) → integer",
      "a read; without it all ones" },
    { "write", NULL, "function(dev, offset, value: integer, size: integer)",
      "a write; without it nothing happens" },
    { "kind", NULL, "\"mem32\" or \"mem64\" or \"io\"", "of a BAR" },
    { NULL },
};

const struct binding_type luadev_window_keys = { .meta = "device.define.window",
                                                 .label = "table",
                                                 .help = "a window of memory or ports",
                                                 .properties = window_keys };

static const struct binding_member register_keys[] = {
    { "name", NULL, "string", "its name" },
    { "offset", NULL, "integer", "in the window; a multiple of 4" },
    { "count", NULL, "integer", "elements of an array" },
    { "reset", NULL, "integer", "its value after a reset" },
    { "rw", NULL, "integer or boolean", "bits that are written and read" },
    { "ro", NULL, "integer or boolean", "bits that only the device changes" },
    { "w1c", NULL, "integer or boolean", "bits that writing 1 clears" },
    { "rc", NULL, "integer or boolean", "bits that reading clears" },
    { "w1s", NULL, "integer or boolean", "bits that writing 1 sets" },
    { "wo", NULL, "integer or boolean", "bits that read as 0" },
    { "read", NULL, "function(dev, index) → integer", "what a read gives" },
    { "write", NULL, "function(dev, value: integer, index)",
      "after a write, with what was written" },
    { "pure", NULL, "boolean", "read changes nothing" },
    { "help", NULL, "string", "a line about it" },
    { NULL },
};

const struct binding_type luadev_register_keys = {
    .meta = "device.define.register",
    .label = "table",
    .help = "a register of 32 bits; masks of bits, or true for all",
    .properties = register_keys
};

static const struct binding_member line_keys[] = {
    { "count", NULL, "integer", "how many; 1 unless given" },
    { "changed", NULL, "function(dev, n, level)", "an input was driven; level is 0 or 1" },
    { NULL },
};

const struct binding_type luadev_line_keys = { .meta = "device.define.line",
                                               .label = "table",
                                               .help = "lines of one name",
                                               .properties = line_keys };

static const struct binding_member chardev_keys[] = {
    { "receive", NULL, "function(dev, bytes)", "bytes have come" },
    { "room", NULL, "function(dev) → integer", "how many bytes it can take now" },
    { NULL },
};

const struct binding_type luadev_chardev_keys = { .meta = "device.define.chardev",
                                                  .label = "table",
                                                  .help =
                                                      "what a device does with a character backend",
                                                  .properties = chardev_keys };

static const struct binding_member pci_keys[] = {
    { "vendor", NULL, "integer", "vendor id" },
    { "device", NULL, "integer", "device id" },
    { "class", NULL, "integer", "class and subclass, 16 bits" },
    { "revision", NULL, "integer", "revision id" },
    { "prog_if", NULL, "integer", "programming interface" },
    { "subsystem_vendor", NULL, "integer", "subsystem vendor id" },
    { "subsystem", NULL, "integer", "subsystem id" },
    { "pin", NULL, "integer", "interrupt pin: 1 is INTA#, 0 none" },
    { "bars", NULL, "{ [n] = device.define.window }", "base address registers, from 0" },
    { "config_written", NULL, "function(dev, offset, value: integer, size: integer)",
      "after a write to configuration space" },
    { NULL },
};

const struct binding_type luadev_pci_keys = {
    .meta = "device.define.pci", .label = "table", .help = "a PCI function", .properties = pci_keys
};

static const struct binding_member i2c_keys[] = {
    { "start", NULL, "function(dev, read: boolean) → boolean",
      "a transfer begins; false: not acknowledged" },
    { "send", NULL, "function(dev, byte) → boolean", "a byte comes; false: not acknowledged" },
    { "receive", NULL, "function(dev, last: boolean) → byte", "a byte is wanted" },
    { "stop", NULL, "function(dev)", "the transfer ends" },
    { NULL },
};

const struct binding_type luadev_i2c_keys = {
    .meta = "device.define.i2c", .label = "table", .help = "an I2C device", .properties = i2c_keys
};

void luadev_document_keys(lua_State *L)
{
    static const struct binding_type *const all[] = { &luadev_define_keys, &luadev_prop_keys,
                                                      &luadev_window_keys, &luadev_register_keys,
                                                      &luadev_line_keys,   &luadev_chardev_keys,
                                                      &luadev_pci_keys,    &luadev_i2c_keys };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        binding_document(L, all[i]);
}
