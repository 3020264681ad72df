/* The I2C bus: one controller, and devices with addresses of seven bits (NXP UM10204, "I2C-bus
 * specification and user manual", section 3.1).
 *
 * The controller begins a transfer with i2c_start(), moves bytes with i2c_send() or i2c_receive(),
 * and ends it with i2c_stop(); another i2c_start() before that is a repeated START. What takes time
 * on the wires takes none here: how long a byte lasts is the controller's to model. Machine lock.
 */
#pragma once

#include "dev/bus.h"

#include <stdint.h>

enum {
    /* Addresses below and above these are reserved (UM10204, table 4). */
    I2C_ADDRESS_MIN = 0x08,
    I2C_ADDRESS_MAX = 0x77,
};

struct i2c_device {
    struct device dev;
    uint8_t address; /* property "address" */
};

/* What a device type does, as its class_data. NULL functions: it acknowledges its address, takes no
 * bytes, gives 0xff, and does not care about the end. */
struct i2c_class {
    /* Its address was sent; false: not acknowledged, the transfer is not for it. */
    bool (*start)(struct i2c_device *d, bool read);
    /* A byte for the device; false: not acknowledged. */
    bool (*send)(struct i2c_device *d, uint8_t byte);
    /* The next byte from the device. `last`: the controller will not acknowledge it. */
    uint8_t (*receive)(struct i2c_device *d, bool last);
    void (*stop)(struct i2c_device *d);
};

struct i2c_bus {
    struct bus bus;
    struct i2c_device *current; /* addressed, and acknowledged */
};

extern const struct device_type i2c_device_type; /* "i2c-device", bus type "i2c-bus" */

void i2c_bus_init(struct i2c_bus *b, const char *name, struct device *parent);
void i2c_bus_fini(struct i2c_bus *b);

/* START, or a repeated START, with an address; true if a device acknowledges it. */
bool i2c_start(struct i2c_bus *b, uint8_t address, bool read);
/* True if the device acknowledges the byte; false too when none is addressed. */
bool i2c_send(struct i2c_bus *b, uint8_t byte);
/* 0xff, as the pulled-up wire reads, when no device is addressed. */
uint8_t i2c_receive(struct i2c_bus *b, bool last);
/* STOP. Harmless when no device is addressed. */
void i2c_stop(struct i2c_bus *b);
