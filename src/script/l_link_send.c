/* link:send(): frames that no port has sent. */
#include "script/script_fault.h"

#include <string.h>

/* The end of `l` that port `index` (a port, or its id) is. */
static unsigned check_end(lua_State *L, const struct net_link *l, int index)
{
    const char *id = lua_type(L, index) == LUA_TSTRING
                         ? lua_tostring(L, index)
                         : ((struct net_port *)binding_ptr(L, index, META_PORT))->id;
    for (unsigned end = 0; end < 2; end++)
        if (!strcmp(net_link_port(l, end)->id, id))
            return end;
    luaL_error(L, "link \"%s\" has no port \"%s\"; its ports are \"%s\" and \"%s\"",
               net_link_name(l), id, net_link_port(l, 0)->id, net_link_port(l, 1)->id);
    return 0;
}

/* send(from, bytes [, delay]): as if port `from` had sent it, `delay` ns from now. What a hook
 * sends is not shown to packet hooks. */
int l_link_send(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_LINK);
    struct net_link *l = binding_ptr(L, 1, META_LINK);
    unsigned end = check_end(L, l, 2);
    size_t len;
    const char *bytes = luaL_checklstring(L, 3, &len);
    lua_Number delay = luaL_optnumber(L, 4, 0);
    luaL_argcheck(L, len >= 14 && len <= NET_FRAME_MAX, 3,
                  "an Ethernet frame has from 14 to 65664 bytes");
    luaL_argcheck(L, delay >= 0 && delay < 9.2e18, 4, "a delay is not negative");
    if (!net_link_inject(l, end, (const uint8_t *)bytes, len, (int64_t)delay, svm->in_hook))
        return luaL_error(L, "link \"%s\": more than %d bytes are on their way", net_link_name(l),
                          NET_HELD_MAX);
    return 0;
}
