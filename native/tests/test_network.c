/* A simulated network: arrivals come in their order, and hosts take turns without Python. */
#include "connection.h"

#define FOREVER INT64_MAX
#define NONE FOREVER, 0 /* no event of Python's */
#define CHANNELS 40u

/* ---- the schedule --------------------------------------------------------- */

static void arrivals_come_in_the_order_of_times_and_then_of_scheduling(void)
{
    static const int64_t times[] = {50, 20, 90, 20, 70, 10, 10, 60};
    static const uint32_t order[] = {5, 6, 1, 3, 0, 7, 4, 2};
    struct channel channels[8] = {{0}};
    struct network all = {0}, *net = &all;
    uint32_t i;

    CHECK(network_due(net) == LINE_NOTHING);
    CHECK(network_run(net, FOREVER, NONE, 9) == RUN_NOTHING);
    for (i = 0; i < 8; i++) {
        channels[i].number = i;
        CHECK(network_expect(net, &channels[i], times[i], 10) == 1);
        CHECK(channels[i].due == times[i]);
    }
    CHECK(network_due(net) == 10);
    for (i = 0; i < 8; i++) {
        CHECK(network_run(net, FOREVER, NONE, 9) == RUN_ARRIVAL && net->at == order[i]);
        CHECK(net->now == times[order[i]]);
    }
    network_clear(net);
    CHECK(net->heap == NULL && net->count == 0);
}

static void what_is_over_is_now(void)
{
    struct channel channel = {0};
    struct network all = {0}, *net = &all;

    CHECK(network_expect(net, &channel, 5, 30) == 1 && channel.due == 30);
    CHECK(network_due(net) == 30);
    network_clear(net);
}

static void any_number_keeps_its_order(void)
{
    struct channel channels[CHANNELS] = {{0}};
    struct network all = {0}, *net = &all;
    uint32_t i;

    for (i = 0; i < CHANNELS; i++) {
        channels[i].number = i;
        CHECK(network_expect(net, &channels[i], (int64_t)(i * 27 % CHANNELS), 0) == 1);
    }
    for (i = 0; i < CHANNELS; i++) {
        CHECK(network_run(net, FOREVER, NONE, 1) == RUN_ARRIVAL);
        CHECK(net->now == i && net->at * 27 % CHANNELS == i);
    }
    network_clear(net);
}

static void only_the_last_entry_of_a_channel_counts(void)
{
    struct channel channel = {0};
    struct network all = {0}, *net = &all;

    CHECK(network_expect(net, &channel, 20, 0) == 1);
    CHECK(network_expect(net, &channel, 30, 0) == 1);
    CHECK(network_run(net, FOREVER, NONE, 1) == RUN_ENOUGH && net->now == 20);
    CHECK(network_run(net, FOREVER, NONE, 1) == RUN_ARRIVAL && net->now == 30);
    network_clear(net);
}

static void limits_are_kept(void)
{
    struct channel channel = {0};
    struct network all = {0}, *net = &all;

    CHECK(network_expect(net, &channel, 20, 0) == 1 && net->order == 1);
    CHECK(network_run(net, 19, NONE, 9) == RUN_NOTHING);
    CHECK(network_run(net, FOREVER, 19, 2, 9) == RUN_NOTHING);
    CHECK(network_run(net, FOREVER, 20, 0, 9) == RUN_NOTHING);
    CHECK(network_run(net, FOREVER, 20, 2, 0) == RUN_ENOUGH);
    CHECK(network_run(net, 20, 20, 2, 9) == RUN_ARRIVAL);
    network_clear(net);
}

static void without_memory_nothing_is_expected(void)
{
    struct channel channel = {0};
    struct network all = {0}, *net = &all;

    memory_is_out = 1;
    CHECK(network_expect(net, &channel, 20, 0) == 0 && channel.due == 0);
    memory_is_out = 0;
    CHECK(network_due(net) == LINE_NOTHING);
    network_clear(net);
}

/* ---- turns -------------------------------------------------------------------- */

struct world {
    struct bench b;
    struct network all;
    struct network *net;
    struct channel in;
    struct channel out;
    struct station s;
    struct batch batch;
    struct outgoing built[BATCH_PACKETS];
};

/* A host that discards what arrives and has its window's growth agreed upon. */
static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    bench_init(&w->b);
    w->net = &w->all;
    w->net->epoch = 1;
    w->in.line = line_new(0, 10, 0, 0);
    w->out.line = line_new(0, 10, 0, 0);
    CHECK(w->in.line != NULL && w->out.line != NULL);
    w->in.to = &w->s;
    w->in.number = 1;
    w->in.due = w->out.due = LINE_NOTHING;
    w->out.mtu = 1500;
    w->s.path = &w->b.path;
    w->s.batch = &w->batch;
    w->s.out = w->built;
    w->s.way = &w->out;
    w->s.number = 3;
    w->s.ready = w->net->epoch;
    w->s.now = -1;
    w->b.t->path.dont_fragment = 1;
    w->b.t->discards = 1;
    w->b.t->ack_quick = 100;
    w->b.t->grow_over = w->b.t->grow_cwnd = w->b.t->cwnd;
    w->b.t->grow_end = w->b.t->snd_una + 100000;
    w->b.t->cwnd_limited = 1;
}

static void world_free(struct world *w)
{
    line_free(w->in.line);
    line_free(w->out.line);
    network_clear(w->net);
    bench_free(&w->b);
}

/* The next segment for a connection, acknowledging all but `open` bytes, is on its way. */
static void comes(struct world *w, struct tcb *t, uint32_t length, uint32_t open, uint32_t later)
{
    static uint8_t data[3000];
    struct path path = t->path;
    struct outgoing one;
    struct ring text;
    struct emit e = {0};
    int64_t due;

    memcpy(path.src, t->path.dst, 16);
    memcpy(path.dst, t->path.src, 16);
    path.sport = t->path.dport;
    path.dport = t->path.sport;
    ring_init(&text, 3000);
    CHECK(ring_write(&text, data, length) == length);
    e.seq = t->rcv_nxt + later;
    e.ack = t->snd_nxt - open;
    e.flags = FLAG_ACK;
    e.window = (uint16_t)t->snd_wnd;
    e.options = OPTION_TIMESTAMPS;
    e.tsval = t->ts_recent + 1;
    CHECK(outgoing_tcp(&one, &path, &e, &text, 0, length) > 0);
    due = line_carry(w->in.line, &one, 1, 1500, 0, NOW);
    if (w->in.due < 0)
        CHECK(network_expect(w->net, &w->in, due, NOW) == 1);
    ring_free(&text);
}

static uint32_t run(struct world *w)
{
    return network_run(w->net, NOW + 10, NONE, 100);
}

static void data_is_answered_without_python(void)
{
    struct world w;

    world_init(&w);
    comes(&w, w.b.t, 100, 0, 0);
    CHECK(run(&w) == RUN_NOTHING && w.net->now == NOW + 10);
    CHECK(w.b.t->bytes_received == 100 && w.b.t->in_output == 0 && w.b.path.noted == 0);
    CHECK(w.out.line->passed == 1 && w.out.due == NOW + 20 && w.b.path.packets_out == 1);
    CHECK(w.net->touched == &w.s && w.s.now == NOW + 10 && w.s.next == NULL);
    comes(&w, w.b.t, 100, 0, 0);
    w.net->now = NOW;
    CHECK(run(&w) == RUN_NOTHING && w.out.line->passed == 2 && w.net->count == 1);
    CHECK(w.net->touched == &w.s && w.s.next == NULL); /* once */
    CHECK(network_run(w.net, FOREVER, NONE, 100) == RUN_ARRIVAL && w.net->at == w.out.number);
    world_free(&w);
}

static void more_than_one_batch_comes_in_turns(void)
{
    struct world w;
    uint32_t i;

    world_init(&w);
    for (i = 0; i < BATCH_PACKETS + 6; i++)
        comes(&w, w.b.t, 10, 0, 10 * i);
    CHECK(network_run(w.net, FOREVER, NONE, 1) == RUN_ENOUGH && w.in.due == NOW + 10);
    CHECK(w.b.t->bytes_received == 10 * BATCH_PACKETS && w.b.path.packets_out == 1);
    CHECK(network_run(w.net, FOREVER, NONE, 1) == RUN_ENOUGH && w.in.due == LINE_NOTHING);
    CHECK(w.b.t->bytes_received == 10 * BATCH_PACKETS + 60 && w.b.path.packets_out == 2);
    world_free(&w);
}

static void an_acknowledgement_may_be_all(void)
{
    struct world w;

    world_init(&w);
    put_in_flight(w.b.t, 500, NOW - 100);
    comes(&w, w.b.t, 0, 0, 0);
    CHECK(run(&w) == RUN_NOTHING && w.b.t->snd_una == w.b.t->snd_nxt);
    CHECK(w.out.line->passed == 0 && w.b.path.packets_out == 0);
    world_free(&w);
}

static void an_acknowledgement_lets_all_go_that_the_window_takes(void)
{
    struct world w;

    world_init(&w);
    w.b.t->snd_wnd = w.b.t->cwnd = w.b.t->grow_cwnd = 65000;
    put_in_flight(w.b.t, 500, NOW - 100);
    w.b.t->snd_mss = 900;
    w.b.t->places[TIMER_LOSS_PROBE] = w.b.t->places[TIMER_RETRANSMISSION] = NOW;
    w.b.t->grow_by = 0;
    write_text(w.b.t, 64900);
    comes(&w, w.b.t, 0, 0, 0);
    CHECK(run(&w) == RUN_NOTHING && w.b.path.packets_out == 72 + 1 && w.out.line->passed == 73);
    CHECK(flight_size(w.b.t) == 64900);
    world_free(&w);
}

static void timers_with_new_places_are_python_s_to_look_at(void)
{
    struct world w;

    world_init(&w);
    write_text(w.b.t, 500);
    comes(&w, w.b.t, 10, 0, 0);
    CHECK(run(&w) == RUN_TIMERS && w.net->at == 3 && w.out.line->passed == 1);
    CHECK(timer_places(w.b.timers) > 0 && w.b.path.noted == 0);
    world_free(&w);
}

static void python_goes_on_where_something_else_is_due(void)
{
    struct world w;
    struct tcb *other;

    world_init(&w);
    w.b.t->discards = 0;
    comes(&w, w.b.t, 10, 0, 0);
    CHECK(run(&w) == RUN_PACKETS && w.net->at == 3 && w.net->packet == 1);
    CHECK(w.b.path.happened_count == 1 && w.out.line->passed == 0 && w.b.t->in_output == 1);
    forget_notes(&w.b);
    w.b.t->discards = 1;
    comes(&w, w.b.t, 10, 0, 77); /* a gap */
    CHECK(run(&w) == RUN_PACKETS && w.net->packet == 0);
    other = bench_add(&w.b);
    other->discards = 1;
    other->ack_quick = 9;
    comes(&w, w.b.t, 10, 0, 0);
    comes(&w, other, 10, 0, 0);
    CHECK(run(&w) == RUN_PACKETS && w.net->packet == 2 && w.b.path.sending_count == 2);
    world_free(&w);
}

static void python_sends_where_the_segment_path_cannot(void)
{
    struct world w;

    world_init(&w);
    w.b.t->path.dont_fragment = 0;
    comes(&w, w.b.t, 10, 0, 0);
    CHECK(run(&w) == RUN_OUTPUT && w.net->at == 3 && w.net->sender == w.b.t->number);
    CHECK(w.out.line->passed == 0 && w.b.t->in_output == 0);
    world_free(&w);
}

static void nobody_takes_turns_before_python_allows_it(void)
{
    struct world w;

    world_init(&w);
    w.net->epoch++;
    comes(&w, w.b.t, 10, 0, 0);
    CHECK(run(&w) == RUN_ARRIVAL && w.net->at == 1 && w.in.due == NOW + 10);
    CHECK(w.net->touched == NULL && w.in.line->travelling == 1);
    world_free(&w);
}

static void what_is_too_long_for_the_wire_vanishes(void)
{
    struct world w;

    world_init(&w);
    w.out.mtu = 20;
    comes(&w, w.b.t, 10, 0, 0);
    CHECK(run(&w) == RUN_NOTHING && w.out.line->too_long == 1 && w.out.due == LINE_NOTHING);
    world_free(&w);
}

static void without_memory_a_turn_ends(void)
{
    struct channel channels[16] = {{0}};
    struct world w;
    uint32_t i;

    world_init(&w);
    comes(&w, w.b.t, 10, 0, 0);
    CHECK(ring_write(&w.b.t->rcv, (const uint8_t *)"x", 1) == 1); /* room is made */
    ring_consume(&w.b.t->rcv, 1);
    memory_is_out = 1;
    CHECK(run(&w) == RUN_NO_MEMORY && w.out.line->passed == 0);
    memory_is_out = 0;
    comes(&w, w.b.t, 10, 0, 0);
    CHECK(run(&w) == RUN_NOTHING && line_lend(w.out.line, w.built, NOW + 50) == 1);
    CHECK(line_lend(w.out.line, w.built, NOW + 50) == 0); /* memory for the next packet */
    w.out.due = LINE_NOTHING;
    for (i = 0; i < 14; i++)
        CHECK(network_expect(w.net, &channels[i], NOW + 100, NOW) == 1);
    comes(&w, w.b.t, 10, 0, 0);
    comes(&w, w.b.t, 10, 0, 10);
    CHECK(w.net->count == 16 && w.net->capacity == 16);
    line_push(w.in.line, (const uint8_t *)"", 1, NOW + 1); /* is expected in its place */
    memory_is_out = 1;
    CHECK(run(&w) == RUN_NO_MEMORY && w.out.due == LINE_NOTHING && w.out.line->passed == 2);
    memory_is_out = 0;
    world_free(&w);
}

int main(void)
{
    RUN(arrivals_come_in_the_order_of_times_and_then_of_scheduling);
    RUN(what_is_over_is_now);
    RUN(any_number_keeps_its_order);
    RUN(only_the_last_entry_of_a_channel_counts);
    RUN(limits_are_kept);
    RUN(without_memory_nothing_is_expected);
    RUN(data_is_answered_without_python);
    RUN(more_than_one_batch_comes_in_turns);
    RUN(an_acknowledgement_may_be_all);
    RUN(an_acknowledgement_lets_all_go_that_the_window_takes);
    RUN(timers_with_new_places_are_python_s_to_look_at);
    RUN(python_goes_on_where_something_else_is_due);
    RUN(python_sends_where_the_segment_path_cannot);
    RUN(nobody_takes_turns_before_python_allows_it);
    RUN(what_is_too_long_for_the_wire_vanishes);
    RUN(without_memory_a_turn_ends);
    return 0;
}
