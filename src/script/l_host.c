/* What this host is and can do, as facts for Lua to judge and to show: backends, features of cpus,
 * versions of libraries. */
#include "script/binding.h"

#include "cpu/vcpu.h"
#include "debug/disasm.h"
#include "net/backends.h"

#include <jansson.h>
#include <nettle/version.h>

static const struct vcpu_backend *check_backend(lua_State *L, int arg)
{
    struct error err = { 0 };
    const struct vcpu_backend *b = vcpu_backend_find(luaL_checkstring(L, arg), &err);
    if (!b)
        script_raise(L, &err);
    return b;
}

/* survey(accel [, thorough]) → { name = number }, or nil and why it cannot be used */
int l_core_survey(lua_State *L)
{
    const struct vcpu_backend *b = check_backend(L, 1);
    bool thorough = lua_toboolean(L, 2);
    struct vcpu_survey survey = { .count = 0 };
    struct error err = { 0 };
    if (b->survey && !b->survey(thorough, &survey, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_createtable(L, 0, (int)survey.count);
    for (unsigned n = 0; n < survey.count; n++) {
        lua_pushinteger(L, survey.facts[n].value);
        lua_setfield(L, -2, survey.facts[n].name);
    }
    return 1;
}

static void push_feature(lua_State *L, const struct cpu_feature *f)
{
    static const char *const regs[] = { "eax", "ebx", "ecx", "edx" };
    const struct cpuid_place *p = &cpuid_places[f->word];
    lua_createtable(L, 0, 9);
    lua_pushstring(L, f->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, f->other);
    lua_setfield(L, -2, "other");
    lua_pushstring(L, f->needs);
    lua_setfield(L, -2, "needs");
    lua_pushinteger(L, p->leaf);
    lua_setfield(L, -2, "leaf");
    lua_pushinteger(L, p->subleaf);
    lua_setfield(L, -2, "subleaf");
    lua_pushstring(L, regs[p->reg]);
    lua_setfield(L, -2, "reg");
    lua_pushinteger(L, __builtin_ctz(f->mask));
    lua_setfield(L, -2, "bit");
}

static void set_flag(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

/* cpu_features(accel [, cpu]) → { feature, ... }: with `offered`, what the backend can give here,
 * `withheld`, what another machine would have, and `chosen`, what --cpu CPU has; or nil and why
 * there is no answer */
int l_core_cpu_features(lua_State *L)
{
    const struct vcpu_backend *b = check_backend(L, 1);
    const char *model = luaL_optstring(L, 2, "base");
    struct cpu_offer offer;
    struct cpu_features chosen;
    struct error err = { 0 };
    lua_Integer n = 0;
    if (!b->cpu_offer(&offer, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    if (!cpu_model_parse(model, &offer, &chosen, &err))
        return script_raise(L, &err);
    lua_newtable(L);
    for (const struct cpu_feature *f = cpu_feature_table; f->name; f++) {
        push_feature(L, f);
        set_flag(L, "offered", cpu_has(&offer.max, f));
        set_flag(L, "withheld", cpu_has(&offer.withheld, f));
        set_flag(L, "chosen", cpu_has(&chosen, f));
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* versions() → { name = text } of the libraries that no module of Lua knows the version of */
int l_core_versions(lua_State *L)
{
    char text[32];
    lua_createtable(L, 0, 5);
    lua_pushstring(L, LUA_RELEASE);
    lua_setfield(L, -2, "lua");
    lua_pushstring(L, net_slirp_version());
    lua_setfield(L, -2, "slirp");
    lua_pushstring(L, disasm_version(text, sizeof text));
    lua_setfield(L, -2, "zydis");
    lua_pushstring(L, jansson_version_str());
    lua_setfield(L, -2, "jansson");
    lua_pushfstring(L, "%d.%d", nettle_version_major(), nettle_version_minor());
    lua_setfield(L, -2, "nettle");
    return 1;
}
