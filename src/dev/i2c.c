/* The I2C bus: who is addressed, and that no address is taken twice. */
#include "dev/i2c.h"

#include "base/bits.h"

static bool attach(struct bus *bus, struct device *dev, struct error *err)
{
    uint8_t address = ((struct i2c_device *)dev)->address;
    if (address < I2C_ADDRESS_MIN || address > I2C_ADDRESS_MAX)
        return error_set(err,
                         "%s: I2C address 0x%02x is reserved; choose one from 0x%02x to 0x%02x",
                         device_name(dev), address, I2C_ADDRESS_MIN, I2C_ADDRESS_MAX);
    for (unsigned i = 0; i < bus->device_count; i++)
        if (((struct i2c_device *)bus->devices[i])->address == address)
            return error_set(err, "%s: I2C address 0x%02x of '%s' is taken by %s", device_name(dev),
                             address, bus->name, device_name(bus->devices[i]));
    return true;
}

static void detach(struct bus *bus, struct device *dev)
{
    struct i2c_bus *b = CONTAINER_OF(bus, struct i2c_bus, bus);
    if (b->current == (struct i2c_device *)dev)
        b->current = NULL;
}

void i2c_bus_init(struct i2c_bus *b, const char *name, struct device *parent)
{
    *b = (struct i2c_bus){ 0 };
    bus_init(&b->bus, "i2c-bus", name, parent);
    b->bus.attach = attach;
    b->bus.detach = detach;
}

void i2c_bus_fini(struct i2c_bus *b)
{
    bus_fini(&b->bus);
}

static const struct i2c_class *class_of(const struct i2c_device *d)
{
    static const struct i2c_class nothing;
    const struct i2c_class *c = device_class_data(&d->dev);
    return c ? c : &nothing;
}

/* Who was addressed before a repeated START sees an address that is not its own and falls silent.
 */
bool i2c_start(struct i2c_bus *b, uint8_t address, bool read)
{
    b->current = NULL;
    for (unsigned i = 0; i < b->bus.device_count; i++) {
        struct i2c_device *d = (struct i2c_device *)b->bus.devices[i];
        if (d->address != address || !d->dev.realized)
            continue;
        const struct i2c_class *c = class_of(d);
        b->current = d; /* before the call: it may take itself off the bus */
        if (c->start && !c->start(d, read))
            b->current = NULL;
        break;
    }
    return b->current != NULL;
}

bool i2c_send(struct i2c_bus *b, uint8_t byte)
{
    struct i2c_device *d = b->current;
    return d && class_of(d)->send && class_of(d)->send(d, byte);
}

uint8_t i2c_receive(struct i2c_bus *b, bool last)
{
    struct i2c_device *d = b->current;
    return d && class_of(d)->receive ? class_of(d)->receive(d, last) : 0xff;
}

void i2c_stop(struct i2c_bus *b)
{
    struct i2c_device *d = b->current;
    b->current = NULL;
    if (d && class_of(d)->stop)
        class_of(d)->stop(d);
}

static const struct prop props[] = {
    PROP(PROP_U8, struct i2c_device, address, "address", "0", "the I2C address, of seven bits",
         .max = 0x7f, .hex = true),
    PROP_END,
};

const struct device_type i2c_device_type = {
    .name = "i2c-device",
    .parent = "device",
    .desc = "a device on an I2C bus",
    .instance_size = sizeof(struct i2c_device),
    .abstract = true,
    .bus_type = "i2c-bus",
    .props = props,
};
