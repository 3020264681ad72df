/* What the files of src/dev share with each other and with nobody else. */
#pragma once

#include "dev/bus.h"
#include "dev/device.h"

/* Ask the bus and put the device in its list; on failure nothing has changed. */
bool bus_put_device(struct bus *b, struct device *d, struct error *err);
void bus_take_device(struct bus *b, struct device *d);

/* Give every property of a new device its default. */
void props_set_defaults(struct device *d);
/* Free the strings that properties own. */
void props_free(struct device *d);
/* Does every required property have a value? */
bool props_check_required(const struct device *d, struct error *err);
/* Make links to `gone` in other devices point to nothing. */
void props_unlink(struct device *gone);

/* Lower and disconnect what the device drives, and drop the lines made since its realize began
 * (all: the others too). Inputs that go away are dead: whoever still drives one drives nothing. */
void gpios_drop(struct device *d, bool all);

/* ---- the text of property values ---- */

/* All of `text` as a number, decimal or 0x...; false for anything else or for overflow. */
bool parse_unsigned(const char *text, uint64_t *value);

/* Of strings, enums and on-off-auto: borrowed, NULL for a string that is not set. */
const char *prop_text(const struct device *d, const struct prop *p);
/* Of a character or network backend, both of which begin with it; "" for NULL. */
const char *prop_object_id(const void *object);
/* These two are freed by the caller. */
char *prop_mac_text(const uint8_t *mac);
char *prop_pci_addr_text(int32_t devfn);

/* Free the memory of retired devices. */
void devices_release_dead(struct machine *m);

/* ---- values of properties ---- */

/* What any property holds. */
union prop_content {
    bool b;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int32_t i32;
    int64_t i64;
    char *s;
    void *object;
    struct prop_array *array;
    uint8_t mac[6];
};

size_t prop_content_size(enum prop_kind kind);

/* Does the content point to memory that belongs to the property? */
static inline bool prop_owns_memory(enum prop_kind kind)
{
    return kind == PROP_STRING || kind == PROP_ARRAY;
}

/* What `p` would hold for `v`; a string or array in it is the caller's. False: `err` says why not.
 */
bool prop_convert(const struct device *d, const struct prop *p, struct prop_value v,
                  union prop_content *c, struct error *err);

/* NULL-terminated, by enum on_off_auto. */
extern const char *const on_off_auto_names[];

/* "a, b, c", cut to fit. */
void join_names(const char *const *names, char *buf, size_t size);
