/* A transmission control block's memory, and the path that it begins with. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_SSTHRESH 0x7fffffff /* core.tcp.congestion.base.INFINITE */

void path_back(struct path *path, const struct packet *p, uint8_t ttl)
{
    memset(path, 0, sizeof *path);
    path->version = p->version;
    path->ttl = ttl;
    path->dont_fragment = 1;
    memcpy(path->src, p->dst, sizeof path->src);
    memcpy(path->dst, p->src, sizeof path->dst);
    path->sport = p->dport;
    path->dport = p->sport;
}

struct tcb *tcb_new(const struct segment_path *host, uint32_t number, uint32_t state,
                    const struct path *path)
{
    struct tcb *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->path = *path;
    t->number = number;
    t->state = state;
    t->rto = host->initial_rto;
    t->ssthresh = UNKNOWN_SSTHRESH;
    t->ack_quick = host->quick_acks;
    t->ack_full_size = 1; /* the longest text seen: options and path MTU shorten segments */
    t->snd_automatic = host->send_automatic;
    t->rcv_automatic = host->receive_automatic;
    t->rcv_wnd_max = host->receive_buffer;
    ring_init(&t->snd, host->send_buffer);
    ring_init(&t->rcv, with_rounding(host->receive_buffer));
    return t;
}

void tcb_end(struct segment_path *path, struct tcb *t)
{
    timers_let_go(t);
    give_back_buffers(path, t);
    ring_free(&t->snd);
}

void tcb_free(struct tcb *t)
{
    if (t == NULL)
        return;
    timers_let_go(t);
    sent_free(&t->sent);
    ring_free(&t->snd);
    ring_free(&t->rcv);
    free(t);
}
