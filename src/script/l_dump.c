/* Dumps of packets into pcap files. */
#include "script/binding.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

struct script_pcap {
    struct net_pcap *p;
    char *id, *path;
    struct script_pcap *next;
};

static struct script_pcap *check_dump(lua_State *L)
{
    return binding_ptr(L, 1, META_DUMP);
}

static void free_dump(struct script_pcap *s)
{
    net_pcap_free(s->p);
    free(s->id);
    free(s->path);
    free(s);
}

void script_free_dumps(struct script_vm *svm)
{
    while (svm->pcaps) {
        struct script_pcap *s = svm->pcaps;
        svm->pcaps = s->next;
        free_dump(s);
    }
}

static struct script_pcap *find_dump(struct script_vm *svm, const char *id)
{
    for (struct script_pcap *s = svm->pcaps; s; s = s->next)
        if (!strcmp(s->id, id))
            return s;
    return NULL;
}

/* A link, a port or the id of a port. */
static struct net_link *check_where(lua_State *L, struct script_vm *svm, int index)
{
    if (luaL_testudata(L, index, META_LINK))
        return binding_ptr(L, index, META_LINK);
    struct error err = { 0 };
    bool by_id = lua_type(L, index) == LUA_TSTRING;
    const char *id = by_id ? lua_tostring(L, index) : NULL;
    struct net_port *p =
        by_id ? net_port_find(vm_net(svm->vm), id) : binding_ptr(L, index, META_PORT);
    if (p && p->link)
        return p->link;
    if (p)
        error_set(&err, "dump: \"%s\" is not plugged in anywhere, so there is nothing to dump",
                  p->id);
    else
        error_set(&err, "dump: there is no network backend \"%s\"", id);
    script_raise(L, &err);
    return NULL;
}

static char *new_id(struct script_vm *svm)
{
    for (unsigned n = 0;; n++) {
        char *id = alloc_printf("dump%u", n);
        if (!find_dump(svm, id))
            return id;
        free(id);
    }
}

/* dump(link or port or its id, path [, id]) → dump: every frame into a pcap file. */
int l_machine_dump(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    struct machine *m = vm_machine(svm->vm);
    const char *path = luaL_checkstring(L, 3);
    const char *id = luaL_optstring(L, 4, NULL);
    struct net_link *l = check_where(L, svm, 2);
    struct error err = { 0 };
    struct net_pcap *pcap = NULL;
    if (id && find_dump(svm, id))
        error_set(&err, "dump: the id \"%s\" is taken", id);
    else
        pcap = net_pcap_new(l, path, &m->virtual, m->epoch_ns, &err);
    if (!pcap)
        return script_raise(L, &err);
    struct script_pcap *s = ALLOC(struct script_pcap);
    *s =
        (struct script_pcap){ pcap, id ? alloc_string(id) : new_id(svm), alloc_string(path), NULL };
    struct script_pcap **tail = &svm->pcaps;
    while (*tail)
        tail = &(*tail)->next;
    *tail = s;
    binding_push(L, svm, META_DUMP, s);
    return 1;
}

/* dumps() → { dump, ... } in order of creation */
int l_machine_dumps(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct script_pcap *s = svm->pcaps; s; s = s->next) {
        binding_push(L, svm, META_DUMP, s);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int l_dump_remove(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DUMP);
    struct script_pcap *s = check_dump(L);
    struct script_pcap **at = &svm->pcaps;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free_dump(s);
    binding_sweep(L, svm);
    return 0;
}

static int get_id(lua_State *L)
{
    lua_pushstring(L, check_dump(L)->id);
    return 1;
}

static int get_path(lua_State *L)
{
    lua_pushstring(L, check_dump(L)->path);
    return 1;
}

static bool dump_alive(struct script_vm *svm, const void *p)
{
    const struct script_pcap *s = svm->pcaps;
    while (s && s != p)
        s = s->next;
    return s != NULL;
}

static int dump_tostring(lua_State *L)
{
    struct script_pcap *s = check_dump(L);
    lua_pushfstring(L, "dump \"%s\" (into %s)", s->id, s->path);
    return 1;
}

static const struct binding_member methods[] = {
    { "remove", l_dump_remove, "()", "end it and close the file" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "id", get_id, "string", "its id" },
    { "path", get_path, "string", "the file" },
    { NULL },
};

static const struct binding_type dump_type = {
    .meta = META_DUMP,
    .label = "dump",
    .help = "a dump of packets into a file",
    .methods = methods,
    .properties = properties,
    .tostring = dump_tostring,
    .alive = dump_alive,
};

void l_dump_open(lua_State *L)
{
    binding_type_new(L, &dump_type);
}
