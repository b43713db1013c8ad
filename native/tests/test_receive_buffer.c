/* What a connection does whose application only lets bytes pass, and the size of its buffer. */
#include "connection.h"

#define RTT 20000

/* A receiver in the middle of its round trip, that discards. */
static void discarding(struct bench *b)
{
    bench_init(b);
    b->path.largest_receive_buffer = 1 << 20;
    b->t->discards = b->t->rcv_automatic = 1;
    b->t->rcv_wscale = 7;
    b->t->rcv_rtt = RTT;
    b->t->rcv_measure_at = NOW + 10 * RTT;
    b->t->rcv_round_at = NOW - RTT;
    b->t->rcv_round_from = b->t->rcv_nxt;
    b->t->rcv_space = 10000;
}

static void text_arrives(struct bench *b, uint32_t length, int64_t now)
{
    packet_add(b, b->t, length);
    CHECK(segments_arrive(&b->path, b->batch, 0, now) == 1);
    forget_packets(b);
}

static void nothing_stays_and_nobody_is_told(void)
{
    struct bench b;
    uint32_t rcv_nxt;

    discarding(&b);
    rcv_nxt = b.t->rcv_nxt;
    text_arrives(&b, 1000, NOW);
    CHECK(b.t->rcv.length == 0 && b.t->rcv_nxt == rcv_nxt + 1000 && b.t->bytes_received == 1000);
    CHECK(b.path.happened_count == 0 && b.t->ready == 0);
    CHECK(b.t->rcv_round_at == NOW && b.t->rcv_round_from == b.t->rcv_nxt);
    CHECK(b.t->rcv_space == 10000 && b.t->rcv_wnd_max == WINDOW);
    bench_free(&b);
}

static void the_end_is_told(void)
{
    struct bench b;

    discarding(&b);
    packet_add(&b, b.t, 100)->flags |= FLAG_FIN;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.path.happened_count == 1 && b.t->ready == (READY_EOF | READY_READABLE));
    bench_free(&b);
}

static void the_buffer_waits_for_the_round_to_end(void)
{
    struct bench b;

    discarding(&b);
    b.t->rcv_round_from -= 15000;
    text_arrives(&b, 1000, NOW - 1);
    CHECK(b.t->rcv_wnd_max == WINDOW && b.t->rcv_round_at == NOW - RTT);
    b.t->rcv_rtt = 0; /* not known */
    text_arrives(&b, 1000, NOW);
    CHECK(b.t->rcv_wnd_max == WINDOW && b.t->rcv_round_at == NOW - RTT);
    b.t->rcv_rtt = RTT;
    b.t->rcv_automatic = 0; /* the application's own size */
    text_arrives(&b, 1000, NOW);
    CHECK(b.t->rcv_wnd_max == WINDOW && b.t->rcv_round_at == NOW - RTT);
    bench_free(&b);
}

/* Twice what was read and 16 segments, and more while that grows. */
static void the_buffer_follows_what_is_read(void)
{
    struct bench b;
    uint32_t wanted = 2 * 25000 + 16 * MSS;

    discarding(&b);
    b.t->rcv_round_from -= 24000;
    text_arrives(&b, 1000, NOW);
    wanted *= 2; /* as much again as before */
    CHECK(b.t->rcv_wnd_max == wanted && b.t->rcv_space == 25000);
    CHECK(b.t->rcv_drawn == wanted - WINDOW && b.budget.left == (1 << 20) - (wanted - WINDOW));
    CHECK(b.t->rcv.limit == wanted + wanted / 8 + (1 << 14));
    b.t->rcv_round_from -= 26000; /* a little more */
    text_arrives(&b, 1000, NOW + RTT);
    CHECK(b.t->rcv_space == 27000 && b.t->rcv_wnd_max == wanted); /* is less than it has */
    bench_free(&b);
}

static void the_buffer_keeps_its_bounds(void)
{
    struct bench b;

    discarding(&b);
    b.path.largest_receive_buffer = WINDOW + 3000;
    b.t->rcv.limit = 2 * RING; /* room already */
    b.t->rcv_round_from -= 30000;
    text_arrives(&b, 1000, NOW);
    CHECK(b.t->rcv_wnd_max == WINDOW + 3000 && b.t->rcv.limit == 2 * RING);
    b.path.largest_receive_buffer = 1 << 30; /* the most that a window of 16 bits can say */
    b.t->rcv_round_from -= 80000000;
    text_arrives(&b, 1000, NOW + RTT);
    CHECK(b.t->rcv_wnd_max == WINDOW + 3000 + (1 << 20) - 3000 && b.budget.left == 0);
    b.budget.left = 1 << 30;
    b.t->rcv_round_from -= 90000000;
    text_arrives(&b, 1000, NOW + 2 * RTT);
    CHECK(b.t->rcv_wnd_max == 0xffff << 7);
    bench_free(&b);
}

static void growth_ends_at_the_largest_window(void)
{
    struct bench b;

    discarding(&b);
    b.path.largest_receive_buffer = 60000;
    b.t->rcv_round_from -= 19000; /* 56,000, and doubled */
    text_arrives(&b, 1000, NOW);
    CHECK(b.t->rcv_wnd_max == 60000);
    b.path.largest_receive_buffer = 70000;
    b.t->rcv_space = 0;
    b.t->rcv_round_from -= 1000;
    text_arrives(&b, 1000, NOW + RTT);
    CHECK(b.t->rcv_wnd_max == 70000 && b.t->rcv_space == 2000);
    bench_free(&b);
}

/* Its window was nearly closed, and reading opens it wide. */
static void a_window_that_opens_is_told(void)
{
    struct bench b;

    discarding(&b);
    b.t->rcv_adv = b.t->rcv_nxt + 500;
    b.t->ack_full_size = 1000;
    text_arrives(&b, 400, NOW);
    CHECK(b.t->ack_due == WHY_WINDOW_UPDATE && b.path.sending_count == 1);
    forget_notes(&b);
    b.t->ack_due = WHY_NONE;
    b.t->rcv_adv = b.t->rcv_nxt + WINDOW / 2 + 10; /* more than half is open */
    text_arrives(&b, 5, NOW);
    CHECK(b.t->ack_due == WHY_NONE && b.path.sending_count == 0);
    b.t->rcv_adv = b.t->rcv_nxt + 1; /* nothing at all */
    b.t->rcv_wnd_max = 0;
    text_arrives(&b, 1, NOW);
    CHECK(b.t->ack_due == WHY_NONE && b.path.sending_count == 0);
    bench_free(&b);
}

int main(void)
{
    RUN(nothing_stays_and_nobody_is_told);
    RUN(the_end_is_told);
    RUN(the_buffer_waits_for_the_round_to_end);
    RUN(the_buffer_follows_what_is_read);
    RUN(the_buffer_keeps_its_bounds);
    RUN(growth_ends_at_the_largest_window);
    RUN(a_window_that_opens_is_told);
    return 0;
}
