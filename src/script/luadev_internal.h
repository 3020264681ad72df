/* What the files that read definitions share, and those that make up `dev`. All of it raises for
 * what is wrong. */
#pragma once

#include "script/luadev.h"

/* Freed with the type. */
void *luadev_own(struct luadev_type *t, void *p);
char *luadev_own_string(struct luadev_type *t, const char *s);

/* Raises an error that names the definition. */
__attribute__((format(printf, 3, 4))) int luadev_wrong(lua_State *L, const struct luadev_type *t,
                                                       const char *fmt, ...);

/* The tables that definitions consist of, with their keys: l_luadev_keys.c. */
extern const struct binding_type luadev_define_keys, luadev_prop_keys, luadev_window_keys,
    luadev_register_keys, luadev_line_keys, luadev_chardev_keys, luadev_pci_keys, luadev_i2c_keys;

/* As check_keys, with the definition's place. */
void luadev_known_keys(lua_State *L, const struct luadev_type *t, int index, const char *what,
                       const struct binding_type *keys);

/* The integer (or size as text) in field `key` of the table at `index`, within [min, max]. */
int64_t luadev_integer(lua_State *L, const struct luadev_type *t, int index, const char *what,
                       const char *key, int64_t fallback, int64_t min, int64_t max);

/* A string in field `key`, owned by the type; NULL when it is not there. */
char *luadev_string(lua_State *L, struct luadev_type *t, int index, const char *what,
                    const char *key);
/* Field "name", which must be there. */
char *luadev_name(lua_State *L, struct luadev_type *t, int index, const char *what);

/* A function in field `key` as an index in t->fns; -1 when it is not there. */
int luadev_function(lua_State *L, struct luadev_type *t, int index, const char *what,
                    const char *key);

/* A new property with room for its value in the instance. */
struct prop *luadev_new_prop(struct luadev_type *t, const char *name, enum prop_kind kind);

/* A new row of state; its offset is final at the end, in lay_out(). */
void luadev_new_state(struct luadev_type *t, const char *name, enum state_kind kind, size_t offset,
                      size_t count);

/* Letters, digits, '_', '-' and '.', and not too many of them. */
bool luadev_is_name(const char *s);

/* Fields "props" and "state". */
void luadev_read_props(lua_State *L, struct luadev_type *t, int spec);
void luadev_read_state(lua_State *L, struct luadev_type *t, int spec);

/* Field "mmio" or "pio". */
void luadev_read_windows(lua_State *L, struct luadev_type *t, int spec, const char *key, bool io);
/* Field "pci". */
void luadev_read_pci(lua_State *L, struct luadev_type *t, int spec);
/* Fields "i2c" and "i2c_bus". */
void luadev_read_i2c(lua_State *L, struct luadev_type *t, int spec);
/* The properties that say where the windows are. */
void luadev_add_place(lua_State *L, struct luadev_type *t, int spec);

/* ---- methods of `dev`: rows of the table in l_luadev_object.c ---- */

/* l_luadev_method.c */
int l_dev_irq(lua_State *L);
int l_dev_gpio(lua_State *L);
int l_dev_level(lua_State *L);
int l_dev_dma_read(lua_State *L);
int l_dev_dma_write(lua_State *L);
int l_dev_send(lua_State *L);
int l_dev_accept(lua_State *L);
int l_dev_request(lua_State *L);
int l_dev_log(lua_State *L);
int l_dev_remove(lua_State *L);
/* l_luadev_i2c.c, for controllers */
int l_dev_i2c_start(lua_State *L);
int l_dev_i2c_send(lua_State *L);
int l_dev_i2c_receive(lua_State *L);
int l_dev_i2c_stop(lua_State *L);
/* l_luadev_timer.c */
int l_dev_timer(lua_State *L);
void l_luadev_timer_open(lua_State *L);
