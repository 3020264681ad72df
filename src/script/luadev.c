/* Instances of device types written in Lua: their life, and how accesses, lines, timers and
 * characters enter the functions of the definition.
 *
 * Everything that calls Lua may find the device gone when it comes back, because a function may
 * remove its own device. The memory stays (device_retire), so what is looked at afterwards is
 * d->realized. A function that raises follows the definition's on_error; a read then gives all
 * ones. */
#include "script/luadev.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* ---- calls ---- */

struct call {
    struct device *d;
    unsigned argc;
    bool first_is_boolean;
    enum { WANTS_NOTHING, WANTS_INTEGER, WANTS_CONSENT } wants;
    bool answered;
    const char *wrong; /* the type of an answer that is not what is wanted */
    uint64_t args[3];
    const uint8_t *text; /* after the integers, when not NULL */
    size_t text_len;
    uint64_t result;
};

static int push_arguments(lua_State *L, void *opaque)
{
    struct call *c = opaque;
    lua_pushvalue(L, HOOK_SUBJECT);
    for (unsigned i = 0; i < c->argc; i++) {
        if (i == 0 && c->first_is_boolean)
            lua_pushboolean(L, c->args[i] != 0);
        else
            lua_pushinteger(L, (lua_Integer)c->args[i]);
    }
    if (c->text)
        lua_pushlstring(L, (const char *)c->text, c->text_len);
    return 1 + (int)c->argc + (c->text != NULL);
}

static void take_integer(lua_State *L, void *opaque)
{
    struct call *c = opaque;
    if (c->wants == WANTS_CONSENT)
        c->result = lua_isnil(L, HOOK_RESULT) || lua_toboolean(L, HOOK_RESULT);
    else if (lua_isinteger(L, HOOK_RESULT))
        c->result = (uint64_t)lua_tointeger(L, HOOK_RESULT);
    else if (lua_isboolean(L, HOOK_RESULT))
        c->result = (uint64_t)lua_toboolean(L, HOOK_RESULT);
    else
        c->wrong = luaL_typename(L, HOOK_RESULT);
    c->answered = !c->wrong;
}

/* Call function `fn` of the definition; false if it failed: it raised, or returned something else
 * than is wanted. */
static bool call(struct call *c, int fn, struct error *err)
{
    if (fn < 0 || luadev_of(c->d)->self == LUA_NOREF)
        return true;
    struct hook *h = &luadev_hooks(c->d)[fn];
    h->plain = !c->text;
    if (!hook_call(h, push_arguments, c->wants == WANTS_NOTHING ? NULL : take_integer, c, err))
        return false;
    if (LIKELY(c->wants != WANTS_INTEGER || c->answered))
        return true;
    hook_complain(h, err, "the function must return an integer, not %s",
                  c->wrong ? c->wrong : "nothing");
    return false;
}

/* As an answer to a read. */
static uint64_t call_for_integer(struct call *c, int fn)
{
    c->wants = WANTS_INTEGER;
    return call(c, fn, NULL) && c->answered ? c->result : UINT64_MAX;
}

/* Anything but false is a yes; a function that raises says no. */
static bool call_for_consent(struct call *c, int fn)
{
    c->wants = WANTS_CONSENT;
    return call(c, fn, NULL) && (!c->answered || c->result);
}

/* ---- accesses ---- */

uint32_t luadev_reg_read(void *opaque, unsigned index)
{
    struct luadev_window *w = opaque;
    struct call c = { .d = w->d, .argc = 1, .args = { index } };
    return (uint32_t)call_for_integer(&c, w->type->reg_fns[2 * w->bank.row]);
}

void luadev_reg_write(void *opaque, unsigned index, uint32_t value)
{
    struct luadev_window *w = opaque;
    struct call c = { .d = w->d, .argc = 2, .args = { value, index } };
    call(&c, w->type->reg_fns[2 * w->bank.row + 1], NULL);
}

/* `opaque` may be of a device that is gone, when an access in several parts goes on. */
uint64_t luadev_window_read(void *opaque, uint64_t offset, unsigned size)
{
    struct luadev_window *w = opaque;
    if (UNLIKELY(!w->made))
        return UINT64_MAX;
    if (w->type->regs)
        return reg_bank_read(&w->bank, (uint32_t)offset);
    if (w->type->read < 0)
        return UINT64_MAX;
    struct call c = { .d = w->d, .argc = 2, .args = { offset, size } };
    return call_for_integer(&c, w->type->read);
}

void luadev_window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct luadev_window *w = opaque;
    if (UNLIKELY(!w->made))
        return;
    if (w->type->regs) {
        reg_bank_write(&w->bank, (uint32_t)offset, (uint32_t)value);
        return;
    }
    struct call c = { .d = w->d, .argc = 3, .args = { offset, value, size } };
    call(&c, w->type->write, NULL);
}

void luadev_config_written(struct pci_device *p, unsigned offset, uint32_t value, unsigned size)
{
    struct call c = { .d = &p->dev, .argc = 3, .args = { offset, value, size } };
    call(&c, luadev_type_of(&p->dev)->config_written, NULL);
}

/* ---- I2C ---- */

static bool i2c_started(struct i2c_device *d, bool read)
{
    struct call c = { .d = &d->dev, .argc = 1, .args = { read }, .first_is_boolean = true };
    return call_for_consent(&c, luadev_type_of(&d->dev)->i2c_start);
}

static bool i2c_sent(struct i2c_device *d, uint8_t byte)
{
    struct call c = { .d = &d->dev, .argc = 1, .args = { byte } };
    int fn = luadev_type_of(&d->dev)->i2c_send;
    return fn >= 0 && call_for_consent(&c, fn);
}

static uint8_t i2c_wanted(struct i2c_device *d, bool last)
{
    struct call c = { .d = &d->dev, .argc = 1, .args = { last }, .first_is_boolean = true };
    return (uint8_t)call_for_integer(&c, luadev_type_of(&d->dev)->i2c_receive);
}

static void i2c_stopped(struct i2c_device *d)
{
    struct call c = { .d = &d->dev };
    call(&c, luadev_type_of(&d->dev)->i2c_stop, NULL);
}

const struct i2c_class luadev_i2c_class = { i2c_started, i2c_sent, i2c_wanted, i2c_stopped };

/* ---- lines, timers, characters ---- */

static void input_changed(void *opaque, unsigned list, int n, bool level)
{
    struct device *d = opaque;
    struct call c = { .d = d, .argc = 2, .args = { (uint64_t)n, level } };
    call(&c, luadev_type_of(d)->in[list].changed, NULL);
}

/* A line's handler knows the device and the number, not the name: one function per name. */
#define INPUT_HANDLER(LIST)                                   \
    static void input_##LIST(void *opaque, int n, bool level) \
    {                                                         \
        input_changed(opaque, LIST, n, level);                \
    }
INPUT_HANDLER(0)
INPUT_HANDLER(1)
INPUT_HANDLER(2)
INPUT_HANDLER(3)
INPUT_HANDLER(4)
INPUT_HANDLER(5)
INPUT_HANDLER(6)
INPUT_HANDLER(7)

static void (*const input_handlers[LUADEV_LISTS])(void *, int, bool) = { input_0, input_1, input_2,
                                                                         input_3, input_4, input_5,
                                                                         input_6, input_7 };

static void timer_fired(void *opaque)
{
    struct luadev_timer *timer = opaque;
    struct call c = { .d = timer->d };
    call(&c, luadev_type_of(timer->d)->timers[timer->n].fire, NULL);
}

static size_t can_receive(void *opaque)
{
    struct device *d = opaque;
    const struct luadev_type *t = luadev_type_of(d);
    if (t->receive < 0 || !d->realized)
        return 0;
    if (t->room < 0)
        return SIZE_MAX;
    struct call c = { .d = d, .wants = WANTS_INTEGER };
    bool ok = call(&c, t->room, NULL) && c.answered && (int64_t)c.result > 0;
    return ok ? (size_t)c.result : 0;
}

static void receive(void *opaque, const uint8_t *data, size_t len)
{
    struct device *d = opaque;
    struct call c = { .d = d, .text = data, .text_len = len };
    call(&c, luadev_type_of(d)->receive, NULL);
}

/* ---- life ---- */

static int make_object(lua_State *L)
{
    struct device *d = lua_touserdata(L, 1);
    luadev_push_object(L, d);
    luadev_of(d)->self = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void make_hooks(struct device *d)
{
    const struct luadev_type *t = luadev_type_of(d);
    for (size_t i = 0; i < t->fn_count; i++)
        luadev_hooks(d)[i] = (struct hook){ .universe = t->universe,
                                            .name = t->fns[i].name,
                                            .ref = t->fns[i].ref,
                                            .subject = luadev_of(d)->self,
                                            .on_error = t->on_error,
                                            .target = &t->svm->target };
}

bool luadev_init(struct device *d, struct error *err)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct luadev *l = luadev_of(d);
    l->self = LUA_NOREF;
    for (unsigned i = 0; i < t->timer_count; i++) {
        l->timers[i].d = d;
        l->timers[i].n = i;
        timer_init(&l->timers[i].timer, &d->machine->virtual, timer_fired, &l->timers[i]);
    }
    lua_State *L;
    bool ok = hook_enter_main(t->universe, make_object, d, &L) == LUA_OK;
    if (L)
        hook_leave(t->universe);
    make_hooks(d);
    return ok || error_set_host(err, 0, "%s: no memory for its Lua object", device_name(d));
}

static void make_lines(struct device *d)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct irq **lines = luadev_lines(d);
    if (t->irqs && t->parent == LUADEV_SYSBUS)
        sysbus_init_irqs((struct sysbus_device *)d, lines, t->irqs);
    for (unsigned i = 0; i < t->in_count; i++)
        device_init_gpio_in(d, t->in[i].name, input_handlers[i], t->in[i].count);
    for (unsigned i = 0; i < t->out_count; i++)
        device_init_gpio_out(d, t->out[i].name, lines + t->out[i].first, t->out[i].count);
}

static void make_windows(struct device *d)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct luadev *l = luadev_of(d);
    for (unsigned i = 0; i < t->window_count; i++) {
        const struct luadev_window_type *wt = &t->windows[i];
        struct luadev_window *w = &l->windows[i];
        w->d = d;
        w->type = wt;
        if (wt->regs)
            reg_bank_init(&w->bank, t->type.name, wt->regs, wt->reg_count, (uint32_t)wt->size,
                          luadev_values(d) + wt->first_slot, w);
        region_init_io(&w->region, d->machine->mem, wt->name, wt->size, &wt->ops, w);
        w->region.owner = d;
        if (wt->regs)
            reg_bank_publish(&w->bank, &d->reg_banks, &w->region);
        w->made = true;
    }
}

static uint64_t builtin_prop(const struct device *d, size_t index)
{
    const struct prop *p = &luadev_type_of(d)->props[index - 1];
    const char *at = (const char *)d + p->offset;
    return p->kind == PROP_U64 ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static bool map_ports(struct device *d, struct luadev_window *w, uint64_t *port, struct error *err)
{
    if (*port + w->type->size > 0x10000)
        return error_set(err, "%s: ports 0x%llx..0x%llx reach beyond 0xffff; lower iobase",
                         device_name(d), (unsigned long long)*port,
                         (unsigned long long)(*port + w->type->size - 1));
    if (luadev_type_of(d)->parent == LUADEV_ISA)
        isa_map_ports((struct isa_device *)d, &w->region, (uint16_t)*port);
    else
        region_add(&d->machine->io_ports, *port, &w->region, 0);
    *port += w->type->size;
    return true;
}

static bool place_windows(struct device *d, struct error *err)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct luadev *l = luadev_of(d);
    uint64_t port = t->iobase ? builtin_prop(d, t->iobase) : 0;
    for (unsigned i = 0; i < t->window_count; i++) {
        struct luadev_window *w = &l->windows[i];
        if (t->parent == LUADEV_PCI)
            pci_register_bar((struct pci_device *)d, (unsigned)w->type->bar,
                             (enum pci_bar_kind)w->type->bar_kind, &w->region);
        else if (!w->type->io)
            sysbus_add_mmio((struct sysbus_device *)d, &w->region);
        else if (!map_ports(d, w, &port, err))
            return false;
    }
    uint64_t addr = t->addr ? builtin_prop(d, t->addr) : UINT64_MAX;
    return addr == UINT64_MAX || sysbus_map((struct sysbus_device *)d, 0, addr, 0, err);
}

static bool attach_chardev(struct device *d, struct error *err)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct luadev *l = luadev_of(d);
    if (!t->chardev)
        return true;
    struct chardev *c = *(struct chardev **)((char *)d + t->props[t->chardev - 1].offset);
    l->front = (struct chardev_front){ can_receive, receive, d };
    if (c && !chardev_attach(c, &l->front))
        return error_set(err, "%s: chardev \"%s\" serves another device already", device_name(d),
                         c->id);
    l->attached = c != NULL;
    return true;
}

/* `made`: just now, so what a reset keeps gets its first value too. */
static void reset_values(struct device *d, bool made)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct luadev *l = luadev_of(d);
    for (unsigned i = 0; i < t->window_count; i++)
        if (l->windows[i].made && t->windows[i].regs)
            reg_bank_reset(&l->windows[i].bank);
    for (size_t i = 0; i < t->data; i++) {
        if (t->state_rules[i].keep && !made)
            continue;
        char *at = (char *)d + t->state[i].offset;
        memset(at, 0, align_up(t->state[i].count, 8));
        if (t->state[i].kind != STATE_KIND_BYTES)
            *(uint64_t *)at = t->state_rules[i].value;
    }
}

static void undo(struct device *d)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct luadev *l = luadev_of(d);
    for (unsigned i = 0; i < t->timer_count; i++)
        timer_cancel(&l->timers[i].timer);
    if (l->attached)
        chardev_attach(*(struct chardev **)((char *)d + t->props[t->chardev - 1].offset), NULL);
    l->attached = false;
    for (unsigned i = 0; i < t->window_count; i++) {
        struct luadev_window *w = &l->windows[i];
        if (!w->made)
            continue;
        w->made = false;
        region_fini(&w->region);
        reg_bank_fini(&w->bank);
    }
    if (t->i2c_bus)
        i2c_bus_fini(&l->i2c_bus);
}

bool luadev_realize(struct device *d, struct error *err)
{
    const struct luadev_type *t = luadev_type_of(d);
    if (t->i2c_bus)
        i2c_bus_init(&luadev_of(d)->i2c_bus, t->i2c_bus, d);
    make_lines(d);
    make_windows(d);
    reset_values(d, true);
    bool ok = place_windows(d, err);
    if (ok && t->irq)
        ok = isa_connect_irq((struct isa_device *)d, &luadev_of(d)->isa_irq,
                             (int)builtin_prop(d, t->irq), err);
    ok = ok && attach_chardev(d, err);
    struct call c = { .d = d };
    if (ok && call(&c, t->realize, err))
        return true;
    undo(d);
    return false;
}

/* The function may still use the device, but not when the whole machine goes: what it would find
 * there is half gone. */
void luadev_unrealize(struct device *d)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct call c = { .d = d };
    if (!t->svm->closing)
        call(&c, t->unrealize, NULL);
    undo(d);
}

bool luadev_prop_changed(struct device *d, const struct prop *p, struct error *err)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct call c = { .d = d };
    return call(&c, t->prop_changed[p - t->props], err);
}

/* Interrupt lines go down, as those of a chip do. */
void luadev_reset(struct device *d)
{
    const struct luadev_type *t = luadev_type_of(d);
    struct luadev *l = luadev_of(d);
    for (unsigned i = 0; i < t->timer_count; i++)
        timer_cancel(&l->timers[i].timer);
    reset_values(d, false);
    for (unsigned i = 0; i < t->irqs && t->parent == LUADEV_SYSBUS; i++)
        irq_lower(luadev_lines(d)[i]);
    irq_lower(l->isa_irq);
    if (t->i2c_bus)
        l->i2c_bus.current = NULL;
    struct call c = { .d = d };
    call(&c, t->reset, NULL);
}

/* `dev` no longer leads here. */
void luadev_finalize(struct device *d)
{
    struct luadev *l = luadev_of(d);
    if (l->self == LUA_NOREF)
        return;
    lua_State *L = luadev_type_of(d)->universe->factory;
    lua_rawgeti(L, LUA_REGISTRYINDEX, l->self);
    *(struct device **)lua_touserdata(L, -1) = NULL;
    for (int view = 2; view <= 3; view++) {
        lua_getiuservalue(L, -1, view);
        *(struct device **)lua_touserdata(L, -1) = NULL;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, l->self);
    l->self = LUA_NOREF;
    for (size_t i = 0; i < luadev_type_of(d)->fn_count; i++)
        hook_forget(&luadev_hooks(d)[i]);
}
