/* The queue of timers, held against a list that is searched each time. */
#include "input.h"

#define OWNERS 5

struct world {
    struct timer_queue *q;
    struct tcb *owners[OWNERS];
    int64_t now;
};

static struct tcb *owner_new(uint32_t number)
{
    struct tcb *t = calloc(1, sizeof *t);

    PROMISE(t != NULL);
    t->number = number;
    return t;
}

static int64_t earliest(const struct world *w)
{
    int64_t found = 0;
    uint32_t i, timer;

    for (i = 0; i < OWNERS; i++) {
        for (timer = 0; timer < TIMER_COUNT; timer++) {
            int64_t at = w->owners[i]->deadlines[timer];

            if (at != 0 && (found == 0 || at < found))
                found = at;
        }
    }
    return found;
}

static void expire(struct world *w)
{
    int64_t expected;
    uint32_t timer;

    while ((expected = earliest(w)) != 0 && expected <= w->now) {
        int64_t before[OWNERS][TIMER_COUNT];
        struct tcb *t;
        uint32_t i;

        for (i = 0; i < OWNERS; i++)
            memcpy(before[i], w->owners[i]->deadlines, sizeof before[i]);
        t = timer_due(w->q, w->now, &timer);
        PROMISE(t != NULL && timer < TIMER_COUNT && t == w->owners[t->number]);
        PROMISE(before[t->number][timer] == expected);
        PROMISE(t->deadlines[timer] == 0 && t->places[timer] == 0);
    }
    PROMISE(timer_due(w->q, w->now, &timer) == NULL);
    PROMISE(timer_next(w->q) == expected);
}

static void step(struct world *w, struct input *in)
{
    uint32_t kind = take8(in) % 8, number = take8(in) % OWNERS, timer = take8(in) % TIMER_COUNT;
    struct tcb *t = w->owners[number];

    if (kind < 4) {
        PROMISE(timer_start(w->q, t, timer, w->now + 1 + take16(in)) == 1);
        PROMISE(t->places[timer] != 0 && t->places[timer] <= t->deadlines[timer]);
        PROMISE(timer_earliest(w->q) <= t->deadlines[timer]);
    } else if (kind == 4) {
        t->deadlines[timer] = 0;
    } else if (kind == 5) {
        timers_let_go(t);
    } else if (kind == 6) {
        tcb_free(t);
        w->owners[number] = owner_new(number);
    } else {
        w->now += take16(in);
        expire(w);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct world w;
    struct input in = {data, length};
    uint32_t i;

    w.q = timer_queue_new();
    w.now = 0;
    PROMISE(w.q != NULL);
    for (i = 0; i < OWNERS; i++)
        w.owners[i] = owner_new(i);
    while (in.length > 0)
        step(&w, &in);
    for (i = 0; i < OWNERS; i++)
        tcb_free(w.owners[i]);
    PROMISE(timer_next(w.q) == 0 && timer_places(w.q) == 0);
    timer_queue_free(w.q);
    return 0;
}
