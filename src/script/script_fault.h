/* Methods by which scripts disturb a machine: what fault injection is made of. Each is listed in
 * the table of its type. */
#pragma once

#include "dev/reg.h"
#include "script/binding.h"

/* l_link_send.c */
int l_link_send(lua_State *L); /* link:send(from, bytes [, delay]) */

/* l_cpu_fault.c */
int l_cpu_inject(lua_State *L); /* cpu:inject(vector [, error_code]) */
int l_cpu_nmi(lua_State *L);    /* cpu:nmi() */
int l_cpu_mce(lua_State *L);    /* cpu:mce { bank =, status =, addr =, misc =, mcg_status = } */
int l_cpu_stall(lua_State *L);  /* cpu:stall(ns) */
int l_cpu_skew(lua_State *L);   /* cpu:skew(ppm) */
int l_cpu_get_stalled(lua_State *L);

/* l_device_reg.c */
int l_device_registers(lua_State *L);
int l_device_reg(lua_State *L);
int l_device_set_reg(lua_State *L);
/* The register "NAME" or "NAME[3]" of a device; raises if there is none. */
void script_find_register(lua_State *L, struct device *d, const char *name, struct reg_place *p);

/* l_device_pci.c */
int l_device_disconnect(lua_State *L);
int l_device_reconnect(lua_State *L);
int l_device_get_connected(lua_State *L);
