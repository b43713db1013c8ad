/* The common way into a connection: a SYN that asks a listening port for nothing special
 * (RFC 9293 §3.10.7.2, in the order of core.tcp.listener and core.tcp.handshake). */
#include "internal.h"

#include <string.h>

#define LOOPED 0x80 /* among vnet_flags: from this host to itself */
#define PLAIN (OPTION_MSS | OPTION_WSCALE | OPTION_SACK_PERMITTED | OPTION_TIMESTAMPS)
#define SMALLEST_MSS 48u
#define SMALLEST_TEXT 8u
#define TIMESTAMPS_LENGTH 12u
#define LARGEST_WSCALE 14u /* RFC 7323 §2.3 */
#define INITIAL_BYTES 14600u /* RFC 6928 §2 */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- addresses (RFC 1122 §3.2.1.3, core.ip.addresses) ------------------------- */

static int is_among(const uint8_t *addresses, uint32_t count, const uint8_t address[16])
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (memcmp(addresses + (size_t)i * 16, address, 16) == 0)
            return 1;
    }
    return 0;
}

/* Unspecified, loopback, multicast or reserved. */
static int names_no_host(const uint8_t address[16], uint8_t version)
{
    static const uint8_t unspecified[16], loopback[16] = {[15] = 1};

    if (version == 4)
        return address[12] == 0 || address[12] == 127 || address[12] >= 224;
    return address[0] == 0xff || memcmp(address, unspecified, 16) == 0 ||
           memcmp(address, loopback, 16) == 0;
}

static int is_for_us(const struct segment_path *path, const struct packet *p)
{
    return !(p->vnet_flags & LOOPED) && p->source_route == 0 &&
           is_among(path->own, path->own_count, p->dst) &&
           !is_among(path->refused, path->refused_count, p->src) &&
           !names_no_host(p->src, p->version);
}

/* ---- the listening port ---------------------------------------------------------- */

static struct listening **place(struct segment_path *path, const struct listening *wanted)
{
    struct listening **at = &path->ports[wanted->port % PORT_BUCKETS];

    while (*at != NULL && *at != wanted)
        at = &(*at)->next;
    return at;
}

void port_open(struct segment_path *path, struct listening *listening)
{
    struct listening **at = place(path, listening);

    if (*at != NULL)
        return;
    listening->next = NULL;
    *at = listening;
}

void port_close(struct segment_path *path, struct listening *listening)
{
    struct listening **at = place(path, listening);

    if (*at != NULL)
        *at = listening->next;
}

static int takes(const struct listening *one, const struct packet *p)
{
    if (one->has_address)
        return memcmp(one->address, p->dst, 16) == 0;
    return one->version == 0 || one->version == p->version;
}

/* The one that has the port, if it takes the segment and has room for it. */
static struct listening *listener_for(const struct segment_path *path, const struct packet *p)
{
    struct listening *one = path->ports[p->dport % PORT_BUCKETS];

    while (one != NULL && one->port != p->dport)
        one = one->next;
    if (one == NULL || !takes(one, p) || one->waiting >= one->backlog ||
        one->half_open >= path->syn_queue)
        return NULL;
    return one;
}

/* ---- what the two SYNs agree upon (core.tcp.handshake) -------------------------------- */

static uint32_t headers(uint8_t version)
{
    return (version == 4 ? IPV4_HEADER : IPV6_HEADER) + TCP_HEADER;
}

static void prepare(const struct segment_path *path, struct tcb *t, int64_t now)
{
    t->iss = initial_sequence(path->secrets, &t->path, now);
    t->snd_una = t->iss;
    t->snd_nxt = t->iss + 1;
    t->ts_offset = timestamp_offset(path->secrets, &t->path);
    t->rcv_mss = least(path->mtu - headers(t->path.version), 65535);
    t->peer_mss = t->path.version == 4 ? 536 : 1220; /* RFC 9293 MUST-15 */
    t->unacked_since = now;
}

static void agree_on_window(const struct segment_path *path, struct tcb *t, const struct packet *p)
{
    t->rcv_adv = t->rcv_nxt + least(t->rcv_wnd_max, 65535);
    if (path->window_scaling && p->options & OPTION_WSCALE) {
        t->wscale_ok = 1;
        t->rcv_wscale = path->wscale;
        t->snd_wscale = (uint8_t)least(p->wscale, LARGEST_WSCALE);
    } else {
        t->rcv_wnd_max = least(t->rcv_wnd_max, 65535);
    }
    t->snd_wnd = t->max_snd_wnd = p->window; /* never scaled in a SYN */
    t->snd_wl1 = p->seq;
}

/* Effective send MSS, and the first window (RFC 6928). */
static void agree_on_mss(const struct segment_path *path, struct tcb *t, const struct packet *p)
{
    uint32_t mss;

    if (p->options & OPTION_MSS)
        t->peer_mss = most(p->mss, SMALLEST_MSS);
    mss = least(least(t->peer_mss, path->mtu - headers(t->path.version)), 65535);
    mss -= t->ts_ok ? TIMESTAMPS_LENGTH : 0;
    t->snd_mss = most(mss, SMALLEST_TEXT);
    t->cwnd = least(path->initial_window * t->snd_mss, most(2 * t->snd_mss, INITIAL_BYTES));
}

static void take_options(const struct segment_path *path, struct tcb *t, const struct packet *p,
                         int64_t now)
{
    t->traffic_class_heard = p->traffic_class;
    t->irs = p->seq;
    t->rcv_nxt = p->seq + 1;
    t->sack_ok = path->sack && p->options & OPTION_SACK_PERMITTED;
    t->ts_ok = path->timestamps && p->options & OPTION_TIMESTAMPS;
    if (t->ts_ok) {
        t->ts_recent = p->tsval;
        t->ts_recent_at = now;
    }
    if (t->sack_ok)
        t->rack_end = t->rack_fack = t->iss;
    agree_on_window(path, t, p);
    agree_on_mss(path, t, p);
}

void offer_options(const struct tcb *t, struct emit *e)
{
    e->options = OPTION_MSS;
    e->mss = (uint16_t)t->rcv_mss;
    if (t->wscale_ok) {
        e->options |= OPTION_WSCALE;
        e->wscale = t->rcv_wscale;
    }
    if (t->sack_ok)
        e->options |= OPTION_SACK_PERMITTED;
    if (t->ts_ok)
        e->options |= OPTION_TIMESTAMPS;
}

/* ---- the SYN ----------------------------------------------------------------------------- */

static int asks_for_nothing_special(const struct packet *p)
{
    return p->flags == FLAG_SYN && p->text_length == 0 && (p->options & ~PLAIN) == 0;
}

static struct tcb *begin(struct segment_path *path, const struct packet *p, int64_t now)
{
    struct path back;
    struct tcb *t;

    path_back(&back, p, path->ttl);
    t = tcb_new(path, path->number + 1, STATE_SYN_RECEIVED, &back);
    if (t == NULL)
        return NULL;
    if (!flow_insert(path->flows, &back, t->number, t)) { /* one is there, or no memory */
        tcb_free(t);
        return NULL;
    }
    prepare(path, t, now);
    take_options(path, t, p, now);
    return t;
}

int segment_opens(struct segment_path *path, const struct packet *p, int64_t now)
{
    struct listening *listening;
    struct tcb *t;

    if (!path->opens || !asks_for_nothing_special(p) || !is_for_us(path, p))
        return 0;
    listening = listener_for(path, p);
    t = listening != NULL ? begin(path, p, now) : NULL;
    if (t == NULL)
        return 0;
    path->number++;
    t->listening = listening;
    listening->half_open++;
    t->half_open = t->fast = 1;
    t->syn_due = WHY_SYN_ACCEPTED;
    path->opened[path->opened_count++] = t;
    happens(path, t->number, HAPPENED_OPENED);
    wants_output(path, t);
    path->segments_in++;
    path->syns_in++;
    return 1;
}
