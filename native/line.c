/* One direction of a simulated wire: a queue, a rate, a delay. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define NANOSECONDS_PER_BYTE 8000000000u /* at 1 bit/s */
#define ROOM_STEP 64u

/* A packet on its way. */
struct parcel {
    struct parcel *next;
    int64_t turn; /* µs, when it begins to leave */
    int64_t due;  /* µs, when it arrives */
    uint32_t length;
    uint32_t room; /* bytes that data can hold */
    uint8_t data[];
};

struct line *line_new(uint64_t rate, int64_t delay, uint32_t packets_max, uint64_t octets_max)
{
    struct line *line = calloc(1, sizeof *line);

    if (line == NULL)
        return NULL;
    line->rate = rate;
    line->delay = delay;
    line->packets_max = packets_max;
    line->octets_max = octets_max;
    return line;
}

static void free_chain(struct parcel *p)
{
    while (p != NULL) {
        struct parcel *next = p->next;

        free(p);
        p = next;
    }
}

void line_free(struct line *line)
{
    if (line == NULL)
        return;
    free_chain(line->first);
    free_chain(line->held);
    free_chain(line->spare);
    free(line);
}

/* ---- the queue ----------------------------------------------------------- */

/* When the last bit of the packet before has left. */
static int64_t free_at(const struct line *line)
{
    return line->sent_at + (line->sent_at_ns > 0);
}

/* Those that had their turn wait no longer. */
static void advance(struct line *line, int64_t now)
{
    struct parcel *p = line->first_waiting;

    for (; p != NULL && p->turn <= now; p = p->next) {
        line->waiting--;
        line->waiting_octets -= p->length;
    }
    line->first_waiting = p;
}

static int has_room(const struct line *line, uint32_t length)
{
    if (line->waiting == 0)
        return 1;
    if (line->packets_max > 0 && line->waiting >= line->packets_max)
        return 0;
    return line->octets_max == 0 || line->waiting_octets + length <= line->octets_max;
}

uint32_t line_waiting(struct line *line, int64_t now)
{
    advance(line, now);
    return line->waiting;
}

/* ---- in ------------------------------------------------------------------ */

static struct parcel *new_parcel(struct line *line, uint32_t length)
{
    struct parcel *p = line->spare;
    size_t room = ((size_t)length + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;

    if (p != NULL) {
        line->spare = p->next;
        if (p->room >= length)
            return p;
        free(p); /* so that small ones make place for the larger ones that come here */
    }
    p = malloc(sizeof *p + room);
    if (p != NULL)
        p->room = (uint32_t)room;
    return p;
}

/* Sends a packet from its turn on: the line is busy until its last bit has left. */
static void send(struct line *line, struct parcel *p)
{
    uint64_t took;

    if (line->rate == 0) {
        p->due = p->turn + line->delay;
        return;
    }
    if (p->turn > free_at(line)) {
        line->sent_at = p->turn;
        line->sent_at_ns = 0;
    }
    took = (uint64_t)p->length * NANOSECONDS_PER_BYTE / line->rate + line->sent_at_ns;
    line->sent_at += (int64_t)(took / 1000);
    line->sent_at_ns = (uint32_t)(took % 1000);
    p->due = free_at(line) + line->delay;
}

static void append(struct line *line, struct parcel *p, int waits)
{
    p->next = NULL;
    if (line->first == NULL)
        line->first = p;
    else
        line->last->next = p;
    line->last = p;
    line->travelling++;
    if (!waits)
        return;
    if (line->first_waiting == NULL)
        line->first_waiting = p;
    line->waiting++;
    line->waiting_octets += p->length;
}

/* A place for a packet that comes now, on its way already; only its bytes are missing. NULL
 * when it is dropped, and `*memory` is 0 when that is for want of memory. */
static uint8_t *admit(struct line *line, uint32_t length, int64_t now, int *memory)
{
    int waits = line->rate > 0 && free_at(line) > now;
    struct parcel *p;

    advance(line, now);
    if (waits && !has_room(line, length)) {
        line->refused++;
        return NULL;
    }
    p = new_parcel(line, length);
    if (p == NULL) {
        *memory = 0;
        return NULL;
    }
    p->length = length;
    p->turn = waits ? free_at(line) : now;
    send(line, p);
    append(line, p, waits);
    line->passed++;
    return p->data;
}

int64_t line_due(const struct line *line)
{
    return line->first == NULL ? LINE_NOTHING : line->first->due;
}

int64_t line_push(struct line *line, const uint8_t *data, uint32_t length, int64_t now)
{
    int memory = 1;
    uint8_t *place = admit(line, length, now, &memory);

    if (place != NULL && length > 0)
        memcpy(place, data, length);
    return memory ? line_due(line) : LINE_NO_MEMORY;
}

int64_t line_carry(struct line *line, const struct outgoing out[], uint32_t n, uint32_t mtu,
                   uint64_t lost, int64_t now)
{
    int memory = 1;
    uint32_t i;

    for (i = 0; i < n && i < BATCH_PACKETS; i++) {
        uint8_t *place;

        if (out[i].length > mtu) {
            line->too_long++;
            continue;
        }
        if (lost >> i & 1)
            continue;
        place = admit(line, out[i].length, now, &memory);
        if (place != NULL)
            outgoing_copy(&out[i], place, out[i].length);
    }
    return memory ? line_due(line) : LINE_NO_MEMORY;
}

/* ---- out ----------------------------------------------------------------- */

static void let_go(struct line *line)
{
    while (line->held != NULL) {
        struct parcel *p = line->held;

        line->held = p->next;
        p->next = line->spare;
        line->spare = p;
    }
}

/* The next packet that has arrived, which is held from now on; NULL: there is none. */
static const struct parcel *take(struct line *line, int64_t now)
{
    struct parcel *p = line->first;

    if (p == NULL || p->due > now)
        return NULL;
    line->first = p->next;
    line->travelling--;
    p->next = line->held;
    line->held = p;
    return p;
}

uint32_t line_pop(struct line *line, struct span out[], uint32_t limit, int64_t now)
{
    const struct parcel *p;
    uint32_t n = 0;

    advance(line, now); /* none of those that leave here waits */
    let_go(line);
    while (n < limit && (p = take(line, now)) != NULL) {
        out[n].data = p->data;
        out[n++].length = p->length;
    }
    return n;
}

uint32_t line_lend(struct line *line, struct outgoing out[], int64_t now)
{
    const struct parcel *p;
    uint32_t n = 0;

    advance(line, now);
    let_go(line);
    while (n < BATCH_PACKETS && (p = take(line, now)) != NULL)
        outgoing_raw(&out[n++], p->data, p->length);
    return n;
}

int64_t line_deliver(struct line *line, struct batch *b, int64_t now)
{
    const struct parcel *p;

    advance(line, now);
    let_go(line);
    b->count = 0;
    while (b->count < BATCH_PACKETS && (p = take(line, now)) != NULL)
        packet_parse(&b->packets[b->count++], p->data, p->length, 0);
    return line_due(line);
}
