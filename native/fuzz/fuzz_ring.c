/* The ring against a flat model: a byte array and which of its bytes were written. */
#include "input.h"

#define LIMIT_MAX 9000u
#define STEPS_MAX 400

struct model {
    uint8_t bytes[LIMIT_MAX];
    uint8_t written[LIMIT_MAX];
    uint32_t length;
    uint32_t limit;
};

static void model_put(struct model *m, uint32_t at, const uint8_t *src, uint32_t n)
{
    memcpy(m->bytes + at, src, n);
    memset(m->written + at, 1, n);
}

static void model_drop(struct model *m, uint32_t n)
{
    memmove(m->bytes, m->bytes + n, LIMIT_MAX - n);
    memmove(m->written, m->written + n, LIMIT_MAX - n);
    memset(m->written + LIMIT_MAX - n, 0, n);
    m->length -= n;
}

/* Commits as reassembly does: only what is there without a gap. */
static void commit_whole(struct ring *r, struct model *m)
{
    uint32_t n = 0;

    while (m->length + n < LIMIT_MAX && m->written[m->length + n])
        n++;
    PROMISE(ring_commit(r, n) == n);
    m->length += n;
}

static void append(struct ring *r, struct model *m, const uint8_t *src, uint32_t n)
{
    uint32_t room = m->limit - m->length;
    uint32_t want = n < room ? n : room;

    PROMISE(ring_write(r, src, n) == want);
    model_put(m, m->length, src, want);
    m->length += want;
}

static void write_ahead(struct ring *r, struct model *m, uint32_t at, const uint8_t *src,
                        uint32_t n)
{
    uint32_t want = n > 0 && at <= m->limit && n <= m->limit - at ? n : 0;

    PROMISE(ring_write_at(r, at, src, n) == want);
    model_put(m, want > 0 ? at : 0, src, want);
}

static void take_out(struct ring *r, struct model *m, uint32_t n, int keep)
{
    uint8_t out[LIMIT_MAX];
    uint32_t want = n < m->length ? n : m->length;

    if (n > sizeof out)
        return;
    PROMISE((keep ? ring_peek(r, 0, out, n) : ring_read(r, out, n)) == want);
    PROMISE(memcmp(out, m->bytes, want) == 0);
    if (!keep)
        model_drop(m, want);
}

static void compare_spans(const struct ring *r, const struct model *m, uint32_t at, uint32_t n)
{
    struct span spans[2];
    int count = ring_spans(r, at, n, spans);

    if (n == 0 || at > m->length || n > m->length - at) {
        PROMISE(count == 0);
        return;
    }
    PROMISE(count == 1 || count == 2);
    PROMISE(spans[0].length + (count == 2 ? spans[1].length : 0) == n);
    PROMISE(memcmp(spans[0].data, m->bytes + at, spans[0].length) == 0);
    if (count == 2)
        PROMISE(memcmp(spans[1].data, m->bytes + at + spans[0].length, spans[1].length) == 0);
}

static void step(struct ring *r, struct model *m, struct input *in, const uint8_t *source)
{
    uint32_t kind = take8(in) % 7, n = take16(in) % (LIMIT_MAX + 100);

    if (kind == 0)
        append(r, m, source, n);
    else if (kind == 1)
        write_ahead(r, m, take16(in) % (LIMIT_MAX + 100), source, n);
    else if (kind == 2)
        commit_whole(r, m);
    else if (kind == 3 || kind == 4)
        take_out(r, m, n, kind == 3);
    else if (kind == 5)
        compare_spans(r, m, take16(in) % LIMIT_MAX, n);
    else
        model_drop(m, ring_consume(r, n));
    PROMISE(r->length == m->length && r->length <= r->ahead && r->ahead <= m->limit);
    PROMISE(r->ahead <= r->capacity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct model m;
    uint8_t source[LIMIT_MAX + 100];
    struct input in = {data, length};
    struct ring r;
    uint32_t i;
    int steps;

    memset(&m, 0, sizeof m);
    m.limit = take16(&in) % (LIMIT_MAX + 1);
    ring_init(&r, m.limit);
    for (steps = 0; in.length > 0 && steps < STEPS_MAX; steps++) {
        for (i = 0; i < sizeof source; i++)
            source[i] = (uint8_t)(i * 7 + (uint32_t)steps * 31);
        step(&r, &m, &in, source);
    }
    ring_free(&r);
    return 0;
}
