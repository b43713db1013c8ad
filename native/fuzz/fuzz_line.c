/* The line against lists of times and bytes. */
#include "input.h"

#define PACKETS 600u
#define LENGTH_MAX 3000u

struct put {
    int64_t turn, due;
    uint32_t length;
    uint8_t first; /* the bytes count up from here */
    int waits;
};

struct model {
    struct put sent[PACKETS];
    uint32_t begin, end;
    int64_t exactly; /* ns */
};

static uint32_t waiting(const struct model *m, int64_t now, uint64_t *octets)
{
    uint32_t i, count = 0;

    *octets = 0;
    for (i = 0; i < m->end; i++)
        if (m->sent[i].waits && m->sent[i].turn > now) {
            count++;
            *octets += m->sent[i].length;
        }
    return count;
}

static int64_t free_at(const struct model *m)
{
    return (m->exactly + 999) / 1000;
}

static void model_push(struct model *m, const struct line *line, uint32_t length, uint8_t first,
                       int64_t now)
{
    uint64_t octets;
    uint32_t count = waiting(m, now, &octets);
    int waits = line->rate > 0 && free_at(m) > now;
    struct put *s = &m->sent[m->end];

    if (waits && count > 0 &&
        ((line->packets_max > 0 && count >= line->packets_max) ||
         (line->octets_max > 0 && octets + length > line->octets_max)))
        return;
    s->turn = waits ? free_at(m) : now;
    s->due = now + line->delay;
    if (line->rate > 0) {
        if (now > free_at(m))
            m->exactly = now * 1000;
        m->exactly += (int64_t)((uint64_t)length * 8000000000u / line->rate);
        s->due = free_at(m) + line->delay;
    }
    s->length = length;
    s->first = first;
    s->waits = waits;
    m->end++;
}

static void push(struct line *line, struct model *m, struct input *in, int64_t now)
{
    uint32_t length = take16(in) % LENGTH_MAX, i;
    uint8_t bytes[LENGTH_MAX], first = take8(in);
    struct outgoing out;

    for (i = 0; i < length; i++)
        bytes[i] = (uint8_t)(first + i);
    outgoing_raw(&out, bytes, length);
    if (first & 1)
        line_push(line, bytes, length, now);
    else
        line_carry(line, &out, 1, LENGTH_MAX, 0, now);
    model_push(m, line, length, first, now);
}

static void pop(struct line *line, struct model *m, uint32_t limit, int64_t now)
{
    struct span out[8];
    uint32_t count = line_pop(line, out, limit, now), i, at;

    for (i = 0; i < count; i++) {
        const struct put *s = &m->sent[m->begin++];

        PROMISE(m->begin <= m->end && s->due <= now && out[i].length == s->length);
        for (at = 0; at < s->length; at++)
            PROMISE(out[i].data[at] == (uint8_t)(s->first + at));
    }
    PROMISE(count == limit || m->begin == m->end || m->sent[m->begin].due > now);
}

static void compare(struct line *line, const struct model *m, int64_t now)
{
    uint64_t octets;
    uint32_t count = waiting(m, now, &octets);

    PROMISE(line_waiting(line, now) == count && line->waiting_octets == octets);
    PROMISE(line->passed == m->end && line->travelling == m->end - m->begin);
    PROMISE(line_due(line) == (m->begin < m->end ? m->sent[m->begin].due : LINE_NOTHING));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct model m;
    struct input in = {data, length};
    struct line *line = line_new((uint64_t)take16(&in) << take8(&in) % 32, take16(&in),
                                 take8(&in) % 16, take16(&in));
    int64_t now = 0;

    PROMISE(line != NULL);
    memset(&m, 0, sizeof m);
    while (in.length > 0 && m.end < PACKETS) {
        uint32_t kind = take8(&in) % 4;

        if (kind < 2)
            push(line, &m, &in, now);
        else if (kind == 2)
            now += take16(&in);
        else
            pop(line, &m, take8(&in) % 9, now);
        compare(line, &m, now);
    }
    line_free(line);
    return 0;
}
