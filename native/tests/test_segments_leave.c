/* What the segment path sends, when, and when it leaves that to Python. */
#include "connection.h"

#define ROOM 8u

/* The packets of one call, which has the last places of a batch. */
struct sending {
    struct outgoing *out;
    uint32_t count;
    uint32_t rest;
};

static struct sending leave(struct bench *b, uint32_t room, uint32_t flags, int64_t now)
{
    struct sending s = {calloc(BATCH_PACKETS, sizeof *s.out), 0, 0};
    uint32_t before = BATCH_PACKETS - room, result;

    CHECK(s.out != NULL);
    result = segments_leave(&b->path, b->t, s.out, before, flags, now);
    s.count = result % 256;
    s.rest = result / 256;
    CHECK(s.count <= room);
    memmove(s.out, s.out + before, s.count * sizeof *s.out);
    return s;
}

static struct packet on_the_wire(const struct sending *s, uint32_t index)
{
    uint8_t data[70000];
    uint32_t length;

    CHECK(index < s->count);
    length = outgoing_copy(&s->out[index], data, sizeof data);
    CHECK(length == s->out[index].length);
    return parse_exact(data, length, s->out[index].vnet[0] & 1 ? PARSE_TRUST_CHECKSUM : 0);
}

static int is_segment(const struct sending *s, uint32_t index, uint32_t seq, uint32_t length,
                      uint32_t why)
{
    struct packet p = on_the_wire(s, index);
    uint32_t push = why == WHY_DATA_PUSHED ? FLAG_PSH : 0;

    return p.fault == FAULT_NONE && p.seq == seq && p.text_length == length &&
           p.flags == (FLAG_ACK | push) && s->out[index].why == why;
}

/* Calls once; returns how many segments left when nothing more is to do, else 1000 and more. */
static uint32_t sent_now(struct bench *b, uint32_t flags, int64_t now)
{
    struct sending s = leave(b, ROOM, flags, now);

    free(s.out);
    return s.count + 1000 * s.rest;
}

#define PYTHON(n) (1000u * LEAVE_PYTHON + (n))
#define FULL(n) (1000u * LEAVE_FULL + (n))

/* ---- whose it is ------------------------------------------------------------------ */

static void what_needs_a_decision_is_left(void)
{
    struct snapshot before;
    struct bench b;

    bench_init(&b);
    write_text(b.t, 100);
    b.t->ack_due = WHY_OTHER;
    before = snapshot_take(&b);
    CHECK(sent_now(&b, 0, NOW) == PYTHON(0) && is_untouched(&b, &before));
    b.t->ack_due = WHY_NONE;
    b.t->path.dont_fragment = 0;
    before = snapshot_take(&b);
    CHECK(sent_now(&b, 0, NOW) == PYTHON(0) && is_untouched(&b, &before));
    b.t->path.dont_fragment = 1;
    CHECK(sent_now(&b, 0, NOW) == 1);
    bench_free(&b);
}

static void a_fin_leaves_with_the_last_of_the_text_or_alone(void)
{
    struct sending s;
    struct bench b;

    bench_init(&b);
    b.t->fin_queued = 1;
    write_text(b.t, 1500);
    s = leave(&b, ROOM, 0, NOW);
    CHECK(s.count == 2 && s.rest == LEAVE_DONE && flight_size(b.t) == 1501);
    CHECK(on_the_wire(&s, 0).flags == FLAG_ACK);
    CHECK(on_the_wire(&s, 1).flags == (FLAG_ACK | FLAG_PSH | FLAG_FIN));
    CHECK(s.out[1].why == WHY_FIN && b.t->fin_sent);
    free(s.out);
    CHECK(sent_now(&b, 0, NOW) == 0);
    bench_free(&b);

    bench_init(&b);
    b.t->fin_queued = 1;
    s = leave(&b, ROOM, 0, NOW);
    CHECK(s.count == 1 && on_the_wire(&s, 0).flags == (FLAG_ACK | FLAG_FIN));
    CHECK(b.t->last_sent_at == 0 && flight_size(b.t) == 1); /* no text left */
    free(s.out);
    bench_free(&b);
}

static void a_fin_waits_for_its_turn_in_the_pacing(void)
{
    struct bench b;

    bench_init(&b);
    b.t->fin_queued = 1;
    b.t->pacing_rate = 1000;
    b.t->pacing_next = NOW + 1000;
    CHECK(sent_now(&b, 0, NOW) == 0 && b.t->deadlines[TIMER_PACING] == NOW + 1000);
    bench_free(&b);
}

static void a_pause_is_left(void)
{
    struct bench b;

    bench_init(&b);
    write_text(b.t, 2100);
    b.t->nodelay = 1;
    b.t->last_sent_at = NOW - b.t->rto;
    b.t->cwnd = 100;
    CHECK(sent_now(&b, 0, NOW + 1) == PYTHON(0));
    CHECK(sent_now(&b, 0, NOW) == 0); /* cwnd holds it */
    b.t->last_sent_at = 0; /* nothing left ever */
    b.t->cwnd = 1000;
    CHECK(sent_now(&b, 0, NOW) == 1);
    b.t->cwnd = 2000;
    CHECK(sent_now(&b, 0, NOW + 2 * b.t->rto) == 1); /* something is in flight */
    bench_free(&b);
}

static void without_memory_nothing_leaves(void)
{
    static struct outgoing out[BATCH_PACKETS];
    struct bench b;

    bench_init(&b);
    write_text(b.t, 100);
    memory_is_out = 1;
    CHECK(segments_leave(&b.path, b.t, out, 0, 0, NOW) == LEAVE_PYTHON * 256);
    memory_is_out = 0;
    CHECK(flight_size(b.t) == 0 && b.t->segments_out == 0 && new_places(&b) == 0);
    CHECK(sent_now(&b, 0, NOW) == 1);
    bench_free(&b);
}

static void a_window_in_the_way_is_left(void)
{
    struct bench b;

    bench_init(&b);
    write_text(b.t, 2000);
    b.t->snd_wnd = 400; /* less than half of the largest */
    CHECK(sent_now(&b, 0, NOW) == PYTHON(0));
    b.t->max_snd_wnd = 800;
    CHECK(sent_now(&b, 0, NOW) == 1 && flight_size(b.t) == 400);
    CHECK(sent_now(&b, 0, NOW) == 0); /* the acknowledgement will tell */
    b.t->snd_wnd = 100; /* it shrank */
    CHECK(sent_now(&b, 0, NOW) == 0);
    bench_free(&b);
}

static void a_fin_that_waits_for_the_window_is_left(void)
{
    struct bench b;

    bench_init(&b);
    b.t->fin_queued = 1;
    b.t->snd_wnd = 0;
    CHECK(sent_now(&b, 0, NOW) == PYTHON(0));
    bench_free(&b);
}

/* ---- what leaves --------------------------------------------------------------------- */

static void text_leaves_in_full_segments_and_the_last_is_pushed(void)
{
    uint32_t seq, una, rto;
    struct sending s;
    struct packet p;
    struct bench b;

    bench_init(&b);
    seq = una = b.t->snd_nxt;
    rto = (uint32_t)b.t->rto;
    write_text(b.t, 2345);
    b.t->ack_due = WHY_QUICK_ACK;
    b.t->ack_waiting = 77;
    b.t->deadlines[TIMER_DELAYED_ACK] = NOW + 9;
    s = leave(&b, ROOM, 0, NOW);
    CHECK(s.count == 3 && s.rest == LEAVE_DONE);
    CHECK(is_segment(&s, 0, seq, 1000, WHY_DATA) && is_segment(&s, 1, seq + 1000, 1000, WHY_DATA));
    CHECK(is_segment(&s, 2, seq + 2000, 345, WHY_DATA_PUSHED));
    p = on_the_wire(&s, 2);
    CHECK(p.seq < 1000 && p.ack == b.t->rcv_nxt && p.options == OPTION_TIMESTAMPS);
    CHECK(p.tsval == timestamp(b.t, NOW) && p.tsecr == b.t->ts_recent && p.gso_size == 0);
    free(s.out);

    CHECK(b.t->snd_una == una && b.t->snd_nxt == seq + 2345 && b.t->bytes_sent == 2345);
    CHECK(b.t->segments_out == 3 && b.path.segments_out == 3 && b.t->data_segments_out == 3);
    CHECK(b.t->sent.count == 3 && sent_at(&b.t->sent, 1).seq == seq + 1000);
    CHECK(sent_at(&b.t->sent, 2).end == b.t->snd_nxt && sent_at(&b.t->sent, 0).sent_at == NOW);
    CHECK(b.t->small_in_flight == 1 && b.t->small_end == b.t->snd_nxt);
    CHECK(b.t->ack_due == WHY_NONE && b.t->ack_waiting == 0);
    CHECK(b.t->deadlines[TIMER_DELAYED_ACK] == 0 && b.t->last_ack_sent == b.t->rcv_nxt);
    CHECK(b.t->last_sent_at == NOW && b.t->una_at_send == una && b.t->unacked_since == NOW);
    CHECK(b.t->flight_before == 2345 && b.t->cwnd_limited == 0);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == NOW + rto && new_places(&b) == 1);
    CHECK(b.t->deadlines[TIMER_LOSS_PROBE] == 0); /* no round trip was measured yet */
    bench_free(&b);
}

static void the_bytes_are_those_of_the_ring(void)
{
    uint8_t expected[1400], got[1500];
    struct sending s;
    struct bench b;

    bench_init(&b);
    write_text(b.t, 1400);
    fill_pattern(expected, sizeof expected, 9);
    s = leave(&b, ROOM, 0, NOW);
    CHECK(s.count == 2);
    CHECK(outgoing_copy(&s.out[0], got, sizeof got) == 52 + 1000);
    CHECK(memcmp(got + 52, expected, 1000) == 0);
    CHECK(outgoing_copy(&s.out[1], got, sizeof got) == 52 + 400);
    CHECK(memcmp(got + 52, expected + 1000, 400) == 0);
    free(s.out);
    bench_free(&b);
}

static void timers_run_with_what_left(void)
{
    struct bench b;

    bench_init(&b);
    b.t->srtt = 30000;
    write_text(b.t, 1000);
    CHECK(sent_now(&b, 0, NOW) == 1);
    CHECK(b.t->deadlines[TIMER_LOSS_PROBE] == NOW + 60000 + 200000);
    write_text(b.t, 1000);
    CHECK(sent_now(&b, 0, NOW + 5) == 1);
    CHECK(b.t->deadlines[TIMER_LOSS_PROBE] == NOW + 5 + 60000);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == NOW + b.t->rto); /* it runs already */
    CHECK(b.t->unacked_since == NOW && new_places(&b) == 3);
    b.path.maximum_rto = 500;
    b.t->deadlines[TIMER_RETRANSMISSION] = 0;
    write_text(b.t, 1000);
    CHECK(sent_now(&b, 0, NOW + 6) == 1);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == NOW + 506);
    bench_free(&b);
}

static void an_acknowledgement_leaves_alone_when_no_text_carries_it(void)
{
    struct sending s;
    struct packet p;
    struct bench b;

    bench_init(&b);
    b.t->ts_ok = 0;
    b.t->ack_due = WHY_SECOND_SEGMENT;
    s = leave(&b, ROOM, 0, NOW);
    CHECK(s.count == 1 && s.rest == LEAVE_DONE);
    CHECK(is_segment(&s, 0, b.t->snd_nxt, 0, WHY_SECOND_SEGMENT));
    p = on_the_wire(&s, 0);
    CHECK(p.options == 0);
    free(s.out);
    CHECK(b.t->data_segments_out == 0 && b.t->sent.count == 0 && new_places(&b) == 0);
    CHECK(sent_now(&b, 0, NOW) == 0);
    bench_free(&b);
}

static void what_finds_no_room_waits(void)
{
    struct sending s;
    struct bench b;

    bench_init(&b);
    b.t->ack_due = WHY_DELAYED_ACK;
    s = leave(&b, 0, 0, NOW);
    CHECK(s.count == 0 && s.rest == LEAVE_FULL && b.t->ack_due == WHY_DELAYED_ACK);
    free(s.out);
    write_text(b.t, 1500);
    s = leave(&b, 1, 0, NOW);
    CHECK(s.count == 1 && s.rest == LEAVE_FULL && flight_size(b.t) == 1000);
    free(s.out);
    CHECK(b.t->ack_due == WHY_NONE && sent_now(&b, 0, NOW) == 1);
    bench_free(&b);
}

/* ---- how much ----------------------------------------------------------------------------- */

static void cwnd_holds_back(void)
{
    struct bench b;

    bench_init(&b);
    b.t->cwnd = 2500;
    write_text(b.t, 5000);
    CHECK(sent_now(&b, 0, NOW) == 2 && flight_size(b.t) == 2000 && b.t->cwnd_limited == 1);
    b.t->cwnd = 1500; /* it may be below the flight */
    CHECK(sent_now(&b, 0, NOW) == 0);
    b.t->cwnd = 9000;
    CHECK(sent_now(&b, 0, NOW) == 3 && b.t->cwnd_limited == 0);
    bench_free(&b);
}

static void nagle_holds_a_small_segment_behind_a_small_one(void)
{
    struct bench b;

    bench_init(&b);
    write_text(b.t, 100);
    CHECK(sent_now(&b, 0, NOW) == 1 && b.t->small_in_flight == 1);
    write_text(b.t, 100);
    CHECK(sent_now(&b, 0, NOW) == 0);
    write_text(b.t, 1200); /* of 1300 bytes a full one leaves */
    CHECK(sent_now(&b, 0, NOW) == 1 && flight_size(b.t) == 1100);
    b.t->nodelay = 1;
    CHECK(sent_now(&b, 0, NOW) == 1 && flight_size(b.t) == 1400);
    b.t->nodelay = 0;
    write_text(b.t, 200);
    CHECK(sent_now(&b, 0, NOW) == 0);
    b.t->fin_queued = 1; /* nothing can follow that would fill the segment */
    CHECK(sent_now(&b, 0, NOW) == 1 && b.t->fin_sent);
    bench_free(&b);
}

static void a_super_segment_leaves_with_offload(void)
{
    struct sending s;
    struct bench b;

    bench_init(&b);
    b.t->snd_wnd = b.t->max_snd_wnd = b.t->cwnd = 200000;
    b.t->small_in_flight = 1;
    write_text(b.t, 70500);
    s = leave(&b, ROOM, LEAVE_OFFLOAD, NOW);
    CHECK(s.count == 2 && s.rest == LEAVE_DONE); /* Nagle keeps the tail */
    CHECK(is_segment(&s, 0, b.t->snd_una, 65000, WHY_DATA));
    CHECK(is_segment(&s, 1, b.t->snd_una + 65000, 5000, WHY_DATA));
    CHECK(s.out[0].vnet[4] + 256 * s.out[0].vnet[5] == 1000); /* gso_size */
    CHECK(s.out[0].vnet[0] == 1); /* needs its checksum */
    free(s.out);
    b.t->nodelay = 1;
    write_text(b.t, 700);
    s = leave(&b, ROOM, LEAVE_OFFLOAD, NOW);
    CHECK(s.count == 1 && is_segment(&s, 0, b.t->snd_una + 70000, 1200, WHY_DATA_PUSHED));
    CHECK(b.t->small_end == b.t->snd_nxt);
    free(s.out);
    write_text(b.t, 1000);
    s = leave(&b, ROOM, LEAVE_OFFLOAD, NOW);
    CHECK(s.count == 1 && s.out[0].vnet[4] + 256 * s.out[0].vnet[5] == 0);
    free(s.out);
    bench_free(&b);
}

/* Nearly 64 KiB each: no second one has room beside it, but one has. */
static void a_segment_of_the_largest_link_leaves_with_offload(void)
{
    struct sending s;
    struct bench b;

    bench_init(&b);
    b.t->snd_mss = 65483;
    b.t->snd_wnd = b.t->max_snd_wnd = b.t->cwnd = 200000;
    write_text(b.t, 70000);
    s = leave(&b, ROOM, LEAVE_OFFLOAD, NOW);
    CHECK(s.count == 2 && is_segment(&s, 0, b.t->snd_una, 65483, WHY_DATA));
    CHECK(is_segment(&s, 1, b.t->snd_una + 65483, 70000 - 65483, WHY_DATA_PUSHED));
    free(s.out);
    bench_free(&b);
}

/* ---- pacing ------------------------------------------------------------------------------- */

static void data_waits_for_its_time(void)
{
    struct bench b;

    bench_init(&b);
    b.t->pacing_rate = 300000; /* a segment in 3333 1/3 µs */
    write_text(b.t, 4000);
    CHECK(sent_now(&b, 0, NOW) == 1);
    CHECK(b.t->pacing_next == NOW + 3333 && b.t->pacing_rest == 100000);
    CHECK(b.t->pacing_burst_end == NOW + 1000 && b.t->pacing_waits == 1);
    CHECK(b.t->deadlines[TIMER_PACING] == NOW + 3333);
    b.t->ack_due = WHY_QUICK_ACK; /* which does not wait */
    CHECK(sent_now(&b, 0, NOW + 3332) == 1 && flight_size(b.t) == 1000);
    CHECK(sent_now(&b, 0, NOW + 3433) == 1); /* a little late: the rate is kept */
    CHECK(b.t->pacing_next == NOW + 6666 && b.t->pacing_rest == 200000);
    CHECK(sent_now(&b, 0, NOW + 106666) == 1); /* too late to catch up */
    CHECK(b.t->pacing_next == NOW + 109999 && b.t->pacing_rest == 100000);
    CHECK(sent_now(&b, 0, NOW + 109999) == 1 && b.t->pacing_waits == 0);
    CHECK(b.t->pacing_rest == 200000);
    write_text(b.t, 1000); /* nothing had to wait: what was not used is lost */
    CHECK(sent_now(&b, 0, NOW + 120000) == 1 && b.t->pacing_next == NOW + 123333);
    bench_free(&b);
}

static void a_burst_is_worth_a_millisecond(void)
{
    struct sending s;
    struct bench b;

    bench_init(&b);
    b.t->cwnd = 40000;
    b.t->pacing_rate = 3500000;
    write_text(b.t, 20000);
    s = leave(&b, ROOM, LEAVE_OFFLOAD, NOW);
    CHECK(s.count == 2 && is_segment(&s, 0, b.t->snd_una, 3000, WHY_DATA));
    CHECK(b.t->pacing_next == NOW + 1714 && b.t->pacing_waits == 1);
    free(s.out);
    b.t->pacing_rate = 1; /* a segment at least */
    b.t->pacing_next = 0;
    b.t->pacing_burst_end = NOW - 1000;
    s = leave(&b, 1, LEAVE_OFFLOAD, NOW);
    CHECK(s.count == 1 && is_segment(&s, 0, b.t->snd_una + 6000, 1000, WHY_DATA));
    free(s.out);
    b.t->pacing_rate = 1000000000; /* a packet at most */
    b.t->pacing_next = NOW;
    write_text(b.t, 70000);
    b.t->cwnd = b.t->snd_wnd = 100000;
    s = leave(&b, ROOM, LEAVE_OFFLOAD, NOW + 1);
    CHECK(is_segment(&s, 0, b.t->snd_una + 7000, 65000, WHY_DATA));
    free(s.out);
    bench_free(&b);
}

static void no_rate_is_too_large_for_the_burst(void)
{
    struct sending s;
    struct bench b;

    bench_init(&b);
    b.t->cwnd = b.t->snd_wnd = 100000;
    b.t->pacing_rate = UINT64_MAX / 1000 + 1; /* times 1000 it is 616 */
    write_text(b.t, 60000);
    s = leave(&b, ROOM, LEAVE_OFFLOAD, NOW);
    CHECK(s.count == 1 && is_segment(&s, 0, b.t->snd_una, 60000, WHY_DATA_PUSHED));
    free(s.out);
    bench_free(&b);
}

/* ---- the window that is announced ------------------------------------------------------------ */

static uint16_t announced(struct bench *b)
{
    struct sending s;
    struct packet p;

    b->t->ack_due = WHY_WINDOW_UPDATE;
    s = leave(b, 1, 0, NOW);
    p = on_the_wire(&s, 0);
    CHECK(s.count == 1 && s.out[0].why == WHY_WINDOW_UPDATE);
    free(s.out);
    return p.window;
}

static void the_window_grows_in_steps_worth_a_segment(void)
{
    struct bench b;

    bench_init(&b);
    b.t->rcv_wnd_max = 20999; /* less than a segment more than was announced */
    CHECK(announced(&b) == 20000 && b.t->rcv_adv == b.t->rcv_nxt + 20000);
    b.t->rcv_wnd_max = 21000;
    CHECK(announced(&b) == 21000 && b.t->rcv_adv == b.t->rcv_nxt + 21000);
    b.t->rcv_wnd_max = 1000; /* a smaller buffer takes nothing back */
    CHECK(announced(&b) == 21000 && b.t->rcv_adv == b.t->rcv_nxt + 21000);
    b.t->rcv_adv = b.t->rcv_nxt + 499; /* half a small buffer is a step, too */
    CHECK(announced(&b) == 1000);
    bench_free(&b);
}

static void the_field_is_rounded_up_where_there_is_room(void)
{
    struct bench b;

    bench_init(&b);
    b.t->rcv_wscale = 7;
    b.t->rcv_wnd_max = 20100;
    CHECK(announced(&b) == 157 && b.t->rcv_adv == b.t->rcv_nxt + 157 * 128);
    b.t->rcv_adv = b.t->rcv_nxt + 20001;
    b.t->rcv.limit = 20095; /* a byte too few for 157 */
    CHECK(announced(&b) == 156 && b.t->rcv_adv == b.t->rcv_nxt + 20001);
    bench_free(&b);
}

static void the_field_has_16_bits(void)
{
    struct bench b;

    bench_init(&b);
    b.t->rcv_wnd_max = RING;
    CHECK(announced(&b) == 65535 && b.t->rcv_adv == b.t->rcv_nxt + 65535);
    bench_free(&b);
}

int main(void)
{
    RUN(what_needs_a_decision_is_left);
    RUN(a_fin_leaves_with_the_last_of_the_text_or_alone);
    RUN(a_fin_waits_for_its_turn_in_the_pacing);
    RUN(a_pause_is_left);
    RUN(without_memory_nothing_leaves);
    RUN(a_window_in_the_way_is_left);
    RUN(a_fin_that_waits_for_the_window_is_left);
    RUN(text_leaves_in_full_segments_and_the_last_is_pushed);
    RUN(the_bytes_are_those_of_the_ring);
    RUN(timers_run_with_what_left);
    RUN(an_acknowledgement_leaves_alone_when_no_text_carries_it);
    RUN(what_finds_no_room_waits);
    RUN(cwnd_holds_back);
    RUN(nagle_holds_a_small_segment_behind_a_small_one);
    RUN(a_super_segment_leaves_with_offload);
    RUN(a_segment_of_the_largest_link_leaves_with_offload);
    RUN(data_waits_for_its_time);
    RUN(a_burst_is_worth_a_millisecond);
    RUN(no_rate_is_too_large_for_the_burst);
    RUN(the_window_grows_in_steps_worth_a_segment);
    RUN(the_field_is_rounded_up_where_there_is_room);
    RUN(the_field_has_16_bits);
    return 0;
}
