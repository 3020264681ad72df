/* States of cpus, chips and devices as tables: l_state.c. */
#pragma once

#include "script/binding.h"

struct state_field;

/* The value of a field in the structure at `base`. */
void push_state_field(lua_State *L, const void *base, const struct state_field *f);

/* l_cpu.c: can the cpu's registers be seen, and can it be disturbed? While nothing executes, or by
 * what the cpu itself has called. Raises else. */
void script_check_still(lua_State *L, const struct script_vm *svm, const struct vcpu *v);
/* The same of the cpu at 1. */
struct vcpu *script_still_cpu(lua_State *L);

int l_cpu_state(lua_State *L);             /* cpu:state() */
int l_cpu_set_state(lua_State *L);         /* cpu:set_state(table) */
int l_device_chip_state(lua_State *L);     /* device:chip_state() */
int l_device_set_chip_state(lua_State *L); /* device:set_chip_state(table) */
void l_state_open(lua_State *L);
