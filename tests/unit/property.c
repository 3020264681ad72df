/* Properties: conversions, ranges, refusals, printed forms, near names. */
#include "base/error.h"
#include "dev/device.h"
#include "mem/region.h"
#include "test_machine.h"

struct gadget {
    struct device dev;
    bool flag;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64, size;
    int32_t i32;
    int64_t i64;
    char *text, *serial;
    uint8_t color, auto_mode;
    uint8_t mac[6];
    int32_t addr;
    struct device *peer;
    void *chardev;
    struct region *region;
    struct prop_array *lines;
    bool refuse;
    unsigned changes;
};

static bool changed(struct device *d, const struct prop *p, struct error *err)
{
    struct gadget *g = (struct gadget *)d;
    g->changes++;
    return !g->refuse || error_set(err, "not now");
}

static const char *const colors[] = { "red", "green", "blue", NULL };
static const char *const peer_type[] = { "gadget", NULL };

#define ROW(KIND, FIELD, DEF, ...) \
    PROP(KIND, struct gadget, FIELD, #FIELD, DEF, "for tests", __VA_ARGS__)

static const struct prop gadget_props[] = {
    ROW(PROP_BOOL, flag, "on"),
    ROW(PROP_U8, u8, "5"),
    ROW(PROP_U16, u16, "0x3f8", .hex = true),
    ROW(PROP_U32, u32, "4294967295"),
    ROW(PROP_U64, u64, NULL),
    ROW(PROP_SIZE, size, "2G", .min = 4096, .max = 1LL << 40),
    ROW(PROP_I32, i32, "-1", .min = -1, .max = 15),
    ROW(PROP_I64, i64, "-1"),
    ROW(PROP_STRING, text, "hello", .live = true, .changed = changed),
    ROW(PROP_STRING, serial, NULL),
    ROW(PROP_ENUM, color, "green", .names = colors, .live = true, .changed = changed),
    ROW(PROP_ON_OFF_AUTO, auto_mode, "auto"),
    ROW(PROP_MAC, mac, "52:54:00:12:34:56"),
    ROW(PROP_PCI_ADDR, addr, NULL),
    ROW(PROP_LINK, peer, NULL, .names = peer_type),
    ROW(PROP_CHARDEV, chardev, NULL),
    ROW(PROP_REGION, region, NULL),
    ROW(PROP_ARRAY, lines, "3,0x10", .min = 0, .max = 100, .live = true, .changed = changed),
    PROP_END,
};

static const struct device_type gadget_type = {
    .name = "gadget",
    .parent = "device",
    .instance_size = sizeof(struct gadget),
    .props = gadget_props,
};

/* Another default for a parent's row, and a property that must be given. */
struct special {
    struct gadget gadget;
    char *needed;
};

static const struct prop special_props[] = {
    PROP(PROP_U8, struct gadget, u8, "u8", "9", "another default"),
    PROP(PROP_STRING, struct special, needed, "needed", NULL, "what it cannot do without",
         .required = true),
    PROP_END,
};

static const struct device_type special_type = {
    .name = "special",
    .parent = "gadget",
    .instance_size = sizeof(struct special),
    .props = special_props,
};

static const struct device_type *const types[] = { &gadget_type, &special_type, NULL };

static struct test_machine *t;
static struct gadget *g;
static struct error err;

static int setup(void **state)
{
    t = test_machine_new(types);
    g = (struct gadget *)test_device(t, "gadget", "g1");
    err = (struct error){ 0 };
    return 0;
}

static int teardown(void **state)
{
    test_machine_free(t);
    return 0;
}

static bool set_text(const char *name, const char *text)
{
    return device_set_prop(&g->dev, name, (struct prop_value){ .type = VALUE_STRING, .s = text },
                           &err);
}

static bool set_int(const char *name, int64_t i)
{
    return device_set_prop(&g->dev, name, (struct prop_value){ .type = VALUE_INT, .i = i }, &err);
}

static void expect_print(const char *name, const char *expected)
{
    const struct prop *p = device_find_prop(&g->dev, name, NULL);
    assert_non_null(p);
    char *text = device_print_prop(&g->dev, p);
    assert_string_equal(text, expected);
    free(text);
}

static void test_defaults_as_listed(void **state)
{
    expect_print("flag", "true");
    expect_print("u8", "5 (0x5)");
    expect_print("u16", "0x3f8");
    expect_print("u32", "4294967295 (0xffffffff)");
    expect_print("u64", "0 (0x0)");
    expect_print("size", "2147483648 (2 GiB)");
    expect_print("i32", "-1 (0xffffffffffffffff)");
    expect_print("i64", "-1 (0xffffffffffffffff)");
    expect_print("text", "\"hello\"");
    expect_print("serial", "\"\"");
    expect_print("color", "\"green\"");
    expect_print("auto_mode", "\"auto\"");
    expect_print("mac", "\"52:54:00:12:34:56\"");
    expect_print("addr", "auto");
    expect_print("peer", "\"\"");
    expect_print("chardev", "\"\"");
}

static void test_sizes_as_listed(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0 (0 B)" },
        { 512, "512 (512 B)" },
        { 1000, "1000 (0.977 KiB)" },
        { 268435456, "268435456 (256 MiB)" },
        { 4294967295, "4294967295 (4 GiB)" },
        { UINT64_MAX, "18446744073709551615 (16 EiB)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        g->size = cases[i].bytes;
        expect_print("size", cases[i].text);
    }
}

static void test_conversions(void **state)
{
    assert_true(set_text("flag", "no"));
    assert_false(g->flag);
    assert_true(set_text("u8", "0xff"));
    assert_int_equal(g->u8, 255);
    assert_true(set_text("size", "512M"));
    assert_int_equal(g->size, 512 << 20);
    assert_true(set_text("i32", "-1"));
    assert_int_equal(g->i32, -1);
    assert_true(set_int("i64", INT64_MIN));
    assert_true(g->i64 == INT64_MIN);
    assert_true(set_text("i64", "-9223372036854775808"));
    assert_true(g->i64 == INT64_MIN);
    assert_true(set_text("color", "blue"));
    assert_int_equal(g->color, 2);
    assert_true(device_set_prop(&g->dev, "auto_mode",
                                (struct prop_value){ .type = VALUE_BOOL, .b = true }, &err));
    assert_int_equal(g->auto_mode, OOA_ON);
    assert_true(set_text("addr", "1f.7"));
    assert_int_equal(g->addr, 0xff);
    assert_true(set_text("addr", "3"));
    assert_int_equal(g->addr, 0x18);
    assert_true(set_int("addr", 4));
    expect_print("addr", "04.0");
    struct prop_value v;
    assert_true(device_get_prop(&g->dev, "addr", &v, &err));
    assert_string_equal(v.s, "04.0");
    assert_true(set_text("addr", "auto"));
    assert_int_equal(g->addr, -1);
}

static void expect_refused(const char *name, const char *value, const char *part)
{
    char before[sizeof *g], after[sizeof *g];
    memcpy(before, g, sizeof before);
    assert_false(set_text(name, value));
    memcpy(after, g, sizeof after);
    assert_memory_equal(before, after, sizeof before);
    assert_contains(err.text, "gadget 'g1'");
    assert_contains(err.text, name);
    assert_contains(err.text, part);
}

static void test_refusals(void **state)
{
    expect_refused("flag", "maybe", "true or false");
    expect_refused("u8", "256", "from 0 to 255");
    expect_refused("u8", "-1", "from 0 to 255");
    expect_refused("u8", "", "whole number");
    expect_refused("u8", "1x", "'1x'");
    expect_refused("u64", "18446744073709551616", "whole number");
    expect_refused("size", "1K", "0x1000");
    expect_refused("size", "2T", "0x10000000000");
    expect_refused("size", "1.5G", "K, M, G or T");
    expect_refused("i32", "16", "from -1 to 15");
    expect_refused("i64", "9223372036854775808", "whole number");
    expect_refused("color", "gren", "did you mean 'green'");
    expect_refused("auto_mode", "perhaps", "auto, on, off");
    expect_refused("mac", "52:54:00:12:34", "52:54:00:12:34:56");
    expect_refused("mac", "52:54:00:12:34:5g", "52:54:00:12:34:56");
    expect_refused("mac", "52:54:00:12:34:567", "52:54:00:12:34:56");
    expect_refused("mac", "01:00:5e:00:00:01", "group address");
    expect_refused("addr", "20.0", "slot");
    expect_refused("addr", "1.8", "slot");
    expect_refused("addr", "1.", "slot");
    expect_refused("chardev", "serial0", "object is needed: a character backend");
    expect_refused("region", "ram", "object is needed: a memory region");
    assert_false(set_int("addr", -1));
    assert_false(set_int("text", 3));
    assert_contains(err.text, "it is text");
}

static void test_unknown_names(void **state)
{
    assert_false(set_text("colour", "red"));
    assert_contains(err.text, "did you mean 'color'");
    assert_contains(err.text, "gadget");
    assert_false(set_text("zzzzzzzz", "1"));
    assert_contains(err.text, "--device gadget,help");
}

static void test_live_and_construct_only(void **state)
{
    assert_true(set_text("text", "before"));
    assert_int_equal(g->changes, 0);
    test_realize(&g->dev, NULL);
    assert_false(set_text("u8", "1"));
    assert_contains(err.text, "construct-only");
    assert_contains(err.text, "text, color");
    assert_true(set_text("text", "during"));
    assert_int_equal(g->changes, 1);
    g->refuse = true;
    assert_false(set_text("text", "refused"));
    assert_string_equal(err.text, "not now");
    assert_string_equal(g->text, "during");
    assert_false(set_text("color", "red"));
    assert_int_equal(g->color, 1);
}

static void expect_lines(size_t count, int64_t first)
{
    struct prop_value v;
    assert_true(device_get_prop(&g->dev, "lines", &v, &err));
    assert_int_equal(v.type, VALUE_ARRAY);
    assert_int_equal(v.array ? v.array->count : 0, count);
    if (count)
        assert_int_equal(v.array->items[0], first);
}

static void test_arrays(void **state)
{
    expect_lines(2, 3);
    expect_print("lines", "3,16");
    assert_true(set_text("lines", "7,8,9"));
    expect_lines(3, 7);
    assert_true(set_int("lines", 5));
    expect_lines(1, 5);
    const struct {
        size_t count;
        int64_t items[2];
    } two = { 2, { 50, 100 } };
    struct prop_value v = { .type = VALUE_ARRAY, .array = (const struct prop_array *)&two };
    assert_true(device_set_prop(&g->dev, "lines", v, &err));
    expect_lines(2, 50);
    static const char *const wrong[] = { "1,", ",1", "1,x", "101", "-1", "1 2" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_false(set_text("lines", wrong[i]));
        assert_non_null(strstr(err.text, "from 0 to 100"));
    }
    expect_lines(2, 50);
    assert_false(
        device_set_prop(&g->dev, "lines", (struct prop_value){ .type = VALUE_BOOL }, &err));
    assert_true(device_realize(&g->dev, NULL, &err));
    g->refuse = true;
    assert_false(set_text("lines", "1"));
    expect_lines(2, 50);
    g->refuse = false;
    assert_true(set_text("lines", ""));
    expect_lines(0, 0);
    expect_print("lines", "");
}

static void test_links(void **state)
{
    struct gadget *other = (struct gadget *)test_device(t, "gadget", "g2");
    assert_true(set_text("peer", "g2"));
    assert_ptr_equal(g->peer, other);
    test_realize(&other->dev, NULL);
    expect_print("peer", "\"/machine/peripheral/g2\"");
    assert_false(set_text("peer", "g3"));
    assert_contains(err.text, "property 'peer'");
    assert_ptr_equal(g->peer, other);
    device_free(&other->dev);
    assert_null(g->peer);
}

static void test_backends_and_regions_by_object(void **state)
{
    struct {
        const char *id;
    } backend = { "serial0" };
    struct prop_value v = { .type = VALUE_OBJECT, .object = &backend };
    assert_true(device_set_prop(&g->dev, "chardev", v, &err));
    expect_print("chardev", "\"serial0\"");
    struct prop_value none = { .type = VALUE_NONE };
    assert_true(device_set_prop(&g->dev, "chardev", none, &err));
    expect_print("chardev", "\"\"");
    v.object = &t->m.system;
    assert_true(device_set_prop(&g->dev, "region", v, &err));
    expect_print("region", "\"system\"");
}

static void test_required_and_overridden(void **state)
{
    struct special *s = (struct special *)test_device(t, "special", NULL);
    assert_int_equal(s->gadget.u8, 9);
    assert_false(device_realize(&s->gadget.dev, NULL, &err));
    assert_contains(err.text, "'needed' must be set");
    assert_null(s->gadget.dev.path);
    test_set(&s->gadget.dev, "needed", "x");
    test_realize(&s->gadget.dev, NULL);
}

static void test_parse_time(void **state)
{
    static const char *const wrong[] = { "",     "5",    "ms",   "5 ms",   "5h",
                                         "1e3s", "0x1s", "-1ms", "1.2.3s", "999999999999s" };
    int64_t ns;
    assert_true(parse_time("7ns", &ns) && ns == 7);
    assert_true(parse_time("1.5us", &ns) && ns == 1500);
    assert_true(parse_time(".5ms", &ns) && ns == 500000);
    assert_true(parse_time("30s", &ns) && ns == 30000000000);
    assert_true(parse_time("2min", &ns) && ns == 120000000000);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(parse_time(wrong[i], &ns));
}

static void test_parse_size(void **state)
{
    uint64_t n = 7;
    assert_true(parse_size("4096", &n) && n == 4096);
    assert_true(parse_size("0x1000", &n) && n == 4096);
    assert_true(parse_size("1k", &n) && n == 1024);
    assert_true(parse_size("3T", &n) && n == 3ULL << 40);
    assert_true(parse_size("18446744073709551615", &n) && n == UINT64_MAX);
    assert_true(parse_size("010", &n) && n == 10);
    n = 7;
    static const char *const bad[] = {
        "",         "M", "-1", " 1", "1 ", "1MB", "x", "0x", "1.0", "0xg", "18446744073709551616",
        "16777216T"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(parse_size(bad[i], &n));
    assert_int_equal(n, 7);
}

static void test_nearest_name(void **state)
{
    static const char *const names[] = { "memory", "cpus", "kernel", "no-reboot", "e1000", NULL };
    assert_string_equal(nearest_name("memroy", names), "memory");
    assert_string_equal(nearest_name("Kernal", names), "kernel");
    assert_string_equal(nearest_name("no_reboot", names), "no-reboot");
    assert_string_equal(nearest_name("e100", names), "e1000");
    assert_null(nearest_name("bios", names));
    assert_null(nearest_name("x", names));
    assert_null(nearest_name("", names));
    char long_name[200];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    assert_null(nearest_name(long_name, names));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults_as_listed),
        TEST(test_sizes_as_listed),
        TEST(test_conversions),
        TEST(test_refusals),
        TEST(test_unknown_names),
        TEST(test_live_and_construct_only),
        TEST(test_arrays),
        TEST(test_links),
        TEST(test_backends_and_regions_by_object),
        TEST(test_required_and_overridden),
        TEST(test_parse_size),
        TEST(test_parse_time),
        TEST(test_nearest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
