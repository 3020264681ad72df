/* Methods by which scripts disturb a machine: what fault injection is made of. Each is listed in
 * the table of its type. */
#pragma once

#include "script/binding.h"

/* l_link_send.c */
int l_link_send(lua_State *L); /* link:send(from, bytes [, delay]) */
