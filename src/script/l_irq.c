/* IRQ lines, and lines whose sink is the script. */
#include "script/binding.h"

#include "base/alloc.h"

static struct irq *check_irq(lua_State *L)
{
    return binding_ptr(L, 1, META_IRQ);
}

static int l_irq_set(lua_State *L)
{
    struct irq *irq = check_irq(L);
    bool level = lua_isboolean(L, 2) ? lua_toboolean(L, 2) : luaL_checkinteger(L, 2) != 0;
    irq_set(irq, level);
    return 0;
}

/* force(level): whatever drives it, and past hooks. */
static int l_irq_force(lua_State *L)
{
    struct irq *irq = check_irq(L);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    irq_force(irq, lua_toboolean(L, 2));
    return 0;
}

static int get_driven(lua_State *L)
{
    lua_pushboolean(L, check_irq(L)->driven);
    return 1;
}

static int l_irq_pulse(lua_State *L)
{
    irq_pulse(check_irq(L));
    return 0;
}

static int get_level(lua_State *L)
{
    lua_pushboolean(L, check_irq(L)->level);
    return 1;
}

static int get_number(lua_State *L)
{
    lua_pushinteger(L, check_irq(L)->n);
    return 1;
}

/* The device whose input it is; NULL: a line of the script. */
static struct device *owner_of(struct machine *m, const struct irq *irq, const char **name)
{
    for (struct device *d = m->devices; d; d = d->next)
        for (struct gpio_list *g = d->gpios; g; g = g->next)
            if (g->in && irq >= g->in && irq < g->in + g->count) {
                *name = g->name;
                return d;
            }
    return NULL;
}

bool script_line_alive(struct script_vm *svm, const struct irq *irq)
{
    const char *name;
    for (struct script_line *s = svm->lines; s; s = s->next)
        if (&s->irq == irq)
            return true;
    return owner_of(vm_machine(svm->vm), irq, &name) != NULL;
}

static int get_rises(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_irq(L)->rises);
    return 1;
}

/* It begins low. */
static int get_falls(lua_State *L)
{
    struct irq *irq = check_irq(L);
    lua_pushinteger(L, (lua_Integer)(irq->rises - irq->level));
    return 1;
}

/* m:line(): a line that ends here. */
int l_machine_line(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    struct script_line *s = ALLOC(struct script_line);
    s->next = svm->lines;
    svm->lines = s;
    irq_init(&s->irq, NULL, NULL, 0);
    binding_push(L, svm, META_IRQ, &s->irq);
    return 1;
}

static bool irq_alive(struct script_vm *svm, const void *p)
{
    return script_line_alive(svm, p);
}

static int irq_tostring(lua_State *L)
{
    struct irq *irq = check_irq(L);
    const char *name = "", *level = irq->level ? "high" : "low";
    struct device *d = owner_of(vm_machine(binding_vm(L, 1, META_IRQ)->vm), irq, &name);
    if (d)
        lua_pushfstring(L, "irq line %s%s%d of %s (%s)", name, *name ? " " : "", irq->n,
                        device_name(d), level);
    else
        lua_pushfstring(L, "irq line of the script (%s)", level);
    return 1;
}

static const struct binding_member methods[] = {
    { "set", l_irq_set, "(level)", "drive it" },
    { "pulse", l_irq_pulse, "()", "drive it high and low again" },
    { "force", l_irq_force, "(boolean)", "be at this level, whatever drives it and past hooks" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "level", get_level, "boolean", "is it high" },
    { "driven", get_driven, "boolean", "what its source drives, whatever hooks have swallowed" },
    { "number", get_number, "integer", "which of its sink's inputs it is" },
    { "rises", get_rises, "integer", "how often it has gone high" },
    { "falls", get_falls, "integer", "how often it has gone low" },
    { NULL },
};

static const struct binding_type irq_type = {
    .meta = META_IRQ,
    .label = "irq line",
    .help = "an interrupt line, seen from its sink",
    .alive = irq_alive,
    .methods = methods,
    .properties = properties,
    .tostring = irq_tostring,
};

void l_irq_open(lua_State *L)
{
    binding_type_new(L, &irq_type);
}
