/* The memory of a transmission control block. */
#include "internal.h"

#include <stdlib.h>

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
