/* Hooks on what a guest writes to a character backend, and the end of that text, which is kept so
 * that who begins to wait can look back. Machine lock. */
#define _GNU_SOURCE /* memmem */
#include "script/script_hook.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* ---- history ---- */

enum { HISTORY_KEEP = 256 << 10 };

/* The last bytes, at least HISTORY_KEEP of them once so many were written, less than twice that. */
struct script_history {
    uint64_t total; /* bytes ever written */
    size_t len, capacity;
    char *bytes;
    struct chardev_tap tap;
};

static void remember(void *opaque, const uint8_t *data, size_t len)
{
    struct script_history *y = opaque;
    y->total += len;
    if (len > HISTORY_KEEP) {
        data += len - HISTORY_KEEP;
        len = HISTORY_KEEP;
    }
    if (y->len + len > 2 * HISTORY_KEEP) {
        memmove(y->bytes, y->bytes + y->len - HISTORY_KEEP, HISTORY_KEEP);
        y->len = HISTORY_KEEP;
    }
    if (y->len + len > y->capacity) {
        y->capacity = 2 * (y->len + len);
        y->bytes = alloc_resize(y->bytes, y->capacity, 1);
    }
    memcpy(y->bytes + y->len, data, len);
    y->len += len;
}

/* How many of the bytes held were written since `from`. */
static size_t held_since(const struct script_history *y, uint64_t from)
{
    uint64_t wanted = from > y->total ? 0 : y->total - from;
    return wanted < y->len ? (size_t)wanted : y->len;
}

uint64_t script_history_push(lua_State *L, const struct script_chardev *c, uint64_t from)
{
    const struct script_history *y = c->history;
    size_t n = held_since(y, from);
    lua_pushlstring(L, n ? y->bytes + y->len - n : "", n);
    return y->total;
}

void script_history_begin(struct script_chardev *c)
{
    c->history = ALLOC(struct script_history);
    c->history->tap = (struct chardev_tap){ remember, c->history };
    chardev_tap_add(c->c, &c->history->tap);
}

void script_history_free(struct script_chardev *c)
{
    chardev_tap_remove(c->c, &c->history->tap);
    free(c->history->bytes);
    free(c->history);
    c->history = NULL;
}

/* ---- telling ---- */

struct text_call {
    const char *bytes;
    size_t len;
    bool finished;
};

static int push_text(lua_State *L, void *opaque)
{
    struct text_call *call = opaque;
    lua_pushlstring(L, call->bytes, call->len);
    lua_pushboolean(L, call->finished);
    return 2;
}

static void drop_front(struct script_hook *h, size_t n)
{
    memmove(h->serial.window, h->serial.window + n, h->serial.used - n);
    h->serial.used -= n;
}

/* Everything that can be told of what the window holds. */
static void look_at_window(struct script_hook *h)
{
    while (h->installed) {
        char *window = h->serial.window, *found;
        size_t end;
        if (h->serial.text) {
            found = memmem(window, h->serial.used, h->serial.text, h->serial.text_len);
            if (!found)
                return;
            end = (size_t)(found - window) + h->serial.text_len;
        } else {
            found = memchr(window, '\n', h->serial.used);
            if (!found)
                return;
            end = (size_t)(found - window) + 1;
        }
        /* Take it out first: the function may make the guest write more. */
        char told[sizeof h->serial.window];
        size_t len = h->serial.text ? end : end - 1;
        if (!h->serial.text && len && window[len - 1] == '\r')
            len--;
        memcpy(told, window, len);
        drop_front(h, end);
        script_hook_call(h, push_text, NULL, &(struct text_call){ told, len, true });
    }
}

/* The guest has been quiet in the middle of a line: a prompt. */
static void tell_unfinished(void *opaque)
{
    struct script_hook *h = opaque;
    char told[sizeof h->serial.window];
    size_t len = h->serial.used;
    memcpy(told, h->serial.window, len);
    if (len)
        script_hook_call(h, push_text, NULL, &(struct text_call){ told, len, false });
}

/* A hook that was added by another one while this text was told has seen it. */
static void serial_output(void *opaque, const uint8_t *data, size_t len)
{
    struct script_hook *h = opaque;
    if (h->serial.seen == h->serial.history->total)
        return;
    h->serial.seen = h->serial.history->total;
    for (size_t n = 0; n < len && h->installed; n++) {
        if (h->serial.used == sizeof h->serial.window)
            drop_front(h, sizeof h->serial.window / 2);
        h->serial.window[h->serial.used++] = (char)data[n];
        if (h->serial.text || data[n] == '\n')
            look_at_window(h);
    }
    if (!h->installed || !h->serial.quiet_ns)
        return;
    if (h->serial.used)
        timer_set(&h->serial.quiet, clock_now(h->serial.quiet.clock) + h->serial.quiet_ns);
    else
        timer_cancel(&h->serial.quiet);
}

/* ---- the kind ---- */

/* Put what was written since `from` into the window, less what is enough for a match: whoever
 * installs the hook has looked for that. */
static void look_back(struct script_hook *h, uint64_t from)
{
    const struct script_history *y = h->serial.history;
    size_t n = held_since(y, from);
    if (n >= h->serial.text_len)
        n = h->serial.text_len - 1;
    if (n)
        memcpy(h->serial.window, y->bytes + y->len - n, n);
    h->serial.used = n;
}

static struct script_chardev *check_chardev(lua_State *L, struct script_hook *h, int filter)
{
    const char *id = table_string(L, filter, "chardev");
    id = id ? id : "serial0";
    struct script_chardev *c = script_find_chardev(h->svm, id);
    if (!c)
        luaL_error(L, "vm:on(\"serial\"): there is no chardev \"%s\"", id);
    lua_pop(L, 1);
    return c;
}

static void install_serial(lua_State *L, struct script_hook *h, int filter)
{
    static const lua_Integer none = -1;
    size_t len = 0;
    struct script_chardev *c = check_chardev(L, h, filter);
    lua_Integer since = filter_integer(L, filter, "since", &none);
    bool quiet = lua_getfield(L, filter, "quiet") != LUA_TNIL;
    int64_t quiet_ns = quiet ? check_duration(L, lua_gettop(L)) : 0;
    const char *text = table_string(L, filter, "text");
    if (text)
        text = lua_tolstring(L, -1, &len);
    if (text && (!len || len > sizeof h->serial.window / 4))
        luaL_error(L, "vm:on(\"serial\"): \"text\" has from 1 to 1024 bytes");
    if (text ? quiet : since >= 0)
        luaL_error(L, "vm:on(\"serial\"): \"since\" goes with \"text\", and \"quiet\" without");
    h->serial.chardev = c->c;
    h->serial.history = c->history;
    h->serial.seen = c->history->total;
    h->serial.text = text ? alloc_zero(1, len + 1) : NULL;
    if (text)
        memcpy(h->serial.text, text, len);
    lua_pop(L, 2);
    h->serial.text_len = len;
    h->serial.quiet_ns = quiet_ns;
    timer_init(&h->serial.quiet, &vm_machine(h->svm->vm)->virtual, tell_unfinished, h);
    if (text && since >= 0)
        look_back(h, (uint64_t)since);
    h->serial.tap = (struct chardev_tap){ serial_output, h };
    chardev_tap_add(c->c, &h->serial.tap);
}

static void remove_serial(struct script_hook *h)
{
    chardev_tap_remove(h->serial.chardev, &h->serial.tap);
    timer_cancel(&h->serial.quiet);
    free(h->serial.text);
    h->serial.text = NULL;
}

static const struct binding_member serial_keys[] = {
    { "chardev", NULL, "string", "id of who writes; \"serial0\" unless given" },
    { "text", NULL, "string", "what is waited for; each line unless given" },
    { "since", NULL, "integer", "with text: the byte of history to begin at" },
    { "quiet", NULL, "duration", "tell of unfinished lines after such a pause" },
    { NULL },
};
const struct hook_kind hook_serial = { "serial", install_serial, remove_serial,
                                       HOOK_DOC("serial", serial_keys,
                                                "(text, complete: boolean) → \"stop\"",
                                                "the guest has written a text, or a line") };
