/* System management mode of the software CPU: what a program of the guest's cannot arrange. The
 * rest is in tests/cpu/smm.S. */
#include "soft_fixture.h"

#include "cpu/state.h"

enum { SMRAM = 0xa0000, SMRAM_SIZE = 0x20000, FIRST_BASE = 0x30000 };

static struct guest guest;
static struct region smram;

static int setup(void **state)
{
    struct error err = { 0 };
    (void)state;
    guest_init_model(&guest, "max");
    assert_true(region_init_ram(&smram, guest.machine.mem, "smram", SMRAM_SIZE, &err));
    region_add(&guest.machine.smm, SMRAM, &smram, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    region_fini(&smram);
    guest_fini(&guest);
    return 0;
}

#define HANDLER(name, text) PROGRAM(name, "    .code16\n" text "\n    .code64")
HANDLER(just_rsm, "    rsm");
HANDLER(counts, "    incl %eax\n    rsm");

/* Where the cpu that is at `base` has its handler, and its map. */
static uint8_t *at_base(uint32_t base, unsigned offset)
{
    return base == FIRST_BASE ? guest.ram.host + base + offset : smram.host + base - SMRAM + offset;
}

static void put_handler(uint32_t base, const uint8_t *code, size_t size)
{
    address_space_write(guest.machine.smm_memory, base + 0x8000, code, size);
}
#define PUT_HANDLER(base, name) put_handler(base, name, (size_t)(name##_end - name))

static void raise_smi(void)
{
    guest.port.pins->smi(&guest.port);
}

static bool in_smm(void)
{
    struct vcpu_misc m;
    assert_true(vcpu_soft.get_misc(guest.vcpu, &m, NULL));
    return m.events.flags & KVM_VCPUEVENT_VALID_SMM && m.events.smi.smm;
}

static void set_base(uint32_t base)
{
    assert_true(vcpu_soft.set_msr(guest.vcpu, MSR_SMBASE, base, NULL));
}

/* ---- every mode comes back ---- */

static void to_real(struct kvm_sregs *s, struct kvm_regs *r)
{
    s->cr0 &= ~(uint64_t)(CR0_PE | CR0_PG);
    s->cr4 = s->efer = 0;
    s->cs = guest_segment(0x100, 11, false);
    s->cs.base = 0x1000;
    s->cs.limit = 0xffff;
    s->cs.db = s->cs.g = 0;
    r->rip = 0;
}

static void to_v86(struct kvm_sregs *s, struct kvm_regs *r)
{
    struct kvm_segment *all[] = { &s->cs, &s->ss, &s->ds, &s->es, &s->fs, &s->gs };
    s->cr0 &= ~(uint64_t)CR0_PG;
    s->efer = s->cr4 = 0;
    for (unsigned n = 0; n < ARRAY_LEN(all); n++)
        *all[n] = (struct kvm_segment){ .base = 0x1000,
                                        .limit = 0xffff,
                                        .selector = 0x100,
                                        .type = 3,
                                        .s = 1,
                                        .dpl = 3,
                                        .present = 1 };
    r->rip = 0;
    r->rflags |= FLAG_VM;
}

static void to_protected(struct kvm_sregs *s, struct kvm_regs *r)
{
    (void)r;
    s->cr0 &= ~(uint64_t)CR0_PG;
    s->efer = s->cr4 = 0;
    s->cs = guest_segment(SEL_CODE, 11, false);
}

/* The tables of long mode, whose third level PAE begins with. */
static void to_pae(struct kvm_sregs *s, struct kvm_regs *r)
{
    to_protected(s, r);
    s->cr0 |= CR0_PG;
    s->cr4 = CR4_PAE;
    s->cr3 = DATA;
    uint64_t pdpt = *guest_entry(&guest, TABLES, 0) & ~0xfffULL;
    st_le64(guest.ram.host + DATA, (*guest_entry(&guest, pdpt, 0) & ~0xfffULL) | 1);
}

static void to_compatibility(struct kvm_sregs *s, struct kvm_regs *r)
{
    (void)r;
    s->cs = guest_segment(SEL_CODE, 11, false);
}

static void to_long(struct kvm_sregs *s, struct kvm_regs *r)
{
    (void)s;
    r->rflags |= FLAG_CF | FLAG_AC | FLAG_ID;
    r->r15 = 0x123456789abcdef0;
}

static void to_user(struct kvm_sregs *s, struct kvm_regs *r)
{
    (void)r;
    s->cs = guest_segment(SEL_USER_CODE, 11, true);
    s->ss = guest_segment(SEL_USER_DATA, 3, false);
    s->gs.base = 0xffff888000000000;
    s->cr4 |= CR4_SMAP | CR4_PCIDE;
}

/* There and back takes two counts, and whatever follows in its mode works: INC of eax, which is a
 * prefix in 64-bit mode. */
static void test_modes(void **state)
{
    static const struct {
        void (*to)(struct kvm_sregs *s, struct kvm_regs *r);
        unsigned cpl;
    } modes[] = { { to_real, 0 },          { to_v86, 3 },  { to_protected, 0 }, { to_pae, 0 },
                  { to_compatibility, 0 }, { to_long, 0 }, { to_user, 3 } };
    static const uint8_t code[] = { 0xff, 0xc0, 0xff, 0xc0 }; /* inc %eax, twice */
    (void)state;
    PUT_HANDLER(FIRST_BASE, counts);
    for (unsigned n = 0; n < ARRAY_LEN(modes); n++) {
        struct kvm_sregs s, s2;
        struct kvm_regs r, r2;
        guest_put(&guest, CODE, code, sizeof code);
        guest_start(&guest, false);
        vcpu_soft.get_sregs(guest.vcpu, &s, NULL);
        vcpu_soft.get_regs(guest.vcpu, &r, NULL);
        r.rax = 5;
        modes[n].to(&s, &r);
        assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
        assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
        raise_smi();
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        assert_true(in_smm());
        assert_int_equal(guest_cpu(&guest)->cpl, 0);
        assert_int_equal(guest_run(&guest, 2), VCPU_STOP_LIMIT);
        assert_false(in_smm());
        vcpu_soft.get_sregs(guest.vcpu, &s2, NULL);
        r2 = guest_regs(&guest);
        assert_memory_equal(&s, &s2, sizeof s);
        assert_memory_equal(&r, &r2, sizeof r);
        assert_int_equal(guest_cpu(&guest)->cpl, modes[n].cpl);
        assert_int_equal(guest_run(&guest, 2), VCPU_STOP_LIMIT);
        assert_int_equal(guest_regs(&guest).rax, 7);
    }
}

/* ---- the map ---- */

/* Where each general register is, in the order of their numbers, and what else goes both ways. */
static uint64_t *register_of(struct soft_cpu *c, unsigned n)
{
    uint64_t *const others[] = { &c->seg[SEG_ES].base, &c->seg[SEG_SS].base,
                                 &c->seg[SEG_DS].base, &c->seg[SEG_FS].base,
                                 &c->seg[SEG_GS].base, &c->gdt.base,
                                 &c->ldt.base,         &c->idt.base,
                                 &c->tr.base,          &c->rip };
    return n < 16 ? &c->r[n] : n - 16 < ARRAY_LEN(others) ? others[n - 16] : NULL;
}

/* Each is found in its place, and what the handler puts there is in the cpu afterwards. */
static void test_registers(void **state)
{
    static const uint16_t places[] = {
        0xfff8, 0xfff0, 0xffe8, 0xffe0, 0xffd8, 0xffd0, 0xffc8, 0xffc0, 0xffb8,
        0xffb0, 0xffa8, 0xffa0, 0xff98, 0xff90, 0xff88, 0xff80, 0xfe08, 0xfe28,
        0xfe38, 0xfe48, 0xfe58, 0xfe68, 0xfe78, 0xfe88, 0xfe98, 0xff78,
    };
    struct soft_cpu *c;
    (void)state;
    PUT_HANDLER(FIRST_BASE, just_rsm);
    guest_start(&guest, false);
    c = guest_cpu(&guest);
    for (unsigned n = 0; n < ARRAY_LEN(places); n++)
        *register_of(c, n) = 0x1111000000000000 + n;
    for (unsigned n = 0; n < SEG_COUNT; n++)
        c->seg[n].sel = (uint16_t)(0x100 + 8 * n);
    raise_smi();
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    for (unsigned n = 0; n < ARRAY_LEN(places); n++) {
        assert_int_equal(ld_le64(at_base(FIRST_BASE, places[n])), 0x1111000000000000 + n);
        st_le64(at_base(FIRST_BASE, places[n]), 0x2222000000000000 + n);
    }
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        uint8_t *segment = at_base(FIRST_BASE, 0xfe00 + 0x10 * n);
        assert_int_equal(ld_le16(segment), 0x100 + 8 * n);
        st_le16(segment, (uint16_t)(0x200 + 8 * n));
        st_le32(segment + 4, 0x300 + n);
    }
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    for (unsigned n = 0; n < ARRAY_LEN(places); n++)
        assert_int_equal(*register_of(c, n), 0x2222000000000000 + n);
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        assert_int_equal(c->seg[n].sel, 0x200 + 8 * n);
        assert_int_equal(c->seg[n].limit, 0x300 + n);
    }
}

/* ---- states that cannot be ---- */

static void test_impossible_states(void **state)
{
    static const struct {
        uint16_t at;
        uint64_t value;
        bool possible;
    } changes[] = {
        { 0xff58, CR0_PE | CR0_PG | CR0_MP, true },
        { 0xff58, CR0_PG, false },
        { 0xff58, CR0_PE | CR0_PG | CR0_NW, false },
        { 0xff58, 1ULL << 32 | CR0_PE | CR0_PG, false },
        { 0xff58, CR0_PE, false }, /* EFER.LMA is set */
        { 0xff48, CR4_PAE | CR4_PGE, true },
        { 0xff48, CR4_PAE | 1 << 30, false },
        { 0xff48, 0, false },
        { 0xff50, 1ULL << 60 | TABLES, false },
        { 0xfed0, EFER_LME | EFER_LMA | EFER_SCE, true },
        { 0xfed0, EFER_LME, false },
        { 0xfed0, EFER_LMA, false },
        { 0xfed0, 1 << 20 | EFER_LME | EFER_LMA, false },
        { 0xff60, 1ULL << 32 | 0x400, false },
        { 0xff68, 1ULL << 32, false },
        { 0xff70, FLAG_1 | FLAG_VM, false },
        { 0xff70, UINT64_MAX & ~(uint64_t)FLAG_VM, true }, /* the flags are made right */
    };
    (void)state;
    PUT_HANDLER(FIRST_BASE, just_rsm);
    for (unsigned n = 0; n < ARRAY_LEN(changes); n++) {
        guest_start(&guest, false);
        guest.ram.host[CODE] = 0x90;
        raise_smi();
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        st_le64(at_base(FIRST_BASE, changes[n].at), changes[n].value);
        assert_int_equal(guest_run(&guest, 2),
                         changes[n].possible ? VCPU_STOP_LIMIT : VCPU_STOP_SHUTDOWN);
    }
    assert_int_equal(guest_regs(&guest).rflags & ~0x3f7fd7ULL, 0);
}

/* A code segment of long mode that is of 32 bits as well. */
static void test_impossible_segment(void **state)
{
    (void)state;
    PUT_HANDLER(FIRST_BASE, just_rsm);
    guest_start(&guest, false);
    raise_smi();
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    *at_base(FIRST_BASE, 0xfe13) |= 0x40;
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_SHUTDOWN);
}

/* ---- memory ---- */

PROGRAM(calls, "1:  call *%rbx\n"
               "    mov %eax, %esi\n"
               "    mov 0xa2000, %edi\n"
               "    movl $0x77, 0xa2004\n"
               "    jmp 1b");
PROGRAM(outside, "    mov $1, %eax\n    ret");

HANDLER(inside, "    mov $2, %eax\n"
                "    addr32 mov %eax, 0x20000\n"
                "    addr32 mov 0xa2000, %eax\n"
                "    addr32 mov %eax, 0x20004\n"
                "    rsm");

/* At one address there is other code and other data in the mode, and nothing that was remembered of
 * the one is taken for the other. */
static void test_one_address_two_memories(void **state)
{
    (void)state;
    /* its entry is 0xa8000, and so is what the program calls */
    guest_put(&guest, 0xa8000, outside, (size_t)(outside_end - outside));
    START(calls);
    set_base(SMRAM);
    PUT_HANDLER(SMRAM, inside);
    guest.ram.host[0xa2000] = 0x11;
    smram.host[0x2000] = 0x22;
    guest_cpu(&guest)->r[RBX] = 0xa8000;
    for (unsigned n = 0; n < 3; n++) {
        memset(guest.ram.host + DATA, 0, 8);
        assert_int_equal(guest_run(&guest, 70), VCPU_STOP_LIMIT);
        assert_int_equal(guest_regs(&guest).rsi, 1);
        assert_int_equal(guest_regs(&guest).rdi & 0xff, 0x11);
        raise_smi();
        assert_int_equal(guest_run(&guest, 6), VCPU_STOP_LIMIT);
        assert_int_equal(ld_le32(guest.ram.host + DATA), 2);
        assert_int_equal(guest.ram.host[DATA + 4], 0x22);
        assert_false(in_smm());
    }
    assert_int_equal(guest.ram.host[0xa2004], 0x77);
    assert_int_equal(smram.host[0x2004], 0);
    assert_int_equal(ld_le32(smram.host + 0xfefc) & 0x200ff, 0x20064);
    assert_int_equal(ld_le32(guest.ram.host + 0xafefc), 0);
}

HANDLER(reads_device, "    mov $0x60000000, %ebx\n"
                      "1:  addr32 mov (%ebx), %eax\n"
                      "    jmp 1b");

/* The map changes while the cpu is in the mode: it sees that too, and so do who reads for it. */
static void test_map_changes(void **state)
{
    struct error err = { 0 };
    struct region late;
    uint64_t v;
    (void)state;
    assert_true(region_init_ram(&late, guest.machine.mem, "late", 0x1000, &err));
    st_le32(late.host, 0x12345678);
    PUT_HANDLER(FIRST_BASE, reads_device);
    guest_start(&guest, false);
    raise_smi();
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_LIMIT);
    assert_int_equal(guest_regs(&guest).rax, 0xffffffff);
    region_add(&guest.machine.system, 0x60000000, &late, 0);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_LIMIT);
    assert_int_equal(guest_regs(&guest).rax, 0x12345678);
    region_remove(&late);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_LIMIT);
    assert_int_equal(guest_regs(&guest).rax, 0xffffffff);
    smram.host[0] = 0x99;
    address_space_load(guest.vcpu->memory, SMRAM, 1, &v);
    assert_int_equal(v, 0x99);
    vcpu_soft.reset(guest.vcpu);
    address_space_load(guest.vcpu->memory, SMRAM, 1, &v);
    assert_int_equal(v, 0);
    region_fini(&late);
}

/* ---- what waits ---- */

PROGRAM(nops, "    nop\n    nop\n    nop\n    nop\n    jmp .-4");

/* INIT waits for RSM; one that comes with an SMI too. */
static void test_init_waits(void **state)
{
    (void)state;
    PUT_HANDLER(FIRST_BASE, counts);
    for (unsigned when = 0; when < 2; when++) {
        START(nops);
        raise_smi();
        if (when == 1)
            assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        guest.port.pins->init(&guest.port);
        assert_int_equal(guest_run(&guest, when ? 1 : 2), VCPU_STOP_LIMIT);
        assert_true(in_smm());
        assert_int_equal(guest_regs(&guest).rax, 1);
        struct vcpu_misc m;
        vcpu_soft.get_misc(guest.vcpu, &m, NULL);
        assert_int_equal(m.events.smi.latched_init, 1);
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT); /* RSM */
        assert_int_equal(guest_regs(&guest).rip, CODE);
        assert_int_equal(guest_regs(&guest).rdx, 0);
        guest_run(&guest, 1);
        assert_int_equal(guest_regs(&guest).rdx, 0x106ca); /* as after a reset */
        assert_false(in_smm());
    }
}

PROGRAM(sti_nops, "    sti\n    nop\n    nop\n    nop");

/* In the shadow of STI an SMI waits for the next instruction, and an injected exception for
 * nothing: the handler does not get it. */
static void test_shadow_and_injection(void **state)
{
    const struct vcpu_exception ud = { .vector = VEC_UD };
    struct guest_frame f;
    (void)state;
    PUT_HANDLER(FIRST_BASE, just_rsm);
    START(sti_nops);
    guest_cpu(&guest)->eflags &= ~(uint64_t)FLAG_IF;
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    raise_smi();
    assert_int_equal(guest_run(&guest, 2), VCPU_STOP_LIMIT);
    assert_true(in_smm());
    assert_int_equal(ld_le64(at_base(FIRST_BASE, 0xff78)), CODE + 2);

    START(nops);
    raise_smi();
    assert_true(vcpu_soft.inject(guest.vcpu, &ud, NULL));
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_false(in_smm());
    assert_int_equal(guest_fault(&guest, &f), VEC_UD);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_true(in_smm());
}

PROGRAM(waits, "    mov $0x20040, %eax\n"
               "    xor %ecx, %ecx\n"
               "    xor %edx, %edx\n"
               "    monitor\n"
               "    mwait\n"
               "    mov $7, %ebx\n"
               "    hlt");

/* MWAIT is over after an SMI; HLT is not. */
static void test_mwait(void **state)
{
    (void)state;
    PUT_HANDLER(FIRST_BASE, just_rsm);
    START(waits);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_regs(&guest).rbx, 0);
    raise_smi();
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_regs(&guest).rbx, 7);
    assert_int_equal(*at_base(FIRST_BASE, 0xfec9), 0);
    uint64_t before = guest_count(&guest);
    raise_smi();
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(*at_base(FIRST_BASE, 0xfec9), 1);
    assert_int_equal(guest_count(&guest) - before, 2);
    assert_int_equal(guest_cpu(&guest)->smi_count, 2);
}

/* A cpu that waits for its start takes it after that. */
static void test_wait_for_sipi(void **state)
{
    (void)state;
    PUT_HANDLER(FIRST_BASE, just_rsm);
    guest.port.bootstrap = false;
    vcpu_soft.reset(guest.vcpu);
    raise_smi();
    assert_int_equal(guest_run(&guest, 10), VCPU_STOP_WAIT_SIPI);
    assert_false(in_smm());
    guest.port.pins->startup(&guest.port, 0x12);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_true(in_smm());
    assert_int_equal(ld_le16(at_base(FIRST_BASE, 0xfe10)), 0x1200);
    assert_int_equal(ld_le64(at_base(FIRST_BASE, 0xff78)), 0);
}

/* ---- I/O instructions ---- */

PROGRAM(outs, "    mov $4, %ecx\n"
              "    mov $0x20000, %esi\n"
              "    mov $0x40, %edx\n"
              "    rep outsb\n"
              "    in $0x42, %ax\n"
              "    hlt");
static char written[16];
static unsigned reads;

static void smi_by_port(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    (void)g;
    if (write)
        written[strlen(written)] = (char)value;
    else
        reads++;
    if (strlen(written) == 2 || !write)
        raise_smi();
}

/* In the middle of REP OUTS: what was before the element, which is written again if the handler
 * says so. */
static void test_io_restart(void **state)
{
    (void)state;
    PUT_HANDLER(FIRST_BASE, just_rsm);
    for (unsigned again = 0; again < 2; again++) {
        memset(written, 0, sizeof written);
        reads = 0;
        memcpy(guest.ram.host + DATA, "abcd", 4);
        START(outs);
        guest.on_access = smi_by_port;
        while (!in_smm())
            assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        assert_int_equal(ld_le32(at_base(FIRST_BASE, 0xfec0)), 0x40001e);
        assert_int_equal(ld_le64(at_base(FIRST_BASE, 0xfea0)), CODE + 15);
        assert_int_equal(ld_le64(at_base(FIRST_BASE, 0xfea8)), 3);
        assert_int_equal(ld_le64(at_base(FIRST_BASE, 0xfeb0)), DATA + 1);
        *at_base(FIRST_BASE, 0xfec8) = again ? 0xff : 0;
        while (!reads)
            assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        assert_string_equal(written, again ? "abbcd" : "abcd");
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        assert_int_equal(ld_le32(at_base(FIRST_BASE, 0xfec0)), 0x420023);
        assert_int_equal(ld_le64(at_base(FIRST_BASE, 0xfea0)), CODE + 17);
    }
    /* one that comes by itself */
    START(nops);
    raise_smi();
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_int_equal(ld_le32(at_base(FIRST_BASE, 0xfec0)), 0);
}

/* ---- state ---- */

/* In the middle of the handler all of it goes to another cpu, which ends what this one began. */
static void test_state_moves(void **state)
{
    struct vcpu_state s;
    struct error err = { 0 };
    struct cpu_port port = { .index = 1, .bootstrap = true };
    struct guest first;
    (void)state;
    START(nops);
    set_base(SMRAM);
    PUT_HANDLER(SMRAM, counts);
    guest_cpu(&guest)->nmi_blocked = true;
    raise_smi();
    assert_int_equal(guest_run(&guest, 2), VCPU_STOP_LIMIT);
    raise_smi();
    assert_true(vcpu_state_get(guest.vcpu, &s, &err));
    assert_int_equal(s.misc.events.smi.smm, 1);
    assert_int_equal(s.misc.events.smi.pending, 1);
    assert_int_equal(s.misc.events.smi.smm_inside_nmi, 1);
    assert_int_equal(s.misc.events.nmi.masked, 1);
    struct vcpu *other = vcpu_soft.vcpu_new(guest.accel, &port, "max", &err);
    assert_non_null(other);
    if (!vcpu_state_set(other, &s, &err))
        fail_msg("%s", err.text);
    vcpu_state_fini(&s);
    first = guest;
    guest.vcpu = other;
    assert_true(in_smm());
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT); /* RSM: from SMRAM, which it sees */
    assert_false(in_smm());
    assert_int_equal(guest_regs(&guest).rip, CODE);
    assert_int_equal(guest_cpu(&guest)->nmi_blocked, true);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT); /* the one that waited */
    assert_true(in_smm());
    assert_int_equal(guest_cpu(&guest)->seg[SEG_CS].base, SMRAM);
    guest.vcpu = first.vcpu;
    vcpu_soft.vcpu_free(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_modes),
        TEST(test_registers),
        TEST(test_impossible_states),
        TEST(test_impossible_segment),
        TEST(test_one_address_two_memories),
        TEST(test_map_changes),
        TEST(test_init_waits),
        TEST(test_shadow_and_injection),
        TEST(test_mwait),
        TEST(test_wait_for_sipi),
        TEST(test_io_restart),
        TEST(test_state_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
