/* Header prediction: a segment of a synchronised connection that is exactly the one that was
 * expected is finished here (RFC 9293 §3.10.7.4 in the order of core.tcp.arrive). */
#include "internal.h"

#define CWND_MAX 0x7fffffffu

/* ---- is it the expected one? ----------------------------------------------- */

static int has_fin(const struct packet *p)
{
    return (p->flags & FLAG_FIN) != 0;
}

/* Sequence number and timestamp: the next byte, in the window, no older than the last. */
static int continues(const struct tcb *t, const struct packet *p)
{
    uint32_t length = p->text_length + (uint32_t)has_fin(p);

    if (p->seq != t->rcv_nxt || length > t->rcv_adv - t->rcv_nxt)
        return 0;
    if (!t->ts_ok)
        return p->options == 0;
    return p->options == OPTION_TIMESTAMPS && !before(p->tsval, t->ts_recent);
}

/* Where the peer has not closed its side, and somebody will read it. */
static int takes_text(const struct tcb *t)
{
    return !t->fin_received && !t->orphan;
}

static int acknowledges_fin(const struct tcb *t, const struct packet *p)
{
    return t->fin_sent && p->ack == t->snd_nxt && t->snd_una != t->snd_nxt;
}

/* The FIN of a peer that closes first, or after ours has arrived; two that cross each other
 * are Python's. */
static int takes_fin(const struct tcb *t, const struct packet *p)
{
    return t->state == STATE_ESTABLISHED || t->state == STATE_FIN_WAIT_2 ||
           (t->state == STATE_FIN_WAIT_1 && acknowledges_fin(t, p));
}

/* An acknowledgement of something in flight, or again of what is acknowledged already. Where
 * that of our FIN ends the connection, nobody may be there to be told. */
static int acknowledges_ours(const struct tcb *t, const struct packet *p)
{
    uint32_t advanced = p->ack - t->snd_una;

    if (acknowledges_fin(t, p) && t->state == STATE_LAST_ACK && !t->orphan)
        return 0;
    return advanced <= flight_size(t) && p->window != 0 && t->snd_wnd != 0;
}

static int takes_window(const struct tcb *t, const struct packet *p)
{
    return p->ack != t->snd_wl2 || !before(p->seq, t->snd_wl1);
}

/* An ACK that says nothing new is a duplicate, a probe or a keep-alive. */
static int says_something(const struct tcb *t, const struct packet *p)
{
    uint32_t wnd = (uint32_t)p->window << t->snd_wscale;

    return p->text_length > 0 || has_fin(p) || p->ack != t->snd_una ||
           (wnd != t->snd_wnd && takes_window(t, p));
}

/* The third step of a handshake that a listener has room for: nothing was lost in it. */
static int completes_handshake(const struct tcb *t, const struct packet *p)
{
    const struct listening *listening = t->listening;

    return t->fast && t->state == STATE_SYN_RECEIVED && listening != NULL &&
           listening->waiting < listening->backlog && t->backoff == 0 &&
           t->unacked_since != 0 && t->syn_due == WHY_NONE && t->ack_due == WHY_NONE && !t->fin_queued && !t->orphan && t->snd_wnd != 0 &&
           (p->flags & ~FLAG_PSH) == FLAG_ACK && p->ack == t->snd_nxt && p->window != 0 &&
           continues(t, p);
}

static int is_expected(const struct tcb *t, const struct packet *p)
{
    return is_quiet(t) && t->state != STATE_TIME_WAIT &&
           (p->flags & ~(FLAG_PSH | FLAG_FIN)) == FLAG_ACK && continues(t, p) &&
           (p->text_length == 0 || takes_text(t)) && (!has_fin(p) || takes_fin(t, p)) &&
           acknowledges_ours(t, p) && says_something(t, p);
}

/* ---- fifth: the ACK field --------------------------------------------------- */

/* RFC 6298 §2.2, §2.3. Divisions round down, as Python's do. */
static void take_rtt(const struct segment_path *path, struct tcb *t, int64_t rtt)
{
    int64_t distance, variance;

    if (rtt < 1)
        rtt = 1;
    if (t->srtt == 0) {
        t->srtt = rtt;
        t->rttvar = rtt / 2;
    } else {
        distance = t->srtt > rtt ? t->srtt - rtt : rtt - t->srtt;
        t->rttvar += (distance - t->rttvar) >> 2;
        t->srtt += (rtt - t->srtt) >> 3; /* stays above 0, as rtt is */
    }
    if (t->min_rtt == 0 || rtt < t->min_rtt)
        t->min_rtt = rtt;
    variance = 4 * t->rttvar > path->minimum_rto ? 4 * t->rttvar : path->minimum_rto;
    t->rto = t->srtt + variance < path->maximum_rto ? t->srtt + variance : path->maximum_rto;
}

static void forget_samples(struct tcb *t)
{
    t->sample_acked = 0;
    t->sample_rtt = 0;
    t->sample_rtts = t->sample_acks = 0;
}

/* Whether congestion control has left word of what cwnd may do; where somebody else has set
 * cwnd since, that holds no longer (core.tcp.growth). */
static int knows_growth(struct tcb *t)
{
    if (t->grow_over == 0)
        return 0;
    if (t->cwnd == t->grow_cwnd && t->cwnd >= t->ssthresh)
        return 1;
    t->grow_over = 0;
    forget_samples(t);
    return 0;
}

static void grow(struct tcb *t, uint32_t acked)
{
    uint64_t total = (uint64_t)acked * t->grow_by + t->grow_rest;
    uint64_t cwnd = t->cwnd + total / t->grow_over;

    t->cwnd = t->grow_cwnd = cwnd < CWND_MAX ? (uint32_t)cwnd : CWND_MAX;
    t->grow_rest = (uint32_t)(total % t->grow_over);
}

static void note_sample(struct segment_path *path, struct tcb *t, uint32_t acked, int64_t rtt)
{
    int known = knows_growth(t), grows = known && t->cwnd_limited;

    if (grows)
        grow(t, acked);
    if (t->sample_acks++ == 0)
        t->sample_flight = flight_size(t) + acked;
    if (grows || !known)
        t->sample_acked += acked;
    t->sample_rtts++;
    if (t->sample_rtt == 0 || rtt < t->sample_rtt)
        t->sample_rtt = rtt;
    if (t->sample_due || (grows && before(t->snd_una, t->grow_end)))
        return;
    t->sample_due = 1;
    path->sampled[path->sampled_count++] = t->number;
    path->noted++;
}

static void tell(struct segment_path *path, struct tcb *t, uint32_t ready)
{
    if (t->orphan)
        return;
    if (t->ready == 0)
        happens(path, t->number, HAPPENED_READY);
    t->ready |= ready;
}

/* The send buffer follows cwnd while somebody waits for room (core.tcp.send_buffer). */
static void make_room(struct segment_path *path, struct tcb *t)
{
    uint64_t wanted = 2 * (uint64_t)t->cwnd;
    int64_t more;

    if (wanted > path->largest_send_buffer)
        wanted = path->largest_send_buffer;
    if (t->snd_automatic && wanted > t->snd.limit) {
        more = (int64_t)wanted - t->snd.limit;
        if (more > path->budget->left)
            more = path->budget->left;
        path->budget->left -= more;
        t->snd_drawn += (uint32_t)more;
        t->snd.limit += (uint32_t)more;
    }
    if (t->snd.length <= t->snd.limit / 2) {
        t->send_blocked = 0;
        tell(path, t, READY_WRITABLE);
    }
}

/* What was delivered, in RACK's words (RFC 8985 §6.2 steps 1 to 3); without SACK nobody
 * asks. Nothing is missing, so no reordering timer runs (step 5). */
static void note_delivery(struct tcb *t, const struct transmission *newest, int64_t now)
{
    if (!t->sack_ok)
        return;
    t->rack_rtt = now - newest->sent_at;
    t->rack_sent_at = newest->sent_at;
    t->rack_end = newest->end;
    if (before(t->rack_fack, newest->end))
        t->rack_fack = newest->end;
}

/* Takes what is acknowledged out of the flight; the newest of it tells the round trip. */
static struct transmission leave_flight(struct tcb *t, uint32_t ack)
{
    struct transmission newest = {0, 0, 0};

    while (sent_pop(&t->sent, t->snd_una, ack, &newest)) {
        if (newest.end - newest.seq >= t->snd_mss)
            t->mss_proven = 1;
    }
    return newest;
}

static void release(struct segment_path *path, struct tcb *t, uint32_t ack)
{
    t->bytes_acked += ring_consume(&t->snd, ack - t->snd_una);
    t->snd_una = ack;
    if (t->small_in_flight && !before(ack, t->small_end))
        t->small_in_flight = 0;
    if (t->send_blocked)
        make_room(path, t);
}

/* RFC 6298 §5.2, §5.3. */
static void rearm(struct segment_path *path, struct tcb *t, int64_t now)
{
    t->unacked_since = now;
    t->deadlines[TIMER_LOSS_PROBE] = 0;
    if (t->sent.count == 0) {
        t->deadlines[TIMER_RETRANSMISSION] = 0;
        t->deadlines[TIMER_REORDERING] = 0;
        return;
    }
    arm_retransmission(path, t, now);
    arm_loss_probe(path, t, now);
}

static void may_go_on(struct segment_path *path, struct tcb *t)
{
    if (t->snd.length > 0 || (t->fin_queued && !t->fin_sent))
        wants_output(path, t);
}

static void update_window(struct segment_path *path, struct tcb *t, const struct packet *p)
{
    uint32_t wnd = (uint32_t)p->window << t->snd_wscale;

    if (!takes_window(t, p))
        return;
    t->snd_wl1 = p->seq;
    t->snd_wl2 = p->ack;
    if (wnd == t->snd_wnd)
        return;
    t->snd_wnd = wnd;
    if (wnd > t->max_snd_wnd)
        t->max_snd_wnd = wnd;
    may_go_on(path, t);
}

/* Our FIN is acknowledged. After the peer's that was the end, and what remains of the
 * connection is Python's. */
static void fin_acknowledged(struct segment_path *path, struct tcb *t, int64_t now)
{
    if (t->state == STATE_FIN_WAIT_1) {
        t->state = STATE_FIN_WAIT_2;
        if (t->orphan)
            timer_start(path->timers, t, TIMER_TIME_WAIT, now + path->fin_wait_2);
    } else { /* LAST-ACK: in other states our FIN is not in flight, or Python's */
        give_back_buffers(path, t);
        t->fast = 0;
        happens(path, t->number, HAPPENED_ENDED);
    }
}

/* Our SYN is acknowledged (core.tcp.handshake): what the listener and congestion control make
 * of that is Python's. */
static void establish(struct segment_path *path, struct tcb *t, const struct packet *p,
                      int64_t now)
{
    t->state = STATE_ESTABLISHED;
    t->snd_una = t->snd_nxt;
    t->deadlines[TIMER_RETRANSMISSION] = 0;
    take_rtt(path, t, now - t->unacked_since);
    begin_receiving(path, t, now);
    t->listening->waiting++;
    t->listening->half_open -= t->half_open;
    t->half_open = 0;
    happens(path, t->number, HAPPENED_ESTABLISHED);
    t->snd_wl1 = p->seq - 1; /* so that this segment's window counts */
    update_window(path, t, p);
}

static void check_ack(struct segment_path *path, struct tcb *t, const struct packet *p,
                      int64_t now)
{
    uint32_t advanced = p->ack - t->snd_una;
    struct transmission newest;

    if (advanced == 0) {
        update_window(path, t, p);
        if (t->sack_ok && t->sent.count > 0)
            t->deadlines[TIMER_REORDERING] = 0;
        return;
    }
    newest = leave_flight(t, p->ack);
    release(path, t, p->ack);
    update_window(path, t, p);
    take_rtt(path, t, now - newest.sent_at);
    note_delivery(t, &newest, now);
    if (t->sack_ok)
        t->deadlines[TIMER_REORDERING] = 0;
    note_sample(path, t, advanced, now - newest.sent_at);
    rearm(path, t, now);
    may_go_on(path, t);
}

/* ---- seventh: the segment text ---------------------------------------------- */

/* RFC 9293 SHLD-19, RFC 5681 §4.2, and at once while the peer may be in slow start. */
static void acknowledge_text(struct segment_path *path, struct tcb *t, uint32_t length,
                             int64_t now)
{
    uint32_t size = length < t->rcv_mss ? length : t->rcv_mss;

    t->ack_waiting += length;
    if (size > t->ack_full_size)
        t->ack_full_size = size;
    if (t->ack_waiting > t->ack_full_size) {
        ack_now(path, t, WHY_SECOND_SEGMENT);
    } else if (t->ack_quick > 0) {
        t->ack_quick--;
        ack_now(path, t, WHY_QUICK_ACK);
    } else if (t->deadlines[TIMER_DELAYED_ACK] == 0) {
        timer_start(path->timers, t, TIMER_DELAYED_ACK, now + path->delayed_ack);
    }
}

/* The text lies behind the ring's end already. */
static void take_text(struct segment_path *path, struct tcb *t, const struct packet *p,
                      int64_t now)
{
    uint32_t length = p->text_length;

    t->data_segments_in++;
    t->last_data_received = now;
    ring_commit(&t->rcv, length);
    t->rcv_nxt += length;
    t->bytes_received += length;
    acknowledge_text(path, t, length, now);
    measure_round_trip(t, p, now);
    if (t->discards)
        discard(path, t, now);
    else
        tell(path, t, READY_READABLE);
}

/* ---- eighth: the FIN ---------------------------------------------------------- */

static void take_fin(struct segment_path *path, struct tcb *t)
{
    t->rcv_nxt++;
    t->fin_received = 1;
    ack_now(path, t, WHY_FIN_RECEIVED);
    if (t->state == STATE_ESTABLISHED) {
        t->state = STATE_CLOSE_WAIT;
    } else {
        t->state = STATE_TIME_WAIT;
        give_back_buffers(path, t);
        happens(path, t->number, HAPPENED_TIME_WAIT);
    }
    tell(path, t, READY_EOF | READY_READABLE);
}

/* ---- a segment, a batch ------------------------------------------------------ */

/* RFC 7323 §4.3 (2): only a segment that covers the last ACK sent counts. */
static void note_timestamp(struct tcb *t, const struct packet *p, int64_t now)
{
    if (!t->ts_ok || before(t->last_ack_sent, p->seq))
        return;
    t->ts_recent = p->tsval;
    t->ts_recent_at = now;
}

/* Returns 0, with nothing changed, when the segment is Python's. */
static int segment_arrives(struct segment_path *path, struct tcb *t, const struct packet *p,
                           int64_t now)
{
    int opens = completes_handshake(t, p), closes = acknowledges_fin(t, p);

    if (!opens && !is_expected(t, p))
        return 0;
    if (p->text_length > 0 &&
        ring_write_at(&t->rcv, t->rcv.length, p->text, p->text_length) == 0)
        return 0; /* no memory */
    t->segments_in++;
    t->last_heard = now;
    note_timestamp(t, p, now);
    if (opens)
        establish(path, t, p, now);
    else
        check_ack(path, t, p, now);
    if (closes)
        fin_acknowledged(path, t, now);
    if (p->text_length > 0)
        take_text(path, t, p, now);
    if (has_fin(p))
        take_fin(path, t);
    path->segments_in++;
    return 1;
}

static int is_segment(const struct packet *p)
{
    return p->fault == FAULT_NONE && p->protocol == PROTOCOL_TCP && !p->is_fragment;
}

uint32_t segments_arrive(struct segment_path *path, struct batch *b, uint32_t first, int64_t now)
{
    uint32_t i;

    if (first == 0)
        segment_path_count(path, b);
    for (i = first; i < b->count; i++) {
        const struct packet *p = &b->packets[i];
        struct tcb *t;

        if (!is_segment(p))
            break;
        t = flow_find_tcb(path->flows, p);
        if (t != NULL ? !segment_arrives(path, t, p, now) : !segment_opens(path, p, now))
            break;
    }
    return i;
}
