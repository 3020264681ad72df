/* The modules of the guest's Linux: their symbols, when they come and go, their tables for
 * unwinding.
 *
 * While a hook waits for a module, or is on one's symbol, two functions of the kernel are watched.
 * At do_init_module() a module is complete and none of its code has run; module_arch_cleanup() is
 * called after one has been marked as unformed and before its memory goes. At both the list of
 * modules is read anew, which the guest cannot notice. Machine lock; cpus that stand still, or one
 * in an event. */
#include "script/script_hook.h"
#include "script/script_symbols.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>

static const char *const occasions[] = { "do_init_module", "module_arch_cleanup" };

enum { ORC_ENTRIES_MAX = 1 << 20 }; /* of all modules: the counts are the guest's */

const char *script_symbols_module(const struct script_vm *svm, uint64_t addr)
{
    struct symbols *table = svm->symbols->table;
    const struct symbol *a = symbols_at(table, addr, NULL);
    return a ? symbols_source(table, a->source)->module : NULL;
}

/* Changes with every module that comes or goes: numbers of sources are not used again. */
static unsigned fingerprint(const struct symbols *table)
{
    unsigned n = symbols_source_count(table), loaded = 0;
    for (unsigned i = 0; i < n; i++)
        loaded += symbols_source(table, i)->loaded;
    return n * 0x10000 + loaded;
}

bool script_modules_load(struct script_vm *svm, struct vcpu *v, struct error *err)
{
    struct script_symbols *s = svm->symbols;
    struct guest_memory mem = guest_memory_of_vcpu(v);
    unsigned before = fingerprint(s->table);
    if ((s->has_kernel && !s->placed && !script_kernel_find(svm, v, err)) ||
        !symbols_load_modules(s->table, &mem, err))
        return false;
    if (fingerprint(s->table) == before)
        return true;
    script_modules_forget_orc(s);
    script_hooks_resolve(svm);
    return true;
}

/* ---- when they come and go ---- */

static enum vcpu_verdict look(void *opaque, const struct vm_event_info *info)
{
    struct script_vm *svm = opaque;
    struct script_symbols *s = svm->symbols;
    struct error err = { 0 };
    if (!script_modules_load(svm, info->vcpu, &err) && !s->modules_refused) {
        s->modules_refused = true;
        log_host(LOG_WARN, "symbols", "hooks on symbols of modules stay pending: %s", err.text);
    }
    return VCPU_GO;
}

void script_modules_watch(struct script_vm *svm, bool wanted)
{
    struct script_symbols *s = svm->symbols;
    for (size_t i = 0; s && i < ARRAY_LEN(occasions); i++) {
        struct vm_event *e = &s->module_watch[i];
        uint64_t addr = 0;
        bool there = wanted && s->has_kernel && s->placed &&
                     symbols_parse(s->table, occasions[i], &addr, NULL);
        if (e->fire && (!there || addr != e->first)) {
            vm_event_remove(e);
            e->fire = NULL;
        }
        if (!there || e->fire)
            continue;
        *e = (struct vm_event){ .kind = VM_EVENT_EXEC,
                                .first = addr,
                                .last = addr,
                                .cpu = -1,
                                .fire = look,
                                .opaque = svm };
        if (!vm_event_add(svm->vm, e, NULL)) /* then it is left to vm:load_modules() */
            e->fire = NULL;
    }
}

/* ---- unwinding ---- */

void script_modules_forget_orc(struct script_symbols *s)
{
    for (size_t i = 0; i < s->module_orc_count; i++)
        orc_free(s->module_orc[i]);
    free(s->module_orc);
    s->module_orc = NULL;
    s->module_orc_count = 0;
    s->module_orc_read = false;
}

void script_modules_read_orc(struct script_vm *svm, struct vcpu *v)
{
    struct script_symbols *s = svm->symbols;
    struct guest_memory mem = guest_memory_of_vcpu(v);
    uint32_t left = ORC_ENTRIES_MAX;
    size_t capacity = 0;
    script_modules_load(svm, v, NULL);
    if (s->module_orc_read)
        return;
    s->module_orc_read = true;
    for (unsigned i = 0; i < symbols_source_count(s->table); i++) {
        const struct symbols_source *source = symbols_source(s->table, i);
        if (!source->loaded || source->orc.count == 0 || source->orc.count > left)
            continue;
        struct orc *o = orc_load_module(&source->orc, s->orc, &mem, NULL);
        if (!o)
            continue;
        left -= source->orc.count;
        ALLOC_GROW(s->module_orc, s->module_orc_count, capacity);
        s->module_orc[s->module_orc_count++] = o;
    }
}
