/* What small test kernels expect to find, kvm-unit-tests among them: interrupt lines that they
 * raise by themselves, ports that hold what is written, and memory that is a device's.
 *
 * No datasheet: a convention of virtual machines, with QEMU's layout (pc-testdev). Port 0x2000 + n
 * sets line n. Ports 0xe0-0xe3 are 32 bits in any size; 0xe8-0xeb the same bits, byte by byte. A
 * page written to 0xe4 should be dropped from the host's tables, which no guest can tell: it is
 * only looked at. 64 KiB of memory at 0xff000000 are read and written by the device. Lines 16 to 23
 * are inputs of the I/O APIC, if the machine connects them. */
#include "base/log.h"
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    TESTDEV_ECHO = 0xe0,
    TESTDEV_FLUSH = 0xe4,
    TESTDEV_ECHO_BYTES = 0xe8,
    TESTDEV_LINES_PORT = 0x2000,
    TESTDEV_LINES = 24,
    TESTDEV_MEMORY = 0xff000000,
    TESTDEV_MEMORY_SIZE = 0x10000,
};

struct testdev {
    struct isa_device isa;
    struct region echo, flush, echo_bytes, lines_io, memory_io;
    struct irq *lines[TESTDEV_LINES];
    /* state */
    uint32_t value;
    bool levels[TESTDEV_LINES];
    uint8_t memory[TESTDEV_MEMORY_SIZE];
};

static uint64_t testdev_echo_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((struct testdev *)opaque)->value >> offset * 8 & bits_mask(size * 8);
}

static void testdev_echo_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct testdev *s = opaque;
    s->value = (uint32_t)bits_put(s->value, offset * 8, size * 8, value);
}

static const struct region_ops testdev_echo_ops = {
    .read = testdev_echo_read,
    .write = testdev_echo_write,
    .valid = { 1, 4 },
    .impl = { 1, 4 },
};

static const struct region_ops testdev_echo_bytes_ops = {
    .read = testdev_echo_read,
    .write = testdev_echo_write,
    .valid = { 1, 4, .unaligned = true },
    .impl = { 1, 1 },
};

static uint64_t testdev_nothing(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void testdev_flush_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const struct testdev *s = opaque;
    uint64_t page = value & ~0xfffULL, len = 0x1000;
    if (!address_space_ptr(s->isa.dev.machine->memory, page, &len, false, NULL))
        log_guest(device_name(&s->isa.dev), "flush of 0x%llx, which is no RAM",
                  (unsigned long long)page);
}

static const struct region_ops testdev_flush_ops = {
    .read = testdev_nothing,
    .write = testdev_flush_write,
    .valid = { 4, 4 },
    .impl = { 4, 4 },
};

static void testdev_set_line(struct testdev *s, unsigned n, bool level)
{
    s->levels[n] = level;
    irq_set(n < ISA_IRQS ? &isa_bus_of(&s->isa)->lines[n] : s->lines[n], level);
}

static void testdev_lines_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    testdev_set_line(opaque, offset, value);
}

static const struct region_ops testdev_lines_ops = {
    .read = testdev_nothing,
    .write = testdev_lines_write,
    .valid = { 1, 1 },
    .impl = { 1, 1 },
};

static uint64_t testdev_memory_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, ((struct testdev *)opaque)->memory + offset, size);
    return value;
}

static void testdev_memory_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    memcpy(((struct testdev *)opaque)->memory + offset, &value, size);
}

static const struct region_ops testdev_memory_ops = {
    .read = testdev_memory_read,
    .write = testdev_memory_write,
    .valid = { 1, 8 },
    .impl = { 1, 8 },
};

static bool testdev_init(struct device *d, struct error *err)
{
    struct testdev *s = (struct testdev *)d;
    struct mem *mem = d->machine->mem;
    region_init_io(&s->echo, mem, "testdev-echo", 4, &testdev_echo_ops, s);
    region_init_io(&s->flush, mem, "testdev-flush", 4, &testdev_flush_ops, s);
    region_init_io(&s->echo_bytes, mem, "testdev-bytes", 4, &testdev_echo_bytes_ops, s);
    region_init_io(&s->lines_io, mem, "testdev-lines", TESTDEV_LINES, &testdev_lines_ops, s);
    region_init_io(&s->memory_io, mem, "testdev-memory", TESTDEV_MEMORY_SIZE, &testdev_memory_ops,
                   s);
    s->echo.owner = s->flush.owner = s->echo_bytes.owner = d;
    s->lines_io.owner = s->memory_io.owner = d;
    device_init_gpio_out(d, "", s->lines, TESTDEV_LINES);
    return true;
}

static bool testdev_realize(struct device *d, struct error *err)
{
    struct testdev *s = (struct testdev *)d;
    isa_map_ports(&s->isa, &s->echo, TESTDEV_ECHO);
    isa_map_ports(&s->isa, &s->flush, TESTDEV_FLUSH);
    isa_map_ports(&s->isa, &s->echo_bytes, TESTDEV_ECHO_BYTES);
    isa_map_ports(&s->isa, &s->lines_io, TESTDEV_LINES_PORT);
    region_add(&d->machine->system, TESTDEV_MEMORY, &s->memory_io, 0);
    return true;
}

/* Lets go of the lines that it holds up, and only of those. */
static void testdev_lower(struct testdev *s)
{
    for (unsigned n = 0; n < TESTDEV_LINES; n++)
        if (s->levels[n])
            testdev_set_line(s, n, false);
}

static void testdev_unrealize(struct device *d)
{
    struct testdev *s = (struct testdev *)d;
    testdev_lower(s);
    region_remove(&s->memory_io);
}

static void testdev_reset(struct device *d)
{
    struct testdev *s = (struct testdev *)d;
    testdev_lower(s);
    s->value = 0;
    memset(s->memory, 0, sizeof s->memory);
}

static void testdev_finalize(struct device *d)
{
    struct testdev *s = (struct testdev *)d;
    region_fini(&s->echo);
    region_fini(&s->flush);
    region_fini(&s->echo_bytes);
    region_fini(&s->lines_io);
    region_fini(&s->memory_io);
}

static const struct state_field testdev_state[] = {
    STATE_U32(struct testdev, value),
    STATE_ARRAY(STATE_KIND_BOOL, struct testdev, levels),
    STATE_BYTES(struct testdev, memory),
    STATE_END,
};

const struct device_type pc_testdev_type = {
    .name = "pc-testdev",
    .parent = "isa-device",
    .desc = "lines, ports and memory for test kernels",
    .instance_size = sizeof(struct testdev),
    .state = testdev_state,
    .init = testdev_init,
    .realize = testdev_realize,
    .unrealize = testdev_unrealize,
    .reset = testdev_reset,
    .finalize = testdev_finalize,
};

static const struct state_field testdev_nothing_more[] = { STATE_END };

const struct device_type testdev_type = {
    .name = "testdev",
    .parent = "pc-testdev",
    .desc = "pc-testdev by a shorter name",
    .instance_size = sizeof(struct testdev),
    .state = testdev_nothing_more,
};
