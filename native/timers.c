/* One queue for all timers of a host, in virtual or real time.
 *
 * A TCP restarts its retransmission timer with nearly every acknowledgement. So the queue is
 * lazy: a timer that moves later keeps its old place in the heap and is put back when that
 * place comes up; a stopped timer's place is thrown away then. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64u

/* Stands for a connection in the heap, so that places which nobody needs any more do not keep
 * all of its memory until they come up. */
struct timer_handle {
    struct tcb *t;   /* NULL once the connection lets go */
    uint32_t holders; /* places in the heap, and the connection */
};

struct place {
    int64_t at;
    uint64_t order; /* timers that are due at the same time run out as they were started */
    struct timer_handle *handle;
    uint32_t timer;
};

struct timer_queue {
    struct place *heap;
    uint32_t count;
    uint32_t capacity;
    uint64_t order;
};

/* ---- handles ----------------------------------------------------------------- */

static void release(struct timer_handle *handle)
{
    if (--handle->holders == 0)
        free(handle);
}

static struct timer_handle *handle_of(struct tcb *t)
{
    if (t->timers == NULL) {
        t->timers = malloc(sizeof *t->timers);
        if (t->timers != NULL)
            *t->timers = (struct timer_handle){t, 1};
    }
    return t->timers;
}

void timers_let_go(struct tcb *t)
{
    memset(t->deadlines, 0, sizeof t->deadlines);
    memset(t->places, 0, sizeof t->places);
    if (t->timers == NULL)
        return;
    t->timers->t = NULL;
    release(t->timers);
    t->timers = NULL;
}

/* ---- the heap: each place is no later than the two behind it ------------------- */

static int is_earlier(const struct place *a, const struct place *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void sift_up(struct timer_queue *q, uint32_t i, struct place one)
{
    while (i > 0 && is_earlier(&one, &q->heap[(i - 1) / 2])) {
        q->heap[i] = q->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->heap[i] = one;
}

/* Down to the bottom with the earlier child, then up again: the last place, which comes here,
 * mostly belongs far down. */
static void pop(struct timer_queue *q)
{
    struct place last = q->heap[--q->count];
    uint32_t i = 0, child;

    for (child = 1; child < q->count; child = 2 * i + 1) {
        if (child + 1 < q->count && is_earlier(&q->heap[child + 1], &q->heap[child]))
            child++;
        q->heap[i] = q->heap[child];
        i = child;
    }
    if (q->count > 0)
        sift_up(q, i, last);
}

static int reserve(struct timer_queue *q)
{
    uint32_t capacity = q->capacity > 0 ? q->capacity * 2 : CAPACITY_MIN;
    struct place *heap;

    if (q->count < q->capacity)
        return 1;
    heap = malloc(capacity * sizeof *heap);
    if (heap == NULL)
        return 0;
    if (q->count > 0)
        memcpy(heap, q->heap, q->count * sizeof *heap);
    free(q->heap);
    q->heap = heap;
    q->capacity = capacity;
    return 1;
}

/* ---- the queue -------------------------------------------------------------------- */

struct timer_queue *timer_queue_new(void)
{
    return calloc(1, sizeof(struct timer_queue));
}

void timer_queue_free(struct timer_queue *q)
{
    if (q == NULL)
        return;
    while (q->count > 0)
        release(q->heap[--q->count].handle);
    free(q->heap);
    free(q);
}

int timer_start(struct timer_queue *q, struct tcb *t, uint32_t timer, int64_t deadline)
{
    struct timer_handle *handle;

    t->deadlines[timer] = deadline;
    if (t->places[timer] != 0 && t->places[timer] <= deadline)
        return 1;
    handle = handle_of(t);
    if (handle == NULL || !reserve(q))
        return 0;
    handle->holders++;
    t->places[timer] = deadline;
    sift_up(q, q->count++, (struct place){deadline, ++q->order, handle, timer});
    return 1;
}

/* Whether the first place is that of a running timer, at its time; another one goes, and the
 * timer that still needs one gets it. */
static int is_settled(struct timer_queue *q)
{
    struct place first = q->heap[0];
    struct tcb *t = first.handle->t;
    int64_t deadline = t != NULL ? t->deadlines[first.timer] : 0;

    if (t == NULL || t->places[first.timer] != first.at) {
        pop(q);
    } else if (deadline == first.at) {
        return 1;
    } else {
        pop(q);
        t->places[first.timer] = 0;
        if (deadline != 0)
            timer_start(q, t, first.timer, deadline); /* there is room: one place has gone */
    }
    release(first.handle);
    return 0;
}

int64_t timer_next(struct timer_queue *q)
{
    while (q->count > 0) {
        if (is_settled(q))
            return q->heap[0].at;
    }
    return 0;
}

int64_t timer_earliest(const struct timer_queue *q)
{
    return q->count > 0 ? q->heap[0].at : 0;
}

uint32_t timer_places(const struct timer_queue *q)
{
    return q->count;
}

uint64_t timer_places_given(const struct timer_queue *q)
{
    return q->order;
}

struct tcb *timer_due(struct timer_queue *q, int64_t now, uint32_t *timer)
{
    int64_t next = timer_next(q);
    struct place first;
    struct tcb *t;

    if (next == 0 || next > now)
        return NULL;
    first = q->heap[0];
    pop(q);
    t = first.handle->t;
    t->places[first.timer] = t->deadlines[first.timer] = 0;
    *timer = first.timer;
    release(first.handle);
    return t;
}
