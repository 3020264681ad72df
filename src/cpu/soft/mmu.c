/* Addresses: every access that the fast path cannot do. Page walks are paging.c, the TLB tlb.c.
 *
 * SDM vol. 3 chapter 4. A TLB entry serves one virtual page for one privilege (user or supervisor)
 * and holds a tag per kind of access; A and D bits are set before a tag is. Pages that are not
 * plain memory get entries too, marked TLB_IO, that lead to the physical address. */
#include "cpu/soft/operand.h"
#include "cpu/soft/paging.h"
#include "cpu/soft/tracing.h"

#include "base/log.h"

static struct tlb_entry *slot_of(struct soft_cpu *c, enum rights rights, uint64_t va)
{
    return tlb_slot(c->tlbs[rights], va);
}

/* Where one page's worth of an access goes. */
struct target {
    uint8_t *host;     /* NULL: a device, or memory that this access may not touch directly */
    uint64_t gpa;      /* when host is NULL */
    uint64_t ram_addr; /* when host is not NULL */
    bool told;         /* somebody must be told of a write */
};

static int fault_non_canonical(struct soft_cpu *c)
{
    const struct insn *i = c->cur;
    bool stack = i && i->flags & INSN_MEM && i->seg == SEG_SS;
    return raise_error(c, stack ? VEC_SS : VEC_GP, 0);
}

/* By a debug register, or by a hook. */
static bool is_watched_page(const struct soft_cpu *c, uint64_t va)
{
    return (c->debug_data && debug_watches_page(c, va)) ||
           (c->watch.data.count && watch_covers_page(c, va));
}

/* Translate and remember. 0 or X_FAULT. */
static int tlb_fill(struct soft_cpu *c, uint64_t va, int access, enum rights rights,
                    struct target *t)
{
    if (UNLIKELY(long_mode(c) && !is_canonical(va)))
        return fault_non_canonical(c);
    struct walk w;
    if (!paging_walk(c, va, access, rights, &w))
        return raise_page_fault(c, va, w.error);
    tlb_note_page_size(c, va, w.shift);
    uint64_t page = va & ~0xfffULL, off = va & 0xfff;
    *t = (struct target){ .gpa = w.gpa };
    struct tlb_entry e = { { TLB_INVALID, TLB_INVALID }, 0, w.gpa - off };
    const struct flat_range *r = range_at(c, w.gpa);
    bool whole = r && r->start <= w.gpa - off && r->last >= w.gpa - off + 0xfff;
    if (whole && r->host) {
        e.phys = r->ram_addr + (w.gpa - off - r->start);
        e.addend = (uint64_t)(r->host + (w.gpa - off - r->start)) - page;
        e.tag[ACCESS_READ] = page;
        t->ram_addr = e.phys + off;
        if (access == ACCESS_WRITE && !r->readonly) {
            t->told = is_told(c, e.phys);
            e.tag[ACCESS_WRITE] = page | (t->told ? TLB_TOLD : 0);
        }
        if (access == ACCESS_READ || !r->readonly)
            t->host = (uint8_t *)(va + e.addend);
    } else {
        e.tag[ACCESS_READ] = page | TLB_IO;
        if (access == ACCESS_WRITE)
            e.tag[ACCESS_WRITE] = page | TLB_IO;
    }
    if (UNLIKELY(is_watched_page(c, va)))
        for (unsigned n = 0; n < 2; n++)
            e.tag[n] |= TLB_WATCH; /* leaves TLB_INVALID as it is */
    if (w.global)
        e.phys |= TLB_GLOBAL;
    tlb_put(c, rights, va, &e);
    return 0;
}

static int resolve(struct soft_cpu *c, uint64_t va, int access, enum rights rights,
                   struct target *t)
{
    struct tlb_entry *e = slot_of(c, rights, va);
    uint64_t tag = e->tag[access];
    if (tag == TLB_INVALID || (tag & ~0xfffULL) != (va & ~0xfffULL))
        return tlb_fill(c, va, access, rights, t);
    uint64_t phys = (e->phys & ~0xfffULL) + (va & 0xfff);
    if ((tag & TLB_TOLD) && !is_told(c, phys))
        tag = e->tag[access] &= ~(uint64_t)TLB_TOLD;
    *t = tag & TLB_IO ? (struct target){ .gpa = phys }
                      : (struct target){ .host = (uint8_t *)(va + e->addend),
                                         .ram_addr = phys,
                                         .told = tag & TLB_TOLD };
    return 0;
}

/* The memory that instructions are fetched from: taps tell of data only. NULL: not memory. */
static const struct flat_range *fetch_range(struct soft_cpu *c, uint64_t gpa)
{
    const struct flat_range *r = range_at(c, gpa);
    while (r && !r->host)
        r = r->beneath ? flatview_lookup(r->beneath, gpa) : NULL;
    return r;
}

const uint8_t *mmu_memory(struct soft_cpu *c, uint64_t gpa, uint64_t size)
{
    const struct flat_range *first = fetch_range(c, gpa), *last = fetch_range(c, gpa + size - 1);
    if (!first || !last)
        return NULL;
    const uint8_t *host = first->host + (gpa - first->start);
    return last->host + (gpa + size - 1 - last->start) == host + size - 1 ? host : NULL;
}

/* The page at `gpa_page` as one piece of host memory: *ram gets its RAM address. NULL: it is not.
 */
static const uint8_t *fetch_page(struct soft_cpu *c, uint64_t gpa_page, uint64_t *ram)
{
    const struct flat_range *first = fetch_range(c, gpa_page);
    *ram = first ? first->ram_addr + (gpa_page - first->start) : 0;
    return mmu_memory(c, gpa_page, 0x1000);
}

const uint8_t *mmu_fetch(struct soft_cpu *c, uint64_t va, uint64_t *ram_addr)
{
    if (!long_mode(c))
        va = (uint32_t)va;
    bool user = is_user(c);
    uint64_t page = va & ~0xfffULL, off = va & 0xfff;
    struct fetch_entry *e = &c->fetch_tlb[user][va >> 12 & (FETCH_TLB_SIZE - 1)];
    if (LIKELY(e->tag == page)) {
        *ram_addr = (e->ram_page & ~0xfffULL) + off;
        return e->host + off;
    }
    struct walk w;
    if (!paging_walk(c, va, ACCESS_EXEC, user ? RIGHTS_USER : RIGHTS_SYSTEM, &w)) {
        raise_page_fault(c, va, w.error);
        *ram_addr = 0;
        return NULL;
    }
    tlb_note_page_size(c, va, w.shift);
    uint64_t ram_page;
    const uint8_t *host = fetch_page(c, w.gpa - off, &ram_page);
    if (!host) {
        *ram_addr = FETCH_BYTES;
        return NULL;
    }
    tlb_put_fetch(c, e,
                  &(struct fetch_entry){ page, host, ram_page | (w.global ? TLB_GLOBAL : 0) });
    *ram_addr = (e->ram_page & ~0xfffULL) + off;
    return e->host + off;
}

int mmu_fetch_byte(struct soft_cpu *c, uint64_t va, uint8_t *byte)
{
    struct walk w;
    uint64_t v;
    if (!long_mode(c))
        va = (uint32_t)va;
    if (!paging_walk(c, va, ACCESS_EXEC, is_user(c) ? RIGHTS_USER : RIGHTS_SYSTEM, &w))
        return raise_page_fault(c, va, w.error);
    if (!range_at(c, w.gpa))
        log_guest("cpu", "instruction fetch at %#llx from physical %#llx, where nothing is",
                  (unsigned long long)va, (unsigned long long)w.gpa);
    enter_machine(c);
    address_space_load(c->vcpu.memory, w.gpa, 1, &v);
    leave_machine(c);
    *byte = (uint8_t)v;
    return 0;
}

/* ---- devices ---- */

/* Something has been asked of the loop meanwhile: a timer moved, an interrupt came, the map
 * changed. */
static int after_device(struct soft_cpu *c)
{
    return atomic_load_explicit(&c->stop_at, memory_order_relaxed) ? 0 : X_BREAK;
}

static int leave_device(struct soft_cpu *c)
{
    leave_machine(c);
    return after_device(c);
}

static int device_load(struct soft_cpu *c, uint64_t gpa, unsigned size, uint64_t *v)
{
    c->stats.exits_mmio++;
    enter_machine(c);
    address_space_load(c->vcpu.memory, gpa, size, v);
    return leave_device(c);
}

static int device_store(struct soft_cpu *c, uint64_t gpa, unsigned size, uint64_t v)
{
    c->stats.exits_mmio++;
    enter_machine(c);
    address_space_store(c->vcpu.memory, gpa, size, v);
    return leave_device(c);
}

/* `smi`: one had waited before. */
static int leave_port(struct soft_cpu *c, uint16_t port, unsigned size, bool in, bool smi)
{
    leave_machine(c);
    if (UNLIKELY(c->smi && !smi))
        smm_note_io(c, port, size, in);
    return after_device(c);
}

int io_in(struct soft_cpu *c, uint16_t port, unsigned size, uint64_t *v)
{
    bool smi = c->smi;
    c->stats.exits_pio++;
    if (UNLIKELY(c->debug_io))
        debug_io_access(c, port, size);
    enter_machine(c);
    address_space_load(c->vcpu.machine->io, port, size, v);
    return leave_port(c, port, size, true, smi);
}

int io_out(struct soft_cpu *c, uint16_t port, unsigned size, uint64_t v)
{
    bool smi = c->smi;
    c->stats.exits_pio++;
    if (UNLIKELY(c->debug_io))
        debug_io_access(c, port, size);
    enter_machine(c);
    address_space_store(c->vcpu.machine->io, port, size, v);
    return leave_port(c, port, size, false, smi);
}

/* ---- accesses ---- */

static int target_load(struct soft_cpu *c, const struct target *t, unsigned size, uint64_t *v)
{
    if (!t->host)
        return device_load(c, t->gpa, size, v);
    *v = ld_le(t->host, size);
    return 0;
}

static int target_store(struct soft_cpu *c, const struct target *t, unsigned size, uint64_t v)
{
    if (!t->host)
        return device_store(c, t->gpa, size, v);
    bool dropped = t->told && soft_ram_changes(c, t->ram_addr, size);
    st_le(t->host, size, v);
    return dropped ? X_BREAK : 0;
}

/* Linear addresses are 32 bits wide outside of long mode. */
static uint64_t next_page(const struct soft_cpu *c, uint64_t va)
{
    va = (va | 0xfff) + 1;
    return long_mode(c) ? va : (uint32_t)va;
}

/* Must this access be aligned, and is it not? SDM vol. 3 table 6-7. */
static int check_aligned(struct soft_cpu *c, uint64_t va, unsigned size, enum rights rights)
{
    if (LIKELY(!c->aligned) || rights != RIGHTS_USER || !(va & (size - 1)) || size & (size - 1))
        return 0;
    return raise_error(c, VEC_AC, 0);
}

/* Where an access of `size` bytes goes: *split if it continues in t[1], in the next page. Both are
 * translated before either is touched. */
static int resolve_all(struct soft_cpu *c, uint64_t va, unsigned size, int access,
                       enum rights rights, struct target t[2], bool *split)
{
    *split = (va & 0xfff) + size > 0x1000;
    if (UNLIKELY(*split) && long_mode(c) && !is_canonical(next_page(c, va)))
        return fault_non_canonical(c);
    int st = resolve(c, va, access, rights, &t[0]);
    if (!st && UNLIKELY(*split))
        st = resolve(c, next_page(c, va), access, rights, &t[1]);
    return st ? st : check_aligned(c, va, size, rights);
}

static int load_any(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *v, enum rights rights)
{
    struct target t[2];
    if (!long_mode(c))
        va = (uint32_t)va;
    bool split;
    int st = resolve_all(c, va, size, ACCESS_READ, rights, t, &split);
    if (LIKELY(!split))
        return st ? st : target_load(c, t, size, v);
    unsigned first = 0x1000 - (va & 0xfff);
    *v = 0;
    for (unsigned k = 0; k < size && st >= 0; k++) {
        const struct target *from = &t[k >= first];
        unsigned off = k >= first ? k - first : k;
        struct target at = { from->host ? from->host + off : NULL, from->gpa + off, 0, false };
        uint64_t byte;
        st |= target_load(c, &at, 1, &byte);
        *v |= (byte & 0xff) << 8 * k;
    }
    return st;
}

static int store_any(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t v, enum rights rights)
{
    struct target t[2];
    if (!long_mode(c))
        va = (uint32_t)va;
    bool split;
    int st = resolve_all(c, va, size, ACCESS_WRITE, rights, t, &split);
    if (LIKELY(!split))
        return st ? st : target_store(c, t, size, v);
    unsigned first = 0x1000 - (va & 0xfff);
    for (unsigned k = 0; k < size && st >= 0; k++) {
        const struct target *to = &t[k >= first];
        unsigned off = k >= first ? k - first : k;
        /* A device in the first page may have had the dirty log read meanwhile. */
        struct target at = { to->host ? to->host + off : NULL, to->gpa + off, to->ram_addr + off,
                             to->told || !t[0].host };
        st |= target_store(c, &at, 1, v >> 8 * k & 0xff);
    }
    return st;
}

static int probe_any(struct soft_cpu *c, uint64_t va, unsigned size, enum rights rights)
{
    struct target t[2];
    if (!long_mode(c))
        va = (uint32_t)va;
    bool split;
    return resolve_all(c, va, size, ACCESS_WRITE, rights, t, &split);
}

/* A watched access has happened: the loop must look at what it hit. */
static int watched(struct soft_cpu *c, uint64_t va, unsigned size, bool write, int st)
{
    if (c->debug_data)
        debug_data_access(c, va, size, write);
    return c->debug_hits || c->stop_wanted ? X_BREAK : st;
}

static bool watching(const struct soft_cpu *c)
{
    return c->debug_data || c->watch.data.count;
}

int mmu_load_slow(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *v, enum rights rights)
{
    int st = load_any(c, va, size, v, rights);
    if (LIKELY(!watching(c)) || st < 0)
        return st;
    if (c->watch.data.count)
        watch_tell_access(c, va, size, false, v);
    return watched(c, va, size, false, st);
}

int mmu_store_slow(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t v, enum rights rights)
{
    if (LIKELY(!watching(c)))
        return store_any(c, va, size, v, rights);
    /* Whoever is told of a write may be sure that it can happen. */
    int st = probe_any(c, va, size, rights);
    if (st < 0)
        return st;
    if (!c->watch.data.count || watch_tell_access(c, va, size, true, &v))
        st = store_any(c, va, size, v, rights);
    return st < 0 ? st : watched(c, va, size, true, st);
}

int mmu_probe_write(struct soft_cpu *c, uint64_t va, unsigned size)
{
    return probe_any(c, va, size, c->rights);
}

int mmu_probe_read(struct soft_cpu *c, uint64_t va, unsigned size)
{
    struct target t[2];
    bool split;
    return resolve_all(c, long_mode(c) ? va : (uint32_t)va, size, ACCESS_READ, c->rights, t,
                       &split);
}

int mmu_probe_system(struct soft_cpu *c, uint64_t va, unsigned size)
{
    return probe_any(c, va, size, RIGHTS_SYSTEM);
}

uint8_t *mmu_host(struct soft_cpu *c, uint64_t va, int access, int *status)
{
    struct target t;
    *status = resolve(c, va, access, c->rights, &t);
    if (*status)
        return NULL;
    return t.told || c->aligned || is_watched_page(c, va) ? NULL : t.host;
}

/* ---- the view of memory ---- */

/* The cpu that runs must neither use the view meanwhile nor what it shows afterwards. */
static void listener_begin(struct mem_listener *l)
{
    soft_stand_still(CONTAINER_OF(l, struct soft_cpu, listener)->accel);
}

static void take_view(struct soft_cpu *c)
{
    struct flatview *old = c->view;
    c->view = flatview_ref(address_space_view(c->vcpu.memory));
    flatview_unref(old);
    monitor_remap(c);
    mmu_flush(c);
    soft_recheck(c);
}

static void listener_commit(struct mem_listener *l)
{
    take_view(CONTAINER_OF(l, struct soft_cpu, listener));
}

static void ignore_range(struct mem_listener *l, const struct flat_range *r)
{
    (void)l;
    (void)r;
}

void mmu_set_memory(struct soft_cpu *c, struct address_space *as)
{
    struct mem *mem = c->vcpu.machine->mem;
    if (c->vcpu.memory == as)
        return;
    mem_listener_remove(mem, &c->listener);
    c->vcpu.memory = c->listener.as = as;
    mem_listener_add(mem, &c->listener);
    take_view(c); /* one that shows nothing is not told of */
}

void mmu_init(struct soft_cpu *c)
{
    struct machine *m = c->vcpu.machine;
    c->a20_mask = UINT64_MAX;
    c->vcpu.memory = m->memory;
    c->listener = (struct mem_listener){
        .as = m->memory,
        .begin = listener_begin,
        .add = ignore_range,
        .remove = ignore_range,
        .commit = listener_commit,
    };
    c->view = flatview_ref(address_space_view(m->memory));
    mem_listener_add(m->mem, &c->listener);
    tlb_init(c);
}

void mmu_fini(struct soft_cpu *c)
{
    mem_listener_remove(c->vcpu.machine->mem, &c->listener);
    flatview_unref(c->view);
}
