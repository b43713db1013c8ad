/* Landing: the text of a super-segment that was expected is read from the device straight into
 * its receive ring.
 *
 * Who sends in bulk sends one super-segment behind the other, so the headers of the latest
 * packet tell those of the next one: how long they are, and whose. The read is split there, and
 * a look at the headers afterwards shows whether the guess was right.
 *
 * What has landed stands behind the queue's end, at the place that belongs to its sequence
 * number, and nothing else says so: whoever takes the segment in writes it there with
 * ring_write_at, and if nobody does the bytes mean nothing. It must only stay where it is until
 * then. So a batch begins with what lands, of one connection and in sequence: nothing is
 * processed before it but more of its kind, which has no ring read, moved or freed. That is why
 * a SYN, a FIN, a RST and urgent data do not land, nor anything for a connection whose
 * application let go of it. */
#include "internal.h"

#include <string.h>

#define TEXT_MIN 8192u /* of less, a copy costs too little */
#define TEXT_MAX IP_LENGTH_MAX
#define LANDED_MAX (512u * 1024) /* in one batch, which a cache holds while it is read */

/* ---- what is expected -------------------------------------------------------- */

static int is_bulk(const struct packet *p)
{
    return p->fault == FAULT_NONE && p->protocol == PROTOCOL_TCP && p->gso_size > 0 &&
           p->text_length >= TEXT_MIN &&
           p->ip_header_length == (p->version == 4 ? IPV4_HEADER : IPV6_HEADER);
}

/* Somebody will read what comes, and nothing lies ahead in the ring. */
static int takes_text(const struct tcb *t)
{
    return (t->state == STATE_ESTABLISHED || t->state == STATE_FIN_WAIT_1 ||
            t->state == STATE_FIN_WAIT_2) &&
           !t->fin_received && !t->orphan && t->rcv.ahead == t->rcv.length;
}

static void find_place(struct landing *l)
{
    l->place = NULL;
    if (l->landed + TEXT_MAX <= LANDED_MAX)
        l->place = ring_place(l->ring, l->ring->length + l->landed, TEXT_MAX);
}

void landing_begin(struct landing *l, const struct flow_table *flows, const struct packet *latest)
{
    struct tcb *t = NULL;

    memset(l, 0, sizeof *l);
    if (flows != NULL && latest->gso_size > 0)
        t = flow_find_tcb(flows, latest);
    if (t == NULL || !takes_text(t) || !ring_prepare(&t->rcv, TEXT_MAX))
        return;
    l->like = latest;
    l->ring = &t->rcv;
    l->head_length = latest->length - latest->text_length;
    l->seq = t->rcv_nxt;
    find_place(l);
}

/* ---- is it the expected one? --------------------------------------------------- */

/* Of the latest packet's flow, whole, and with an IP header that has no more than that one's:
 * what is compared lies within it. */
static int is_alike_ipv4(const struct packet *like, const uint8_t *h, uint32_t length)
{
    return h[0] == 0x45 && load16(h + 2) == length && (load16(h + 6) & 0x3fffu) == 0 &&
           h[9] == PROTOCOL_TCP && memcmp(h + 12, like->src + 12, 4) == 0 &&
           memcmp(h + 16, like->dst + 12, 4) == 0;
}

static int is_alike_ipv6(const struct packet *like, const uint8_t *h, uint32_t length)
{
    return h[0] >> 4 == 6 && load16(h + 4) + IPV6_HEADER == length && h[6] == PROTOCOL_TCP &&
           memcmp(h + 8, like->src, 16) == 0 && memcmp(h + 24, like->dst, 16) == 0;
}

/* Of its connection, with options as long, and without a flag that asks for more than to take
 * the text. */
static int is_alike_tcp(const struct landing *l, const uint8_t *h, uint32_t header_length)
{
    return load16(h) == l->like->sport && load16(h + 2) == l->like->dport &&
           load32(h + 4) == l->seq && h[12] == header_length / 4 << 4 &&
           (h[13] & ~FLAG_PSH) == FLAG_ACK;
}

static int is_expected(const struct landing *l, const uint8_t *head, uint32_t length)
{
    const struct packet *like = l->like;
    uint32_t at = like->ip_header_length;

    return length > l->head_length &&
           (like->version == 4 ? is_alike_ipv4 : is_alike_ipv6)(like, head, length) &&
           is_alike_tcp(l, head + at, l->head_length - at);
}

/* The parser looks at no more than the headers when it need not add up a checksum. */
static int land(struct landing *l, struct packet *p, const uint8_t *head, uint32_t length)
{
    if (packet_parse(p, head, length, PARSE_TRUST_CHECKSUM) != FAULT_NONE)
        return 0;
    p->text = l->place;
    p->landed = 1;
    l->seq += p->text_length;
    l->landed += p->text_length;
    find_place(l);
    return 1;
}

int landing_take(struct landing *l, struct packet *p, uint8_t *head, uint32_t length, int vouched)
{
    if (vouched && is_expected(l, head, length) && land(l, p, head, length))
        return 1;
    if (length > l->head_length)
        memcpy(head + l->head_length, l->place, length - l->head_length);
    l->like = NULL;
    l->place = NULL;
    return 0;
}

int landing_is_full(const struct landing *l)
{
    return l->like != NULL && l->landed > 0 && l->place == NULL;
}

void landing_end(struct landing *l, struct packet *latest, const struct packet *last)
{
    if (l->ring != NULL && l->landed == 0)
        ring_settle(l->ring);
    if (last == NULL)
        return;
    if (is_bulk(last))
        *latest = *last;
    else if (l->landed == 0)
        latest->gso_size = 0;
}
