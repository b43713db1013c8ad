/* The same packets for two connections that are alike, of which one has text land in its
 * receive ring: whatever comes, neither the packets nor what becomes of them differ. */
#define _GNU_SOURCE
#include "input.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define VNET 10u
#define STEPS_MAX 60
#define PACKETS_MAX 6u
#define BEGINNING 5u /* bytes that make a connection */
#define LIMIT_MAX 400000u
#define NUMBER 5
#define NOW 10000000

struct world {
    struct segment_path path;
    struct budget budget;
    struct flow_table *flows; /* by which the segments are processed */
    struct timer_queue *timers;
    struct batch *batch;
    struct tcb t;
    int device;
    int peer;
    uint64_t seen; /* a digest of all packets, and of what was read */
};

static struct world worlds[2]; /* the second one's text may land */

static uint64_t digest(uint64_t hash, const void *data, size_t length)
{
    const uint8_t *p = data;
    size_t i;

    for (i = 0; i < length; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* ---- two worlds alike --------------------------------------------------------------- */

static void begin_path(struct path *path, uint32_t version)
{
    path->version = (uint8_t)version;
    path->ttl = 64;
    if (version == 4)
        memset(path->src + 10, 0xff, 2);
    else
        path->src[0] = 0x20;
    memcpy(path->dst, path->src, 16);
    path->src[15] = 1;
    path->dst[15] = 2;
    path->sport = 80;
    path->dport = 4000;
}

/* From five bytes, so that a fuzzer soon comes to the packets. */
static void begin_tcb(struct tcb *t, struct input *in)
{
    uint8_t bits = take8(in), more = take8(in);

    begin_path(&t->path, more & 1 ? 6 : 4);
    t->number = NUMBER;
    t->state = bits & 3 ? STATE_ESTABLISHED : take8(in) % 12;
    t->fast = bits >> 2 & 1;
    t->ts_ok = bits >> 3 & 1;
    t->rcv_automatic = bits >> 4 & 1;
    t->orphan = (bits & 0xe0) == 0xe0;
    t->snd_una = t->snd_nxt = t->snd_wl2 = 7000;
    t->rcv_nxt = t->snd_wl1 = t->last_ack_sent = UINT32_MAX - 90000;
    t->snd_wnd = t->max_snd_wnd = 50000;
    t->snd_mss = t->rcv_mss = 1400;
    t->cwnd = 14000;
    t->rto = 1000000;
    ring_init(&t->snd, 65536);
    ring_init(&t->rcv, (uint32_t)take16(in) * 6);
    t->rcv_wnd_max = t->rcv.limit;
    t->rcv_adv = t->rcv_nxt + t->rcv.limit;
}

static void begin(struct world *w, struct input in)
{
    static const uint8_t key[16] = {1};
    int ends[2], size = 1 << 22;

    memset(w, 0, sizeof *w);
    w->flows = flow_table_new(key);
    w->timers = timer_queue_new();
    w->batch = batch_new();
    PROMISE(w->flows != NULL && w->timers != NULL && w->batch != NULL);
    w->path.flows = w->flows;
    w->path.timers = w->timers;
    w->path.budget = &w->budget;
    w->path.minimum_rto = 200000;
    w->path.maximum_rto = 60000000;
    w->path.delayed_ack = 40000;
    begin_tcb(&w->t, &in);
    PROMISE(flow_insert(w->flows, &w->t.path, NUMBER, &w->t) == 1);
    PROMISE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    PROMISE(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    w->device = ends[0];
    w->peer = ends[1];
}

static void end(struct world *w)
{
    close(w->device);
    close(w->peer);
    sent_free(&w->t.sent);
    ring_free(&w->t.snd);
    ring_free(&w->t.rcv);
    timers_let_go(&w->t);
    timer_queue_free(w->timers);
    batch_free(w->batch);
    flow_table_free(w->flows);
}

static void compare(void)
{
    const struct tcb *a = &worlds[0].t, *b = &worlds[1].t;

    PROMISE(worlds[0].seen == worlds[1].seen);
    PROMISE(memcmp(a, b, offsetof(struct tcb, sent)) == 0);
    PROMISE(a->rcv.length == b->rcv.length && a->rcv.ahead == b->rcv.ahead);
    PROMISE(a->rcv.usual == b->rcv.usual && b->rcv.ahead <= b->rcv.capacity);
    PROMISE(worlds[0].path.segments_in == worlds[1].path.segments_in);
    PROMISE(b->rcv.ahead > 0 || b->rcv.capacity <= 32768); /* nothing waits for nothing */
}

/* ---- any packets --------------------------------------------------------------------- */

struct frame {
    uint8_t vnet[VNET];
    uint8_t data[IPV6_HEADER + 65535];
    uint32_t length;
};

/* The packet that continues the stream at `seq`, whole and in order; `chance` is its own. */
static uint32_t make(struct frame *f, uint32_t seq, uint32_t length, uint32_t chance)
{
    static uint8_t text[65536];
    const struct tcb *t = &worlds[0].t;
    struct path path = t->path;
    struct outgoing out;
    struct emit e;
    struct ring r;
    uint32_t i;

    for (i = 0; i < length; i++)
        text[i] = (uint8_t)((seq + i) * 2654435761u >> 24);
    memcpy(path.src, t->path.dst, 16);
    memcpy(path.dst, t->path.src, 16);
    path.sport = t->path.dport;
    path.dport = t->path.sport;
    memset(&e, 0, sizeof e);
    e.seq = seq;
    e.ack = t->snd_nxt;
    e.flags = FLAG_ACK;
    e.window = 50000;
    e.options = t->ts_ok ? OPTION_TIMESTAMPS : 0;
    e.tsval = t->ts_recent;
    e.tsecr = chance;
    e.gso_size = length > 1400 ? 1400 : 0;
    e.checksum_offload = 1;
    ring_init(&r, 65536);
    PROMISE(ring_write(&r, text, length) == length);
    f->length = outgoing_tcp(&out, &path, &e, length > 0 ? &r : NULL, 0, length);
    PROMISE(f->length > 0 && outgoing_copy(&out, f->data, sizeof f->data) == f->length);
    memcpy(f->vnet, out.vnet, VNET);
    ring_free(&r);
    return seq + length;
}

static void correct_ipv4(struct frame *f)
{
    if (f->data[0] != 0x45)
        return;
    store16(f->data + 10, 0);
    store16(f->data + 10, checksum_field(checksum_add(f->data, IPV4_HEADER, 0)));
}

/* Most packets are what everybody expects; the others are not. */
static void change(struct frame *f, struct input *in)
{
    uint32_t tcp = worlds[0].t.path.version == 4 ? IPV4_HEADER : IPV6_HEADER;
    uint8_t *seq = f->data + tcp + 4;

    switch (take8(in) % 16) {
    case 0:
        f->data[take8(in) % 80] = take8(in);
        break;
    case 1:
        f->data[take8(in) % IPV4_HEADER] = take8(in);
        correct_ipv4(f);
        break;
    case 2:
        f->data[tcp + 13] = take8(in);
        break;
    case 3:
        f->vnet[take8(in) % VNET] ^= (uint8_t)(1u << take8(in) % 8);
        break;
    case 4:
        f->length = take16(in) % (f->length + 1);
        break;
    case 5:
        store32(seq, load32(seq) + take32(in));
        break;
    case 6:
        store32(seq, load32(seq) + take8(in) - 128);
        break;
    default:
        break;
    }
}

static void put(const struct frame *f)
{
    ssize_t sent[2];
    int i;

    for (i = 0; i < 2; i++) {
        struct iovec parts[2];

        memcpy(&parts[0].iov_base, &(const void *){f->vnet}, sizeof(void *));
        memcpy(&parts[1].iov_base, &(const void *){f->data}, sizeof(void *));
        parts[0].iov_len = VNET;
        parts[1].iov_len = f->length;
        sent[i] = writev(worlds[i].peer, parts, 2);
    }
    PROMISE(sent[0] == sent[1]);
}

static void put_packets(struct input *in)
{
    static struct frame frame;
    uint32_t seq = worlds[0].t.rcv_nxt, count = 1 + take8(in) % PACKETS_MAX;

    while (count-- > 0) {
        uint32_t length = take8(in) & 1 ? take16(in) : 20000 + take8(in) * 150u;

        seq = make(&frame, seq, length % 65000, take8(in));
        change(&frame, in);
        put(&frame);
    }
}

/* ---- what becomes of them -------------------------------------------------------------- */

static void look_at(struct world *w, const struct packet *p)
{
    struct packet plain = *p;
    uint32_t head = p->landed ? p->length - p->text_length : p->length;
    uint32_t rest = p->landed ? p->text_length : 0;

    PROMISE(!p->landed || (w == &worlds[1] && p->fault == FAULT_NONE));
    plain.data = plain.text = NULL;
    plain.landed = 0;
    w->seen = digest(w->seen, &plain, sizeof plain);
    w->seen = digest(w->seen, p->data, head);
    w->seen = digest(w->seen, p->text, rest);
}

/* A little of what Python does: it drops a segment, or takes its text at its place. */
static void python(struct world *w, const struct packet *p)
{
    struct tcb *t = &w->t;
    uint32_t offset = p->seq - t->rcv_nxt, window = t->rcv_adv - t->rcv_nxt;
    uint32_t length = p->text_length;

    if (p->fault != FAULT_NONE || p->is_fragment || flow_find_tcb(w->flows, p) != t)
        return;
    if (length == 0 || offset >= window || t->fin_received || p->tsecr % 4 == 1)
        return;
    if (length > window - offset)
        length = window - offset;
    if (ring_write_at(&t->rcv, t->rcv.length + offset, p->text, length) == 0 || offset > 0)
        return;
    PROMISE(ring_commit(&t->rcv, length) == length);
    t->rcv_nxt += length;
}

static void process(struct world *w)
{
    uint32_t i, index = 0;

    for (i = 0; i < w->batch->count; i++)
        look_at(w, &w->batch->packets[i]);
    while (index < w->batch->count) {
        index = segments_arrive(&w->path, w->batch, index, NOW);
        if (index < w->batch->count)
            python(w, &w->batch->packets[index++]);
    }
}

static void receive(struct world *w, const struct flow_table *flows)
{
    struct segment_path *path = &w->path;

    while (tun_receive(w->device, w->batch, VNET, flows) > 0)
        process(w);
    path->happened_count = path->sending_count = path->sampled_count = 0;
    path->noted = 0;
    w->t.ready = w->t.in_output = w->t.sample_due = 0;
    w->t.ack_due = WHY_NONE;
}

static void read_text(struct world *w, uint32_t length)
{
    static uint8_t out[LIMIT_MAX];

    length = ring_read(&w->t.rcv, out, length < LIMIT_MAX ? length : LIMIT_MAX);
    w->seen = digest(w->seen, out, length);
    w->t.rcv_adv += length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct input in = {data, length};
    int steps, i;

    begin(&worlds[0], in);
    begin(&worlds[1], in);
    in.data += length < BEGINNING ? length : BEGINNING;
    in.length -= length < BEGINNING ? length : BEGINNING;
    for (steps = 0; in.length > 0 && steps < STEPS_MAX; steps++) {
        uint32_t part = take8(&in) & 1 ? LIMIT_MAX : take16(&in) * 2u;

        put_packets(&in);
        receive(&worlds[0], NULL);
        receive(&worlds[1], worlds[1].flows);
        for (i = 0; i < 2; i++)
            read_text(&worlds[i], part);
        receive(&worlds[1], worlds[1].flows); /* nothing: and memory goes back */
        compare();
    }
    end(&worlds[0]);
    end(&worlds[1]);
    return 0;
}
