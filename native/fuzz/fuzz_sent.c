/* What was sent once, against a flat array of sequence numbers and times. */
#include "input.h"

#define STEPS_MAX 600

/* When each byte left, counted from `base`; those below `una` are acknowledged. */
struct model {
    int64_t times[STEPS_MAX * 256];
    uint32_t base;
    uint32_t una;
    uint32_t end;
};

static void push(struct sent *q, struct model *m, uint32_t length, int64_t now)
{
    uint32_t i;

    PROMISE(sent_push(q, m->base + m->end, m->base + m->end + length, now) == 1);
    for (i = 0; i < length; i++)
        m->times[m->end++] = now;
}

/* All that leaves lies side by side, oldest first, with the times it left at. */
static void acknowledge(struct sent *q, struct model *m, uint32_t una)
{
    struct transmission out;

    while (sent_pop(q, m->base + m->una, m->base + una, &out)) {
        uint32_t end = out.end - m->base;

        PROMISE(out.seq - m->base == m->una && end > m->una && end <= una);
        PROMISE(m->times[m->una] == out.sent_at && m->times[end - 1] == out.sent_at);
        m->una = end;
    }
    PROMISE(m->una == una);
}

static void compare(const struct sent *q, const struct model *m)
{
    uint32_t at = m->una, i;

    PROMISE(q->count <= q->capacity);
    for (i = 0; i < q->count; i++) {
        struct transmission one = sent_at(q, i);

        PROMISE(one.seq - m->base == at && one.end - m->base > at);
        PROMISE(m->times[at] == one.sent_at);
        at = one.end - m->base;
    }
    PROMISE(at == m->end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct model m;
    struct input in = {data, length};
    struct sent q = {NULL, 0, 0, 0};
    int steps;

    m.una = m.end = 0;
    m.base = take32(&in);
    for (steps = 0; in.length > 0 && steps < STEPS_MAX; steps++) {
        uint32_t n = take8(&in);

        if (n & 1)
            push(&q, &m, (n >> 1) + 1, steps);
        else
            acknowledge(&q, &m, m.una + take16(&in) % (m.end - m.una + 1));
        compare(&q, &m);
    }
    sent_free(&q);
    return 0;
}
