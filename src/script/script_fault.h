/* Methods by which scripts disturb a machine: what fault injection is made of. Each is listed in
 * the table of its type. */
#pragma once

#include "script/binding.h"

/* l_link_send.c */
int l_link_send(lua_State *L); /* link:send(from, bytes [, delay]) */

/* l_cpu_fault.c */
int l_cpu_inject(lua_State *L); /* cpu:inject(vector [, error_code]) */
int l_cpu_nmi(lua_State *L);    /* cpu:nmi() */
int l_cpu_mce(lua_State *L);    /* cpu:mce { bank =, status =, addr =, misc =, mcg_status = } */
int l_cpu_stall(lua_State *L);  /* cpu:stall(ns) */
int l_cpu_get_stalled(lua_State *L);
