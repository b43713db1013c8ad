/* Virtual time: packets arrive at hosts one batch after the other, and hosts that need no
 * decision of Python's take their turns here (stack.sim.network, stack.sim.node). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 16u
#define LEFT 256u /* segments_leave returns packets and, above them, what is left to do */

struct arrival {
    int64_t when;
    uint64_t order;
    struct channel *channel;
};

void network_clear(struct network *net)
{
    free(net->heap);
    memset(net, 0, sizeof *net);
}

/* ---- the schedule --------------------------------------------------------- */

static int comes_before(const struct arrival *a, int64_t when, uint64_t order)
{
    return a->when < when || (a->when == when && a->order < order);
}

static int reserve(struct network *net)
{
    uint32_t capacity = net->capacity > 0 ? net->capacity * 2 : CAPACITY_MIN;
    struct arrival *heap;

    if (net->count < net->capacity)
        return 1;
    heap = malloc(capacity * sizeof *heap);
    if (heap == NULL)
        return 0;
    if (net->count > 0)
        memcpy(heap, net->heap, net->count * sizeof *heap);
    free(net->heap);
    net->heap = heap;
    net->capacity = capacity;
    return 1;
}

int network_expect(struct network *net, struct channel *channel, int64_t when, int64_t now)
{
    struct arrival one = {when > now ? when : now, 0, channel};
    uint32_t at = net->count;

    if (!reserve(net))
        return 0;
    channel->due = one.when;
    one.order = ++net->order;
    net->count++;
    while (at > 0 && comes_before(&one, net->heap[(at - 1) / 2].when,
                                  net->heap[(at - 1) / 2].order)) {
        net->heap[at] = net->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    net->heap[at] = one;
    return 1;
}

int64_t network_due(const struct network *net)
{
    return net->count == 0 ? LINE_NOTHING : net->heap[0].when;
}

/* The first of the children of a place in the heap. */
static uint32_t first_below(const struct network *net, uint32_t at)
{
    const struct arrival *heap = net->heap;
    uint32_t child = 2 * at + 1;

    if (child + 1 < net->count &&
        comes_before(&heap[child + 1], heap[child].when, heap[child].order))
        return child + 1;
    return child;
}

static struct arrival take_first(struct network *net)
{
    struct arrival *heap = net->heap, first = heap[0], last = heap[--net->count];
    uint32_t at = 0, child = first_below(net, 0);

    for (; child < net->count && comes_before(&heap[child], last.when, last.order);
         child = first_below(net, at)) {
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

/* ---- a turn ------------------------------------------------------------------- */

/* Whether anything but the output of one connection is due. */
static int needs_python(const struct station *s, uint32_t taken)
{
    const struct segment_path *path = s->path;

    return taken < s->batch->count || path->noted > path->sending_count ||
           path->sending_count > 1;
}

static void touch(struct network *net, struct station *s)
{
    if (s->now < 0) {
        s->next = net->touched;
        net->touched = s;
    }
    s->now = net->now;
}

static int carry(struct network *net, struct station *s, uint32_t count)
{
    struct channel *way = s->way;
    int64_t due = line_carry(way->line, s->out, count, way->mtu, 0, net->now);

    s->path->packets_out += count;
    if (due == LINE_NO_MEMORY)
        return 0;
    return due < 0 || way->due >= 0 || network_expect(net, way, due, net->now);
}

static uint32_t transmit(struct network *net, struct station *s)
{
    struct segment_path *path = s->path;
    struct tcb *t = path->sender;
    uint64_t places = timer_places_given(path->timers);
    uint32_t result = LEAVE_FULL * LEFT;

    if (path->sending_count == 0)
        return RUN_NOTHING;
    path->sending_count = path->noted = 0;
    t->in_output = 0;
    while (result / LEFT == LEAVE_FULL) {
        result = segments_leave(path, t, s->out, 0, 0, net->now);
        if (result % LEFT > 0 && !carry(net, s, result % LEFT))
            return RUN_NO_MEMORY;
    }
    net->sender = t->number;
    if (result / LEFT == LEAVE_PYTHON)
        return RUN_OUTPUT;
    return timer_places_given(path->timers) != places ? RUN_TIMERS : RUN_NOTHING;
}

static uint32_t arrive(struct network *net, struct channel *c)
{
    struct station *s = c->to;
    uint64_t places = timer_places_given(s->path->timers);
    int64_t due;

    c->due = LINE_NOTHING;
    due = line_deliver(c->line, s->batch, net->now);
    if (due >= 0)
        (void)network_expect(net, c, due, net->now); /* the entry before has left it a place */
    touch(net, s);
    net->at = s->number;
    net->packet = segments_arrive(s->path, s->batch, 0, net->now);
    if (needs_python(s, net->packet) || timer_places_given(s->path->timers) != places)
        return RUN_PACKETS;
    return transmit(net, s);
}

uint32_t network_run(struct network *net, int64_t until, int64_t when, uint64_t order,
                     uint32_t events)
{
    uint32_t result = RUN_NOTHING;

    for (; result == RUN_NOTHING && events > 0; events--) {
        struct channel *c;

        if (net->count == 0 || net->heap[0].when > until ||
            !comes_before(&net->heap[0], when, order))
            return RUN_NOTHING;
        net->now = net->heap[0].when;
        c = take_first(net).channel;
        if (c->due != net->now)
            continue; /* an entry that an earlier one made needless */
        if (c->to != NULL && c->to->ready == net->epoch) {
            result = arrive(net, c);
        } else {
            net->at = c->number;
            result = RUN_ARRIVAL;
        }
    }
    return result == RUN_NOTHING ? RUN_ENOUGH : result;
}
