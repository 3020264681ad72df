/* States of cpus, chips and devices as tables: l_state.c. */
#pragma once

#include "script/binding.h"

struct state_field;

/* The value of a field in the structure at `base`. */
void push_state_field(lua_State *L, const void *base, const struct state_field *f);

/* l_cpu.c: the cpu at 1, whose registers can be seen: while nothing executes, or by what the cpu
 * itself has called. Raises else. */
struct vcpu *script_still_cpu(lua_State *L);

int l_cpu_state(lua_State *L);             /* cpu:state() */
int l_cpu_set_state(lua_State *L);         /* cpu:set_state(table) */
int l_device_chip_state(lua_State *L);     /* device:chip_state() */
int l_device_set_chip_state(lua_State *L); /* device:set_chip_state(table) */
void l_state_open(lua_State *L);
