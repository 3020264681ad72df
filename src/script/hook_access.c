/* Hooks on what goes by: physical memory, ports, IRQ lines, packets, states of the machine. */
#include "script/script_fault.h"
#include "script/script_hook.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory and ports: taps ---- */

struct access_call {
    struct script_hook *h;
    uint64_t offset, *value;
    unsigned size;
    bool write, pass;
};

static void take_access(lua_State *L, void *opaque)
{
    struct access_call *call = opaque;
    if (hook_says_stop(L, call->h))
        vm_pause(call->h->svm->vm, "hook");
    else if (lua_isboolean(L, HOOK_RESULT) && !lua_toboolean(L, HOOK_RESULT))
        call->pass = false;
    else if (lua_isinteger(L, HOOK_RESULT))
        *call->value = (uint64_t)lua_tointeger(L, HOOK_RESULT);
}

/* f(offset, value, size) */
static int push_memory(lua_State *L, void *opaque)
{
    struct access_call *call = opaque;
    lua_pushinteger(L, (lua_Integer)call->offset);
    lua_pushinteger(L, (lua_Integer)*call->value);
    lua_pushinteger(L, call->size);
    return 3;
}

/* f(port, value, size, direction) */
static int push_port(lua_State *L, void *opaque)
{
    struct access_call *call = opaque;
    lua_pushinteger(L, (lua_Integer)(call->h->access.tap.addr + call->offset));
    lua_pushinteger(L, (lua_Integer)*call->value);
    lua_pushinteger(L, call->size);
    lua_pushstring(L, call->write ? "out" : "in");
    return 4;
}

static bool tell_access(struct script_hook *h, uint64_t offset, unsigned size, uint64_t *value,
                        bool write)
{
    struct access_call call = { h, offset, value, size, write, true };
    script_hook_call(h, h->kind == &hook_pio ? push_port : push_memory, take_access, &call);
    return call.pass;
}

/* After the read: the value is what the function may replace. A hook of phase "before" that gives
 * one keeps the access from what lies beneath. */
static bool tap_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct script_hook *h = opaque;
    if (!h->access.ops.before)
        return tell_access(h, offset, size, value, false);
    uint64_t before = *value = 0;
    struct access_call call = { h, offset, value, size, false, true };
    script_hook_call(h, h->kind == &hook_pio ? push_port : push_memory, take_access, &call);
    return call.pass && *value == before;
}

static bool tap_write(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    return tell_access(opaque, offset, size, value, true);
}

static void lay_tap(lua_State *L, struct script_hook *h, int filter, struct region *container,
                    uint64_t first, uint64_t last, bool reads, bool writes)
{
    static const char *const phases[] = { "after", "before", NULL };
    lua_getfield(L, filter, "phase");
    int before = check_choice(L, "vm:on: phase", "after", phases);
    lua_pop(L, 1);
    if (last - first == UINT64_MAX || last >= region_size(container))
        luaL_error(L, "vm:on: the range ends beyond the address space");
    h->access.ops = (struct tap_ops){ .read = reads ? tap_read : NULL,
                                      .write = writes ? tap_write : NULL,
                                      .before = before };
    region_init_tap(&h->access.tap, container, h->hook.name, first, last - first + 1,
                    &h->access.ops, h);
}

static void install_memory(lua_State *L, struct script_hook *h, int filter)
{
    static const lua_Integer one = 1;
    uint64_t first, last;
    if (!filter_range(L, filter, "at", &first, &last))
        luaL_error(L, "vm:on(\"%s\"): the filter needs \"at\" (physical) or \"gva\"",
                   h->kind->event);
    lua_Integer size = filter_integer(L, filter, "size", &one);
    if (size < 1 || (uint64_t)size - 1 > UINT64_MAX - first)
        luaL_error(L, "vm:on: \"size\" must be at least 1 and stay in the address space");
    if (first == last)
        last += (uint64_t)size - 1;
    bool write = h->kind == &hook_write;
    h->nested = table_bool(L, filter, "nested");
    lay_tap(L, h, filter, &vm_machine(h->svm->vm)->system, first, last, !write, write);
}

/* { device =, reg = "CTRL" }: a tap inside of the device's own window, which it follows wherever
 * that is mapped. The name of an array without an index is all of it. */
static void install_register(lua_State *L, struct script_hook *h, int filter)
{
    struct reg_place p;
    if (lua_getfield(L, filter, "at") != LUA_TNIL || lua_getfield(L, filter, "size") != LUA_TNIL)
        luaL_error(L, "vm:on(\"%s\"): give \"at\" or \"reg\", not both", h->kind->event);
    struct device *d = filter_object(L, filter, "device", META_DEVICE);
    const char *name = table_string(L, filter, "reg");
    if (!name)
        luaL_error(L, "vm:on(\"%s\"): \"device\" goes with \"reg\", the name of a register",
                   h->kind->event);
    script_find_register(L, d, name, &p);
    uint64_t size = strchr(name, '[') || !p.reg->count ? 4 : 4 * (uint64_t)p.reg->count;
    bool write = h->kind == &hook_write;
    h->nested = table_bool(L, filter, "nested");
    lay_tap(L, h, filter, p.bank->region, p.offset, p.offset + size - 1, !write, write);
}

static void install_access(lua_State *L, struct script_hook *h, int filter)
{
    bool device = lua_getfield(L, filter, "device") != LUA_TNIL;
    bool reg = lua_getfield(L, filter, "reg") != LUA_TNIL;
    lua_pop(L, 2);
    if (reg && !device)
        luaL_error(L, "vm:on(\"%s\"): \"reg\" needs \"device\"", h->kind->event);
    (device ? install_register : install_memory)(L, h, filter);
}

static void install_pio(lua_State *L, struct script_hook *h, int filter)
{
    static const char *const directions[] = { "both", "in", "out", NULL };
    uint64_t first, last;
    if (!filter_range(L, filter, "port", &first, &last))
        luaL_error(L, "vm:on(\"pio\"): the filter needs \"port\": a number or { first, last }");
    h->nested = table_bool(L, filter, "nested");
    lua_getfield(L, filter, "dir");
    int dir = check_choice(L, "vm:on: dir", "both", directions);
    lua_pop(L, 1);
    lay_tap(L, h, filter, &vm_machine(h->svm->vm)->io_ports, first, last, dir != 2, dir != 1);
}

static void remove_tap(struct script_hook *h)
{
    region_fini(&h->access.tap);
}

#define PHASE_KEY                                                                         \
    {                                                                                     \
        "phase", NULL, "\"before\" or \"after\"", "of a read: before or after the access" \
    }
#define NESTED_KEY                                                  \
    {                                                               \
        "nested", NULL, "boolean", "be told of what other hooks do" \
    }
static const struct binding_member memory_keys[] = {
    { "at", NULL, "integer or range", "physical address" },
    { "size", NULL, "size", "bytes from `at` on" },
    PHASE_KEY,
    { "device", NULL, "device", "in the place of `at`: the device of `reg`" },
    { "reg", NULL, "string", "name of a register" },
    NESTED_KEY,
    { NULL },
};
static const struct binding_member pio_keys[] = {
    { "port", NULL, "integer or range", "number of a port" },
    { "dir", NULL, "\"in\" or \"out\" or \"both\"", "which way; both unless given" },
    PHASE_KEY,
    NESTED_KEY,
    { NULL },
};
const struct hook_kind hook_read = {
    "read", install_access, remove_tap,
    HOOK_DOC("read", memory_keys,
             "(offset, value: integer, size: integer) → integer or false or \"stop\"",
             "a read of physical memory or of a device's register")
};
const struct hook_kind hook_write = {
    "write", install_access, remove_tap,
    HOOK_DOC("write", memory_keys,
             "(offset, value: integer, size: integer) → integer or false or \"stop\"",
             "a write to physical memory or to a device's register")
};
const struct hook_kind hook_pio = { "pio", install_pio, remove_tap,
                                    HOOK_DOC("pio", pio_keys,
                                             "(port: integer, value: integer, size: integer, dir: "
                                             "string) → integer or false or \"stop\"",
                                             "an access to a port; dir is \"in\" or \"out\"") };

/* ---- chains: several hooks where the core knows one listener ---- */

void script_chain_add(struct script_hook **head, struct script_hook *h)
{
    while (*head)
        head = &(*head)->chain;
    *head = h;
    h->order = ++h->svm->hook_orders;
}

void script_chain_remove(struct script_hook **head, struct script_hook *h)
{
    while (*head && *head != h)
        head = &(*head)->chain;
    if (*head)
        *head = h->chain;
    h->chain = NULL;
}

struct script_hook *script_chain_after(struct script_hook *head, uint64_t order, uint64_t last)
{
    while (head && head->order <= order)
        head = head->chain;
    return head && head->order <= last ? head : NULL;
}

/* ---- IRQ lines ---- */

struct irq_call {
    struct script_hook *h;
    bool level, pass;
};

static int push_irq(lua_State *L, void *opaque)
{
    struct irq_call *call = opaque;
    binding_push(L, call->h->svm, META_IRQ, call->h->irq);
    lua_pushboolean(L, call->level);
    return 2;
}

static void take_irq(lua_State *L, void *opaque)
{
    struct irq_call *call = opaque;
    if (hook_says_stop(L, call->h))
        vm_pause(call->h->svm->vm, "hook");
    else if (lua_isboolean(L, HOOK_RESULT) && !lua_toboolean(L, HOOK_RESULT))
        call->pass = false;
}

static bool on_irq(void *opaque, struct irq *irq, bool level)
{
    bool pass = true;
    struct script_hook *h = opaque;
    uint64_t last = h->svm->hook_orders, order = 0;
    while (pass && (h = script_chain_after(irq->tap_opaque, order, last))) {
        struct irq_call call = { h, level, true };
        order = h->order;
        script_hook_call(h, push_irq, take_irq, &call);
        pass = call.pass;
    }
    return pass;
}

static void install_irq(lua_State *L, struct script_hook *h, int filter)
{
    struct irq *irq = filter_object(L, filter, "line", META_IRQ);
    if (irq->tap && irq->tap != on_irq)
        luaL_error(L, "vm:on(\"irq\"): something else watches this line");
    if (irq->unseen)
        luaL_error(L, "vm:on(\"irq\"): %s", irq->unseen);
    h->irq = irq;
    h->nested = table_bool(L, filter, "nested");
    struct script_hook *head = irq->tap_opaque;
    script_chain_add(&head, h);
    irq->tap_opaque = head;
    irq->tap = on_irq;
}

static void remove_irq(struct script_hook *h)
{
    struct script_hook *head = h->irq->tap_opaque;
    script_chain_remove(&head, h);
    h->irq->tap_opaque = head;
    if (!head)
        h->irq->tap = NULL;
}

static const struct binding_member irq_keys[] = {
    { "line", NULL, "irq", "the line" },
    NESTED_KEY,
    { NULL },
};
const struct hook_kind hook_irq = { "irq", install_irq, remove_irq,
                                    HOOK_DOC("irq", irq_keys,
                                             "(line: irq, level) → false or \"stop\"",
                                             "a line changes; false: it does not") };

/* ---- packets ---- */

struct packet_call {
    struct script_hook *h;
    unsigned from;
    uint8_t *frame;
    size_t *len, capacity;
    int64_t delay;
    enum net_verdict verdict;
};

static int push_packet(lua_State *L, void *opaque)
{
    struct packet_call *call = opaque;
    lua_pushlstring(L, (const char *)call->frame, *call->len);
    lua_pushstring(L, net_link_port(call->h->packet.link, call->from)->id);
    return 2;
}

static int64_t take_delay(lua_State *L, int index)
{
    lua_Number ns = lua_tonumber(L, index);
    if (!(ns >= 0 && ns < 9.2e18))
        luaL_error(L, "a delay of %f ns: it must be a time that will come", ns);
    return (int64_t)ns;
}

/* What takes the place of the frame, how long it is delayed, or both. */
static void take_packet(lua_State *L, void *opaque)
{
    struct packet_call *call = opaque;
    if (lua_isboolean(L, HOOK_RESULT) && !lua_toboolean(L, HOOK_RESULT)) {
        call->verdict = NET_DROP;
        return;
    }
    if (hook_says_stop(L, call->h)) {
        vm_pause(call->h->svm->vm, "hook");
        return;
    }
    bool replaced = lua_type(L, HOOK_RESULT) == LUA_TSTRING;
    int delay = replaced ? HOOK_RESULT + 1 : HOOK_RESULT;
    if (lua_type(L, delay) == LUA_TNUMBER)
        call->delay = take_delay(L, delay);
    if (!replaced)
        return;
    size_t len;
    const char *bytes = lua_tolstring(L, HOOK_RESULT, &len);
    if (len > call->capacity)
        luaL_error(L, "a frame of %d bytes does not fit in %d", (int)len, (int)call->capacity);
    memcpy(call->frame, bytes, len);
    *call->len = len;
}

static enum net_verdict on_packet(void *opaque, unsigned from, uint8_t *frame, size_t *len,
                                  size_t capacity)
{
    struct script_hook *h = opaque;
    if (h->packet.from >= 0 && (unsigned)h->packet.from != from)
        return NET_PASS;
    struct packet_call call = { h, from, frame, len, capacity, 0, NET_PASS };
    script_hook_call(h, push_packet, take_packet, &call);
    if (call.verdict != NET_PASS || !call.delay || !h->packet.link)
        return call.verdict;
    return net_link_hold(h->packet.link, &h->packet.tap, from, frame, *len, call.delay);
}

static void link_gone(void *opaque)
{
    struct script_hook *h = opaque;
    h->packet.link = NULL;
}

static void install_packet(lua_State *L, struct script_hook *h, int filter)
{
    struct net_link *link = filter_object(L, filter, "link", META_LINK);
    const char *from = table_string(L, filter, "from");
    int end = -1;
    for (int n = 0; from && n < 2; n++)
        if (!strcmp(net_link_port(link, (unsigned)n)->id, from))
            end = n;
    if (from && end < 0)
        luaL_error(L,
                   "vm:on(\"packet\"): link \"%s\" has no port \"%s\"; its ports are \"%s\" and "
                   "\"%s\"",
                   net_link_name(link), from, net_link_port(link, 0)->id,
                   net_link_port(link, 1)->id);
    lua_pop(L, 1);
    h->packet.link = link;
    h->packet.from = end;
    h->packet.tap =
        (struct net_tap){ .frame = on_packet, .opaque = h, .gone = link_gone, .sent_only = true };
    net_link_add_tap(link, &h->packet.tap);
}

static void remove_packet(struct script_hook *h)
{
    if (h->packet.link)
        net_link_remove_tap(h->packet.link, &h->packet.tap);
}

static const struct binding_member packet_keys[] = {
    { "link", NULL, "link", "where" },
    { "from", NULL, "string", "id of the port that sends; both unless given" },
    { NULL },
};
const struct hook_kind hook_packet = {
    "packet", install_packet, remove_packet,
    HOOK_DOC("packet", packet_keys,
             "(bytes, from: string) → string or integer or false or \"stop\", ns",
             "a frame; a string replaces it, a number delays it (ns), false drops it")
};

/* ---- states of the machine ---- */

struct state_call {
    struct script_vm *svm;
    const char *state, *reason;
};

static int push_state(lua_State *L, void *opaque)
{
    struct state_call *call = opaque;
    script_push_vm(L, call->svm);
    lua_pushstring(L, call->state);
    lua_pushstring(L, call->reason);
    return 3;
}

static const char *const state_names[] = {
    [VM_NOTICE_PAUSE] = "pause", [VM_NOTICE_RESUME] = "resume",     [VM_NOTICE_EXIT] = "exit",
    [VM_NOTICE_RESET] = "reset", [VM_NOTICE_SHUTDOWN] = "shutdown", NULL
};

static void on_notice(void *opaque, struct vm *vm, enum vm_notice what, const char *reason)
{
    struct script_vm *svm = opaque;
    struct state_call call = { svm, state_names[what], reason };
    struct script_hook *h;
    uint64_t last = svm->hook_orders, order = 0;
    while ((h = script_chain_after(svm->state_hooks, order, last))) {
        order = h->order;
        if (!h->state || !strcmp(h->state, call.state))
            script_hook_call(h, push_state, NULL, &call);
    }
}

static void install_state(lua_State *L, struct script_hook *h, int filter)
{
    lua_getfield(L, filter, "state");
    if (!lua_isnil(L, -1))
        h->state = alloc_string(state_names[check_choice(L, "vm:on: state", NULL, state_names)]);
    lua_pop(L, 1);
    script_chain_add(&h->svm->state_hooks, h);
    vm_set_observer(h->svm->vm, on_notice, h->svm);
}

static void remove_state(struct script_hook *h)
{
    script_chain_remove(&h->svm->state_hooks, h);
    free(h->state);
    h->state = NULL;
}

static const struct binding_member state_keys[] = {
    { "state", NULL, "\"pause\" or \"resume\" or \"exit\" or \"reset\" or \"shutdown\"",
      "which one; all unless given" },
    { NULL },
};
const struct hook_kind hook_state = {
    "state", install_state, remove_state,
    HOOK_DOC("state", state_keys, "(vm, state: string, reason)",
             "the machine pauses, goes on, ends, was reset or switches itself off")
};
