/* What a synchronised connection sends in the common case: new data as far as windows, cwnd,
 * Nagle and pacing allow, or a bare acknowledgement (core.tcp.output, in its order). */
#include "internal.h"

#include <string.h>

/* A super-segment's text must leave room for its headers in 16 bits of length. */
#define SUPER_TEXT (65535u - 60u - 60u)
#define SECOND 1000000u
#define QUANTUM 1000u  /* µs worth of data that may leave as one burst */
#define LATEST 100000  /* µs that a slow driver may be behind and still catch up */

/* One call of segments_leave. */
struct departure {
    struct segment_path *path;
    struct tcb *t;
    struct outgoing *out;
    uint32_t room;
    uint32_t built;
    uint32_t flags;
    int64_t now;
};

static uint32_t unsent(const struct tcb *t)
{
    return t->fin_sent ? 0 : t->snd.length - flight_size(t);
}

static int is_fin_due(const struct tcb *t)
{
    return t->fin_queued && !t->fin_sent;
}

/* Negative when the peer's window shrank. */
static int64_t window_left(const struct tcb *t)
{
    return (int64_t)t->snd_wnd - flight_size(t);
}

static int64_t cwnd_left(const struct tcb *t)
{
    return (int64_t)t->cwnd - flight_size(t);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- the window that we announce (core.tcp.window) ----------------------------- */

static int64_t to_announce(const struct tcb *t)
{
    int64_t room = (int64_t)t->rcv_wnd_max - t->rcv.length;
    int64_t current = t->rcv_adv - t->rcv_nxt;
    int64_t step = least(t->rcv_wnd_max / 2, t->rcv_mss);

    return room >= current + step ? room : current;
}

/* The field, and the right edge that it promises. */
static uint16_t announce(struct tcb *t)
{
    int64_t window = to_announce(t), unit = (int64_t)1 << t->rcv_wscale;
    int64_t units = (window + unit - 1) / unit, promised;

    if (units * unit > (int64_t)t->rcv.limit - t->rcv.length)
        units = window / unit;
    units = least(units, 65535);
    promised = units * unit;
    if (promised > (int64_t)(t->rcv_adv - t->rcv_nxt))
        t->rcv_adv = t->rcv_nxt + (uint32_t)promised;
    return (uint16_t)units;
}

/* ---- one segment ----------------------------------------------------------------- */

static void emit_segment(struct departure *d, uint32_t flags, uint32_t length, uint32_t why)
{
    struct outgoing *out = &d->out[d->built++];
    struct tcb *t = d->t;
    struct emit e;

    memset(&e, 0, sizeof e);
    e.seq = t->snd_nxt;
    e.ack = t->rcv_nxt;
    e.flags = (uint16_t)flags;
    e.window = announce(t);
    if (t->ts_ok) {
        e.options = OPTION_TIMESTAMPS;
        e.tsval = timestamp(t, d->now);
        e.tsecr = t->ts_recent;
    }
    /* One more with each full segment, the same again when it leaves again (MAY-4). */
    e.ip_id = (uint16_t)(t->snd_nxt / t->snd_mss);
    e.gso_size = length > t->snd_mss ? (uint16_t)t->snd_mss : 0;
    e.checksum_offload = (d->flags & LEAVE_OFFLOAD) != 0;
    outgoing_tcp(out, &t->path, &e, &t->snd, flight_size(t), length);
    out->why = why;
    t->segments_out++;
    t->bytes_sent += length;
    d->path->segments_out++;
    t->last_ack_sent = t->rcv_nxt;
    t->ack_due = WHY_NONE;
    t->ack_waiting = 0;
    t->deadlines[TIMER_DELAYED_ACK] = 0;
}

/* ---- pacing (core.tcp.pacing) ------------------------------------------------------ */

/* Whether data has to wait for its time; a timer runs then. */
static int is_paced(struct departure *d)
{
    struct tcb *t = d->t;

    if (t->pacing_rate == 0 || (unsent(t) == 0 && !is_fin_due(t)) ||
        t->pacing_next < t->pacing_burst_end)
        return 0;
    if (t->pacing_next > d->now) {
        t->pacing_waits = 1;
        timer_start(d->path->timers, t, TIMER_PACING, t->pacing_next);
        return 1;
    }
    t->pacing_burst_end = d->now + QUANTUM;
    return 0;
}

static void pay(struct tcb *t, uint32_t length, int64_t now)
{
    uint64_t cost;

    if (t->pacing_rate == 0)
        return;
    if (t->pacing_next < now && !(t->pacing_waits && now - t->pacing_next < LATEST)) {
        t->pacing_next = now;
        t->pacing_rest = 0;
    }
    cost = (uint64_t)length * SECOND + t->pacing_rest;
    t->pacing_next += (int64_t)(cost / t->pacing_rate);
    t->pacing_rest = cost % t->pacing_rate;
}

/* ---- how much the next segment may carry ---------------------------------------------- */

static uint32_t largest_text(const struct departure *d)
{
    const struct tcb *t = d->t;
    uint32_t most = SUPER_TEXT / t->snd_mss * t->snd_mss;
    uint64_t burst;

    if (!(d->flags & LEAVE_OFFLOAD) || most == 0)
        return t->snd_mss; /* on the largest links one segment is all that fits */
    if (t->pacing_rate == 0)
        return most;
    burst = t->pacing_rate / (SECOND / QUANTUM) / t->snd_mss; /* no rate is too large for that */
    burst = (burst > 0 ? burst : 1) * t->snd_mss;
    return burst < most ? (uint32_t)burst : most;
}

/* Nagle, in the form that only an unacknowledged small segment holds another back
 * (MUST-17, SHLD-7). */
static int tail_may_go(const struct tcb *t)
{
    return t->nodelay || t->fin_queued || !t->small_in_flight;
}

/* Window and cwnd first, then sender's SWS avoidance (RFC 9293 §3.8.6.2.1, MUST-38). */
static uint32_t may_send(const struct departure *d)
{
    struct tcb *t = d->t;
    uint32_t waiting = unsent(t), mss = t->snd_mss;
    int64_t window = window_left(t), cwnd = cwnd_left(t);
    int64_t length = least(least(waiting, window), least(cwnd, largest_text(d)));

    t->cwnd_limited = cwnd < least(least(waiting, window), mss);
    if (length <= 0)
        return 0;
    if (length >= mss) {
        if (length == waiting && tail_may_go(t))
            return (uint32_t)length;
        return (uint32_t)(length - length % mss);
    }
    if (length < waiting)
        return length == window && length * 2 >= t->max_snd_wnd ? (uint32_t)length : 0;
    return tail_may_go(t) ? (uint32_t)length : 0;
}

/* Whether our FIN leaves with the next `length` bytes: with the last ones, if the window has
 * room for it. */
static int may_close(const struct tcb *t, uint32_t length)
{
    return is_fin_due(t) && length == unsent(t) && window_left(t) > length;
}

static void note_data_sent(struct tcb *t, uint32_t length, int64_t now)
{
    t->last_sent_at = now;
    t->una_at_send = t->snd_una;
    t->data_segments_out++;
    pay(t, length, now);
}

static void send_new(struct departure *d, uint32_t length)
{
    struct tcb *t = d->t;
    int fin = may_close(t, length), last = length == unsent(t);
    uint32_t end = t->snd_nxt + length + (uint32_t)fin, flags = FLAG_ACK;

    if (length > 0 && last)
        flags |= FLAG_PSH;
    if (fin)
        flags |= FLAG_FIN;
    emit_segment(d, flags, length, fin ? WHY_FIN : last ? WHY_DATA_PUSHED : WHY_DATA);
    if (length > 0)
        note_data_sent(t, length, d->now);
    if (length % t->snd_mss != 0) {
        t->small_end = end;
        t->small_in_flight = 1;
    }
    if (t->sent.count == 0)
        t->unacked_since = d->now;
    sent_push(&t->sent, t->snd_nxt, end, d->now);
    t->snd_nxt = end;
    t->fin_sent |= (uint8_t)fin;
    if (t->deadlines[TIMER_RETRANSMISSION] == 0)
        arm_retransmission(d->path, t, d->now);
}

/* ---- the SYN-ACK ------------------------------------------------------------------------ */

static uint32_t accept_syn(struct departure *d)
{
    struct tcb *t = d->t;
    struct emit e;
    uint32_t edge;

    if (d->room == 0)
        return LEAVE_FULL;
    memset(&e, 0, sizeof e);
    e.seq = t->iss;
    e.ack = t->rcv_nxt;
    e.flags = FLAG_SYN | FLAG_ACK;
    e.window = (uint16_t)least((int64_t)t->rcv_wnd_max - t->rcv.length, 65535);
    offer_options(t, &e);
    e.tsval = timestamp(t, d->now);
    e.tsecr = t->ts_recent;
    e.ip_id = (uint16_t)(t->iss / t->snd_mss);
    e.checksum_offload = (d->flags & LEAVE_OFFLOAD) != 0;
    outgoing_tcp(d->out, &t->path, &e, NULL, 0, 0);
    d->out[d->built++].why = t->syn_due;
    t->syn_due = WHY_NONE;
    t->segments_out++;
    d->path->segments_out++;
    edge = t->rcv_nxt + e.window;
    if (before(t->rcv_adv, edge))
        t->rcv_adv = edge;
    t->last_ack_sent = t->rcv_nxt;
    t->last_sent_at = d->now;
    arm_retransmission(d->path, t, d->now);
    return LEAVE_DONE;
}

static int accepts_syn(const struct tcb *t)
{
    return t->fast && t->state == STATE_SYN_RECEIVED && t->syn_due == WHY_SYN_ACCEPTED &&
           t->backoff == 0;
}

/* ---- everything ------------------------------------------------------------------------- */

/* After a pause Python asks what cwnd is still worth (RFC 5681 §4.1, RFC 7661). */
static int was_idle(const struct departure *d)
{
    const struct tcb *t = d->t;

    return t->sent.count == 0 && t->last_sent_at != 0 && d->now - t->last_sent_at > t->rto;
}

/* Data waits, nothing is in flight and the window is in the way: the persist timer runs. */
static int is_stuck(const struct tcb *t)
{
    uint32_t waiting = unsent(t) + (uint32_t)is_fin_due(t);

    return t->sent.count == 0 && waiting > 0 && window_left(t) < least(waiting, t->snd_mss);
}

static uint32_t send_data(struct departure *d)
{
    while (d->built < d->room) {
        struct tcb *t = d->t;
        uint32_t length;

        if (is_paced(d))
            return LEAVE_DONE;
        if (unsent(t) == 0 && !is_fin_due(t))
            break;
        if ((unsent(t) > 0 && was_idle(d)) || !sent_reserve(&t->sent))
            return LEAVE_PYTHON;
        length = may_send(d);
        if (length == 0 && !may_close(t, 0))
            break;
        send_new(d, length);
    }
    if (d->built == d->room)
        return LEAVE_FULL;
    d->t->pacing_waits = 0;
    return LEAVE_DONE;
}

uint32_t segments_leave(struct segment_path *path, struct tcb *t, struct outgoing out[],
                        uint32_t count, uint32_t flags, int64_t now)
{
    struct departure d = {path, t, out + count, BATCH_PACKETS - count, 0, flags, now};
    uint32_t first = t->snd_nxt, rest;

    if (accepts_syn(t)) {
        rest = accept_syn(&d);
        return d.built + rest * 256u;
    }
    if (!is_quiet(t) || !t->path.dont_fragment)
        return LEAVE_PYTHON * 256u;
    rest = send_data(&d);
    t->flight_before = flight_size(t);
    if (t->snd_nxt != first)
        arm_loss_probe(path, t, now);
    if (rest == LEAVE_DONE && t->ack_due != WHY_NONE)
        emit_segment(&d, FLAG_ACK, 0, t->ack_due);
    if (rest == LEAVE_DONE && is_stuck(t))
        rest = LEAVE_PYTHON;
    return d.built + rest * 256u;
}
