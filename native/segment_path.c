/* What all of the segment path shares: timers, and what is noted for Python. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

int segment_path_wanted(void)
{
    const char *value = getenv("TUNSTACK_FASTPATH");

    return value == NULL || strcmp(value, "0") != 0;
}

static int is_synchronised(const struct tcb *t)
{
    switch (t->state) {
    case STATE_ESTABLISHED:
    case STATE_FIN_WAIT_1:
    case STATE_FIN_WAIT_2:
    case STATE_CLOSE_WAIT:
    case STATE_LAST_ACK:
    case STATE_TIME_WAIT: /* of which only the last acknowledgement is left */
        return 1;
    default:
        return 0;
    }
}

int is_quiet(const struct tcb *t)
{
    return t->fast && is_synchronised(t) && t->recovery == 0 && t->sacked == 0 && t->lost == 0 &&
           t->dupacks == 0 && t->backoff == 0 && t->ack_alert == 0 && t->ack_due < WHY_OTHER &&
           t->deadlines[TIMER_PERSIST] == 0;
}

void wants_output(struct segment_path *path, struct tcb *t)
{
    if (t->in_output)
        return;
    t->in_output = 1;
    if (path->sending_count == 0)
        path->sender = t;
    path->sending[path->sending_count++] = t->number;
    path->noted++;
}

void happens(struct segment_path *path, uint32_t number, uint32_t what)
{
    path->happened_to[path->happened_count] = number;
    path->happened[path->happened_count++] = what;
    path->noted++;
}

void give_back_buffers(struct segment_path *path, struct tcb *t)
{
    path->budget->left += (int64_t)t->snd_drawn + t->rcv_drawn;
    t->snd_drawn = t->rcv_drawn = 0;
    t->snd_automatic = t->rcv_automatic = 0;
}

void ack_now(struct segment_path *path, struct tcb *t, uint32_t why)
{
    if (t->ack_due == WHY_NONE)
        t->ack_due = why;
    wants_output(path, t);
}

/* RFC 6298 §5.1, §5.3; without back-off, or Python would be here. */
void arm_retransmission(struct segment_path *path, struct tcb *t, int64_t now)
{
    int64_t rto = t->rto < path->maximum_rto ? t->rto : path->maximum_rto;

    timer_start(path->timers, t, TIMER_RETRANSMISSION, now + rto);
}

/* RFC 8985 §7.2: with SACK, while something is in flight, which the caller sees to, and never
 * longer than the timeout that it spares. */
void arm_loss_probe(struct segment_path *path, struct tcb *t, int64_t now)
{
    int64_t timeout = 2 * t->srtt;

    if (!t->sack_ok || t->srtt == 0)
        return;
    if (timeout < path->minimum_probe_timeout)
        timeout = path->minimum_probe_timeout;
    if (flight_size(t) <= t->snd_mss)
        timeout += path->probe_delayed_ack;
    if (now + timeout > t->deadlines[TIMER_RETRANSMISSION])
        timeout = t->deadlines[TIMER_RETRANSMISSION] - now;
    timer_start(path->timers, t, TIMER_LOSS_PROBE, now + timeout);
}

void segment_path_count(struct segment_path *path, const struct batch *b)
{
    uint32_t i;

    path->packets_in += b->count;
    for (i = 0; i < b->count; i++)
        path->octets_in += b->packets[i].length;
}
