/* A connection in any state, any packets and any sends: the segment path keeps what holds of
 * every connection, and changes nothing about what it leaves to Python. */
#include "input.h"

#define STEPS_MAX 200
#define NUMBER 5
#define ROOM_MAX BATCH_PACKETS

struct world {
    struct segment_path path;
    struct budget budget;
    struct flow_table *flows;
    struct timer_queue *timers;
    struct batch batch;
    struct tcb t;
    struct outgoing out[ROOM_MAX];
    uint8_t *texts[BATCH_PACKETS];
    int64_t now;
};

/* ---- any connection ----------------------------------------------------------- */

static void take_state(struct tcb *t, struct input *in)
{
    uint8_t bits = take8(in), more = take8(in);

    t->fast = 1;
    t->state = bits & 3 ? STATE_ESTABLISHED : take8(in) % 12;
    t->ts_ok = bits >> 2 & 1;
    t->sack_ok = bits >> 3 & 1;
    t->nodelay = bits >> 4 & 1;
    t->rcv_automatic = bits >> 5 & 1;
    t->snd_automatic = bits >> 6 & 1;
    t->send_blocked = bits >> 7 & 1;
    t->fin_queued = (more & 0x0f) == 1;
    t->orphan = (more & 0xf0) == 0x10;
    t->fin_received = (more & 0xf0) == 0x20;
    t->ack_due = (more & 0xf0) == 0x30 ? take8(in) % (WHY_OTHER + 1) : WHY_NONE;
    t->ack_quick = take8(in) % 32;
    t->discards = (more & 0xc0) == 0x40;
    t->cwnd_limited = more >> 4 & 1;
}

static void take_space(struct tcb *t, struct input *in)
{
    t->snd_mss = 1 + take16(in) % 9000;
    t->rcv_mss = 1 + take16(in) % 9000;
    t->snd_una = t->snd_nxt = t->snd_wl2 = take32(in);
    t->rcv_nxt = t->snd_wl1 = t->last_ack_sent = take32(in);
    t->snd_wscale = take8(in) % 15;
    t->rcv_wscale = take8(in) % 15;
    t->snd_wnd = t->max_snd_wnd = (uint32_t)take16(in) << t->snd_wscale;
    t->cwnd = t->snd_mss * (1 + take8(in));
    if (take8(in) & 1) {
        t->grow_by = take16(in);
        t->grow_over = take32(in);
        t->grow_cwnd = t->cwnd;
        t->grow_end = t->snd_una + take16(in);
    }
    t->rcv_wnd_max = take16(in);
    ring_init(&t->snd, take16(in));
    ring_init(&t->rcv, t->rcv_wnd_max + take8(in));
    t->rcv_adv = t->rcv_nxt + t->rcv_wnd_max;
    t->ts_recent = take32(in);
    t->ts_offset = take32(in);
    t->rto = 1 + take32(in) % 60000000;
    t->pacing_rate = take8(in) & 1 ? take32(in) : 0;
    t->rcv_rtt = take16(in);
    t->rcv_space = take16(in);
    t->grow_over = take16(in);
    t->grow_by = take32(in);
    t->grow_cwnd = take8(in) & 1 ? t->cwnd : take32(in);
    t->grow_end = t->snd_una + take16(in);
}

static void begin(struct world *w, struct input *in)
{
    static const uint8_t key[16] = {1};

    memset(w, 0, sizeof *w);
    w->flows = flow_table_new(key);
    w->timers = timer_queue_new();
    PROMISE(w->flows != NULL && w->timers != NULL);
    w->path.flows = w->flows;
    w->path.timers = w->timers;
    w->path.budget = &w->budget;
    w->path.minimum_rto = 200000;
    w->path.maximum_rto = 60000000;
    w->path.delayed_ack = 40000;
    w->path.minimum_probe_timeout = 2000;
    w->path.probe_delayed_ack = 200000;
    w->path.largest_send_buffer = 1 << 17;
    w->path.largest_receive_buffer = 1 << 18;
    w->budget.left = take16(in);
    w->now = 1000000 + take32(in);
    w->t.path = take_path(in);
    w->t.path.dont_fragment = 1;
    w->t.number = NUMBER;
    take_state(&w->t, in);
    take_space(&w->t, in);
    PROMISE(flow_insert(w->flows, &w->t.path, NUMBER, &w->t) == 1);
}

static void forget_packets(struct world *w)
{
    while (w->batch.count > 0)
        free(w->texts[--w->batch.count]);
}

static void end(struct world *w)
{
    forget_packets(w);
    timers_let_go(&w->t);
    timer_queue_free(w->timers);
    sent_free(&w->t.sent);
    ring_free(&w->t.snd);
    ring_free(&w->t.rcv);
    flow_table_free(w->flows);
}

/* ---- what holds of every connection ----------------------------------------------- */

static void check_flight(const struct tcb *t)
{
    uint32_t at = t->snd_una, i;

    for (i = 0; i < t->sent.count; i++) {
        struct transmission one = sent_at(&t->sent, i);

        PROMISE(one.seq == at && one.end != at && !before(one.end, at));
        at = one.end;
    }
    PROMISE(at == t->snd_nxt);
    PROMISE(flight_size(t) <= t->snd.length + t->fin_sent);
    PROMISE(t->sent.count == 0 || t->deadlines[TIMER_RETRANSMISSION] != 0);
}

static void check_rings(const struct tcb *t)
{
    PROMISE(t->snd.length <= t->snd.limit && t->rcv.length <= t->rcv.limit);
    PROMISE(t->rcv.length <= t->rcv.ahead && t->rcv.ahead <= t->rcv.capacity);
    PROMISE(!before(t->rcv_adv, t->rcv_nxt));
    PROMISE(t->rcv_adv - t->rcv_nxt <= t->rcv.limit - t->rcv.length);
}

/* Each note is there once, of this connection, and so are the places of its timers. */
static void check_notes(const struct world *w)
{
    const struct segment_path *path = &w->path;
    const struct tcb *t = &w->t;
    uint32_t told = 0, i;

    PROMISE(path->happened_count <= HAPPENED_MAX);
    for (i = 0; i < path->happened_count; i++)
        told += path->happened[i] == HAPPENED_READY;
    PROMISE(told == (t->ready != 0) && path->sending_count == t->in_output);
    PROMISE(path->sampled_count == t->sample_due && (!t->sample_due || t->sample_acks > 0));
    for (i = 0; i < TIMER_COUNT; i++)
        PROMISE(t->deadlines[i] == 0 || (t->places[i] != 0 && t->places[i] <= t->deadlines[i]));
    PROMISE(path->noted == path->happened_count + path->sending_count + path->sampled_count);
}

static void check(const struct world *w, uint32_t rcv_adv_before)
{
    check_flight(&w->t);
    check_rings(&w->t);
    check_notes(w);
    PROMISE(!before(w->t.rcv_adv, rcv_adv_before));
    PROMISE(w->budget.left >= 0 &&
            (uint64_t)w->t.snd_drawn + w->t.rcv_drawn + (uint64_t)w->budget.left <= 65535);
    PROMISE(w->t.srtt >= 0 && w->t.rttvar >= 0 && w->t.rto > 0);
    PROMISE(w->t.rto <= w->path.maximum_rto);
}

/* ---- any packets ----------------------------------------------------------------------- */

/* The one expected at this place of the batch, with anything changed. */
static uint32_t add_packet(struct world *w, struct input *in, uint32_t seq)
{
    struct packet *p = &w->batch.packets[w->batch.count];
    uint32_t length = take8(in) & 1 ? take16(in) % 20000 : 0, changes = take8(in);
    const struct tcb *t = &w->t;

    memset(p, 0, sizeof *p);
    p->protocol = PROTOCOL_TCP;
    memcpy(p->src, t->path.dst, 16);
    memcpy(p->dst, t->path.src, 16);
    p->sport = t->path.dport;
    p->dport = t->path.sport;
    p->seq = seq;
    p->ack = t->snd_una + (flight_size(t) > 0 ? take16(in) % (flight_size(t) + 1) : 0);
    p->flags = FLAG_ACK | (changes & 1 ? FLAG_PSH : 0);
    p->window = changes & 2 ? take16(in) : (uint16_t)(t->snd_wnd >> t->snd_wscale);
    p->options = t->ts_ok ? OPTION_TIMESTAMPS : 0;
    p->tsval = t->ts_recent + (changes & 4);
    p->tsecr = timestamp(t, w->now) - take8(in);
    if ((changes & 0xf8) == 0x08)
        p->ack += take32(in);
    if ((changes & 0xf8) == 0x10)
        p->seq += take32(in);
    if ((changes & 0xf8) == 0x18)
        p->flags = take16(in);
    if ((changes & 0xf8) == 0x20)
        p->options = take16(in);
    if ((changes & 0xf8) == 0x28)
        p->tsval = take32(in);
    p->text_length = length;
    p->text = w->texts[w->batch.count++] = malloc(length > 0 ? length : 1);
    PROMISE(p->text != NULL);
    memset(w->texts[w->batch.count - 1], take8(in), length);
    return p->seq + length;
}

static void receive(struct world *w, struct input *in)
{
    uint32_t count = 1 + take8(in) % BATCH_PACKETS, seq = w->t.rcv_nxt, index = 0;
    uint32_t adv = w->t.rcv_adv;

    while (w->batch.count < count)
        seq = add_packet(w, in, seq);
    while (index < count) {
        uint64_t taken = w->path.segments_in;
        uint32_t first = index;
        struct tcb before_it = w->t;

        index = segments_arrive(&w->path, &w->batch, first, w->now);
        PROMISE(index <= count && w->path.segments_in - taken == index - first);
        PROMISE(index > first || memcmp(&before_it, &w->t, sizeof w->t) == 0);
        index++; /* Python's, which does nothing here */
    }
    check(w, adv);
    forget_packets(w);
}

/* ---- any sends -------------------------------------------------------------------------- */

static void take_up_notes(struct world *w)
{
    w->path.happened_count = w->path.sending_count = w->path.sampled_count = 0;
    w->path.noted = 0;
    w->t.ready = w->t.in_output = w->t.sample_due = 0;
    w->t.sample_acks = w->t.sample_rtts = 0;
    w->t.sample_acked = 0;
    w->t.sample_rtt = 0;
}

static void transmit(struct world *w, struct input *in)
{
    uint32_t room = take8(in) % (ROOM_MAX + 1), flags = take8(in) & LEAVE_OFFLOAD, i;
    uint32_t first = ROOM_MAX - room, adv = w->t.rcv_adv, nxt = w->t.snd_nxt, carried = 0;
    uint32_t result = segments_leave(&w->path, &w->t, w->out, first, flags, w->now);
    uint8_t wire[65536];

    PROMISE(result % 256 <= room && result / 256 <= LEAVE_PYTHON);
    for (i = 0; i < result % 256; i++) {
        struct packet p;

        PROMISE(outgoing_copy(&w->out[first + i], wire, sizeof wire) == w->out[first + i].length);
        PROMISE(packet_parse(&p, wire, w->out[first + i].length, PARSE_TRUST_CHECKSUM) == FAULT_NONE);
        PROMISE(p.seq == nxt + carried && p.ack == w->t.rcv_nxt);
        PROMISE(flags || p.text_length <= w->t.snd_mss);
        carried += p.text_length + ((p.flags & FLAG_FIN) != 0);
    }
    PROMISE(w->t.snd_nxt == nxt + carried);
    PROMISE(carried == 0 || flight_size(&w->t) <= w->t.snd_wnd);
    check(w, adv);
}

static void step(struct world *w, struct input *in)
{
    static const uint8_t text[4096];
    uint8_t out[4096];
    uint32_t kind = take8(in) % 8;

    w->now += take16(in);
    take_up_notes(w);
    if (kind < 3)
        receive(w, in);
    else if (kind < 5)
        transmit(w, in);
    else if (kind == 5)
        ring_write(&w->t.snd, text, take16(in) % sizeof text);
    else if (kind == 6)
        ring_read(&w->t.rcv, out, take16(in) % sizeof out);
    else
        w->t.cwnd = w->t.snd_mss * (1 + take8(in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct world w;
    struct input in = {data, length};
    int steps;

    begin(&w, &in);
    for (steps = 0; in.length > 0 && steps < STEPS_MAX; steps++)
        step(&w, &in);
    end(&w);
    return 0;
}
