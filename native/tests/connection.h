/* An established connection and what surrounds it, for the tests of the segment path. */
#pragma once
#include "check.h"
#include "memory.h"

#define NOW INT64_C(10000000)
#define MSS 1000u
#define RING 100000u
#define WINDOW 50000u

struct bench {
    struct segment_path path;
    struct budget budget;
    struct flow_table *flows;
    struct timer_queue *timers;
    struct batch *batch;
    struct tcb *t; /* the first of the connections, which most tests are about */
    struct tcb *all[BATCH_PACKETS];
    uint32_t count;
    uint32_t places_before; /* in the queue of timers, when notes were forgotten last */
};

/* Sequence numbers that wrap within a few segments; a window, a cwnd and rings with room. */
static inline struct tcb *connection_new(uint32_t number)
{
    struct tcb *t = calloc(1, sizeof *t);

    CHECK(t != NULL);
    t->path = sample_path(number % 2 ? 4 : 6);
    t->path.dport = (uint16_t)(2000 + number);
    t->number = number;
    t->state = STATE_ESTABLISHED;
    t->snd_una = t->snd_nxt = t->snd_wl2 = UINT32_MAX - 1500;
    t->rcv_nxt = t->snd_wl1 = t->last_ack_sent = UINT32_MAX - 700;
    t->snd_wnd = t->max_snd_wnd = WINDOW;
    t->rcv_adv = t->rcv_nxt + 20000;
    t->rcv_wnd_max = WINDOW;
    t->snd_mss = t->peer_mss = t->rcv_mss = MSS;
    t->sack_ok = t->ts_ok = t->fast = 1;
    t->ts_recent = UINT32_MAX - 5;
    t->ts_offset = 77;
    t->rto = 1000000;
    t->cwnd = 10 * MSS;
    ring_init(&t->snd, RING);
    ring_init(&t->rcv, RING);
    return t;
}

static inline struct tcb *bench_add(struct bench *b)
{
    struct tcb *t = connection_new(b->count + 1);

    CHECK(flow_insert(b->flows, &t->path, t->number, t) == 1);
    b->all[b->count++] = t;
    return t;
}

static inline void bench_init(struct bench *b)
{
    static const uint8_t secret[16] = {3};

    memset(b, 0, sizeof *b);
    b->flows = flow_table_new(secret);
    b->timers = timer_queue_new();
    b->batch = batch_new();
    CHECK(b->flows != NULL && b->timers != NULL && b->batch != NULL);
    b->budget.left = 1 << 20;
    b->path.flows = b->flows;
    b->path.timers = b->timers;
    b->path.budget = &b->budget;
    b->path.minimum_rto = 200000;
    b->path.maximum_rto = 60000000;
    b->path.delayed_ack = 40000;
    b->path.minimum_probe_timeout = 2000;
    b->path.probe_delayed_ack = 200000;
    b->path.largest_send_buffer = 4 * RING;
    b->t = bench_add(b);
}

static inline void forget_packets(struct bench *b)
{
    while (b->batch->count > 0)
        free((void *)(uintptr_t)b->batch->packets[--b->batch->count].text);
}

static inline void bench_free(struct bench *b)
{
    forget_packets(b);
    while (b->count > 0) {
        struct tcb *t = b->all[--b->count];

        tcb_free(t);
    }
    batch_free(b->batch);
    flow_table_free(b->flows);
    timer_queue_free(b->timers);
}

/* As if Python had taken up what was noted. */
static inline void forget_notes(struct bench *b)
{
    uint32_t i;

    b->path.happened_count = b->path.sending_count = b->path.sampled_count = 0;
    b->path.noted = 0;
    b->places_before = timer_places(b->timers);
    for (i = 0; i < b->count; i++) {
        b->all[i]->in_output = 0;
        b->all[i]->ready = 0;
        b->all[i]->sample_acks = b->all[i]->sample_due = 0;
    }
}

static inline uint32_t new_places(const struct bench *b)
{
    return timer_places(b->timers) - b->places_before;
}

/* The segment that a connection expects next, with so much text, in memory of just that
 * size; it acknowledges all that was sent. */
static inline struct packet *packet_add(struct bench *b, const struct tcb *t, uint32_t length)
{
    struct packet *p = &b->batch->packets[b->batch->count++];

    memset(p, 0, sizeof *p);
    p->version = t->path.version;
    p->protocol = PROTOCOL_TCP;
    memcpy(p->src, t->path.dst, 16);
    memcpy(p->dst, t->path.src, 16);
    p->sport = t->path.dport;
    p->dport = t->path.sport;
    p->seq = t->rcv_nxt;
    p->ack = t->snd_nxt;
    p->flags = FLAG_ACK;
    p->window = (uint16_t)(t->snd_wnd >> t->snd_wscale);
    if (t->ts_ok) {
        p->options = OPTION_TIMESTAMPS;
        p->tsval = t->ts_recent + 1;
        p->tsecr = timestamp(t, NOW) - 20;
    }
    p->length = 52 + length;
    p->text_length = length;
    if (length > 0) {
        uint8_t *text = malloc(length);

        CHECK(text != NULL);
        fill_pattern(text, length, p->seq);
        p->text = text;
    }
    return p;
}

/* Text that the application wrote, and that waits to be sent. */
static inline void write_text(struct tcb *t, uint32_t length)
{
    uint8_t *text = malloc(length);

    CHECK(text != NULL);
    fill_pattern(text, length, 9);
    CHECK(ring_write(&t->snd, text, length) == length);
    free(text);
}

/* As if a segment of such a length had left at that time. */
static inline void put_in_flight(struct tcb *t, uint32_t length, int64_t when)
{
    write_text(t, length);
    CHECK(sent_push(&t->sent, t->snd_nxt, t->snd_nxt + length, when) == 1);
    t->snd_nxt += length;
    t->deadlines[TIMER_RETRANSMISSION] = t->places[TIMER_RETRANSMISSION] = when + t->rto;
}

/* ---- is everything as before? ------------------------------------------------ */

struct snapshot {
    struct tcb t;
    struct segment_path path;
    struct budget budget;
    uint8_t *snd;
    uint8_t *rcv;
    uint8_t *sent;
};

static inline uint8_t *copy_of(const void *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static inline struct snapshot snapshot_take(const struct bench *b)
{
    const struct tcb *t = b->t;
    struct snapshot s;

    memcpy(&s.t, t, sizeof s.t);
    memcpy(&s.path, &b->path, sizeof s.path);
    s.budget = b->budget;
    s.snd = copy_of(t->snd.data, t->snd.capacity);
    s.rcv = copy_of(t->rcv.data, t->rcv.capacity);
    s.sent = copy_of(t->sent.data, t->sent.capacity * sizeof *t->sent.data);
    return s;
}

static inline int same(const void *data, const uint8_t *copy, size_t size)
{
    return size == 0 || memcmp(data, copy, size) == 0;
}

/* Compares, and gives the snapshot back. That a batch came is counted in any case. */
static inline int is_untouched(const struct bench *b, struct snapshot *s)
{
    const struct tcb *t = b->t;
    int all;

    s->path.packets_in = b->path.packets_in;
    s->path.octets_in = b->path.octets_in;
    all = memcmp(t, &s->t, sizeof *t) == 0 &&
          memcmp(&b->path, &s->path, sizeof b->path) == 0 && b->budget.left == s->budget.left &&
          same(t->snd.data, s->snd, t->snd.capacity) &&
          same(t->rcv.data, s->rcv, t->rcv.capacity) &&
          same(t->sent.data, s->sent, t->sent.capacity * sizeof *t->sent.data);
    free(s->snd);
    free(s->rcv);
    free(s->sent);
    return all;
}
