/* What the segment path takes, what it leaves to Python, and what it does with text. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "connection.h"

static uint32_t arrive(struct bench *b, int64_t now)
{
    uint32_t index = segments_arrive(&b->path, b->batch, 0, now);

    forget_packets(b);
    return index;
}

/* ---- what is left to Python -------------------------------------------------- */

/* One segment that would be taken but for one reason: nothing at all may change. */
#define LEFT(change)                                                                     \
    do {                                                                                 \
        struct bench b;                                                                  \
        struct packet *p;                                                                \
        struct snapshot before;                                                          \
                                                                                         \
        prepare(&b);                                                                     \
        p = packet_add(&b, b.t, 100);                                                    \
        (void)p;                                                                         \
        change;                                                                          \
        before = snapshot_take(&b);                                                      \
        CHECK(arrive(&b, NOW) == 0 && is_untouched(&b, &before));                        \
        bench_free(&b);                                                                  \
    } while (0)

#define TAKEN(change)                                                                    \
    do {                                                                                 \
        struct bench b;                                                                  \
        struct packet *p;                                                                \
                                                                                         \
        prepare(&b);                                                                     \
        p = packet_add(&b, b.t, 100);                                                    \
        (void)p;                                                                         \
        change;                                                                          \
        CHECK(arrive(&b, NOW) == 1 && b.t->segments_in == 1 && b.path.segments_in == 1); \
        bench_free(&b);                                                                  \
    } while (0)

/* Something is in flight, and some text waits on both sides. */
static void prepare(struct bench *b)
{
    bench_init(b);
    put_in_flight(b->t, 1500, NOW - 30000);
    put_in_flight(b->t, 700, NOW - 20000);
    write_text(b->t, 200);
    CHECK(ring_write(&b->t->rcv, (const uint8_t *)"read", 4) == 4);
}

static void other_packets_are_left(void)
{
    LEFT(p->fault = FAULT_TRANSPORT_CHECKSUM);
    LEFT(p->protocol = PROTOCOL_UDP);
    LEFT(p->is_fragment = 1);
    LEFT(p->source_route = 20);
    LEFT(p->sport++);
    LEFT(flow_remove(b.flows, &b.t->path); flow_insert(b.flows, &b.t->path, 1, NULL));
}

static void other_segments_are_left(void)
{
    LEFT(p->flags |= FLAG_SYN);
    LEFT(p->flags |= FLAG_RST);
    LEFT(p->flags |= FLAG_URG);
    LEFT(p->flags |= FLAG_ECE);
    LEFT(p->flags |= FLAG_CWR);
    LEFT(p->flags |= FLAG_AE);
    LEFT(p->flags = 0);
    LEFT(p->flags = FLAG_PSH);
    LEFT(p->seq++);
    LEFT(p->seq--);
    LEFT(p->tsval = b.t->ts_recent - 1);
    LEFT(p->options = 0);
    LEFT(p->options |= OPTION_SACK);
    LEFT(p->options |= OPTION_UNKNOWN);
    LEFT(b.t->ts_ok = 0);
    LEFT(p->ack = b.t->snd_nxt + 1);
    LEFT(p->ack = b.t->snd_una - 1);
    LEFT(p->window = 0);
    LEFT(b.t->snd_wnd = 0);
    LEFT(b.t->rcv_adv = b.t->rcv_nxt + 99);
    TAKEN(b.t->rcv_adv = b.t->rcv_nxt + 100);
    TAKEN(p->flags |= FLAG_PSH);
    TAKEN(p->tsval = b.t->ts_recent);
    TAKEN(p->options = b.t->ts_ok = 0);
    TAKEN(p->ack = b.t->snd_una);
}

static void what_needs_a_decision_is_left(void)
{
    static const uint32_t with_data[] = {STATE_ESTABLISHED, STATE_FIN_WAIT_1, STATE_FIN_WAIT_2,
                                         STATE_CLOSE_WAIT, STATE_LAST_ACK};
    uint32_t state, i;

    for (state = 0; state < 12; state++) {
        for (i = 0; i < 5 && with_data[i] != state; i++)
            ;
        if (i < 5)
            TAKEN(b.t->state = state);
        else
            LEFT(b.t->state = state);
    }
    LEFT(b.t->fast = 0);
    LEFT(b.t->recovery = 1);
    LEFT(b.t->sacked = 1);
    LEFT(b.t->lost = 1);
    LEFT(b.t->dupacks = 1);
    LEFT(b.t->backoff = 1);
    LEFT(b.t->ack_alert = 1);
    LEFT(b.t->ack_due = WHY_OTHER);
    LEFT(b.t->deadlines[TIMER_PERSIST] = NOW + 1);
    TAKEN(b.t->ack_due = WHY_DATA_PUSHED);
}

static void text_that_nobody_reads_is_left(void)
{
    LEFT(b.t->fin_received = 1);
    LEFT(b.t->orphan = 1);
    LEFT(b.t->rcv.limit = 50); /* no room for what was announced */
}

/* Exhaustion is the one reason that shows only while the segment is being taken. */
static void text_is_left_when_memory_is_out(void)
{
    struct snapshot before;
    struct bench b;

    bench_init(&b);
    packet_add(&b, b.t, 100);
    before = snapshot_take(&b);
    memory_is_out = 1;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 0);
    memory_is_out = 0;
    CHECK(is_untouched(&b, &before));
    CHECK(arrive(&b, NOW) == 1);
    bench_free(&b);
}

static void the_ack_of_our_fin_is_left_where_somebody_hears_of_the_end(void)
{
    LEFT(b.t->fin_sent = 1; b.t->state = STATE_LAST_ACK);
    TAKEN(b.t->fin_sent = 1; p->ack--);
    TAKEN(b.t->fin_sent = 1; b.t->snd_una = b.t->snd_nxt); /* it was acknowledged before */
}

#define BARE (p->text_length = 0)

static void an_ack_that_says_nothing_new_is_left(void)
{
    LEFT(BARE; p->ack = b.t->snd_una);
    LEFT(BARE; p->ack = b.t->snd_una; p->window++; b.t->snd_wl2 = p->ack; b.t->snd_wl1 = p->seq + 1);
    TAKEN(BARE; p->ack = b.t->snd_una; p->window++; b.t->snd_wl2 = p->ack);
    TAKEN(BARE; p->ack = b.t->snd_una; p->window++; b.t->snd_wl2--; b.t->snd_wl1 = p->seq + 1);
    TAKEN(BARE; b.t->orphan = 1);
    TAKEN(BARE; b.t->fin_received = 1);
}

/* What came before in the batch counts, what comes behind waits. */
static void a_batch_is_taken_up_to_what_is_left(void)
{
    struct snapshot before;
    struct bench b;

    bench_init(&b);
    packet_add(&b, b.t, 10);
    packet_add(&b, b.t, 10)->seq += 10;
    packet_add(&b, b.t, 10)->seq += 30; /* a hole */
    packet_add(&b, b.t, 10)->seq += 20;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 2 && b.t->segments_in == 2);
    before = snapshot_take(&b);
    CHECK(segments_arrive(&b.path, b.batch, 2, NOW) == 2 && is_untouched(&b, &before));
    CHECK(segments_arrive(&b.path, b.batch, 3, NOW) == 4 && b.t->segments_in == 3);
    CHECK(segments_arrive(&b.path, b.batch, 4, NOW) == 4);
    bench_free(&b);
}

/* ---- the text ------------------------------------------------------------------ */

static void text_goes_into_the_ring(void)
{
    uint8_t expected[1900], got[1900];
    struct bench b;
    uint32_t first;

    bench_init(&b);
    first = b.t->rcv_nxt;
    fill_pattern(expected, 1000, first);
    fill_pattern(expected + 1000, 900, first + 1000);
    packet_add(&b, b.t, 1000);
    CHECK(arrive(&b, NOW) == 1);
    packet_add(&b, b.t, 900); /* numbers have wrapped */
    CHECK(arrive(&b, NOW + 5) == 1);
    CHECK(b.t->rcv_nxt == first + 1900 && b.t->rcv_nxt < 2000 && b.t->bytes_received == 1900);
    CHECK(b.t->rcv_adv == first + 20000); /* moves when it is announced */
    CHECK(b.t->data_segments_in == 2 && b.t->segments_in == 2);
    CHECK(b.t->last_heard == NOW + 5 && b.t->last_data_received == NOW + 5);
    CHECK(ring_read(&b.t->rcv, got, sizeof got) == sizeof got);
    CHECK(memcmp(got, expected, sizeof got) == 0);
    CHECK(b.t->ready == READY_READABLE && b.path.happened_count == 1 && b.path.happened_to[0] == 1);
    bench_free(&b);
}

static void a_timestamp_counts_when_it_covers_the_last_ack(void)
{
    struct bench b;
    uint32_t recent;

    bench_init(&b);
    recent = b.t->ts_recent;
    packet_add(&b, b.t, 10)->tsval = recent + 10; /* wraps */
    CHECK(arrive(&b, NOW) == 1);
    CHECK(b.t->ts_recent == recent + 10 && b.t->ts_recent_at == NOW);
    packet_add(&b, b.t, 10)->tsval = recent + 20; /* behind what was acknowledged last */
    CHECK(arrive(&b, NOW + 1) == 1);
    CHECK(b.t->ts_recent == recent + 10 && b.t->ts_recent_at == NOW);
    bench_free(&b);
}

static void text_is_acknowledged_by_the_policy(void)
{
    struct bench b;

    bench_init(&b);
    b.t->ack_quick = 1;
    packet_add(&b, b.t, MSS);
    CHECK(arrive(&b, NOW) == 1);
    CHECK(b.t->ack_due == WHY_QUICK_ACK && b.t->ack_quick == 0 && b.t->in_output == 1);
    CHECK(b.path.sending_count == 1 && b.path.sending[0] == 1 && b.path.noted == 2);
    CHECK(b.t->deadlines[TIMER_DELAYED_ACK] == 0);

    b.t->ack_due = b.t->ack_waiting = 0; /* it left */
    forget_notes(&b);
    packet_add(&b, b.t, 400);
    CHECK(arrive(&b, NOW) == 1);
    CHECK(b.t->ack_due == WHY_NONE && b.t->in_output == 0 && b.path.sending_count == 0);
    CHECK(b.t->deadlines[TIMER_DELAYED_ACK] == NOW + 40000 && new_places(&b) == 1);
    CHECK(b.t->places[TIMER_DELAYED_ACK] == NOW + 40000);

    packet_add(&b, b.t, 600); /* a full segment together, and no more */
    CHECK(arrive(&b, NOW + 9) == 1 && b.t->ack_due == WHY_NONE && b.t->ack_full_size == MSS);
    CHECK(b.t->deadlines[TIMER_DELAYED_ACK] == NOW + 40000 && new_places(&b) == 1);
    packet_add(&b, b.t, 1);
    CHECK(arrive(&b, NOW + 9) == 1 && b.t->ack_due == WHY_SECOND_SEGMENT);
    packet_add(&b, b.t, 1); /* the first reason stays, and it is noted once */
    b.t->ack_due = WHY_WINDOW_UPDATE;
    CHECK(arrive(&b, NOW + 9) == 1 && b.t->ack_due == WHY_WINDOW_UPDATE);
    CHECK(b.path.sending_count == 1);
    bench_free(&b);
}

/* A super-segment counts as the full segments it was cut from. */
static void a_super_segment_is_acknowledged_at_once(void)
{
    struct bench b;

    bench_init(&b);
    b.t->ack_quick = 5;
    packet_add(&b, b.t, 2 * MSS);
    CHECK(arrive(&b, NOW) == 1 && b.t->ack_full_size == MSS && b.t->ack_quick == 5);
    CHECK(b.t->ack_due == WHY_SECOND_SEGMENT);
    bench_free(&b);
}

static int64_t measured(struct bench *b, int64_t now, uint32_t ticks)
{
    packet_add(b, b->t, 10)->tsecr = timestamp(b->t, now) - ticks;
    CHECK(arrive(b, now) == 1);
    return b->t->rcv_rtt;
}

static void the_receivers_round_trip_is_measured_once_in_each(void)
{
    struct bench b;

    bench_init(&b);
    CHECK(measured(&b, NOW, 20) == 0); /* fixed buffers need none */
    b.t->rcv_automatic = 1;
    CHECK(measured(&b, NOW, 20) == 20000 && b.t->rcv_measure_at == NOW + 20000);
    CHECK(measured(&b, NOW + 19999, 5) == 20000);
    CHECK(measured(&b, NOW + 20000, 29) == 21125 && b.t->rcv_measure_at == NOW + 41125);
    CHECK(measured(&b, NOW + 50000, 7) == 7000); /* the least counts */
    CHECK(measured(&b, NOW + 60000, 0) == 1000); /* one tick is what the clock can tell */
    packet_add(&b, b.t, 10)->tsecr = 0;
    CHECK(arrive(&b, NOW + 90000) == 1 && b.t->rcv_measure_at == NOW + 61000);
    b.t->ts_ok = 0;
    packet_add(&b, b.t, 10)->tsecr = 5;
    CHECK(arrive(&b, NOW + 90000) == 1 && b.t->rcv_measure_at == NOW + 61000);
    bench_free(&b);
}

/* ---- a whole batch ---------------------------------------------------------------- */

/* As much as one batch can note: everything, for each of 64 connections. */
static void a_batch_of_as_many_connections_is_noted(void)
{
    struct bench b;
    uint32_t i;

    bench_init(&b);
    while (b.count < BATCH_PACKETS)
        bench_add(&b);
    for (i = 0; i < BATCH_PACKETS; i++) {
        put_in_flight(b.all[i], 1000, NOW - 5000);
        put_in_flight(b.all[i], 1000, NOW - 5000);
        b.all[i]->places[TIMER_RETRANSMISSION] = 0;
        packet_add(&b, b.all[i], 100)->ack -= 1000;
    }
    CHECK(arrive(&b, NOW) == BATCH_PACKETS);
    CHECK(b.path.happened_count == BATCH_PACKETS && b.path.sending_count == BATCH_PACKETS);
    CHECK(b.path.sampled_count == BATCH_PACKETS && new_places(&b) == 3 * BATCH_PACKETS);
    CHECK(b.path.noted == 3 * BATCH_PACKETS);
    for (i = 0; i < BATCH_PACKETS; i++) {
        CHECK(b.path.happened_to[i] == i + 1 && b.path.sending[i] == i + 1);
        CHECK(b.path.sampled[i] == i + 1);
        CHECK(b.all[i]->places[TIMER_RETRANSMISSION] == b.all[i]->deadlines[TIMER_RETRANSMISSION]);
        CHECK(b.all[i]->places[TIMER_LOSS_PROBE] == b.all[i]->deadlines[TIMER_LOSS_PROBE]);
        CHECK(b.all[i]->places[TIMER_DELAYED_ACK] == NOW + 40000);
    }
    CHECK(b.path.segments_in == BATCH_PACKETS);
    bench_free(&b);
}

static void a_batch_of_one_connection_is_noted_once(void)
{
    struct bench b;
    uint32_t i;

    bench_init(&b);
    for (i = 0; i < BATCH_PACKETS; i++)
        packet_add(&b, b.t, 100)->seq += 100 * i;
    CHECK(arrive(&b, NOW) == BATCH_PACKETS && b.t->bytes_received == 6400);
    CHECK(b.path.happened_count == 1 && b.path.sending_count == 1 && b.path.sampled_count == 0);
    CHECK(new_places(&b) == 1 && b.path.noted == 2);
    bench_free(&b);
}

static void the_environment_switches_it_off(void)
{
    CHECK(unsetenv("TUNSTACK_FASTPATH") == 0 && segment_path_wanted() == 1);
    CHECK(setenv("TUNSTACK_FASTPATH", "1", 1) == 0 && segment_path_wanted() == 1);
    CHECK(setenv("TUNSTACK_FASTPATH", "0", 1) == 0 && segment_path_wanted() == 0);
}

int main(void)
{
    RUN(other_packets_are_left);
    RUN(other_segments_are_left);
    RUN(what_needs_a_decision_is_left);
    RUN(text_that_nobody_reads_is_left);
    RUN(text_is_left_when_memory_is_out);
    RUN(the_ack_of_our_fin_is_left_where_somebody_hears_of_the_end);
    RUN(an_ack_that_says_nothing_new_is_left);
    RUN(a_batch_is_taken_up_to_what_is_left);
    RUN(text_goes_into_the_ring);
    RUN(a_timestamp_counts_when_it_covers_the_last_ack);
    RUN(text_is_acknowledged_by_the_policy);
    RUN(a_super_segment_is_acknowledged_at_once);
    RUN(the_receivers_round_trip_is_measured_once_in_each);
    RUN(a_batch_of_as_many_connections_is_noted);
    RUN(a_batch_of_one_connection_is_noted_once);
    RUN(the_environment_switches_it_off);
    return 0;
}
