/* Properties: what can be set on a device, declared once.
 *
 * A property is a row in a table of its device type: name, kind, where the value lives in the
 * instance, default, range and help. The same row serves the command line, machine definitions,
 * `info qtree`, qom-get/qom-set and completion. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;

/* clang-format off */
enum prop_kind {       /* C type at `offset`          text form */
    PROP_BOOL,         /* bool                        true, false (also on, off, yes, no) */
    PROP_U8,           /* uint8_t                     decimal or 0x... */
    PROP_U16,          /* uint16_t */
    PROP_U32,          /* uint32_t */
    PROP_U64,          /* uint64_t */
    PROP_I32,          /* int32_t */
    PROP_I64,          /* int64_t */
    PROP_SIZE,         /* uint64_t                    bytes, or 1024s with K M G T after them */
    PROP_STRING,       /* char * (owned)              any */
    PROP_ENUM,         /* uint8_t index in `names`    a name */
    PROP_ON_OFF_AUTO,  /* uint8_t, enum on_off_auto   on, off, auto */
    PROP_MAC,          /* uint8_t[6]                  52:54:00:12:34:56 */
    PROP_PCI_ADDR,     /* int32_t devfn, -1 any       "03.0" or "3" (device.function, hex) */
    PROP_LINK,         /* struct device *             path or id; `names`: types it may be of */
    PROP_CHARDEV,      /* struct chardev *            a character backend's id */
    PROP_NETDEV,       /* struct net_port *           a network backend's id */
    PROP_REGION,       /* struct region *             a memory region; listings show its name */
    PROP_ARRAY,        /* struct prop_array * (owned) whole numbers: 1,2,0x30; NULL: none */
};
/* clang-format on */

/* Backends live above this layer, so PROP_CHARDEV, PROP_NETDEV and PROP_REGION are set with
 * VALUE_OBJECT only (who reads the command line or a definition finds the object by its id), or
 * with VALUE_NONE for none. All that is known here of a backend is that both structs begin with
 * `const char *id`. */

/* Whole numbers. `min` and `max` of the row are those of each. */
struct prop_array {
    size_t count;
    int64_t items[];
};

enum on_off_auto { OOA_AUTO, OOA_ON, OOA_OFF };

/* A value on its way in or out. Strings and arrays are borrowed. PROP_PCI_ADDR takes a number as a
 * slot. */
struct prop_value {
    enum {
        VALUE_NONE,
        VALUE_BOOL,
        VALUE_INT,
        VALUE_UINT,
        VALUE_STRING,
        VALUE_OBJECT,
        VALUE_ARRAY
    } type;
    union {
        bool b;
        int64_t i;
        uint64_t u;
        const char *s;
        const struct prop_array *array; /* borrowed; NULL: empty */
        void *object;                   /* of PROP_LINK, PROP_CHARDEV, PROP_NETDEV, PROP_REGION */
    };
};

struct prop {
    const char *name;
    enum prop_kind kind;
    size_t offset;
    const char *help;
    const char *def;  /* default in text form; NULL: zero, empty, no object */
    int64_t min, max; /* for integers, when not both 0; unsigned for PROP_U64 and PROP_SIZE */
    const char *const *names; /* PROP_ENUM: NULL-terminated */
    bool live;                /* may be set while the device is realized */
    bool required;            /* realize refuses a device without it: text, addresses, objects */
    bool hex;                 /* listings show it in hex only */
    /* Called after a live change of a realized device, to act on it. May refuse: then the old
     * value is put back. NULL: nothing to do. */
    bool (*changed)(struct device *d, const struct prop *p, struct error *err);
};

/* A table ends with a row whose name is NULL. */
/* clang-format off */
#define PROP_END { .name = NULL }
#define PROP(KIND, TYPE, FIELD, NAME, DEF, HELP, ...)                                              \
    { .name = NAME, .kind = KIND, .offset = offsetof(TYPE, FIELD), .def = DEF, .help = HELP,       \
      __VA_ARGS__ }
/* clang-format on */

/* The row called `name` in the device's type or its parents; NULL with an error that names the
 * nearest known property and the type. */
const struct prop *device_find_prop(const struct device *d, const char *name, struct error *err);

/* Set before realize, or afterwards if the row is live. Converts: integers from numbers or text,
 * sizes from "512M", and so on; range-checked. On failure nothing has changed. Errors name
 * device, property, the value and what would be right. Machine lock. */
bool device_set_prop(struct device *d, const char *name, struct prop_value v, struct error *err);

/* The present value. Strings are the device's: valid until it changes, and made-up ones (PROP_MAC,
 * PROP_PCI_ADDR) until the next call for the same device. */
bool device_get_prop(const struct device *d, const char *name, struct prop_value *out,
                     struct error *err);

/* The value as listings show it, as QEMU's qtree does: 5 (0x5), 536870912 (512 MiB) for sizes,
 * "text", true, "auto". Freed by the caller with free(). */
char *device_print_prop(const struct device *d, const struct prop *p);

/* The name in `candidates` (NULL-terminated) nearest to `name` by edit distance, NULL when none
 * is near. */
const char *nearest_name(const char *name, const char *const *candidates);

/* That name as the end of a message: `; did you mean "NAME"?`, or nothing when none is near. */
struct suggestion {
    char text[96];
};
struct suggestion suggest_name(const char *name, const char *const *candidates);

/* "512M", "1G", "0x1000", "4096" → bytes. False for anything else or for overflow. */
bool parse_size(const char *text, uint64_t *bytes);
/* "30s", "1.5ms" → nanoseconds; units are ns, us, ms, s, min. False for anything else. */
bool parse_time(const char *text, int64_t *ns);
