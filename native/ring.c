/* The byte ring that holds a connection's send or receive buffer. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256u /* a small message: idle connections keep that much */
#define CAPACITY_MAX (1u << 30) /* the largest window (RFC 7323 §2.3) */
#define KEPT_WHEN_EMPTY 32768u
#define BULK 16384u

void ring_init(struct ring *r, uint32_t limit)
{
    memset(r, 0, sizeof *r);
    r->limit = limit < CAPACITY_MAX ? limit : CAPACITY_MAX;
}

void ring_free(struct ring *r)
{
    free(r->data);
    r->data = NULL;
    r->capacity = r->head = r->length = r->ahead = 0;
}

static uint32_t position(const struct ring *r, uint32_t offset)
{
    return (r->head + offset) & (r->capacity - 1);
}

/* Bytes from `at` up to where the memory wraps, n at most. */
static uint32_t until_wrap(const struct ring *r, uint32_t at, uint32_t n)
{
    return n < r->capacity - at ? n : r->capacity - at;
}

static void copy_in(struct ring *r, uint32_t offset, const uint8_t *src, uint32_t n)
{
    uint32_t at = position(r, offset);
    uint32_t first = until_wrap(r, at, n);

    if (src == r->data + at)
        return; /* what ring_place lent */
    memcpy(r->data + at, src, first);
    memcpy(r->data, src + first, n - first);
}

static void copy_out(const struct ring *r, uint32_t offset, uint8_t *dst, uint32_t n)
{
    uint32_t at = position(r, offset);
    uint32_t first = until_wrap(r, at, n);

    memcpy(dst, r->data + at, first);
    memcpy(dst + first, r->data, n - first);
}

/* A transfer that fills the ring again and again shall not grow it step by step each time, and a
 * short message needs no more than itself. */
static uint32_t next_capacity(const struct ring *r, uint32_t span)
{
    uint32_t wanted = span >= BULK && r->usual > span ? r->usual : span;
    uint32_t capacity = r->capacity > 0 ? r->capacity : CAPACITY_MIN;

    while (capacity < wanted)
        capacity *= 2;
    return capacity;
}

/* Makes room for `span` bytes counted from the head; 0 when that cannot be. */
static int reserve(struct ring *r, uint32_t span)
{
    uint32_t capacity;
    uint8_t *data;

    if (span <= r->capacity)
        return 1;
    if (span > CAPACITY_MAX)
        return 0;
    capacity = next_capacity(r, span);
    data = malloc(capacity);
    if (data == NULL)
        return 0;
    if (r->ahead > 0)
        copy_out(r, 0, data, r->ahead);
    free(r->data);
    r->data = data;
    r->capacity = capacity;
    r->head = 0;
    return 1;
}

static void extend_ahead(struct ring *r, uint32_t end)
{
    if (r->ahead < end)
        r->ahead = end;
    if (r->usual < end)
        r->usual = end;
}

uint32_t ring_write(struct ring *r, const uint8_t *src, uint32_t n)
{
    uint32_t room = r->length < r->limit ? r->limit - r->length : 0;

    if (n > room)
        n = room;
    if (n == 0 || !reserve(r, r->length + n))
        return 0;
    copy_in(r, r->length, src, n);
    r->length += n;
    extend_ahead(r, r->length);
    return n;
}

uint32_t ring_write_at(struct ring *r, uint32_t offset, const uint8_t *src, uint32_t n)
{
    if (n == 0 || offset > r->limit || n > r->limit - offset || !reserve(r, offset + n))
        return 0;
    copy_in(r, offset, src, n);
    extend_ahead(r, offset + n);
    return n;
}

int ring_prepare(struct ring *r, uint32_t n)
{
    uint32_t in_front = r->ahead == 0 && r->usual > 0 ? r->usual : r->length;

    if (r->length > r->limit || n > r->limit - r->length)
        return 0;
    return reserve(r, in_front + n);
}

uint8_t *ring_place(const struct ring *r, uint32_t offset, uint32_t n)
{
    uint32_t at;

    if (offset > r->limit || n > r->limit - offset || offset + n > r->capacity)
        return NULL;
    at = position(r, offset);
    return until_wrap(r, at, n) == n ? r->data + at : NULL;
}

uint32_t ring_commit(struct ring *r, uint32_t n)
{
    if (n > r->ahead - r->length)
        return 0;
    r->length += n;
    return n;
}

static uint32_t available(const struct ring *r, uint32_t offset, uint32_t n)
{
    uint32_t rest = offset < r->length ? r->length - offset : 0;

    return n < rest ? n : rest;
}

uint32_t ring_peek(const struct ring *r, uint32_t offset, uint8_t *dst, uint32_t n)
{
    n = available(r, offset, n);
    if (n > 0)
        copy_out(r, offset, dst, n);
    return n;
}

uint32_t ring_read(struct ring *r, uint8_t *dst, uint32_t n)
{
    return ring_consume(r, ring_peek(r, 0, dst, n));
}

void ring_settle(struct ring *r)
{
    if (r->ahead == 0 && r->capacity > KEPT_WHEN_EMPTY)
        ring_free(r);
}

uint32_t ring_consume(struct ring *r, uint32_t n)
{
    n = available(r, 0, n);
    if (n == 0)
        return 0;
    r->head = position(r, n);
    r->length -= n;
    r->ahead -= n;
    if (r->ahead > 0)
        return n;
    r->head = 0; /* an empty ring starts over, where its memory is warm */
    r->usual -= r->usual / 8;
    ring_settle(r);
    return n;
}

int ring_spans(const struct ring *r, uint32_t offset, uint32_t n, struct span out[2])
{
    uint32_t at, first;

    if (n == 0 || available(r, offset, n) < n)
        return 0;
    at = position(r, offset);
    first = until_wrap(r, at, n);
    out[0].data = r->data + at;
    out[0].length = first;
    if (first == n)
        return 1;
    out[1].data = r->data;
    out[1].length = n - first;
    return 2;
}
