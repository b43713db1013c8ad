/* A transmission control block's memory, and the path that it begins with. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

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

struct tcb *tcb_new(uint32_t number, uint32_t state, const struct path *path)
{
    struct tcb *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->path = *path;
    t->number = number;
    t->state = state;
    return t;
}

void tcb_free(struct tcb *t)
{
    if (t == NULL)
        return;
    sent_free(&t->sent);
    ring_free(&t->snd);
    ring_free(&t->rcv);
    free(t);
}
