/* The event timers: registers in halves and whole, the counter, one-shot and periodic comparators
 * in 32 and 64 bits, edges, levels and messages, and legacy replacement. */
#include "dev/sysbus.h"
#include "hw_fixture.h"

enum {
    BASE = 0xfed00000,
    CONFIG = 0x10,
    STATUS = 0x20,
    COUNTER = 0xf0,
    T0 = 0x100,
    T1 = 0x120,
    T2 = 0x140,
    COMPARATOR = 8,
    FSB = 0x10,
    LEVEL = 1 << 1,
    ENABLE = 1 << 2,
    PERIODIC = 1 << 3,
    SET = 1 << 6,
    BITS32 = 1 << 8,
    ROUTE = 9,
};

struct ctx {
    struct hw *h;
    struct device *dev;
    struct probe routes[24], legacy[2];
    struct msi_sink sink;
    uint64_t msi_addr;
    uint32_t msi_data;
    unsigned messages;
};

static void deliver(void *opaque, uint64_t addr, uint32_t data)
{
    struct ctx *c = opaque;
    c->msi_addr = addr;
    c->msi_data = data;
    c->messages++;
}

static struct ctx *make(bool msi)
{
    struct ctx *c = calloc(1, sizeof *c);
    struct error err = { 0 };
    c->h = hw_new();
    c->sink = (struct msi_sink){ .deliver = deliver, .opaque = c };
    c->h->m->msi = &c->sink;
    c->dev = test_device(c->h->t, "hpet", NULL);
    if (msi)
        test_set(c->dev, "msi", "true");
    hw_start(c->h, c->dev);
    assert_true(sysbus_map((struct sysbus_device *)c->dev, 0, BASE, 0, &err));
    for (unsigned n = 0; n < 24; n++)
        hw_connect(c->dev, "", n, probe_init(&c->routes[n]));
    for (unsigned n = 0; n < 2; n++)
        hw_connect(c->dev, "legacy", n, probe_init(&c->legacy[n]));
    return c;
}

static int setup(void **state)
{
    *state = make(false);
    return 0;
}

static int teardown(void **state)
{
    struct ctx *c = *state;
    hw_free(c->h);
    free(c);
    return 0;
}

static uint64_t rq(struct ctx *c, unsigned reg)
{
    uint64_t v = 0;
    address_space_load(c->h->m->memory, BASE + reg, 8, &v);
    return v;
}

static void wq(struct ctx *c, unsigned reg, uint64_t v)
{
    address_space_store(c->h->m->memory, BASE + reg, 8, v);
}

static uint32_t rl(struct ctx *c, unsigned reg)
{
    return readl(c->h, BASE + reg);
}

static void wl(struct ctx *c, unsigned reg, uint32_t v)
{
    writel(c->h, BASE + reg, v);
}

static void ticks(struct ctx *c, int64_t n)
{
    test_machine_advance(c->h->t, n * 10);
}

static void test_registers(void **state)
{
    struct ctx *c = *state;
    assert_true(rq(c, 0) == 0x009896808086a201);
    assert_int_equal(rl(c, 4), 10000000); /* femtoseconds */
    wq(c, 0, 0);
    assert_int_equal(rl(c, 0), 0x8086a201);
    assert_true(rq(c, T0) == 0x00ff000000000030);
    wq(c, T0, UINT64_MAX);
    assert_true(rq(c, T0) == 0x00ff000000003f7e); /* no FSB */
    wl(c, T0 + 4, 0);
    assert_int_equal(rl(c, T0 + 4), 0x00ff0000);
    wq(c, T0 + FSB, 0x1122);
    assert_true(rq(c, T0 + FSB) == 0);
    assert_true(rq(c, T1 + COMPARATOR) == UINT64_MAX);
    wl(c, T1 + COMPARATOR + 4, 0x12345678);
    assert_true(rq(c, T1 + COMPARATOR) == 0x12345678ffffffff);
    wl(c, T1, BITS32);
    assert_true(rq(c, T1 + COMPARATOR) == 0xffffffff);
    for (unsigned reg = 0x160; reg < 0x400; reg += 8) {
        wq(c, reg, UINT64_MAX);
        assert_true(rq(c, reg) == 0); /* there are three timers */
    }
    device_reset(c->dev);
    assert_true(rq(c, T0) == 0x00ff000000000030);
    assert_true(rq(c, T1 + COMPARATOR) == UINT64_MAX);
}

static void test_counter(void **state)
{
    struct ctx *c = *state;
    ticks(c, 100);
    assert_true(rq(c, COUNTER) == 0); /* halted */
    wl(c, CONFIG, 1);
    ticks(c, 100);
    assert_true(rq(c, COUNTER) == 100);
    wl(c, CONFIG, 0);
    ticks(c, 100);
    assert_true(rq(c, COUNTER) == 100);
    wl(c, COUNTER, 0xfffffff0);
    wl(c, COUNTER + 4, 7);
    wl(c, CONFIG, 1);
    ticks(c, 0x20);
    assert_true(rq(c, COUNTER) == 0x800000010); /* all 64 bits */
    assert_int_equal(rl(c, COUNTER + 4), 8);
    wl(c, CONFIG, 1); /* nothing changes */
    assert_true(rq(c, COUNTER) == 0x800000010);
}

static void test_one_shot(void **state)
{
    struct ctx *c = *state;
    wl(c, T2, ENABLE | 17 << ROUTE);
    wq(c, T2 + COMPARATOR, 1000);
    ticks(c, 5000);
    assert_int_equal(c->routes[17].rises, 0); /* halted */
    wl(c, CONFIG, 1);
    test_machine_advance(c->h->t, 9999);
    assert_int_equal(c->routes[17].rises, 0);
    test_machine_advance(c->h->t, 1);
    assert_int_equal(c->routes[17].rises, 1);
    assert_false(c->routes[17].level); /* an edge */
    assert_int_equal(rl(c, STATUS), 0);
    ticks(c, 1LL << 34);
    assert_int_equal(c->routes[17].rises, 1); /* 64 bits do not come round */
    wq(c, T2 + COMPARATOR, 10);               /* gone by */
    ticks(c, 1000);
    assert_int_equal(c->routes[17].rises, 1);
    wl(c, T2, 17 << ROUTE); /* not enabled */
    wq(c, T2 + COMPARATOR, rq(c, COUNTER) + 10);
    ticks(c, 10);
    assert_int_equal(c->routes[17].rises, 1);
    wl(c, T2, ENABLE | 3 << ROUTE); /* no such route */
    wq(c, T2 + COMPARATOR, rq(c, COUNTER) + 10);
    ticks(c, 10);
    assert_int_equal(c->routes[3].rises, 0);
}

/* In 32 bits it matches each time that the low half comes round. */
static void test_one_shot_32(void **state)
{
    struct ctx *c = *state;
    wq(c, COUNTER, 0x5fffffff0);
    wl(c, T0, ENABLE | BITS32 | 16 << ROUTE);
    wq(c, T0 + COMPARATOR, 0xaaaaaaaa00000010);
    assert_true(rq(c, T0 + COMPARATOR) == 0x10);
    wl(c, CONFIG, 1);
    ticks(c, 0x1f);
    assert_int_equal(c->routes[16].rises, 0);
    ticks(c, 1);
    assert_int_equal(c->routes[16].rises, 1);
    ticks(c, (1LL << 32) - 1);
    assert_int_equal(c->routes[16].rises, 1);
    ticks(c, 1);
    assert_int_equal(c->routes[16].rises, 2);
}

/* As Linux does it: the first match, then the period. */
static void test_periodic(void **state)
{
    struct ctx *c = *state;
    wl(c, CONFIG, 1);
    ticks(c, 500);
    wl(c, T0, ENABLE | PERIODIC | SET | BITS32 | 18 << ROUTE);
    assert_int_equal(rl(c, T0) & SET, SET);
    wl(c, T0 + COMPARATOR, 800);
    assert_int_equal(rl(c, T0) & SET, 0);
    wl(c, T0 + COMPARATOR, 100);
    assert_int_equal(rl(c, T0 + COMPARATOR), 800); /* the accumulator */
    ticks(c, 299);
    assert_int_equal(c->routes[18].rises, 0);
    for (unsigned i = 1; i <= 5; i++) {
        ticks(c, 1);
        assert_int_equal(c->routes[18].rises, i);
        assert_int_equal(rl(c, T0 + COMPARATOR), 800 + 100 * i);
        ticks(c, 99);
        assert_int_equal(c->routes[18].rises, i);
    }
    /* A long pause is one interrupt, and the phase stays. */
    c->h->t->now += 100050 * 10;
    clock_run(&c->h->m->virtual);
    assert_int_equal(c->routes[18].rises, 6);
    uint32_t next = rl(c, T0 + COMPARATOR);
    assert_int_equal(next % 100, 0);
    assert_in_range(next - rl(c, COUNTER), 1, 100);
}

/* 64 bits in halves: the bit is set again before the upper one. A period of 0 ends after one match.
 */
static void test_periodic_64(void **state)
{
    struct ctx *c = *state;
    wq(c, COUNTER, 0x1fffffff0);
    wl(c, T1, ENABLE | PERIODIC | SET | 19 << ROUTE);
    wl(c, T1 + COMPARATOR, 8);
    wl(c, T1, ENABLE | PERIODIC | SET | 19 << ROUTE);
    wl(c, T1 + COMPARATOR + 4, 2);
    assert_true(rq(c, T1 + COMPARATOR) == 0x200000008);
    wq(c, T1 + COMPARATOR, 0x10);
    wl(c, CONFIG, 1);
    ticks(c, 0x17);
    assert_int_equal(c->routes[19].rises, 0);
    ticks(c, 1);
    assert_int_equal(c->routes[19].rises, 1);
    assert_true(rq(c, T1 + COMPARATOR) == 0x200000018);
    wq(c, T1 + COMPARATOR, 0);
    ticks(c, 0x10);
    assert_int_equal(c->routes[19].rises, 2);
    ticks(c, 0x100);
    assert_int_equal(c->routes[19].rises, 2);
}

/* A level stays until its status bit is written with 1; two timers may share a line. */
static void test_level(void **state)
{
    struct ctx *c = *state;
    wl(c, CONFIG, 1);
    for (unsigned t = T0; t <= T1; t += 0x20) {
        wl(c, t, ENABLE | LEVEL | 20 << ROUTE);
        wq(c, t + COMPARATOR, t == T0 ? 100 : 200);
    }
    ticks(c, 250);
    assert_int_equal(rl(c, STATUS), 3);
    assert_true(c->routes[20].level);
    wl(c, STATUS, 1);
    assert_true(c->routes[20].level);
    wl(c, STATUS + 4, 2); /* the upper half */
    assert_true(c->routes[20].level);
    wl(c, STATUS, 2);
    assert_false(c->routes[20].level);
    assert_int_equal(rl(c, STATUS), 0);
    wl(c, T0, LEVEL | 20 << ROUTE); /* not enabled: the status alone */
    wq(c, T0 + COMPARATOR, 300);
    ticks(c, 100);
    assert_int_equal(rl(c, STATUS), 1);
    assert_false(c->routes[20].level);
    wl(c, T0, ENABLE | LEVEL | 21 << ROUTE); /* elsewhere, and now it shows */
    assert_true(c->routes[21].level);
    wl(c, T0, ENABLE | 21 << ROUTE);
    assert_false(c->routes[21].level);
    assert_int_equal(rl(c, STATUS), 0);
    wl(c, T0, ENABLE | LEVEL | 21 << ROUTE);
    wq(c, T0 + COMPARATOR, rq(c, COUNTER) + 1);
    ticks(c, 1);
    assert_true(c->routes[21].level);
    device_reset(c->dev);
    assert_false(c->routes[21].level);
}

/* Lines pass through until timers 0 and 1 replace them. */
static void test_legacy(void **state)
{
    struct ctx *c = *state;
    struct irq *pit = hw_input(c->dev, "legacy-in", 0), *rtc = hw_input(c->dev, "legacy-in", 1);
    irq_raise(pit);
    irq_pulse(rtc);
    assert_true(c->legacy[0].level);
    assert_int_equal(c->legacy[1].rises, 1);
    wl(c, T0, ENABLE | 16 << ROUTE);
    wl(c, T1, ENABLE | LEVEL);
    wl(c, T2, ENABLE | 16 << ROUTE);
    wl(c, CONFIG, 3);
    assert_false(c->legacy[0].level);
    irq_lower(pit);
    irq_raise(pit);
    assert_int_equal(c->legacy[0].rises, 1);
    for (unsigned t = T0; t <= T2; t += 0x20)
        wq(c, t + COMPARATOR, 50);
    ticks(c, 50);
    assert_int_equal(c->legacy[0].rises, 2);
    assert_true(c->legacy[1].level);
    assert_int_equal(c->routes[16].rises, 1); /* timer 2's */
    wl(c, CONFIG, 1);
    assert_true(c->legacy[0].level); /* what comes in, again */
    assert_false(c->legacy[1].level);
}

static void test_messages(void **state)
{
    struct ctx *c = make(true);
    assert_int_equal(rl(c, T0) & 0x8000, 0x8000);
    wl(c, CONFIG, 1);
    wl(c, T0, ENABLE | 1 << 14 | 16 << ROUTE);
    wl(c, T0 + FSB, 0x4041);
    wl(c, T0 + FSB + 4, 0xfee01000);
    wq(c, T0 + COMPARATOR, 10);
    ticks(c, 10);
    assert_int_equal(c->messages, 1);
    assert_true(c->msi_addr == 0xfee01000);
    assert_int_equal(c->msi_data, 0x4041);
    assert_int_equal(c->routes[16].rises, 0);
    void *ctx = c;
    teardown(&ctx);
}

#define hpet_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        hpet_test(test_registers),   hpet_test(test_counter),  hpet_test(test_one_shot),
        hpet_test(test_one_shot_32), hpet_test(test_periodic), hpet_test(test_periodic_64),
        hpet_test(test_level),       hpet_test(test_legacy),   cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
