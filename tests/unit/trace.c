/* Events: patterns, lines, listeners that come and go, outputs. */
#include "trace/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { A_ONE, A_TWO, A_THREE };
static const struct trace_event a_events[] = {
    [A_ONE] = { "a.one",
                "every kind of argument",
                { { "dec", TRACE_DEC },
                  { "int", TRACE_INT },
                  { "hex", TRACE_HEX },
                  { "bool", TRACE_BOOL },
                  { "text", TRACE_TEXT },
                  { "size", TRACE_BYTES } } },
    [A_TWO] = { "a.two", "no argument", { { NULL } } },
    [A_THREE] = { "a.three", "one", { { "n", TRACE_DEC } } },
};
static struct trace_table a_trace = TRACE_TABLE(a_events);

enum { B_ONE };
static const struct trace_event b_events[] = {
    [B_ONE] = { "b.one", "text", { { "text", TRACE_TEXT } } },
};
static struct trace_table b_trace = TRACE_TABLE(b_events);

static struct trace_table *table(size_t n)
{
    static struct trace_table *const all[] = { &a_trace, &b_trace };
    return n < ARRAY_LEN(all) ? all[n] : NULL;
}

static int64_t now(void *opaque)
{
    return *(int64_t *)opaque;
}

static bool count(void *opaque, uint64_t *n)
{
    *n = 77;
    return *(int64_t *)opaque >= 0;
}

/* ---- a listener that notes what it hears ---- */

struct ear {
    struct trace_listener l;
    char text[4096];
    struct ear *drop, *add; /* done when told */
    struct trace *t;
};

static void hear(void *opaque, const struct trace_record *r)
{
    struct ear *e = opaque;
    size_t used = strlen(e->text);
    trace_format(r, false, e->text + used, sizeof e->text - used);
    if (e->drop)
        trace_detach(&e->drop->l);
    if (e->add && !e->add->l.trace) {
        trace_attach(e->t, &e->add->l);
        trace_select(&e->add->l, "*", true, NULL, 0);
    }
}

static void ear_init(struct ear *e, struct trace *t, const char *patterns)
{
    *e = (struct ear){ .l = { .event = hear, .opaque = e }, .t = t };
    if (!patterns)
        return;
    trace_attach(t, &e->l);
    assert_true(trace_select(&e->l, patterns, true, NULL, 0));
}

static int64_t clock_ns;

static struct trace make(const char *name)
{
    clock_ns = 5;
    return (struct trace){
        .name = name, .table = table, .now = now, .instructions = count, .opaque = &clock_ns
    };
}

/* Which events are on, as letters. */
static const char *which(void)
{
    static char text[8];
    snprintf(text, sizeof text, "%s%s%s%s", trace_is_on(&a_trace, A_ONE) ? "1" : "",
             trace_is_on(&a_trace, A_TWO) ? "2" : "", trace_is_on(&a_trace, A_THREE) ? "3" : "",
             trace_is_on(&b_trace, B_ONE) ? "b" : "");
    return text;
}

static void test_patterns(void **state)
{
    struct trace t = make("vm");
    struct ear e;
    char wrong[8];
    ear_init(&e, &t, "a.*");
    assert_string_equal(which(), "123");
    assert_true(trace_select(&e.l, "-a.t*,b.*", true, NULL, 0));
    assert_string_equal(which(), "1b");
    assert_true(trace_select(&e.l, "?.one", false, NULL, 0));
    assert_string_equal(which(), "");
    assert_true(trace_select(&e.l, "*,-*.one", true, NULL, 0));
    assert_string_equal(which(), "23");
    /* A pattern that is wrong changes nothing, whatever stands before it. */
    assert_false(trace_select(&e.l, "b.one,a.fourteen", true, wrong, sizeof wrong));
    assert_string_equal(wrong, "a.fourt");
    assert_string_equal(which(), "23");
    assert_false(trace_select(&e.l, "", true, wrong, sizeof wrong));
    trace_detach(&e.l);
    trace_detach(&e.l);
    assert_string_equal(which(), "");
    trace_fini(&t);
}

static void test_lines(void **state)
{
    struct trace t = make("a vm");
    struct ear e;
    ear_init(&e, &t, "*");
    struct trace_source from = { &t, "/machine/dev" };
    TRACE(a_trace, A_ONE, from, 1, (uint64_t)-2, 0xabc, true, trace_text("te xt\n\"\xff"), 64);
    assert_string_equal(e.text, "5 77 \"a vm\" a.one /machine/dev dec=1 int=-2 hex=0xabc bool=on "
                                "text=\"te xt\\u000a\\\"\\u00ff\" size=64\n");
    e.text[0] = 0;
    clock_ns = -1;
    TRACE(a_trace, A_TWO, ((struct trace_source){ &t, NULL }));
    TRACE(b_trace, B_ONE, from, trace_text(NULL));
    assert_string_equal(e.text,
                        "-1 - \"a vm\" a.two -\n-1 - \"a vm\" b.one /machine/dev text=\"\"\n");
    trace_detach(&e.l);
    trace_fini(&t);
}

static void test_json(void **state)
{
    struct trace t = make("vm");
    const uint64_t args[] = { 1, (uint64_t)-2, 0xabc, 0, trace_text("a\"b"), 64 };
    struct trace_record r = { &t, &a_events[A_ONE], "x", 9, true, 3, args };
    char line[256];
    size_t len = trace_format(&r, true, line, sizeof line);
    assert_string_equal(line, "{\"time\":9,\"instructions\":3,\"vm\":\"vm\",\"event\":\"a.one\","
                              "\"source\":\"x\",\"args\":{\"dec\":1,\"int\":-2,\"hex\":2748,"
                              "\"bool\":false,\"text\":\"a\\\"b\",\"size\":64}}\n");
    assert_int_equal(len, strlen(line));
    /* What does not fit is cut, and the line still ends. */
    len = trace_format(&r, false, line, 65);
    assert_int_equal(len, 64);
    assert_int_equal(line[63], '\n');
}

/* Text as long as can be does not break JSON lines. */
static void test_long_text(void **state)
{
    struct trace t = make("vm");
    char text[1000], line[10240];
    memset(text, '\x01', sizeof text - 1);
    text[sizeof text - 1] = 0;
    const uint64_t args[] = { trace_text(text) };
    struct trace_record r = { &t, &b_events[B_ONE], text, 9, true, 3, args };
    size_t len = trace_format(&r, true, line, sizeof line);
    assert_string_equal(line + len - 4, "\"}}\n");
}

static void test_two_machines(void **state)
{
    struct trace one = make("one"), two = make("two");
    struct ear e, f;
    ear_init(&e, &one, "*");
    ear_init(&f, &two, "b.*");
    TRACE(b_trace, B_ONE, ((struct trace_source){ &one, "x" }), trace_text("1"));
    TRACE(a_trace, A_TWO, ((struct trace_source){ &two, "x" }));
    TRACE(a_trace, A_TWO, ((struct trace_source){ NULL, "x" }));
    assert_string_equal(e.text, "5 77 one b.one x text=1\n");
    assert_string_equal(f.text, "");
    assert_int_equal(e.l.hits, 1);
    assert_int_equal(trace_listeners(&one, 0, A_TWO), 1);
    assert_int_equal(trace_listeners(&two, 0, A_TWO), 0);
    trace_detach(&e.l);
    assert_string_equal(which(), "b"); /* the other one's */
    trace_fini(&two);
    assert_string_equal(which(), "");
    assert_null(f.l.trace);
    trace_fini(&one);
}

static void test_changes_while_told(void **state)
{
    struct trace t = make("vm");
    struct ear e, f, g;
    ear_init(&e, &t, "a.three");
    ear_init(&f, &t, "a.three");
    ear_init(&g, &t, NULL);
    e.drop = &e;
    e.add = &g;
    struct trace_source from = { &t, "x" };
    TRACE(a_trace, A_THREE, from, 1);
    TRACE(a_trace, A_THREE, from, 2);
    assert_string_equal(e.text, "5 77 vm a.three x n=1\n");
    assert_string_equal(f.text, "5 77 vm a.three x n=1\n5 77 vm a.three x n=2\n");
    assert_string_equal(g.text, "5 77 vm a.three x n=2\n");
    /* One takes the next away. */
    f.drop = &g;
    TRACE(a_trace, A_THREE, from, 3);
    assert_int_equal(f.l.hits, 3);
    assert_int_equal(g.l.hits, 1);
    assert_int_equal(t.count, 1);
    trace_fini(&t);
}

/* Arguments cost nothing, and are not evaluated, while nobody listens. */
static uint64_t evaluated(unsigned *n)
{
    return ++*n;
}

static void test_off(void **state)
{
    struct trace t = make("vm");
    unsigned n = 0;
    TRACE(a_trace, A_THREE, ((struct trace_source){ &t, "x" }), evaluated(&n));
    assert_int_equal(n, 0);
    trace_fini(&t);
}

static void expect_file(const char *path, const char *text)
{
    char buf[256];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    buf[fread(buf, 1, sizeof buf - 1, f)] = 0;
    fclose(f);
    assert_string_equal(buf, text);
}

static void test_file(void **state)
{
    struct trace t = make("vm");
    struct error err = { 0 };
    char dir[] = "/tmp/trace-test-XXXXXX", first[64], second[64];
    assert_non_null(mkdtemp(dir));
    snprintf(first, sizeof first, "%s/one", dir);
    snprintf(second, sizeof second, "%s/two", dir);
    struct trace_output *o = trace_output_new(&t, first, false, &err);
    assert_non_null(o);
    assert_true(trace_select(&o->listener, "a.three", true, NULL, 0));
    struct trace_source from = { &t, "x" };
    TRACE(a_trace, A_THREE, from, 1);
    trace_output_flush(o);
    expect_file(first, "5 77 vm a.three x n=1\n");
    assert_false(trace_output_move(o, "/nowhere/at/all", &err));
    assert_non_null(strstr(err.text, "\"/nowhere/at/all\""));
    assert_int_equal(err.kind, ERROR_HOST);
    TRACE(a_trace, A_THREE, from, 2);
    assert_true(trace_output_move(o, second, &err));
    TRACE(a_trace, A_THREE, from, 3);
    trace_output_free(o);
    expect_file(first, "5 77 vm a.three x n=1\n5 77 vm a.three x n=2\n");
    expect_file(second, "5 77 vm a.three x n=3\n");
    assert_null(trace_output_new(&t, "/nowhere/at/all", false, &err));
    trace_output_free(NULL);
    trace_fini(&t);
    unlink(first);
    unlink(second);
    rmdir(dir);
}

/* A disk that is full ends the output, and does not fill anything else. */
static void test_full_disk(void **state)
{
    struct trace t = make("vm");
    struct error err = { 0 };
    if (access("/dev/full", W_OK) != 0)
        skip();
    struct trace_output *o = trace_output_new(&t, "/dev/full", true, &err);
    assert_non_null(o);
    assert_true(trace_select(&o->listener, "a.three", true, NULL, 0));
    for (unsigned n = 0; n < 100000; n++)
        TRACE(a_trace, A_THREE, ((struct trace_source){ &t, "x" }), n);
    assert_true(o->failed);
    trace_output_free(o);
    trace_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),     cmocka_unit_test(test_lines),
        cmocka_unit_test(test_json),         cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_two_machines), cmocka_unit_test(test_changes_while_told),
        cmocka_unit_test(test_off),          cmocka_unit_test(test_file),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
