/* The integer instructions of the software CPU against the host's.
 *
 * Each case is a random instruction and a random state. Instructions are made from the rows of the
 * opcode table, so that a new row is tested by being there; `untested` names the operations that
 * cannot be compared in ring 3. The bytes run natively and, through vcpu_soft, in a guest whose
 * memory operands have the same addresses. Registers, memory, the next instruction, faults and the
 * flags that the manual defines must agree. PERILUNE_SEED=n repeats a run, PERILUNE_CASES=n sets
 * its length. */
#include "native_case.h"

#include "base/log.h"

#include <sys/mman.h>
#include <time.h>

enum { DEFAULT_CASES = 1000000, FAILURES_MAX = 20 };

static uint8_t *host_code;
static unsigned failures;

/* ---- what may differ ---- */

static bool is_named(const struct row *row, const char *names)
{
    size_t n = strlen(row->op->name);
    for (const char *at = names; (at = strstr(at, row->op->name)); at += n)
        if ((at == names || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* How far a shift or rotate goes, and of what size. */
static unsigned shift_count(const struct insn_case *t)
{
    unsigned form = t->row->op->form;
    unsigned count = form == F_E1                      ? 1
                     : form == F_EUB || form == F_EGUB ? t->bytes[t->len - 1]
                                                       : (unsigned)t->in.r[RCX];
    return count & (size_of(t) == 8 ? 63 : 31);
}

/* SDM vol. 2: the flags that each instruction leaves undefined. */
static uint32_t undefined_flags(const struct insn_case *t)
{
    const struct row *row = t->row;
    unsigned bits = 8 * size_of(t);
    if (is_named(row, "and or xor test"))
        return FLAG_AF;
    if (is_named(row, "andn blsr blsmsk blsi bzhi"))
        return FLAG_AF | FLAG_PF;
    if (is_named(row, "bextr"))
        return FLAG_AF | FLAG_SF | FLAG_PF;
    if (is_named(row, "tzcnt lzcnt"))
        return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
    if (is_named(row, "mul imul"))
        return FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
    if (is_named(row, "div idiv"))
        return FLAGS_ARITH;
    if (is_named(row, "bt bts btr btc"))
        return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
    if (is_named(row, "bsf bsr"))
        return FLAG_CF | FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
    if (!is_named(row, "rol ror rcl rcr shl shr sal sar shld shrd"))
        return 0;
    unsigned count = shift_count(t);
    if (count == 0)
        return 0;
    uint32_t of = count > 1 ? FLAG_OF : 0;
    if (is_named(row, "rol ror rcl rcr"))
        return of;
    if (is_named(row, "shld shrd"))
        return count > bits ? (uint32_t)FLAGS_ARITH : of | FLAG_AF;
    return of | FLAG_AF | (count >= bits && !is_named(row, "sar") ? FLAG_CF : 0);
}

/* Nothing of the result is defined. */
static bool undefined_result(const struct insn_case *t, const struct native_result *host)
{
    /* Of a source of zero, processors agree that the destination stays, but not about the upper
     * half. */
    if (is_named(t->row, "bsf bsr"))
        return host->regs.rflags & FLAG_ZF && size_of(t) == 4;
    if (is_named(t->row, "shld shrd"))
        return shift_count(t) > 8 * size_of(t);
    return is_named(t->row, "bswap") && size_of(t) == 2;
}

/* ---- running ---- */

static void run_native(const struct insn_case *t, struct native_result *out)
{
    uint8_t *at = host_code + (t->rip - AREA);
    memset(host_code, 0xcc, CODE_PAGES * 0x1000);
    memcpy(at, t->bytes, t->len);
    native_put_stub(at + t->len, false);
    native_put_stub(at + t->len + TAKEN_DISTANCE, true);
    native_run(&t->in, t->rip, out);
}

static void run_soft(const struct insn_case *t, struct native_result *out)
{
    struct soft_cpu *c = guest_cpu(&guest);
    struct kvm_regs r = { .rip = t->rip, .rflags = t->in.rflags };
    struct guest_frame f;
    /* Back to ring 3 without a word to the backend: only the last case's fault has changed it. */
    if (c->cpl != 3)
        guest_start(&guest, true);
    guest_put(&guest, CODE_PHYS + (t->rip - AREA), t->bytes, t->len);
    assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
    memcpy(c->r, t->in.r, sizeof t->in.r);
    *out = (struct native_result){ .vector = -1 };
    for (unsigned n = 0; n < 64; n++) {
        enum vcpu_stop stop = guest_run(&guest, 1);
        assert_int_equal(stop, VCPU_STOP_LIMIT);
        if (c->rip != t->rip || !t->rep)
            break;
    }
    memcpy(out->regs.r, c->r, sizeof out->regs.r);
    out->regs.rflags = eflags_get(c);
    out->rip = c->rip;
    out->vector = guest_fault(&guest, &f);
    if (out->vector >= 0) {
        out->rip = f.rip;
        out->regs.r[RSP] = f.rsp;
        out->regs.rflags = f.rflags;
    }
    out->taken = c->rip == t->rip + t->len + TAKEN_DISTANCE;
}

static void report(const struct insn_case *t, const struct native_result *host,
                   const struct native_result *soft, const char *what)
{
    if (failures++ >= FAILURES_MAX)
        return;
    print_error("%s: %s differs; bytes", t->row->op->name, what);
    for (unsigned n = 0; n < t->len; n++)
        print_error(" %02x", t->bytes[n]);
    print_error(" at %#llx, operand at %#llx\n", (unsigned long long)t->rip,
                (unsigned long long)t->target);
    for (unsigned n = 0; n < 16; n++)
        if (host->regs.r[n] != soft->regs.r[n] || t->in.r[n] != host->regs.r[n])
            print_error("    r%-2u was %016llx  host %016llx  soft %016llx\n", n,
                        (unsigned long long)t->in.r[n], (unsigned long long)host->regs.r[n],
                        (unsigned long long)soft->regs.r[n]);
    print_error("    flags was %#llx  host %#llx  soft %#llx\n", (unsigned long long)t->in.rflags,
                (unsigned long long)host->regs.rflags, (unsigned long long)soft->regs.rflags);
    print_error("    vector host %d soft %d, rip of soft %#llx\n", host->vector, soft->vector,
                (unsigned long long)soft->rip);
}

static const char *difference(const struct insn_case *t, const struct native_result *host,
                              const struct native_result *soft)
{
    uint32_t flags = (FLAGS_ARITH | FLAG_DF | FLAG_IF) & ~undefined_flags(t);
    if (host->vector != soft->vector)
        return "the fault";
    if (host->vector >= 0 ? host->rip != soft->rip : host->taken != soft->taken)
        return "the next instruction";
    if (host->vector < 0 && !soft->taken && soft->rip != t->rip + t->len)
        return "the length";
    if (undefined_result(t, host))
        return NULL;
    if ((host->regs.rflags ^ soft->regs.rflags) & flags)
        return "a flag";
    if (memcmp(host->regs.r, soft->regs.r, sizeof host->regs.r) != 0)
        return "a register";
    return memcmp(host_data, guest.ram.host + DATA_PHYS, DATA_SIZE) != 0 ? "memory" : NULL;
}

static void run_case(struct row *row)
{
    struct insn_case t;
    struct native_result host, soft;
    make_case(&t, row);
    run_native(&t, &host);
    run_soft(&t, &soft);
    const char *what = difference(&t, &host, &soft);
    if (what)
        report(&t, &host, &soft, what);
    memcpy(guest.ram.host + DATA_PHYS, host_data, DATA_SIZE);
}

/* ---- the test ---- */

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static uint8_t *host_area(uint64_t at, size_t size, int protection)
{
    void *p = mmap((void *)at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                   -1, 0);
    assert_ptr_equal(p, (void *)at);
    return p;
}

static void list_untested(void)
{
    for (unsigned n = 0; n < row_count; n++) {
        const struct row *r = &rows[n];
        const char *why = why_untested(r);
        if (r->cases || (why && strncmp(why, "in ", 3) == 0))
            continue;
        const char *group = (const char *[]){ "",    " /0", " /1", " /2", " /3",
                                              " /4", " /5", " /6", " /7" }[r->group + 1];
        print_message("not executed: map %u opcode %02x%s %s (%s)\n", r->map, r->opcode, group,
                      r->op->name, why ? why : "too few cases");
    }
}

static void test_against_host(void **state)
{
    (void)state;
    seed = from_environment("PERILUNE_SEED", (uint64_t)time(NULL));
    uint64_t cases = from_environment("PERILUNE_CASES", DEFAULT_CASES);
    print_message("PERILUNE_SEED=%llu PERILUNE_CASES=%llu\n", (unsigned long long)seed,
                  (unsigned long long)cases);
    seed = seed * 2 + 1;
    log_set_level(LOG_ERROR); /* invalid instructions are part of it */
    host_code = host_area(AREA, CODE_PAGES * 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC);
    host_data = host_area(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE);
    native_init(AREA, AREA + CODE_PAGES * 0x1000);
    guest_init_model(&guest, "max");
    for (unsigned n = 0; n < CODE_PAGES; n++)
        guest_map(&guest, AREA + n * 0x1000, CODE_PHYS + n * 0x1000, MAP_ALL);
    for (unsigned n = 0; n < DATA_PAGES; n++)
        guest_map(&guest, DATA_BASE + n * 0x1000, DATA_PHYS + n * 0x1000, MAP_ALL);
    guest_start(&guest, true);
    collect_rows();

    struct row *tested[ARRAY_LEN(rows)];
    unsigned count = 0;
    for (unsigned n = 0; n < row_count; n++)
        if (!why_untested(&rows[n]))
            tested[count++] = &rows[n];
    assert_true(count > 0);
    /* Every row has its turn; with few cases, a random part of them. */
    for (uint64_t n = 0; n < cases; n++)
        run_case(tested[cases < count ? below(count) : n % count]);
    list_untested();
    print_message("%u of %u rows compared in %llu cases\n", count, row_count,
                  (unsigned long long)cases);
    guest_fini(&guest);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_host) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
