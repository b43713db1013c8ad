/* Any SYNs for a listening port, their SYN-ACKs, and what comes back: no connection is
 * opened twice, lost, or beyond what the port has room for. */
#include "input.h"

#define STEPS_MAX 100
#define OPEN_MAX 40
#define PORT 80

struct world {
    struct segment_path path;
    struct budget budget;
    struct secrets secrets;
    struct listening listening;
    struct batch batch;
    struct outgoing out[BATCH_PACKETS];
    struct tcb *open[OPEN_MAX];
    uint32_t count;
    uint8_t own[2][16];
    int64_t now;
};

static void begin(struct world *w, struct input *in)
{
    static const uint8_t key[16] = {1};
    uint8_t bits = take8(in);

    memset(w, 0, sizeof *w);
    w->now = 1000000;
    w->path.flows = flow_table_new(key);
    w->path.timers = timer_queue_new();
    PROMISE(w->path.flows != NULL && w->path.timers != NULL);
    w->path.budget = &w->budget;
    w->path.secrets = &w->secrets;
    w->path.own = w->path.refused = w->own[0];
    w->path.own_count = w->path.refused_count = 2;
    memset(w->own[0] + 10, 0xff, 2);
    memset(w->own[0] + 12, 9, 4);
    memset(w->own[1], 0x20, 16);
    w->path.opens = 1;
    w->path.window_scaling = bits & 1;
    w->path.wscale = bits & 1 ? take8(in) % 15 : 0;
    w->path.timestamps = bits >> 1 & 1;
    w->path.sack = bits >> 2 & 1;
    w->path.mtu = 1280 + take16(in) % 64000;
    w->path.initial_window = 1 + take8(in);
    w->path.initial_rto = w->path.minimum_rto = 200000;
    w->path.maximum_rto = 60000000;
    w->path.delayed_ack = 40000;
    w->path.send_buffer = 65536;
    w->path.receive_buffer = 1 + take16(in);
    w->path.syn_queue = 1 + take8(in) % (OPEN_MAX - 1);
    w->listening.port = PORT;
    w->listening.backlog = take8(in) % 8;
    port_open(&w->path, &w->listening);
}

static void end(struct world *w)
{
    while (w->count > 0) {
        struct tcb *t = w->open[--w->count];

        PROMISE(flow_remove(w->path.flows, &t->path) == 1);
        tcb_end(&w->path, t);
        tcb_free(t);
    }
    PROMISE(flow_count(w->path.flows) == 0);
    flow_table_free(w->path.flows);
    timer_queue_free(w->path.timers);
}

/* From few peers, so that some come twice. */
static void add_syn(struct world *w, struct input *in)
{
    struct packet *p = &w->batch.packets[w->batch.count++];
    uint8_t bits = take8(in), changes = take8(in);

    memset(p, 0, sizeof *p);
    p->version = bits & 1 ? 6 : 4;
    p->protocol = PROTOCOL_TCP;
    memcpy(p->dst, w->own[bits & 1], 16);
    memcpy(p->src, w->own[bits & 1], 16);
    p->src[15] = take8(in) & 3;
    p->sport = 1 + (bits >> 1 & 31);
    p->dport = PORT;
    p->seq = take32(in);
    p->flags = FLAG_SYN;
    p->window = take16(in);
    p->options = take8(in) & (OPTION_MSS | OPTION_WSCALE | OPTION_SACK_PERMITTED | OPTION_TIMESTAMPS);
    p->mss = take16(in);
    p->wscale = take8(in);
    p->tsval = take32(in);
    if (changes == 1)
        p->flags = take16(in);
    if (changes == 2)
        p->options = take16(in);
    if (changes == 3)
        p->src[take8(in) % 16] = take8(in);
    if (changes == 4)
        p->dport = take16(in);
}

/* What a peer that got the SYN-ACK would send, or something like it. */
static void add_ack(struct world *w, struct input *in)
{
    struct packet *p = &w->batch.packets[w->batch.count++];
    const struct tcb *t = w->open[take8(in) % w->count];
    uint8_t changes = take8(in);

    memset(p, 0, sizeof *p);
    p->version = t->path.version;
    p->protocol = PROTOCOL_TCP;
    memcpy(p->src, t->path.dst, 16);
    memcpy(p->dst, t->path.src, 16);
    p->sport = t->path.dport;
    p->dport = t->path.sport;
    p->seq = t->rcv_nxt + (changes == 1 ? take8(in) : 0);
    p->ack = t->snd_nxt + (changes == 2 ? take8(in) : 0);
    p->flags = FLAG_ACK;
    p->window = 1000;
    p->options = t->ts_ok ? OPTION_TIMESTAMPS : 0;
    p->tsval = t->ts_recent;
}

static void take_in(struct world *w)
{
    uint32_t i;

    for (i = 0; i < w->path.opened_count; i++) {
        struct tcb *t = w->path.opened[i];

        PROMISE(w->count < OPEN_MAX);
        PROMISE(flow_find_path(w->path.flows, &t->path) == t->number);
        PROMISE(t->listening == &w->listening && t->half_open && t->in_output);
        PROMISE(t->snd_mss >= 8 && t->cwnd >= t->snd_mss);
        PROMISE(t->rcv_adv - t->rcv_nxt <= t->rcv_wnd_max);
        w->open[w->count++] = t;
    }
    w->path.opened_count = w->path.happened_count = w->path.sending_count = 0;
    w->path.noted = 0;
}

static void check_counts(const struct world *w)
{
    int64_t half = 0, whole = 0;
    uint32_t i;

    for (i = 0; i < w->count; i++) {
        half += w->open[i]->state == STATE_SYN_RECEIVED;
        whole += w->open[i]->state == STATE_ESTABLISHED;
        PROMISE(w->open[i]->half_open == (w->open[i]->state == STATE_SYN_RECEIVED));
    }
    PROMISE(w->listening.half_open == half && w->listening.waiting == whole);
    PROMISE(half <= w->path.syn_queue && whole <= w->listening.backlog);
    PROMISE(flow_count(w->path.flows) == w->count);
}

static void receive(struct world *w, struct input *in)
{
    uint32_t count = 1 + take8(in) % 8, index = 0, places = OPEN_MAX - w->count;

    w->batch.count = 0;
    while (w->batch.count < count && w->batch.count < places) {
        if (w->count > 0 && take8(in) & 1)
            add_ack(w, in);
        else
            add_syn(w, in);
    }
    while (index < w->batch.count)
        index = segments_arrive(&w->path, &w->batch, index, w->now) + 1;
    take_in(w);
    check_counts(w);
}

static void transmit(struct world *w, struct tcb *t)
{
    uint32_t built = segments_leave(&w->path, t, w->out, 0, 0, w->now) % 256, i;
    uint8_t wire[256];

    t->in_output = 0;
    for (i = 0; i < built; i++) {
        struct packet p;

        PROMISE(outgoing_copy(&w->out[i], wire, sizeof wire) == w->out[i].length);
        PROMISE(packet_parse(&p, wire, w->out[i].length, 0) == FAULT_NONE);
        if (p.flags == (FLAG_SYN | FLAG_ACK))
            PROMISE(p.seq == t->iss && p.ack == t->rcv_nxt && p.mss == t->rcv_mss);
    }
    w->path.noted = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct world w;
    struct input in = {data, length};
    uint32_t steps, i;

    begin(&w, &in);
    for (steps = 0; in.length > 0 && steps < STEPS_MAX; steps++) {
        w.now += take16(&in);
        receive(&w, &in);
        for (i = 0; i < w.count; i++)
            transmit(&w, w.open[i]);
    }
    end(&w);
    return 0;
}
