/* A machine without cpus for device tests: the virtual clock stands still until the test moves it.
 */
#pragma once

#include "dev/machine.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

struct test_machine {
    struct machine m;
    int64_t now;
    unsigned requests;
    enum machine_request last_request;
    int last_code;
};

static inline int64_t test_machine_now(void *opaque)
{
    return ((struct test_machine *)opaque)->now;
}

static inline void test_machine_request(struct machine *m, enum machine_request what, int code,
                                        const char *who)
{
    struct test_machine *t = m->owner;
    t->requests++;
    t->last_request = what;
    t->last_code = code;
}

static const struct machine_ops test_machine_ops = { .request = test_machine_request };

/* `types`: those to register, ending with NULL. */
static inline struct test_machine *test_machine_new(const struct device_type *const *types)
{
    struct test_machine *t = calloc(1, sizeof *t);
    assert_non_null(t);
    struct error err = { 0 };
    struct type_registry *r = type_registry_new();
    for (; *types; types++)
        if (!type_register(r, *types, &err))
            fail_msg("%s", err.text);
    clock_init(&t->m.virtual, "virtual", test_machine_now, NULL, t);
    clock_init(&t->m.virtual_rt, "virtual_rt", test_machine_now, NULL, t);
    clock_init(&t->m.host, "host", test_machine_now, NULL, t);
    t->m.door = door_new(NULL, NULL);
    t->m.ops = &test_machine_ops;
    t->m.owner = t;
    machine_init(&t->m, NULL, r);
    return t;
}

static inline void test_machine_free(struct test_machine *t)
{
    machine_fini(&t->m);
    clock_fini(&t->m.virtual);
    clock_fini(&t->m.virtual_rt);
    clock_fini(&t->m.host);
    door_free(t->m.door);
    type_registry_free(t->m.types);
    free(t);
}

/* Let `ns` of virtual time pass; timers fire at their exact times on the way. */
static inline void test_machine_advance(struct test_machine *t, int64_t ns)
{
    int64_t end = t->now + ns;
    while (clock_deadline(&t->m.virtual) <= end) {
        if (clock_deadline(&t->m.virtual) > t->now)
            t->now = clock_deadline(&t->m.virtual);
        clock_run(&t->m.virtual);
    }
    t->now = end;
}

static inline struct device *test_device(struct test_machine *t, const char *type, const char *id)
{
    struct error err = { 0 };
    struct device *d = device_new(&t->m, type, id, &err);
    if (!d)
        fail_msg("%s", err.text);
    return d;
}

static inline void test_realize(struct device *d, struct bus *bus)
{
    struct error err = { 0 };
    if (!device_realize(d, bus, &err))
        fail_msg("%s", err.text);
}

static inline void test_set(struct device *d, const char *name, const char *text)
{
    struct error err = { 0 };
    struct prop_value v = { .type = VALUE_STRING, .s = text };
    if (!device_set_prop(d, name, v, &err))
        fail_msg("%s", err.text);
}

#define assert_contains(text, part)                                               \
    do {                                                                          \
        if (!strstr((text), (part)))                                              \
            fail_msg("'%s' does not contain '%s'", (const char *)(text), (part)); \
    } while (0)
