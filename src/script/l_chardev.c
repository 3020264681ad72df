/* Character backends as Lua sees them. */
#include "script/script_hook.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static struct script_chardev *check_chardev(lua_State *L)
{
    return binding_ptr(L, 1, META_CHARDEV);
}

/* Ctrl-a and a key, on the terminal that carries a serial port. */
static void terminal_command(void *opaque, char key)
{
    struct script_vm *svm = opaque;
    if (key == 'x' && svm->vm && vm_state(svm->vm) != VM_ENDED)
        vm_end(svm->vm, "quit", 0);
    else if (key == 'c')
        script_terminal_switch(svm);
}

enum { RING_DEFAULT = 1 << 20 };

static struct chardev *make_backend(lua_State *L, struct script_vm *svm, const char *type,
                                    const char *id, struct error *err)
{
    struct machine *m = vm_machine(svm->vm);
    if (!strcmp(type, "null"))
        return chardev_null_new(id);
    if (!strcmp(type, "ring")) {
        lua_getfield(L, 2, "size");
        uint64_t size = lua_isnil(L, -1) ? RING_DEFAULT : check_size(L, lua_gettop(L));
        if (!size || size > 1u << 30) {
            error_set(err, "chardev \"%s\": a ring has from 1 byte to 1G", id);
            return NULL;
        }
        return chardev_ring_new(id, size, m->door);
    }
    if (!strcmp(type, "file")) {
        const char *path = table_string(L, 2, "path");
        if (!path) {
            error_set(err, "chardev \"%s\": a file needs a path", id);
            return NULL;
        }
        return chardev_file_new(id, path, err);
    }
    if (!strcmp(type, "stdio")) {
        const struct stdio_config config = { .escapes = table_bool(L, 2, "escapes"),
                                             .signals = table_bool(L, 2, "signals"),
                                             .command = terminal_command,
                                             .opaque = svm };
        return chardev_stdio_new(id, svm->script->loop, m->door, &config, err);
    }
    static const char *const types[] = { "null", "ring", "file", "stdio", NULL };
    const char *near = nearest_name(type, types);
    error_set(err, "chardev \"%s\": there is no type \"%s\"; %s%s", id, type,
              near ? "did you mean " : "use null, ring, file or stdio", near ? near : "");
    return NULL;
}

struct output {
    const uint8_t *data;
    size_t len;
};

static int push_output(lua_State *L, void *opaque)
{
    struct output *o = opaque;
    lua_pushlstring(L, (const char *)o->data, o->len);
    return 1;
}

static void saw_output(void *opaque, const uint8_t *data, size_t len)
{
    struct script_chardev *s = opaque;
    struct output o = { data, len };
    if (s->output.universe)
        hook_call(&s->output, push_output, NULL, &o, NULL);
    script_serial_output(s, data, len);
}

/* chardev { type, id, path, size, escapes, signals } */
int l_machine_chardev(lua_State *L)
{
    static const char *const keys[] = { "type", "id", "path", "size", "escapes", "signals", NULL };
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    check_keys(L, 2, "chardev", keys);
    const char *type = table_string(L, 2, "type");
    const char *id = table_string(L, 2, "id");
    struct error err = { 0 };
    luaL_argcheck(L, type && id, 2, "type and id are needed");
    if (script_find_chardev(svm, id)) {
        error_set(&err, "chardev \"%s\": the id is taken", id);
        return script_raise(L, &err);
    }
    struct chardev *c = make_backend(L, svm, type, id, &err);
    if (!c)
        return script_raise(L, &err);
    struct script_chardev *s = ALLOC(struct script_chardev);
    s->c = c;
    c->output_tap = saw_output;
    c->trace = vm_trace_of(svm->vm);
    c->output_tap_opaque = s;
    *svm->chardevs_tail = s;
    svm->chardevs_tail = &s->next;
    binding_push(L, svm, META_CHARDEV, s);
    return 1;
}

int l_vm_chardevs(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct script_chardev *c = svm->chardevs; c; c = c->next) {
        binding_push(L, svm, META_CHARDEV, c);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* write(text): as if it had been typed. */
static int l_chardev_write(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    chardev_input(check_chardev(L)->c, (const uint8_t *)text, len);
    return 0;
}

/* read(): what a ring holds, and how many bytes were ever written. */
static int l_chardev_read(lua_State *L)
{
    struct chardev *c = check_chardev(L)->c;
    if (strcmp(c->ops->kind, "ring"))
        return luaL_error(L, "chardev \"%s\" is a %s: only a ring keeps what was written", c->id,
                          c->ops->kind);
    uint64_t total = 0;
    size_t cap = c->bytes_out < 1u << 30 ? c->bytes_out : 1u << 30;
    luaL_Buffer b;
    char *bytes = luaL_buffinitsize(L, &b, cap);
    size_t n = chardev_ring_read(c, (uint8_t *)bytes, cap, &total);
    luaL_pushresultsize(&b, n);
    lua_pushinteger(L, (lua_Integer)total);
    return 2;
}

/* on_output(f): f(text) for everything that the guest writes; nil ends that. */
static int l_chardev_on_output(lua_State *L)
{
    struct script_chardev *s = check_chardev(L);
    hook_fini(&s->output);
    if (lua_isnoneornil(L, 2))
        return 0;
    hook_init(&s->output, L, 2, s->c->id, HOOK_PAUSE, &binding_vm(L, 1, META_CHARDEV)->target);
    return 0;
}

static int get_id(lua_State *L)
{
    lua_pushstring(L, check_chardev(L)->c->id);
    return 1;
}

static int get_kind(lua_State *L)
{
    lua_pushstring(L, check_chardev(L)->c->ops->kind);
    return 1;
}

static int get_bytes_out(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_chardev(L)->c->bytes_out);
    return 1;
}

static int get_bytes_in(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_chardev(L)->c->bytes_in);
    return 1;
}

static int chardev_tostring(lua_State *L)
{
    struct chardev *c = check_chardev(L)->c;
    lua_pushfstring(L, "chardev \"%s\" (%s)", c->id, c->ops->kind);
    return 1;
}

static const struct binding_member methods[] = {
    { "write", l_chardev_write, "(text)", "to the guest, as if it had been typed" },
    { "read", l_chardev_read, "() → text, total",
      "what a ring holds, and how many bytes were ever written" },
    { "on_output", l_chardev_on_output, "(f)",
      "call f(text) for all that the guest writes; nil ends that" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "id", get_id, "string", "its id" },
    { "kind", get_kind, "string", "null, ring, file, stdio, ..." },
    { "bytes_out", get_bytes_out, "integer", "bytes written by the guest" },
    { "bytes_in", get_bytes_in, "integer", "bytes given to the guest" },
    { NULL },
};

static const struct binding_type chardev_type = {
    .meta = META_CHARDEV,
    .label = "chardev",
    .help = "a character backend, such as what a serial port is connected to",
    .methods = methods,
    .properties = properties,
    .tostring = chardev_tostring,
};

void l_chardev_open(lua_State *L)
{
    binding_type_new(L, &chardev_type);
}
