/* A cpu's registers by name, through the vcpu seam; the cpu must not be executing. */
#include "script/script_fault.h"
#include "script/script_symbols.h"
#include "script/script_state.h"

#include <stddef.h>
#include <string.h>

enum reg_set { SET_REGS, SET_SREGS, SET_FPU, SET_YMM };

static const struct cpu_reg {
    const char *name;
    enum reg_set set;
    uint16_t offset;
    uint8_t size;
} cpu_regs[] = {
#define REG(field)                                            \
    {                                                         \
#field, SET_REGS, offsetof(struct kvm_regs, field), 8 \
    }
#define CONTROL(field)                                          \
    {                                                           \
#field, SET_SREGS, offsetof(struct kvm_sregs, field), 8 \
    }
#define SEGMENT(field)                                                       \
    { #field, SET_SREGS, offsetof(struct kvm_sregs, field.selector), 2 },    \
    {                                                                        \
#field "_base", SET_SREGS, offsetof(struct kvm_sregs, field.base), 8 \
    }
    REG(rax),
    REG(rbx),
    REG(rcx),
    REG(rdx),
    REG(rsi),
    REG(rdi),
    REG(rbp),
    REG(rsp),
    REG(r8),
    REG(r9),
    REG(r10),
    REG(r11),
    REG(r12),
    REG(r13),
    REG(r14),
    REG(r15),
    REG(rip),
    REG(rflags),
    CONTROL(cr0),
    CONTROL(cr2),
    CONTROL(cr3),
    CONTROL(cr4),
    CONTROL(cr8),
    CONTROL(efer),
    SEGMENT(cs),
    SEGMENT(ss),
    SEGMENT(ds),
    SEGMENT(es),
    SEGMENT(fs),
    SEGMENT(gs),
    SEGMENT(ldt),
    SEGMENT(tr),
    { "gdt_base", SET_SREGS, offsetof(struct kvm_sregs, gdt.base), 8 },
    { "gdt_limit", SET_SREGS, offsetof(struct kvm_sregs, gdt.limit), 2 },
    { "idt_base", SET_SREGS, offsetof(struct kvm_sregs, idt.base), 8 },
    { "idt_limit", SET_SREGS, offsetof(struct kvm_sregs, idt.limit), 2 },
/* Wider than an integer: strings of bytes, the low one first. */
#define FPU(name, field, size)                               \
    {                                                        \
        name, SET_FPU, offsetof(struct kvm_fpu, field), size \
    }
#define XMM(n) FPU("xmm" #n, xmm[n], 16)
#define ST(n)  FPU("st" #n, fpr[n], 10)
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    FPU("fcw", fcw, 2),
    FPU("fsw", fsw, 2),
    FPU("mxcsr", mxcsr, 4),
#define YMM(n)                          \
    {                                   \
        "ymm" #n, SET_YMM, 32 * (n), 32 \
    }
    YMM(0),
    YMM(1),
    YMM(2),
    YMM(3),
    YMM(4),
    YMM(5),
    YMM(6),
    YMM(7),
    YMM(8),
    YMM(9),
    YMM(10),
    YMM(11),
    YMM(12),
    YMM(13),
    YMM(14),
    YMM(15),
};

static const struct cpu_reg *find_reg(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(cpu_regs); i++)
        if (!strcmp(cpu_regs[i].name, name))
            return &cpu_regs[i];
    return NULL;
}

static struct vcpu *check_cpu(lua_State *L)
{
    return binding_ptr(L, 1, META_CPU);
}

void script_check_still(lua_State *L, const struct script_vm *svm, const struct vcpu *v)
{
    if (!vm_cpu_is_still(svm->vm, v->port->index))
        luaL_error(L, "cpu %d is running: pause the machine first, or use a hook of that cpu",
                   (int)v->port->index);
}

struct vcpu *script_still_cpu(lua_State *L)
{
    struct vcpu *v = check_cpu(L);
    script_check_still(L, binding_vm(L, 1, META_CPU), v);
    return v;
}

/* YMM registers lie in two places of an area of XSAVE (SDM vol. 1 13.4): each component counts as
 * zero unless its bit says that it is there. */
enum { AREA_XMM = 160, AREA_BITS = 512, AREA_YMMH = 576, BIT_SSE = 2, BIT_AVX = 4, YMM_COUNT = 16 };

static bool get_ymm(struct vcpu *v, uint8_t ymm[YMM_COUNT][32], struct error *err)
{
    struct vcpu_misc m;
    uint64_t bits;
    if (!v->backend->get_misc(v, &m, err))
        return false;
    if (!m.has_avx)
        return error_set(err, "cpu %u: it has no YMM registers; --cpu max has", v->port->index);
    const uint8_t *area = (const uint8_t *)m.xsave.region;
    bits = ld_le64(area + AREA_BITS);
    memset(ymm, 0, YMM_COUNT * 32);
    for (unsigned n = 0; n < YMM_COUNT; n++) {
        if (bits & BIT_SSE)
            memcpy(ymm[n], area + AREA_XMM + 16 * n, 16);
        if (bits & BIT_AVX)
            memcpy(ymm[n] + 16, area + AREA_YMMH + 16 * n, 16);
    }
    return true;
}

static bool set_ymm(struct vcpu *v, const uint8_t ymm[YMM_COUNT][32], struct error *err)
{
    struct vcpu_misc m;
    if (!v->backend->get_misc(v, &m, err))
        return false;
    uint8_t *area = (uint8_t *)m.xsave.region;
    st_le64(area + AREA_BITS, ld_le64(area + AREA_BITS) | BIT_SSE | BIT_AVX);
    for (unsigned n = 0; n < YMM_COUNT; n++) {
        memcpy(area + AREA_XMM + 16 * n, ymm[n], 16);
        memcpy(area + AREA_YMMH + 16 * n, ymm[n] + 16, 16);
    }
    return v->backend->set_misc(v, &m, err);
}

union reg_sets {
    uint8_t ymm[YMM_COUNT][32];
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
};

static void load_set(lua_State *L, struct vcpu *v, enum reg_set set, union reg_sets *out)
{
    struct error err = { 0 };
    bool ok = set == SET_REGS    ? v->backend->get_regs(v, &out->regs, &err)
              : set == SET_SREGS ? v->backend->get_sregs(v, &out->sregs, &err)
              : set == SET_YMM   ? get_ymm(v, out->ymm, &err)
                                 : v->backend->get_fpu(v, &out->fpu, &err);
    if (!ok)
        script_raise(L, &err);
}

static void store_set(lua_State *L, struct vcpu *v, enum reg_set set, const union reg_sets *in)
{
    struct error err = { 0 };
    bool ok = set == SET_REGS    ? v->backend->set_regs(v, &in->regs, &err)
              : set == SET_SREGS ? v->backend->set_sregs(v, &in->sregs, &err)
              : set == SET_YMM   ? set_ymm(v, in->ymm, &err)
                                 : v->backend->set_fpu(v, &in->fpu, &err);
    if (!ok)
        script_raise(L, &err);
}

static int get_register(lua_State *L)
{
    const struct cpu_reg *r = find_reg(luaL_checkstring(L, 2));
    if (!r)
        return 0;
    struct vcpu *v = script_still_cpu(L);
    union reg_sets sets;
    load_set(L, v, r->set, &sets);
    if (r->size > 8)
        lua_pushlstring(L, (char *)&sets + r->offset, r->size);
    else
        lua_pushinteger(L, (lua_Integer)ld_le((char *)&sets + r->offset, r->size));
    return 1;
}

static int set_register(lua_State *L)
{
    const struct cpu_reg *r = find_reg(luaL_checkstring(L, 2));
    if (!r)
        return 0;
    size_t len = r->size;
    const char *bytes = r->size > 8 ? luaL_checklstring(L, 3, &len) : NULL;
    luaL_argcheck(L, len == r->size, 3, "a register takes as many bytes as it has");
    uint64_t value = bytes ? 0 : (uint64_t)luaL_checkinteger(L, 3);
    struct vcpu *v = script_still_cpu(L);
    union reg_sets sets;
    load_set(L, v, r->set, &sets);
    if (bytes)
        memcpy((char *)&sets + r->offset, bytes, len);
    else
        st_le((char *)&sets + r->offset, r->size, value);
    store_set(L, v, r->set, &sets);
    lua_pushboolean(L, true);
    return 1;
}

/* Does the cpu lack YMM registers? Of one that executes that cannot be asked: they are listed. */
static bool lacks_ymm(lua_State *L)
{
    struct vcpu *v = check_cpu(L);
    struct script_vm *svm = binding_vm(L, 1, META_CPU);
    struct vcpu_misc m;
    return vm_cpu_is_still(svm->vm, v->port->index) &&
           !(v->backend->get_misc(v, &m, NULL) && m.has_avx);
}

static const char *const *register_names(lua_State *L)
{
    const char **names = lua_newuserdatauv(L, (ARRAY_LEN(cpu_regs) + 1) * sizeof *names, 0);
    bool without = lacks_ymm(L);
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(cpu_regs); i++)
        if (!without || cpu_regs[i].set != SET_YMM)
            names[count++] = cpu_regs[i].name;
    names[count] = NULL;
    return names;
}

/* translate(gva) → gpa, or nil where nothing is mapped. */
static int l_cpu_translate(lua_State *L)
{
    struct vcpu *v = script_still_cpu(L);
    uint64_t gpa;
    if (v->backend->translate(v, (uint64_t)luaL_checkinteger(L, 2), &gpa))
        lua_pushinteger(L, (lua_Integer)gpa);
    else
        lua_pushnil(L);
    return 1;
}

/* read(gva, n) → bytes; nil and the address where nothing is mapped. */
static int l_cpu_read(lua_State *L)
{
    enum { PAGE = 4096 };
    struct vcpu *v = script_still_cpu(L);
    uint64_t gva = (uint64_t)luaL_checkinteger(L, 2);
    lua_Integer n = luaL_checkinteger(L, 3);
    luaL_argcheck(L, n >= 0 && n <= 1 << 24, 3, "0 to 16 MiB at a time");
    luaL_Buffer b;
    char *bytes = luaL_buffinitsize(L, &b, (size_t)n);
    for (uint64_t done = 0; done < (uint64_t)n;) {
        uint64_t gpa, part = PAGE - ((gva + done) & (PAGE - 1));
        if (part > (uint64_t)n - done)
            part = (uint64_t)n - done;
        if (!v->backend->translate(v, gva + done, &gpa)) {
            lua_pushnil(L);
            lua_pushinteger(L, (lua_Integer)(gva + done));
            return 2;
        }
        address_space_read(v->memory, gpa, bytes + done, part);
        done += part;
    }
    luaL_pushresultsize(&b, (size_t)n);
    return 1;
}

/* string(gva [, most]) → text up to a zero byte, or as much as asked for; nil and the address where
 * nothing is mapped. */
static int l_cpu_string(lua_State *L)
{
    struct vcpu *v = script_still_cpu(L);
    uint64_t gva = (uint64_t)luaL_checkinteger(L, 2);
    lua_Integer most = luaL_optinteger(L, 3, 4096);
    luaL_argcheck(L, most >= 0 && most <= 1 << 20, 3, "0 to 1 MiB at a time");
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (uint64_t at = gva; at - gva < (uint64_t)most; at++) {
        uint64_t gpa;
        char c;
        if (!v->backend->translate(v, at, &gpa)) {
            lua_pushnil(L);
            lua_pushinteger(L, (lua_Integer)at);
            return 2;
        }
        address_space_read(v->memory, gpa, &c, 1);
        if (c == 0)
            break;
        luaL_addchar(&b, c);
    }
    luaL_pushresult(&b);
    return 1;
}

/* msrs() → { [index] = value } */
static int l_cpu_msrs(lua_State *L)
{
    enum { MOST = 1024 };
    struct vcpu *v = script_still_cpu(L);
    uint32_t *indices = lua_newuserdatauv(L, MOST * sizeof *indices, 0);
    size_t count = v->backend->msrs(v, indices, MOST);
    lua_newtable(L);
    for (size_t n = 0; n < count && n < MOST; n++) {
        uint64_t value;
        if (!v->backend->get_msr(v, indices[n], &value, NULL))
            continue;
        lua_pushinteger(L, (lua_Integer)value);
        lua_rawseti(L, -2, indices[n]);
    }
    return 1;
}

static int get_index(lua_State *L)
{
    lua_pushinteger(L, check_cpu(L)->port->index);
    return 1;
}

static int get_apic_id(lua_State *L)
{
    lua_pushinteger(L, check_cpu(L)->port->apic_id);
    return 1;
}

static int get_instructions(lua_State *L)
{
    struct vcpu_stats s = { 0 };
    struct vcpu *v = check_cpu(L);
    vm_get_cpu_stats(binding_vm(L, 1, META_CPU)->vm, v->port->index, &s);
    lua_pushinteger(L, (lua_Integer)s.instructions);
    return 1;
}

static int cpu_tostring(lua_State *L)
{
    struct vcpu *v = check_cpu(L);
    lua_pushfstring(L, "cpu %d (%s)", (int)v->port->index, v->backend->name);
    return 1;
}

static const struct binding_member methods[] = {
    { "read", l_cpu_read, "(address, n) → bytes or nil, address",
      "virtual memory; nil and the address where nothing is mapped" },
    { "string", l_cpu_string, "(address [, most]) → text or nil, address",
      "virtual memory up to a zero byte, 4096 bytes at most unless more are asked for" },
    { "translate", l_cpu_translate, "(address) → address or nil",
      "the physical address, nil where nothing is mapped" },
    { "state", l_cpu_state, "() → table", "all of its state, by the names of linux/kvm.h" },
    { "set_state", l_cpu_set_state, "(state: table) → { string, ... }",
      "the fields that the table has; what the cpu has no place for" },
    { "msrs", l_cpu_msrs, "() → { [index] = integer }",
      "model-specific registers that belong to its state, by number" },
    { "disas", l_cpu_disas, "([address [, count]]) → { { addr =, bytes =, text = }, ... }",
      "instructions; without an address where the cpu stands" },
    { "backtrace", l_cpu_backtrace, "([most]) → { { rip =, name =, method = }, ... }, reason",
      "calls, innermost first" },
    { "inject", l_cpu_inject, "(vector [, error_code])",
      "deliver an exception before the next instruction" },
    { "nmi", l_cpu_nmi, "()", "a pulse on its NMI pin" },
    { "mce", l_cpu_mce, "{ bank =, status =, addr =, misc =, mcg_status = }",
      "log a machine check in a bank; #MC if it is uncorrected and enabled" },
    { "stall", l_cpu_stall, "(ns)",
      "execute nothing for so much virtual time; timers and devices go on" },
    { "skew", l_cpu_skew, "(ppm)", "let the TSC gain on all other clocks from now on" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "index", get_index, "integer", "its number, from 0" },
    { "apic_id", get_apic_id, "integer", "number of its local APIC" },
    { "instructions", get_instructions, "integer", "instructions retired" },
    { "stalled", l_cpu_get_stalled, "boolean", "does a stall go on" },
    { NULL },
};

static const struct binding_type cpu_type = {
    .meta = META_CPU,
    .label = "cpu",
    .help = "a cpu; its registers are properties while it stands still",
    .further = "registers: rax ... r15, rip, rflags, cr0 ..., cs, cs_base ...",
    .methods = methods,
    .properties = properties,
    .get = get_register,
    .set = set_register,
    .names = register_names,
    .tostring = cpu_tostring,
};

void l_cpu_open(lua_State *L)
{
    binding_type_new(L, &cpu_type);
}
