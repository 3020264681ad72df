/* Disturbing a cpu: exceptions, NMIs, machine checks, stalls. */
#include "script/script_fault.h"
#include "script/script_state.h"

#include <inttypes.h>

static struct vcpu *check_cpu(lua_State *L)
{
    return binding_ptr(L, 1, META_CPU);
}

/* inject(vector [, error_code]): before the next instruction. */
int l_cpu_inject(lua_State *L)
{
    enum { NMI = 2 };
    struct vcpu *v = script_still_cpu(L);
    lua_Integer vector = luaL_checkinteger(L, 2), code = luaL_optinteger(L, 3, 0);
    luaL_argcheck(L, vector >= 0 && vector < 32, 2, "exceptions have vectors 0 to 31");
    luaL_argcheck(L, vector != NMI, 2, "vector 2 is the NMI: use cpu:nmi()");
    bool has_error = vcpu_vector_has_error((int)vector);
    luaL_argcheck(L, has_error || lua_isnoneornil(L, 3), 3,
                  "exceptions of this vector have no error code");
    luaL_argcheck(L, code >= 0 && code <= UINT32_MAX, 3, "an error code has 32 bits");
    struct vcpu_exception e = { (int)vector, has_error, (uint32_t)code };
    struct error err = { 0 };
    if (!v->backend->inject)
        return luaL_error(L, "accel \"%s\" cannot inject exceptions", v->backend->name);
    if (!v->backend->inject(v, &e, &err))
        return script_raise(L, &err);
    return 0;
}

/* nmi(): a pulse on the pin. */
int l_cpu_nmi(lua_State *L)
{
    struct vcpu *v = check_cpu(L);
    v->port->pins->nmi(v->port);
    return 0;
}

static uint64_t field(lua_State *L, const char *name, uint64_t fallback, bool *given)
{
    *given = lua_getfield(L, 2, name) != LUA_TNIL;
    int isnum = 1;
    uint64_t v = *given ? (uint64_t)lua_tointegerx(L, -1, &isnum) : fallback;
    if (!isnum)
        luaL_error(L, "cpu:mce: \"%s\" must be an integer", name);
    lua_pop(L, 1);
    return v;
}

/* mce { bank, status, addr, misc, mcg_status } */
int l_cpu_mce(lua_State *L)
{
    static const char *const keys[] = { "bank", "status", "addr", "misc", "mcg_status", NULL };
    struct vcpu *v = script_still_cpu(L);
    check_keys(L, 2, "cpu:mce", keys);
    bool given, has_addr, has_misc;
    struct vcpu_machine_check m = {
        .addr = field(L, "addr", 0, &has_addr),
        .misc = field(L, "misc", 0, &has_misc),
        .mcg_status = field(L, "mcg_status", MCG_STATUS_RESTART, &given),
    };
    uint64_t bank = field(L, "bank", 0, &given);
    luaL_argcheck(L, bank < 256, 2, "a bank is a number from 0");
    m.bank = (unsigned)bank;
    m.status = field(L, "status",
                     MC_STATUS_VALID | MC_STATUS_UNCORRECTED | MC_STATUS_ENABLED |
                         MC_STATUS_CORRUPT | (has_addr ? MC_STATUS_ADDR_VALID : 0) |
                         (has_misc ? MC_STATUS_MISC_VALID : 0) | 1 /* unclassified */,
                     &given);
    struct error err = { 0 };
    if (!v->backend->machine_check)
        return luaL_error(L, "accel \"%s\" has no machine checks", v->backend->name);
    if (!v->backend->machine_check(v, &m, &err))
        return script_raise(L, &err);
    return 0;
}

/* stall(ns): of virtual time, from now. */
int l_cpu_stall(lua_State *L)
{
    struct vcpu *v = script_still_cpu(L);
    lua_Number ns = luaL_checknumber(L, 2);
    luaL_argcheck(L, ns >= 0 && ns < 9.2e18, 2, "a time in ns, not negative");
    vm_stall_cpu(binding_vm(L, 1, META_CPU)->vm, v->port->index, (int64_t)ns);
    return 0;
}

int l_cpu_get_stalled(lua_State *L)
{
    struct vcpu *v = check_cpu(L);
    lua_pushboolean(L, vm_cpu_is_stalled(binding_vm(L, 1, META_CPU)->vm, v->port->index));
    return 1;
}

/* skew(ppm): the TSC against everything else. */
int l_cpu_skew(lua_State *L)
{
    struct vcpu *v = script_still_cpu(L);
    lua_Integer ppm = luaL_checkinteger(L, 2);
    luaL_argcheck(L, ppm > -1000000 && ppm <= 1000000, 2,
                  "parts per million: more than -1000000, at most 1000000");
    if (!v->backend->skew_tsc)
        return luaL_error(L, "accel \"%s\" cannot skew the TSC; \"soft\" can", v->backend->name);
    v->backend->skew_tsc(v, (int32_t)ppm);
    return 0;
}
