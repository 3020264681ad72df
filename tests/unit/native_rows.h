/* The rows of the software CPU's opcode table as soft_native sees them, and those it leaves out. */
#pragma once

#include "soft_fixture.h"

#include "cpu/soft/opcodes.h"
#include "native_features.h"

/* One row of the opcode table with how to reach it. */
struct row {
    const struct opcode *op;
    unsigned map;    /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
    unsigned prefix; /* PREFIX_*: mandatory */
    uint8_t opcode;
    int group; /* ModRM.reg, -1: free */
    bool no64; /* its group is invalid in 64-bit mode */
    bool vex;  /* encoded with a VEX prefix */
    unsigned cases;
};

static struct row rows[2048];
static unsigned row_count;

/* Operations that are not for this comparison, and why. */
static const struct {
    uint16_t op;
    const char *why;
} untested[] = {
#define RING0(name)                            \
    {                                          \
        OP_##name, "ring 0, or of the machine" \
    }
    RING0(mov_from_cr),
    RING0(mov_to_cr),
    RING0(mov_from_dr),
    RING0(mov_to_dr),
    RING0(sgdt),
    RING0(sidt),
    RING0(sldt),
    RING0(str),
    RING0(smsw),
    RING0(invlpg),
    RING0(rdpmc),
    RING0(swapgs),
    RING0(verr),
    RING0(verw),
    RING0(lar),
    RING0(lsl),
    RING0(rdtsc),
    RING0(rdtscp),
    RING0(cpuid),
    RING0(mov_to_seg),
    RING0(pop_seg),
    RING0(load_far_ptr),
    RING0(sysret),
    RING0(sysexit),
    RING0(sysenter),
    RING0(syscall),
    RING0(iret),
    RING0(int3),
    RING0(int_imm),
    RING0(int1),
    RING0(jmp_far_m),
    RING0(call_far_m),
    RING0(ret_far),
    RING0(ret_far_imm),
#undef RING0
    { OP_x87, "in soft_fpu" },
    { OP_sse, "in soft_simd" },
    { OP_vex_lanes, "in soft_simd" },
    { OP_vex_whole, "in soft_simd" },
    { OP_vzero, "in soft_simd" },
    { OP_vmaskmov, "in soft_simd" },
    { OP_vgather, "in soft_simd" },
    { OP_xsave, "in soft_xsave" },
    { OP_xrstor, "in soft_xsave" },
    { OP_fwait, "in soft_fpu" },
    { OP_fxsave, "in soft_xsave" },
    { OP_fxrstor, "in soft_xsave" },
    { OP_ldmxcsr, "in soft_xsave" },
    { OP_stmxcsr, "in soft_xsave" },
};

static const char *why_untested(const struct row *row)
{
    for (unsigned n = 0; n < ARRAY_LEN(untested); n++)
        if (untested[n].op == row->op->op)
            return untested[n].why;
    /* REX, and 62 that begins the vector instructions of some processors; C4 and C5 are above */
    if (row->map == 0 && ((row->opcode & 0xf0) == 0x40 || row->opcode == 0x62))
        return "a prefix in 64-bit mode";
    return host_lacks(row->op->needs) ? "the host has no such instruction" : NULL;
}

static void add_row(const struct opcode *op, unsigned map, unsigned prefix, unsigned opcode,
                    int group)
{
    assert_true(row_count < ARRAY_LEN(rows));
    rows[row_count++] = (struct row){
        .op = op, .map = map, .prefix = prefix, .opcode = (uint8_t)opcode, .group = group
    };
}

static void add_rows(const struct opcode *op, unsigned map, unsigned prefix, unsigned opcode)
{
    if (!op || !op->name || (op->flags & OPF_ESCAPE && !op->name[0]))
        return;
    if (!(op->flags & OPF_GROUP)) {
        add_row(op, map, prefix, opcode, -1);
        return;
    }
    for (int n = 0; n < 8; n++)
        if (op->group[n].name) {
            add_row(&op->group[n], map, prefix, opcode, n);
            rows[row_count - 1].no64 = op->flags & OPF_NO64;
        }
}

static void collect_rows(void)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        add_rows(&opcodes_1[opcode], 0, PREFIX_NONE, opcode);
    for (unsigned opcode = 0; opcode < 256; opcode++)
        add_rows(&opcodes_2[opcode], 1, PREFIX_NONE, opcode);
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned prefix = 0; prefix < 4; prefix++)
            for (unsigned opcode = 0; opcode < 256; opcode++)
                add_rows(sse_opcode(map, prefix, (uint8_t)opcode), map, prefix, opcode);
    unsigned first_vex = row_count;
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned prefix = 0; prefix < 4; prefix++)
            for (unsigned opcode = 0; opcode < 256; opcode++)
                add_rows(vex_opcode(map, prefix, (uint8_t)opcode), map, prefix, opcode);
    for (unsigned n = first_vex; n < row_count; n++)
        rows[n].vex = true;
}
