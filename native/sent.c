/* What was sent once, oldest first: the part of a flight of which nothing else is known. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4u
#define KEPT_WHEN_EMPTY 8u

void sent_free(struct sent *q)
{
    free(q->data);
    memset(q, 0, sizeof *q);
}

static struct transmission *slot(const struct sent *q, uint32_t index)
{
    return &q->data[(q->head + index) & (q->capacity - 1)];
}

static int grow(struct sent *q)
{
    uint32_t capacity = q->capacity > 0 ? q->capacity * 2 : CAPACITY_MIN, i;
    struct transmission *data = malloc(capacity * sizeof *data);

    if (data == NULL)
        return 0;
    for (i = 0; i < q->count; i++)
        data[i] = *slot(q, i);
    free(q->data);
    q->data = data;
    q->capacity = capacity;
    q->head = 0;
    return 1;
}

int sent_reserve(struct sent *q)
{
    return q->count < q->capacity || grow(q);
}

int sent_push(struct sent *q, uint32_t seq, uint32_t end, int64_t now)
{
    struct transmission *newest;

    if (!sent_reserve(q))
        return 0;
    newest = slot(q, q->count++);
    newest->sent_at = now;
    newest->seq = seq;
    newest->end = end;
    return 1;
}

int sent_pop(struct sent *q, uint32_t base, uint32_t una, struct transmission *out)
{
    struct transmission *oldest;

    if (q->count == 0)
        return 0;
    oldest = slot(q, 0);
    if (una - base <= oldest->seq - base)
        return 0;
    *out = *oldest;
    if (una - base < oldest->end - base) {
        out->end = oldest->seq = una;
        return 1;
    }
    q->head = (q->head + 1) & (q->capacity - 1);
    q->count--;
    if (q->count == 0 && q->capacity > KEPT_WHEN_EMPTY)
        sent_free(q);
    return 1;
}

struct transmission sent_at(const struct sent *q, uint32_t index)
{
    return *slot(q, index);
}
