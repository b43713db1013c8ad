/* An established connection behind a device with offload: a pair of sequenced-packet sockets, with
 * a virtio header in front of each packet. The file that includes it defines _GNU_SOURCE. */
#pragma once
#include "connection.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define VNET 10u
#define LIMIT 400000u
#define TEXT 40000u
#define HEAD4 (IPV4_HEADER + TCP_HEADER + 12)
#define HEAD6 (IPV6_HEADER + TCP_HEADER + 12)
#define FIRST_SEQ (UINT32_MAX - 700) /* see connection_new */

/* A packet as it goes into the device, and what a test changes about it. */
struct sent_packet {
    uint8_t vnet[VNET];
    uint8_t data[IPV6_HEADER + 65535];
    uint32_t length;
};

struct world {
    struct bench bench;
    struct tcb *t;
    struct batch *batch; /* the bench's, which frees the text of its packets */
    int device;
    int peer;
    struct sent_packet next;
    uint8_t text[LIMIT]; /* of the stream, from its first byte on */
};

static inline struct world *world_new(uint8_t version)
{
    struct world *w = calloc(1, sizeof *w);
    int ends[2], size = 1 << 22;

    CHECK(w != NULL);
    bench_init(&w->bench);
    w->t = version == 4 ? w->bench.t : bench_add(&w->bench);
    w->t->rcv.limit = LIMIT;
    w->t->rcv_adv = w->t->rcv_nxt + LIMIT;
    w->batch = w->bench.batch;
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    w->device = ends[0];
    w->peer = ends[1];
    fill_pattern(w->text, sizeof w->text, 3);
    return w;
}

static inline void world_free(struct world *w)
{
    close(w->device);
    close(w->peer);
    w->batch->count = 0; /* nothing of it was allocated */
    bench_free(&w->bench);
    free(w);
}

static inline struct path back(const struct path *path)
{
    struct path p = *path;

    memcpy(p.src, path->dst, 16);
    memcpy(p.dst, path->src, 16);
    p.sport = path->dport;
    p.dport = path->sport;
    return p;
}

/* The stream's bytes `at` up to `at` + length in one super-segment. */
static inline struct sent_packet *make(struct world *w, uint32_t at, uint32_t length)
{
    struct sent_packet *s = &w->next;
    struct path path = back(&w->t->path);
    struct outgoing out;
    struct emit e;
    struct ring r;

    memset(&e, 0, sizeof e);
    e.seq = FIRST_SEQ + at;
    e.ack = w->t->snd_nxt;
    e.flags = FLAG_ACK;
    e.window = 50000;
    e.options = OPTION_TIMESTAMPS;
    e.tsval = w->t->ts_recent + 1;
    e.gso_size = 1400;
    e.checksum_offload = 1;
    ring_init(&r, LIMIT);
    CHECK(ring_write(&r, w->text + at, length) == length);
    s->length = outgoing_tcp(&out, &path, &e, length > 0 ? &r : NULL, 0, length);
    CHECK(s->length > 0 && outgoing_copy(&out, s->data, sizeof s->data) == s->length);
    memcpy(s->vnet, out.vnet, VNET);
    ring_free(&r);
    return s;
}

static inline void put(struct world *w)
{
    struct iovec parts[2] = {{w->next.vnet, VNET}, {w->next.data, w->next.length}};

    CHECK(writev(w->peer, parts, 2) == (ssize_t)(VNET + w->next.length));
}

static inline void send_text(struct world *w, uint32_t at, uint32_t length)
{
    make(w, at, length);
    put(w);
}

static inline int receive(struct world *w)
{
    return tun_receive(w->device, w->batch, VNET, w->bench.flows);
}

static inline void process(struct world *w)
{
    CHECK(segments_arrive(&w->bench.path, w->batch, 0, NOW) == w->batch->count);
    forget_notes(&w->bench);
}

/* The first super-segment shows that more are to come. */
static inline void begin(struct world *w)
{
    send_text(w, 0, TEXT);
    CHECK(receive(w) == 1 && !w->batch->packets[0].landed);
    process(w);
    CHECK(ring_consume(&w->t->rcv, TEXT) == TEXT);
}

static inline int lies_in(const uint8_t *p, const uint8_t *memory, size_t size)
{
    return p >= memory && p < memory + size;
}

static inline void check_stream(struct world *w, uint32_t from, uint32_t length)
{
    static uint8_t out[LIMIT];

    CHECK(w->t->rcv.length == length && ring_read(&w->t->rcv, out, length) == length);
    CHECK(memcmp(out, w->text + from, length) == 0);
}
