/* The expected course of a connection's beginning and end in the segment path. */
#include "connection.h"

static struct listening listening;

/* A connection in SYN-RECEIVED whose listener has room, and the ACK that completes it. */
static struct packet *half_open(struct bench *b)
{
    struct tcb *t;

    bench_init(b);
    t = b->t;
    listening.waiting = 0;
    listening.backlog = 1;
    listening.half_open = 1;
    t->half_open = 1;
    b->path.initial_window = 10;
    t->state = STATE_SYN_RECEIVED;
    t->listening = &listening;
    t->iss = t->snd_una = t->snd_nxt - 1;
    t->unacked_since = NOW - 20000;
    t->srtt = t->rttvar = t->min_rtt = 0;
    t->deadlines[TIMER_RETRANSMISSION] = NOW + 1000000;
    return packet_add(b, t, 0);
}

#define OPENS(change, taken)                                                             \
    do {                                                                                 \
        struct bench b;                                                                  \
        struct packet *p = half_open(&b);                                                \
                                                                                         \
        (void)p;                                                                         \
        change;                                                                          \
        CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == (taken));                     \
        CHECK((b.t->state == STATE_ESTABLISHED) == (taken));                             \
        bench_free(&b);                                                                  \
    } while (0)

static void the_third_step_of_a_handshake_establishes(void)
{
    struct bench b;

    half_open(&b);
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->state == STATE_ESTABLISHED && b.t->snd_una == b.t->snd_nxt);
    CHECK(b.t->srtt == 20000 && b.t->rcv_rtt == 20000 && b.t->rcv_measure_at == NOW);
    CHECK(b.t->deadlines[TIMER_RETRANSMISSION] == 0 && listening.waiting == 1);
    CHECK(listening.half_open == 0 && !b.t->half_open);
    CHECK(b.path.happened_count == 1 && b.path.happened[0] == HAPPENED_ESTABLISHED);
    bench_free(&b);
}

static void a_handshake_that_is_not_the_expected_one_is_left(void)
{
    OPENS((void)0, 1);
    OPENS(p->flags |= FLAG_PSH, 1);
    OPENS(b.t->srtt = 0; b.t->rcv_wnd_max = 100, 1);
    OPENS(b.t->unacked_since = NOW, 1); /* within a microsecond */
    OPENS(b.t->fast = 0, 0);
    OPENS(b.t->listening = NULL, 0);
    OPENS(listening.waiting = 1, 0);
    OPENS(b.t->backoff = 1, 0);
    OPENS(b.t->unacked_since = 0, 0);
    OPENS(b.t->syn_due = WHY_SYN_ACCEPTED, 0);
    OPENS(b.t->ack_due = WHY_OTHER, 0);
    OPENS(b.t->fin_queued = 1, 0);
    OPENS(b.t->orphan = 1, 0);
    OPENS(b.t->snd_wnd = 0, 0);
    OPENS(p->flags |= FLAG_FIN, 0);
    OPENS(p->ack--, 0);
    OPENS(p->window = 0, 0);
    OPENS(p->seq++, 0);
}

/* Our FIN has left behind all that was in flight. */
static void close_ours(struct tcb *t, uint32_t state)
{
    t->state = state;
    t->fin_queued = t->fin_sent = 1;
    CHECK(sent_push(&t->sent, t->snd_nxt, t->snd_nxt + 1, NOW - 1000) == 1);
    t->snd_nxt++;
}

static void the_ack_of_our_fin_moves_the_state_on(void)
{
    struct bench b;

    bench_init(&b);
    b.path.fin_wait_2 = 60000000;
    close_ours(b.t, STATE_FIN_WAIT_1);
    packet_add(&b, b.t, 0);
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->state == STATE_FIN_WAIT_2 && b.t->deadlines[TIMER_TIME_WAIT] == 0);
    bench_free(&b);

    bench_init(&b);
    b.path.fin_wait_2 = 60000000;
    close_ours(b.t, STATE_FIN_WAIT_1);
    b.t->orphan = 1; /* nobody would ever ask for the peer's FIN */
    packet_add(&b, b.t, 0);
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->deadlines[TIMER_TIME_WAIT] == NOW + 60000000);
    bench_free(&b);
}

static void the_last_ack_ends_a_connection_that_nobody_holds(void)
{
    struct bench b;

    bench_init(&b);
    b.t->fin_received = 1;
    close_ours(b.t, STATE_LAST_ACK);
    packet_add(&b, b.t, 0);
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 0); /* its application hears of it */
    b.t->orphan = 1;
    b.t->snd_drawn = 5;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->fast == 0 && b.t->snd_drawn == 0 && b.budget.left == (1 << 20) + 5);
    CHECK(b.path.happened[b.path.happened_count - 1] == HAPPENED_ENDED);
    bench_free(&b);
}

static void a_fin_in_order_is_taken(void)
{
    struct packet *p;
    struct bench b;

    bench_init(&b);
    p = packet_add(&b, b.t, 100);
    p->flags |= FLAG_FIN;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->state == STATE_CLOSE_WAIT && b.t->fin_received && b.t->rcv.length == 100);
    CHECK(b.t->rcv_nxt == p->seq + 101 && b.t->ready == (READY_EOF | READY_READABLE));
    CHECK(b.t->ack_due != WHY_NONE && b.t->in_output);
    bench_free(&b);
}

static void the_second_fin_leads_to_time_wait(void)
{
    struct packet *p;
    struct bench b;

    bench_init(&b);
    close_ours(b.t, STATE_FIN_WAIT_1);
    p = packet_add(&b, b.t, 0);
    p->flags |= FLAG_FIN; /* with the ACK of ours */
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1);
    CHECK(b.t->state == STATE_TIME_WAIT && b.path.happened[0] == HAPPENED_TIME_WAIT);
    bench_free(&b);

    bench_init(&b);
    close_ours(b.t, STATE_FIN_WAIT_1);
    p = packet_add(&b, b.t, 0);
    p->flags |= FLAG_FIN;
    p->ack--; /* without: they crossed */
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 0);
    b.t->state = STATE_CLOSE_WAIT;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 0);
    p->ack = b.t->snd_una = b.t->snd_nxt;
    sent_free(&b.t->sent);
    b.t->state = STATE_FIN_WAIT_2;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 1 && b.t->state == STATE_TIME_WAIT);
    bench_free(&b);
}

static void a_fin_beyond_the_window_is_left(void)
{
    struct packet *p;
    struct bench b;

    bench_init(&b);
    b.t->rcv_adv = b.t->rcv_nxt + 100;
    p = packet_add(&b, b.t, 100);
    p->flags |= FLAG_FIN;
    CHECK(segments_arrive(&b.path, b.batch, 0, NOW) == 0);
    bench_free(&b);
}

int main(void)
{
    RUN(the_third_step_of_a_handshake_establishes);
    RUN(a_handshake_that_is_not_the_expected_one_is_left);
    RUN(the_ack_of_our_fin_moves_the_state_on);
    RUN(the_last_ack_ends_a_connection_that_nobody_holds);
    RUN(a_fin_in_order_is_taken);
    RUN(the_second_fin_leads_to_time_wait);
    RUN(a_fin_beyond_the_window_is_left);
    return 0;
}
