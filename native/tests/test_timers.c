/* The queue of timers. */
#include "check.h"
#include "memory.h"

static struct tcb *owner(uint32_t number)
{
    struct tcb *t = calloc(1, sizeof *t);

    CHECK(t != NULL);
    t->number = number;
    return t;
}

/* The number of whose timer is due and which it is, as two digits; 0: none is. */
static uint32_t due(struct timer_queue *q, int64_t now)
{
    uint32_t timer = 0;
    const struct tcb *t = timer_due(q, now, &timer);

    return t != NULL ? t->number * 10 + timer : 0;
}

static void a_timer_runs_out_once_at_its_time(void)
{
    struct timer_queue *q = timer_queue_new();
    struct tcb *t = owner(1);

    CHECK(timer_next(q) == 0 && timer_earliest(q) == 0 && due(q, 5) == 0);
    CHECK(timer_start(q, t, 3, 100) == 1);
    CHECK(timer_next(q) == 100 && timer_earliest(q) == 100 && due(q, 99) == 0);
    CHECK(due(q, 100) == 13 && t->deadlines[3] == 0 && t->places[3] == 0);
    CHECK(due(q, 1000) == 0 && timer_places(q) == 0);
    tcb_free(t);
    timer_queue_free(q);
}

static void a_timer_that_moves_later_keeps_its_place_until_that_comes_up(void)
{
    struct timer_queue *q = timer_queue_new();
    struct tcb *t = owner(1);

    timer_start(q, t, 0, 100);
    timer_start(q, t, 0, 300);
    CHECK(timer_places(q) == 1 && t->places[0] == 100 && timer_earliest(q) == 100);
    CHECK(timer_next(q) == 300 && t->places[0] == 300 && timer_places(q) == 1);
    timer_start(q, t, 0, 200); /* earlier: the old place is void */
    CHECK(timer_places(q) == 2 && timer_next(q) == 200);
    CHECK(due(q, 1000) == 10 && due(q, 1000) == 0 && timer_places(q) == 0);
    tcb_free(t);
    timer_queue_free(q);
}

static void a_stopped_timer_does_not_run_out(void)
{
    struct timer_queue *q = timer_queue_new();
    struct tcb *t = owner(1);

    timer_start(q, t, 0, 100);
    t->deadlines[0] = 0;
    CHECK(due(q, 1000) == 0 && t->places[0] == 0 && timer_places(q) == 0);
    tcb_free(t);
    timer_queue_free(q);
}

static void timers_run_out_in_their_order(void)
{
    struct timer_queue *q = timer_queue_new();
    struct tcb *t = owner(1), *u = owner(2);
    uint32_t last = 0, i;

    timer_start(q, u, 1, 100);
    timer_start(q, t, 1, 100);
    timer_start(q, t, 0, 50);
    CHECK(due(q, 100) == 10 && due(q, 100) == 21 && due(q, 100) == 11 && due(q, 100) == 0);
    tcb_free(u);
    tcb_free(t);
    for (i = 0; i < 300; i++)
        timer_start(q, owner(i + 1), 0, (int64_t)(i * 7919 % 300) + 1);
    for (i = 0; i < 300; i++) {
        uint32_t timer;
        struct tcb *one = timer_due(q, 1000, &timer);
        uint32_t at = (one->number - 1) * 7919 % 300 + 1;

        CHECK(at == last + 1);
        last = at;
        tcb_free(one);
    }
    timer_queue_free(q);
}

static void who_lets_go_is_not_held(void)
{
    struct timer_queue *q = timer_queue_new();
    struct tcb *t = owner(1), *stays = owner(2);

    timer_start(q, t, 0, 100);
    timer_start(q, t, 1, 200);
    timer_start(q, stays, 1, 150);
    timers_let_go(t);
    CHECK(t->deadlines[0] == 0 && t->places[1] == 0 && timer_places(q) == 3);
    timer_start(q, t, 2, 120); /* it may begin anew */
    CHECK(due(q, 1000) == 12 && due(q, 1000) == 21);
    tcb_free(t);
    CHECK(due(q, 1000) == 0 && timer_places(q) == 0);
    timer_start(q, stays, 0, 2000);
    tcb_free(stays);
    timer_queue_free(q); /* with a place that nobody needs */
    timer_queue_free(NULL);
}

static void without_memory_there_is_no_place(void)
{
    struct timer_queue *q = timer_queue_new();
    struct tcb *t = owner(1);

    memory_is_out = 1;
    CHECK(timer_start(q, t, 0, 100) == 0 && t->places[0] == 0 && t->timers == NULL);
    memory_is_out = 0;
    CHECK(timer_start(q, t, 0, 100) == 1);
    while (timer_places(q) < 64) /* each earlier than all before */
        timer_start(q, t, 1, (int64_t)(64 - timer_places(q)) + 100);
    memory_is_out = 1;
    CHECK(timer_start(q, t, 2, 100) == 0 && t->places[2] == 0);
    CHECK(due(q, 100) == 10);
    memory_is_out = 0;
    tcb_free(t);
    timer_queue_free(q);
}

int main(void)
{
    RUN(a_timer_runs_out_once_at_its_time);
    RUN(a_timer_that_moves_later_keeps_its_place_until_that_comes_up);
    RUN(a_stopped_timer_does_not_run_out);
    RUN(timers_run_out_in_their_order);
    RUN(who_lets_go_is_not_held);
    RUN(without_memory_there_is_no_place);
    return 0;
}
