/* Character backends without a host: what all have in common, ring, file and null. */
#include "char/chardev.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A serial port with `room` bytes of room. */
struct sink {
    struct chardev_front front;
    struct chardev *c;
    size_t room, got;
    unsigned calls;
    bool greedy; /* makes room and asks for more from within receive */
    bool detach; /* hangs up at the first byte */
    uint8_t data[1 << 17];
};

static size_t sink_room(void *opaque)
{
    return ((struct sink *)opaque)->room;
}

static void sink_receive(void *opaque, const uint8_t *data, size_t len)
{
    struct sink *s = opaque;
    assert_in_range(len, 1, s->room);
    assert_true(s->got + len <= sizeof s->data);
    memcpy(s->data + s->got, data, len);
    s->got += len;
    s->room -= len;
    s->calls++;
    if (s->detach)
        chardev_attach(s->c, NULL);
    if (s->greedy) {
        s->room = 3;
        chardev_accept_input(s->c);
    }
}

static struct sink *sink_new(struct chardev *c)
{
    struct sink *s = calloc(1, sizeof *s);
    s->front = (struct chardev_front){ sink_room, sink_receive, s };
    s->c = c;
    assert_true(chardev_attach(c, &s->front));
    return s;
}

static void put(struct chardev *c, const char *text)
{
    chardev_write(c, (const uint8_t *)text, strlen(text));
}

static void input(struct chardev *c, const char *text)
{
    chardev_input(c, (const uint8_t *)text, strlen(text));
}

static void test_attach_once(void **state)
{
    (void)state;
    struct chardev *c = chardev_null_new("c0");
    assert_string_equal(*(const char **)c, "c0"); /* the id comes first */
    struct sink *s = sink_new(c), other = { .front = s->front };
    assert_false(chardev_attach(c, &other.front));
    assert_ptr_equal(c->front, &s->front);
    assert_true(chardev_attach(c, NULL));
    assert_true(chardev_attach(c, &other.front));
    put(c, "into nothing");
    assert_int_equal(c->bytes_out, 12);
    chardev_free(c);
    chardev_free(NULL);
    free(s);
}

static void test_input_waits(void **state)
{
    (void)state;
    struct chardev *c = chardev_ring_new("c0", 16, NULL);
    input(c, "lost"); /* nobody is attached */
    assert_int_equal(chardev_input_waiting(c), 0);
    struct sink *s = sink_new(c);
    s->room = 3;
    input(c, "abcdef");
    input(c, "gh");
    assert_int_equal(s->got, 3);
    assert_int_equal(chardev_input_waiting(c), 5);
    s->room = 1;
    chardev_accept_input(c);
    assert_int_equal(s->got, 4);
    s->room = 100;
    chardev_accept_input(c);
    assert_int_equal(s->got, 8);
    assert_memory_equal(s->data, "abcdefgh", 8);
    assert_int_equal(c->bytes_in, 12);
    chardev_free(c);
    free(s);
}

static void test_input_from_within(void **state)
{
    (void)state;
    struct chardev *c = chardev_ring_new("c0", 16, NULL);
    struct sink *s = sink_new(c);
    s->greedy = true;
    s->room = 2;
    input(c, "abcdefghijk");
    assert_int_equal(s->got, 11);
    assert_memory_equal(s->data, "abcdefghijk", 11);
    s->greedy = false;
    s->detach = true;
    s->room = 1;
    input(c, "xyz"); /* hangs up after the first: the rest is dropped */
    assert_int_equal(s->got, 12);
    assert_int_equal(chardev_input_waiting(c), 0);
    chardev_free(c);
    free(s);
}

static void test_input_by_the_door(void **state)
{
    (void)state;
    struct door *d = door_new(NULL, NULL);
    struct chardev *c = chardev_ring_new("c0", 16, d);
    struct sink *s = sink_new(c);
    s->room = 100;
    input(c, "ab");
    input(c, "c");
    assert_int_equal(s->got, 0);
    assert_int_equal(chardev_input_waiting(c), 3);
    assert_int_equal(door_drain(d), 2);
    assert_memory_equal(s->data, "abc", 3);
    assert_int_equal(chardev_input_waiting(c), 0);
    input(c, "never enters");
    chardev_free(c);
    assert_int_equal(door_drain(d), 0);
    door_free(d);
    free(s);
}

/* A guest that does not read costs no more than a bounded amount of memory. */
static void test_input_bound(void **state)
{
    (void)state;
    struct chardev *c = chardev_ring_new("c0", 16, NULL);
    struct sink *s = sink_new(c);
    static uint8_t block[4096];
    for (int i = 0; i < 1000; i++)
        chardev_input(c, block, sizeof block);
    assert_int_equal(chardev_input_waiting(c), CHARDEV_INPUT_MAX);
    assert_int_equal(c->bytes_in, 1000 * sizeof block);
    chardev_free(c);
    free(s);
}

static void test_ring(void **state)
{
    (void)state;
    struct chardev *c = chardev_ring_new("c0", 8, NULL);
    uint8_t buf[16];
    uint64_t total = 99;
    assert_int_equal(chardev_ring_read(c, buf, sizeof buf, &total), 0);
    assert_int_equal(total, 0);
    put(c, "abc");
    assert_int_equal(chardev_ring_read(c, buf, sizeof buf, &total), 3);
    assert_memory_equal(buf, "abc", 3);
    put(c, "defgh");
    put(c, "ij"); /* wraps */
    assert_int_equal(chardev_ring_read(c, buf, sizeof buf, &total), 8);
    assert_memory_equal(buf, "cdefghij", 8);
    assert_int_equal(total, 10);
    assert_int_equal(chardev_ring_read(c, buf, 3, NULL), 3);
    assert_memory_equal(buf, "hij", 3);
    put(c, "0123456789ABCDEFGHI"); /* longer than the ring */
    assert_int_equal(chardev_ring_read(c, buf, sizeof buf, &total), 8);
    assert_memory_equal(buf, "BCDEFGHI", 8);
    assert_int_equal(total, 29);
    chardev_free(c);
}

static void see(void *opaque, const uint8_t *data, size_t len)
{
    strncat(opaque, (const char *)data, len);
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/perilune-chardev-XXXXXX", seen[32] = "", got[32] = "";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "old ", 4), 4);
    struct chardev *c = chardev_file_new(
        "f0", NULL, NULL, &(struct chardev_file_config){ .path = path, .append = true }, NULL);
    assert_non_null(c);
    struct chardev_tap tap = { see, seen };
    chardev_tap_add(c, &tap);
    put(c, "and new");
    assert_int_equal(pread(fd, got, sizeof got, 0), 11); /* at once, not when it is closed */
    assert_string_equal(got, "old and new");
    assert_string_equal(seen, "and new");
    chardev_free(c);
    close(fd);
    unlink(path);
    struct error err = { 0 };
    struct chardev_file_config file = { .path = "/nonexistent/out" };
    assert_null(chardev_file_new("f0", NULL, NULL, &file, &err));
    assert_int_equal(err.kind, ERROR_HOST);
    assert_non_null(strstr(err.text, "/nonexistent/out"));
    /* A failing write ends the output, not the machine. */
    c = chardev_file_new("f1", NULL, NULL, &(struct chardev_file_config){ .path = "/dev/full" },
                         NULL);
    assert_non_null(c);
    put(c, "x");
    put(c, "y");
    assert_int_equal(c->bytes_out, 2);
    chardev_free(c);
}

/* Taps are called in order, and may go while they are called. */
struct leaving {
    struct chardev_tap tap;
    struct chardev *c;
    struct leaving *other;
    int calls;
};

static void leave(void *opaque, const uint8_t *data, size_t len)
{
    struct leaving *l = opaque;
    l->calls++;
    chardev_tap_remove(l->c, &l->tap);
    if (l->other)
        chardev_tap_remove(l->c, &l->other->tap);
}

static void test_taps(void **state)
{
    (void)state;
    struct chardev *c = chardev_null_new("c0");
    char seen[32] = "";
    struct leaving second = { { leave, &second }, c }, first = { { leave, &first }, c, &second };
    struct chardev_tap last = { see, seen };
    chardev_tap_add(c, &first.tap);
    chardev_tap_add(c, &second.tap);
    chardev_tap_add(c, &last);
    assert_true(chardev_may_go(c));
    put(c, "ab");
    put(c, "c");
    assert_int_equal(first.calls, 1);
    assert_int_equal(second.calls, 0);
    assert_string_equal(seen, "abc");
    chardev_free(c);
}

static void quit(void *opaque)
{
    ++*(int *)opaque;
}

static void test_mux(void **state)
{
    (void)state;
    int quits = 0;
    struct door *d = door_new(NULL, NULL);
    struct chardev *c = chardev_ring_new("base", 64, d);
    struct chardev_mux_config config = { quit, &quits };
    assert_true(chardev_mux_add(c, &config));
    assert_false(chardev_mux_add(c, &config));
    assert_true(chardev_may_go(c));
    struct chardev *one = chardev_mux_port_new("one", c, d);
    struct chardev *two = chardev_mux_port_new("two", c, d);
    struct chardev *empty = chardev_mux_port_new("empty", c, d);
    assert_false(chardev_may_go(c));
    struct sink *a = sink_new(one), *b = sink_new(two);
    a->room = 2; /* a guest that reads little is not in the way of the other */
    b->room = 100;
    input(c, "abcd\001");
    input(c, "cxyz\001x\001\001");
    assert_int_equal(a->got, 0); /* ports have the door, the mux does not */
    door_drain(d);
    assert_int_equal(a->got, 2);
    assert_int_equal(b->got, 4);
    assert_memory_equal(b->data, "xyz\001", 4);
    assert_true(chardev_mux_has_focus(two));
    assert_int_equal(quits, 0); /* no monitor is there */
    input(c, "\001c\001c");     /* past the one that nobody is attached to, and back */
    assert_true(chardev_mux_has_focus(two));
    chardev_mux_focus(one);
    b->front.outside = true;
    input(c, "\001x");
    assert_int_equal(quits, 1);
    put(one, "from one, ");
    put(two, "from two");
    uint8_t out[32];
    size_t n = chardev_ring_read(c, out, sizeof out, NULL);
    assert_int_equal(n, 18);
    assert_memory_equal(out, "from one, from two", n);
    chardev_free(one);
    assert_true(chardev_mux_has_focus(two));
    chardev_free(c);
    assert_null(chardev_mux_backend(two));
    put(two, "nowhere");
    chardev_free(two);
    chardev_free(empty);
    door_free(d);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach_once),
        cmocka_unit_test(test_input_waits),
        cmocka_unit_test(test_input_from_within),
        cmocka_unit_test(test_input_by_the_door),
        cmocka_unit_test(test_input_bound),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_mux),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
