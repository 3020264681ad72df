/* Backtraces of Debian's kernel while it boots, by the ORC tables of its image. */
#include "linux_guest.h"

#include "debug/kernel_image.h"

#define UNPACK_MAX 8000000000ull

enum { MARKS = 30 };

struct frames_seen {
    struct symbols *symbols;
    unsigned count;
    bool all_orc;
    char last[3][128]; /* the outermost three */
    char text[4096];
};

static bool note_frame(void *opaque, const struct unwind_frame *f)
{
    struct frames_seen *t = opaque;
    memmove(t->last[0], t->last[1], 2 * sizeof t->last[0]);
    unwind_frame_format(f, t->symbols, t->last[2], sizeof t->last[2]);
    size_t len = strlen(t->text);
    snprintf(t->text + len, sizeof t->text - len, "  %u %-13s %s\n", f->index,
             unwind_method_name(f->method), t->last[2]);
    t->all_orc &= f->index == 0 || f->method == UNWIND_BY_ORC;
    t->count++;
    return true;
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void load(struct linux_guest *g, struct symbols *s, unsigned *source, struct orc **orc)
{
    struct error err = { 0 };
    struct kernel_image *k = kernel_image_open(debian_kernel(), NULL, &err);
    *orc = k ? orc_load_kernel(k, &err) : NULL;
    if (!*orc || !symbols_load_kallsyms_kernel(s, k, source, &err))
        fail_msg("%s", err.text);
    kernel_image_close(k);
    assert_true(orc_count(*orc) > 100000);
}

/* Where the guest stands: from there back to start_kernel() and what called that, all by ORC. */
static void assert_complete(struct linux_guest *g, struct symbols *s, const struct orc *orc,
                            uint64_t slide)
{
    struct unwind_config config = { .mem = guest_memory_of_vcpu(g->vcpu),
                                    .orc = orc,
                                    .orc_slide = slide };
    struct unwind_regs regs = linux_registers(g);
    struct frames_seen t = { .symbols = s, .all_orc = true };
    enum unwind_end end = unwind(&config, &regs, note_frame, &t);
    if (end != UNWIND_END_BOTTOM || !t.all_orc || t.count < 3 ||
        !begins_with(t.last[1], "start_kernel+") ||
        !begins_with(t.last[2], "secondary_startup_64_no_verify+"))
        fail_msg("not the way back to start_kernel (%s):\n%s", unwind_end_text(end), t.text);
}

/* From many moments of the boot. */
static void test_boot(void **state)
{
    struct linux_guest g;
    struct orc *orc, *running;
    struct error err = { 0 };
    linux_init(&g, BOOT_DECOMPRESS_HOST);
    struct symbols *s = symbols_new();
    load(&g, s, NULL, &orc);
    for (unsigned i = 1; i <= MARKS; i++) {
        linux_run(&g, i * 5000011ull);
        assert_complete(&g, s, orc, 0);
    }
    /* The tables in the guest's memory are as good. */
    struct guest_memory mem = guest_memory_of_vcpu(g.vcpu);
    struct symbols *own = symbols_new();
    if (!symbols_load_kallsyms_memory(own, &mem, NULL, &err) ||
        !(running = orc_load_memory(own, &mem, &err)))
        fail_msg("%s", err.text);
    assert_int_equal(symbols_count(own), symbols_count(s));
    assert_int_equal(orc_count(running), orc_count(orc));
    assert_complete(&g, own, running, 0);
    orc_free(running);
    orc_free(orc);
    symbols_free(own);
    symbols_free(s);
    linux_fini(&g);
}

/* A kernel that unpacks itself goes where it likes; where it went is found from its memory. */
static void test_kaslr(void **state)
{
    struct linux_guest g;
    struct orc *orc;
    unsigned source;
    uint64_t slide = 0;
    linux_init(&g, BOOT_DECOMPRESS_GUEST);
    struct guest_memory mem = guest_memory_of_vcpu(g.vcpu);
    struct symbols *s = symbols_new(), *own = symbols_new();
    struct error err = { 0 };
    load(&g, s, &source, &orc);
    bool found = false;
    for (uint64_t at = 0; at < UNPACK_MAX && !found; at += 100000000) {
        linux_run(&g, at + 100000000);
        found = symbols_find_slide(s, source, &mem, NULL, &slide, &err);
    }
    if (!found)
        fail_msg("%s", err.text);
    print_message("slide 0x%llx\n", (unsigned long long)slide);
    assert_true(slide != 0 && slide % 0x200000 == 0);
    symbols_set_bias(s, source, slide);
    linux_run(&g, vcpu_soft.instructions(g.vcpu) + 20000000);
    assert_complete(&g, s, orc, slide);
    /* By the registers that point into the kernel. */
    struct kvm_sregs sregs;
    assert_true(vcpu_soft.get_sregs(g.vcpu, &sregs, NULL));
    struct symbols_anchors anchors = { .idt_base = sregs.idt.base };
    uint64_t again = 0;
    assert_true(symbols_find_slide(s, source, &mem, &anchors, &again, &err));
    assert_true(again == slide);
    /* And what the kernel itself says of its symbols. */
    if (!symbols_load_kallsyms_memory(own, &mem, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < symbols_count(s); i++)
        assert_true(symbols_by_name(s, i)->addr == symbols_by_name(own, i)->addr);
    orc_free(orc);
    symbols_free(own);
    symbols_free(s);
    linux_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_kaslr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
