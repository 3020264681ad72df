/* BTF: the types in one walk, members by name. */
#include "debug/btf.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <stdlib.h>
#include <string.h>

enum {
    BTF_MAGIC = 0xeb9f,
    HEADER_SIZE = 24,
    TYPE_SIZE = 12,
    MEMBER_SIZE = 12,
    TYPES_MAX = 4 << 20,
    DEPTH_MAX = 16, /* of typedefs, qualifiers and structs within structs */
};

enum btf_kind {
    BTF_INT = 1,
    BTF_PTR,
    BTF_ARRAY,
    BTF_STRUCT,
    BTF_UNION,
    BTF_ENUM,
    BTF_FWD,
    BTF_TYPEDEF,
    BTF_VOLATILE,
    BTF_CONST,
    BTF_RESTRICT,
    BTF_FUNC,
    BTF_FUNC_PROTO,
    BTF_VAR,
    BTF_DATASEC,
    BTF_FLOAT,
    BTF_DECL_TAG,
    BTF_TYPE_TAG,
    BTF_ENUM64,
    BTF_KINDS,
};

struct btf {
    const uint8_t *types; /* section of types */
    size_t types_size;
    const char *strings; /* ends with a zero */
    size_t strings_size;
    uint32_t *at; /* of each type in `types`; number 0 is void */
    size_t count, capacity;
};

struct type {
    const uint8_t *bytes; /* what is behind the three fields */
    uint32_t name, size;  /* `size` is the number of a type for those that refer to one */
    unsigned kind, members;
    bool bit_fields;
};

static struct type get_type(const struct btf *b, uint32_t id)
{
    const uint8_t *p = b->types + b->at[id];
    uint32_t info = ld_le32(p + 4);
    return (struct type){ .bytes = p + TYPE_SIZE,
                          .name = ld_le32(p),
                          .size = ld_le32(p + 8),
                          .kind = info >> 24 & 31,
                          .members = info & 0xffff,
                          .bit_fields = info >> 31 };
}

static const char *get_string(const struct btf *b, uint32_t offset)
{
    return offset < b->strings_size ? b->strings + offset : "";
}

/* Note where each type is. What follows its three fields depends on its kind. */
static bool walk(struct btf *b, struct error *err)
{
    static const struct {
        uint8_t fixed, each; /* bytes, and bytes for each of its members */
    } more[BTF_KINDS] = {
        [BTF_INT] = { 4, 0 },     [BTF_ARRAY] = { 12, 0 },   [BTF_STRUCT] = { 0, 12 },
        [BTF_UNION] = { 0, 12 },  [BTF_ENUM] = { 0, 8 },     [BTF_FUNC_PROTO] = { 0, 8 },
        [BTF_VAR] = { 4, 0 },     [BTF_DATASEC] = { 0, 12 }, [BTF_DECL_TAG] = { 4, 0 },
        [BTF_ENUM64] = { 0, 12 },
    };
    ALLOC_GROW(b->at, b->count, b->capacity);
    b->at[b->count++] = 0; /* void */
    for (size_t at = 0; at < b->types_size;) {
        if (b->types_size - at < TYPE_SIZE || b->count > TYPES_MAX)
            return error_set(err, "BTF: type %zu is cut", b->count);
        ALLOC_GROW(b->at, b->count, b->capacity);
        b->at[b->count] = at;
        struct type t = get_type(b, b->count);
        if (t.kind == 0 || t.kind >= BTF_KINDS)
            return error_set(err, "BTF: type %zu is of the unknown kind %u", b->count, t.kind);
        size_t size = TYPE_SIZE + more[t.kind].fixed + (size_t)more[t.kind].each * t.members;
        if (b->types_size - at < size)
            return error_set(err, "BTF: type %zu is cut", b->count);
        b->count++;
        at += size;
    }
    return true;
}

static bool open_sections(struct btf *b, const uint8_t *data, size_t size, struct error *err)
{
    if (size < HEADER_SIZE || ld_le16(data) != BTF_MAGIC)
        return error_set(err, "BTF: wrong magic");
    uint64_t header = ld_le32(data + 4), types = header + ld_le32(data + 8),
             types_size = ld_le32(data + 12), strings = header + ld_le32(data + 16),
             strings_size = ld_le32(data + 20);
    if (types + types_size > size || strings + strings_size > size || strings_size == 0 ||
        data[strings + strings_size - 1] != 0)
        return error_set(err, "BTF: its sections are not within its %zu bytes", size);
    b->types = data + types;
    b->types_size = types_size;
    b->strings = (const char *)data + strings;
    b->strings_size = strings_size;
    return true;
}

struct btf *btf_new(const uint8_t *data, size_t size, struct error *err)
{
    struct btf *b = ALLOC(struct btf);
    if (open_sections(b, data, size, err) && walk(b, err))
        return b;
    btf_free(b);
    return NULL;
}

void btf_free(struct btf *b)
{
    if (!b)
        return;
    free(b->at);
    free(b);
}

/* Behind typedefs and qualifiers. False: nothing is, or too much. */
static bool resolve(const struct btf *b, uint32_t id, struct type *t)
{
    for (unsigned depth = 0; depth < DEPTH_MAX && id != 0 && id < b->count; depth++) {
        *t = get_type(b, id);
        if (t->kind != BTF_TYPEDEF && t->kind != BTF_VOLATILE && t->kind != BTF_CONST &&
            t->kind != BTF_RESTRICT && t->kind != BTF_TYPE_TAG)
            return true;
        id = t->size;
    }
    return false;
}

/* The size of a member of the type `id`, or of one of its elements. */
static bool measure(const struct btf *b, uint32_t id, struct btf_place *place)
{
    struct type t;
    place->count = 1;
    if (!resolve(b, id, &t))
        return false;
    if (t.kind == BTF_ARRAY) {
        place->count = ld_le32(t.bytes + 8);
        if (!resolve(b, ld_le32(t.bytes), &t))
            return false;
    }
    place->size = t.kind == BTF_PTR ? 8 : t.size;
    return t.kind == BTF_PTR || t.kind == BTF_INT || t.kind == BTF_STRUCT || t.kind == BTF_UNION ||
           t.kind == BTF_ENUM || t.kind == BTF_ENUM64;
}

/* `steps` bounds the whole search: structs within structs may be made to branch. */
static bool find_member(const struct btf *b, const struct type *t, const char *path, unsigned depth,
                        unsigned *steps, struct btf_place *place)
{
    size_t len = strcspn(path, ".");
    if (depth == DEPTH_MAX || (t->kind != BTF_STRUCT && t->kind != BTF_UNION))
        return false;
    for (unsigned i = 0; i < t->members && *steps; i++, --*steps) {
        const uint8_t *m = t->bytes + MEMBER_SIZE * i;
        const char *name = get_string(b, ld_le32(m));
        uint32_t id = ld_le32(m + 4), bits = ld_le32(m + 8), base = place->offset;
        bool named = strlen(name) == len && memcmp(name, path, len) == 0;
        if ((!named && *name) || bits % 8 || (t->bit_fields && bits >> 24))
            continue;
        place->offset = base + bits / 8;
        if (named && !path[len])
            return measure(b, id, place);
        struct type inner;
        if (resolve(b, id, &inner) &&
            find_member(b, &inner, named ? path + len + 1 : path, depth + 1, steps, place))
            return true;
        place->offset = base;
    }
    return false;
}

bool btf_find(const struct btf *b, const char *type, const char *member, struct btf_place *place)
{
    for (uint32_t id = 1; id < b->count; id++) {
        struct type t = get_type(b, id);
        if (t.kind != BTF_STRUCT || strcmp(get_string(b, t.name), type) != 0)
            continue;
        unsigned steps = 1 << 16;
        *place = (struct btf_place){ .offset = 0 };
        if (find_member(b, &t, member, 0, &steps, place))
            return true;
    }
    return false;
}
