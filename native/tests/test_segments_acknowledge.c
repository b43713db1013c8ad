/* What the segment path does with the ACK field and the window of a segment that it takes. */
#include "connection.h"

/* A bare acknowledgement of all but `open` bytes. */
static void acknowledge(struct bench *b, uint32_t open, int64_t now)
{
    packet_add(b, b->t, 0)->ack -= open;
    CHECK(segments_arrive(&b->path, b->batch, 0, now) == 1);
    forget_packets(b);
}

/* One segment leaves, and is acknowledged after so many µs. */
static void round_trip(struct bench *b, int64_t rtt)
{
    put_in_flight(b->t, 10, NOW - rtt);
    acknowledge(b, 0, NOW);
}

/* ---- RFC 6298 --------------------------------------------------------------------- */

static void the_first_round_trip_is_taken_whole(void)
{
    struct bench b;

    bench_init(&b);
    round_trip(&b, 100001);
    CHECK(b.t->srtt == 100001 && b.t->rttvar == 50000 && b.t->min_rtt == 100001);
    CHECK(b.t->rto == 100001 + 4 * 50000);
    bench_free(&b);
}

static void further_ones_are_smoothed_and_round_down(void)
{
    struct bench b;

    bench_init(&b);
    b.t->srtt = b.t->min_rtt = 10000;
    b.t->rttvar = 3000;
    round_trip(&b, 7001); /* -1 / 4 and -2999 / 8 */
    CHECK(b.t->rttvar == 2999 && b.t->srtt == 9625 && b.t->min_rtt == 7001);
    CHECK(b.t->rto == 9625 + 200000); /* the variance counts for the minimum at least */
    round_trip(&b, 17632); /* (8007 - 2999) / 4 = 1252 and 8007 / 8 = 1000.9 */
    CHECK(b.t->rttvar == 4251 && b.t->srtt == 10625 && b.t->min_rtt == 7001);
    bench_free(&b);
}

static void a_round_trip_takes_some_time(void)
{
    struct bench b;

    bench_init(&b);
    round_trip(&b, 0);
    CHECK(b.t->srtt == 1 && b.t->rttvar == 0 && b.t->min_rtt == 1);
    b.t->srtt = 2;
    round_trip(&b, 0);
    CHECK(b.t->srtt == 1);
    bench_free(&b);
}

static void the_timeout_has_a_maximum(void)
{
    struct bench b;

    bench_init(&b);
    round_trip(&b, 30000000);
    CHECK(b.t->rto == 60000000);
    b.path.maximum_rto = 1000000; /* of what a setting says later, too */
    put_in_flight(b.t, 10, NOW - 10);
    put_in_flight(b.t, 10, NOW - 10);
    b.t->rto = 5000000;
    acknowledge(&b, 10, NOW);
    CHECK(b.t->rto == 1000000 && b.t->deadlines[TIMER_RETRANSMISSION] == NOW + 1000000);
    bench_free(&b);
}

/* ---- what leaves the flight ----------------------------------------------------------- */

static void what_is_acknowledged_is_released(void)
{
    struct bench b;
    uint32_t una;

    bench_init(&b);
    una = b.t->snd_una;
    put_in_flight(b.t, 1000, NOW - 3000);
    put_in_flight(b.t, 1000, NOW - 2000); /* wraps */
    put_in_flight(b.t, 500, NOW - 1000);
    acknowledge(&b, 600, NOW);
    CHECK(b.t->snd_una == una + 1900 && b.t->snd_una < 1000 && b.t->bytes_acked == 1900);
    CHECK(b.t->snd.length == 600 && b.t->sent.count == 2);
    CHECK(sent_at(&b.t->sent, 0).seq == una + 1900 && sent_at(&b.t->sent, 0).end == una + 2000);
    CHECK(b.t->srtt == 2000); /* of the newest */
    CHECK(b.t->mss_proven == 1 && b.t->unacked_since == NOW);
    acknowledge(&b, 0, NOW);
    CHECK(b.t->snd_una == b.t->snd_nxt && b.t->sent.count == 0 && b.t->snd.length == 0);
    bench_free(&b);
}

static void a_short_segment_proves_no_size(void)
{
    struct bench b;

    bench_init(&b);
    put_in_flight(b.t, MSS - 1, NOW);
    acknowledge(&b, 0, NOW);
    CHECK(b.t->mss_proven == 0);
    bench_free(&b);
}

static void a_small_segment_is_in_flight_up_to_its_end(void)
{
    struct bench b;

    bench_init(&b);
    put_in_flight(b.t, 1600, NOW);
    b.t->small_in_flight = 1;
    b.t->small_end = b.t->snd_nxt;
    acknowledge(&b, 1, NOW);
    CHECK(b.t->small_in_flight == 1);
    acknowledge(&b, 0, NOW);
    CHECK(b.t->small_in_flight == 0);
    bench_free(&b);
}

static void rack_hears_of_what_was_delivered(void)
{
    struct bench b;
    uint32_t end;

    bench_init(&b);
    b.t->rack_fack = b.t->snd_una;
    put_in_flight(b.t, 600, NOW - 5000);
    end = b.t->snd_nxt;
    acknowledge(&b, 0, NOW);
    CHECK(b.t->rack_rtt == 5000 && b.t->rack_sent_at == NOW - 5000);
    CHECK(b.t->rack_end == end && b.t->rack_fack == end);
    b.t->rack_fack += 5000; /* never back */
    put_in_flight(b.t, 600, NOW - 4000);
    acknowledge(&b, 0, NOW);
    CHECK(b.t->rack_end == end + 600 && b.t->rack_fack == end + 5000);
    b.t->sack_ok = 0;
    put_in_flight(b.t, 600, NOW - 3000);
    acknowledge(&b, 0, NOW);
    CHECK(b.t->rack_rtt == 4000 && b.t->rack_end == end + 600);
    bench_free(&b);
}

static void congestion_control_hears_once_of_many_acknowledgements(void)
{
    struct bench b;

    bench_init(&b);
    put_in_flight(b.t, 1000, NOW - 5000);
    put_in_flight(b.t, 1000, NOW - 3000);
    put_in_flight(b.t, 1000, NOW - 4000);
    acknowledge(&b, 2000, NOW);
    acknowledge(&b, 1000, NOW);
    acknowledge(&b, 0, NOW);
    CHECK(b.path.sampled_count == 1 && b.path.sampled[0] == 1);
    CHECK(b.t->sample_acks == 3 && b.t->sample_rtts == 3 && b.t->sample_acked == 3000);
    CHECK(b.t->sample_flight == 3000 && b.t->sample_rtt == 3000);
    bench_free(&b);
}

/* ---- growth between two words of congestion control ---------------------------------------- */

/* As congestion control leaves it: `by` bytes for one window. */
static void allow_growth(struct tcb *t, uint32_t by)
{
    t->grow_by = by;
    t->grow_over = t->grow_cwnd = t->cwnd;
    t->grow_rest = 0;
    t->grow_end = t->snd_una + t->cwnd;
    t->cwnd_limited = 1;
}

static void cwnd_grows_for_a_window_without_a_word(void)
{
    struct bench b;
    uint32_t i;

    bench_init(&b);
    b.t->cwnd = 3000;
    allow_growth(b.t, 1000);
    for (i = 0; i < 4; i++)
        put_in_flight(b.t, 1000, NOW - 2000);
    acknowledge(&b, 3000, NOW);
    CHECK(b.t->cwnd == 3333 && b.t->grow_cwnd == 3333 && b.t->grow_rest == 1000);
    acknowledge(&b, 2000, NOW);
    CHECK(b.t->cwnd == 3666 && b.path.sampled_count == 0 && b.t->sample_due == 0);
    acknowledge(&b, 1000, NOW);
    CHECK(b.t->cwnd == 4000 && b.t->grow_rest == 0 && b.path.sampled_count == 1);
    acknowledge(&b, 0, NOW);
    CHECK(b.path.sampled_count == 1 && b.t->sample_due == 1);
    CHECK(b.t->sample_acked == 4000 && b.t->sample_acks == 4 && b.t->sample_rtts == 4);
    CHECK(b.t->sample_flight == 4000 && b.t->sample_rtt == 2000);
    bench_free(&b);
}

static void cwnd_rests_while_it_is_not_the_limit(void)
{
    struct bench b;

    bench_init(&b);
    allow_growth(b.t, 1000);
    b.t->cwnd_limited = 0;
    put_in_flight(b.t, 1000, NOW - 2000);
    acknowledge(&b, 500, NOW);
    CHECK(b.t->cwnd == 10 * MSS && b.path.sampled_count == 1); /* who is asked, says so */
    CHECK(b.t->sample_acked == 0 && b.t->sample_acks == 1);
    bench_free(&b);
}

static void what_others_make_of_cwnd_ends_the_growth(void)
{
    struct bench b;

    bench_init(&b);
    allow_growth(b.t, 1000);
    put_in_flight(b.t, 3000, NOW - 2000);
    acknowledge(&b, 2000, NOW);
    CHECK(b.t->cwnd == 10100 && b.path.sampled_count == 0);
    b.t->cwnd = 9000;
    acknowledge(&b, 1000, NOW);
    CHECK(b.t->cwnd == 9000 && b.t->grow_over == 0 && b.path.sampled_count == 1);
    CHECK(b.t->sample_acked == 1000 && b.t->sample_acks == 1 && b.t->sample_rtts == 1);
    forget_notes(&b);
    allow_growth(b.t, 1000);
    b.t->ssthresh = 9001; /* slow start again */
    acknowledge(&b, 0, NOW);
    CHECK(b.t->cwnd == 9000 && b.t->grow_over == 0 && b.path.sampled_count == 1);
    bench_free(&b);
}

static void cwnd_has_a_maximum(void)
{
    struct bench b;

    bench_init(&b);
    b.t->cwnd = INT32_MAX - 10;
    allow_growth(b.t, INT32_MAX);
    put_in_flight(b.t, 1000, NOW - 2000);
    acknowledge(&b, 0, NOW);
    CHECK(b.t->cwnd == INT32_MAX && b.t->grow_cwnd == INT32_MAX);
    bench_free(&b);
}

/* ---- timers ------------------------------------------------------------------------------ */

static void timers_stop_when_nothing_is_in_flight(void)
{
    struct bench b;

    bench_init(&b);
    put_in_flight(b.t, 1000, NOW - 5000);
    b.t->deadlines[TIMER_LOSS_PROBE] = b.t->deadlines[TIMER_REORDERING] = NOW + 7;
    acknowledge(&b, 0, NOW);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == 0 && b.t->deadlines[TIMER_LOSS_PROBE] == 0);
    CHECK(b.t->deadlines[TIMER_REORDERING] == 0 && new_places(&b) == 0);

    b.t->sack_ok = 0; /* no reordering timer is on then; it stops where Python stops it */
    put_in_flight(b.t, 1000, NOW - 5000);
    b.t->deadlines[TIMER_REORDERING] = NOW + 7;
    acknowledge(&b, 0, NOW);
    CHECK(b.t->deadlines[TIMER_REORDERING] == 0);
    bench_free(&b);
}

/* A timer that moves later keeps the place it has in the queue. */
static void timers_start_anew_and_have_one_place(void)
{
    int64_t place = NOW - 5000 + 1000000;
    struct bench b;

    bench_init(&b);
    put_in_flight(b.t, 1000, NOW - 5000);
    put_in_flight(b.t, 2000, NOW - 5000);
    put_in_flight(b.t, 1000, NOW - 5000);
    b.t->srtt = 5000;
    acknowledge(&b, 3000, NOW);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == NOW + b.t->rto);
    CHECK(b.t->deadlines[TIMER_LOSS_PROBE] == NOW + 10000); /* twice the round trip */
    CHECK(b.t->places[TIMER_RETRANSMISSION] == NOW + b.t->rto); /* earlier than it was */
    CHECK(place > NOW + b.t->rto && new_places(&b) == 2);
    CHECK(b.t->places[TIMER_LOSS_PROBE] == NOW + 10000);
    acknowledge(&b, 1000, NOW + 1);
    CHECK(new_places(&b) == 2 && b.t->places[TIMER_LOSS_PROBE] == NOW + 10000);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == NOW + 1 + b.t->rto);
    bench_free(&b);
}

static int64_t probe_after(struct bench *b, uint32_t open)
{
    b->t->deadlines[TIMER_LOSS_PROBE] = b->t->places[TIMER_LOSS_PROBE] = 0;
    forget_notes(b);
    acknowledge(b, open, NOW);
    return b->t->deadlines[TIMER_LOSS_PROBE] - NOW;
}

static void a_loss_probe_waits_as_rfc_8985_says(void)
{
    struct bench b;

    bench_init(&b);
    put_in_flight(b.t, 6000, NOW - 800);
    CHECK(probe_after(&b, 5000) == 2000); /* no less than this */
    CHECK(b.t->srtt == 800);
    CHECK(probe_after(&b, 1001) == 2000);
    b.path.probe_delayed_ack = 30000;
    CHECK(probe_after(&b, 1000) == 32000); /* for the last segment the peer takes its time */
    b.path.probe_delayed_ack = 500000;
    CHECK(probe_after(&b, 900) == b.t->rto); /* no longer than the timeout */
    b.t->sack_ok = 0;
    CHECK(probe_after(&b, 800) == -NOW && new_places(&b) == 0);
    bench_free(&b);
}

static void what_says_nothing_of_data_stops_the_reordering_timer(void)
{
    struct bench b;

    bench_init(&b);
    put_in_flight(b.t, 1000, NOW - 5000);
    b.t->deadlines[TIMER_REORDERING] = NOW + 7;
    b.t->sack_ok = 0;
    packet_add(&b, b.t, 0)->window++;
    b.batch->packets[0].ack = b.t->snd_una;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->deadlines[TIMER_REORDERING] == NOW + 7);
    b.t->sack_ok = 1;
    b.batch->packets[0].window++;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->deadlines[TIMER_REORDERING] == 0 && b.t->sample_acks == 0);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == NOW - 5000 + 1000000);
    sent_free(&b.t->sent);
    b.t->snd_nxt = b.t->snd_una;
    b.t->deadlines[TIMER_REORDERING] = NOW + 7; /* with nothing in flight none is on */
    b.batch->packets[0].window++;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->deadlines[TIMER_REORDERING] == NOW + 7);
    bench_free(&b);
}

/* ---- the window ---------------------------------------------------------------------------- */

static void window_says(struct bench *b, uint16_t field)
{
    packet_add(b, b->t, 1)->window = field;
    CHECK(segments_arrive(&b->path, b->batch, 0, NOW) == 1);
    forget_packets(b);
}

static void the_window_is_scaled_and_its_largest_kept(void)
{
    struct bench b;

    bench_init(&b);
    b.t->snd_wscale = 3;
    window_says(&b, 60000);
    CHECK(b.t->snd_wnd == 480000 && b.t->max_snd_wnd == 480000);
    CHECK(b.t->snd_wl1 == b.t->rcv_nxt - 1 && b.t->snd_wl2 == b.t->snd_una);
    window_says(&b, 1);
    CHECK(b.t->snd_wnd == 8 && b.t->max_snd_wnd == 480000);
    bench_free(&b);
}

static void an_old_window_is_not_taken(void)
{
    struct bench b;

    bench_init(&b);
    b.t->snd_wl1 = b.t->rcv_nxt + 5;
    window_says(&b, 7);
    CHECK(b.t->snd_wnd == WINDOW && b.t->snd_wl1 == b.t->rcv_nxt + 4);
    bench_free(&b);
}

static void what_waits_may_go_on_with_a_new_window(void)
{
    struct bench b;

    bench_init(&b);
    b.t->ack_full_size = MSS;
    window_says(&b, 100); /* nothing waits */
    CHECK(b.path.sending_count == 0);
    b.t->fin_queued = 1;
    window_says(&b, 200);
    CHECK(b.path.sending_count == 1 && b.t->in_output == 1);
    forget_notes(&b);
    b.t->fin_queued = 0;
    write_text(b.t, 10);
    window_says(&b, 200); /* the same again */
    CHECK(b.path.sending_count == 0);
    window_says(&b, 100);
    CHECK(b.path.sending_count == 1);
    bench_free(&b);
}

static void an_acknowledgement_lets_what_waits_go_on(void)
{
    struct bench b;

    bench_init(&b);
    round_trip(&b, 10);
    CHECK(b.path.sending_count == 0);
    write_text(b.t, 10);
    put_in_flight(b.t, 10, NOW);
    acknowledge(&b, 0, NOW);
    CHECK(b.path.sending_count == 1 && b.path.sending[0] == 1);
    bench_free(&b);
}

/* ---- room in the send buffer ------------------------------------------------------------------ */

static void make_blocked(struct bench *b)
{
    bench_init(b);
    put_in_flight(b->t, 1000, NOW);
    b->t->send_blocked = b->t->snd_automatic = 1;
    b->t->snd.limit = 2000;
    b->t->cwnd = 5000;
}

static void the_send_buffer_follows_cwnd(void)
{
    struct bench b;

    make_blocked(&b);
    acknowledge(&b, 0, NOW);
    CHECK(b.t->snd.limit == 10000 && b.t->snd_drawn == 8000 && b.budget.left == (1 << 20) - 8000);
    CHECK(b.t->send_blocked == 0 && b.t->ready == READY_WRITABLE && b.path.happened_count == 1);
    round_trip(&b, 10); /* nobody waits any more */
    b.t->cwnd *= 2;
    CHECK(b.t->snd.limit == 10000);
    bench_free(&b);
}

static void it_grows_within_its_bounds(void)
{
    struct bench b;

    make_blocked(&b);
    b.budget.left = 300;
    acknowledge(&b, 0, NOW);
    CHECK(b.t->snd.limit == 2300 && b.t->snd_drawn == 300 && b.budget.left == 0);
    bench_free(&b);

    make_blocked(&b);
    b.path.largest_send_buffer = 3000;
    acknowledge(&b, 0, NOW);
    CHECK(b.t->snd.limit == 3000 && b.t->snd_drawn == 1000);
    bench_free(&b);

    make_blocked(&b);
    b.t->cwnd = 1000; /* never less */
    acknowledge(&b, 0, NOW);
    CHECK(b.t->snd.limit == 2000 && b.t->send_blocked == 0);
    bench_free(&b);

    make_blocked(&b);
    b.t->snd_automatic = 0;
    acknowledge(&b, 0, NOW);
    CHECK(b.t->snd.limit == 2000 && b.t->send_blocked == 0);
    bench_free(&b);
}

static void who_waits_hears_when_half_is_free(void)
{
    struct bench b;

    make_blocked(&b);
    b.t->snd_automatic = 0;
    b.t->snd.limit = 1400;
    acknowledge(&b, 701, NOW);
    CHECK(b.t->send_blocked == 1 && b.t->ready == 0);
    acknowledge(&b, 700, NOW);
    CHECK(b.t->send_blocked == 0 && b.t->ready == READY_WRITABLE);
    bench_free(&b);
}

static void nobody_hears_of_an_orphan(void)
{
    struct bench b;

    make_blocked(&b);
    b.t->orphan = 1;
    acknowledge(&b, 0, NOW);
    CHECK(b.t->send_blocked == 0 && b.t->ready == 0 && b.path.happened_count == 0);
    bench_free(&b);
}

static void an_application_is_told_once_of_two_things(void)
{
    struct bench b;

    make_blocked(&b);
    packet_add(&b, b.t, 10);
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->ready == (READY_READABLE | READY_WRITABLE) && b.path.happened_count == 1);
    bench_free(&b);
}

int main(void)
{
    RUN(the_first_round_trip_is_taken_whole);
    RUN(further_ones_are_smoothed_and_round_down);
    RUN(a_round_trip_takes_some_time);
    RUN(the_timeout_has_a_maximum);
    RUN(what_is_acknowledged_is_released);
    RUN(a_short_segment_proves_no_size);
    RUN(a_small_segment_is_in_flight_up_to_its_end);
    RUN(rack_hears_of_what_was_delivered);
    RUN(congestion_control_hears_once_of_many_acknowledgements);
    RUN(cwnd_grows_for_a_window_without_a_word);
    RUN(cwnd_rests_while_it_is_not_the_limit);
    RUN(what_others_make_of_cwnd_ends_the_growth);
    RUN(cwnd_has_a_maximum);
    RUN(timers_stop_when_nothing_is_in_flight);
    RUN(timers_start_anew_and_have_one_place);
    RUN(a_loss_probe_waits_as_rfc_8985_says);
    RUN(what_says_nothing_of_data_stops_the_reordering_timer);
    RUN(the_window_is_scaled_and_its_largest_kept);
    RUN(an_old_window_is_not_taken);
    RUN(what_waits_may_go_on_with_a_new_window);
    RUN(an_acknowledgement_lets_what_waits_go_on);
    RUN(the_send_buffer_follows_cwnd);
    RUN(it_grows_within_its_bounds);
    RUN(who_waits_hears_when_half_is_free);
    RUN(nobody_hears_of_an_orphan);
    RUN(an_application_is_told_once_of_two_things);
    return 0;
}
