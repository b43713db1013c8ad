/* What is built parses without a fault into what was asked for. */
#include "input.h"

#define TEXT_MAX 5000u

static struct emit take_emit(struct input *in)
{
    struct emit e;
    uint32_t i;

    memset(&e, 0, sizeof e);
    e.seq = take32(in);
    e.ack = take32(in);
    e.flags = take16(in);
    e.window = take16(in);
    e.urgent = take16(in);
    e.options = take16(in) & (0x1f | OPTION_FAST_OPEN | OPTION_USER_TIMEOUT | OPTION_ACCECN);
    e.mss = take16(in);
    e.wscale = take8(in);
    e.sack_count = take8(in) % 6;
    e.tsval = take32(in);
    e.tsecr = take32(in);
    e.ip_id = take16(in);
    for (i = 0; i < 8; i++)
        e.sack[i] = take32(in);
    e.user_timeout = take16(in);
    e.fast_open_length = (uint8_t)(take8(in) % 8 * 2 + 2);
    if (e.fast_open_length == 2)
        e.fast_open_length = 0;
    take_bytes(in, e.fast_open, sizeof e.fast_open);
    e.accecn_order = take8(in) % 2;
    e.accecn_count = take8(in) % (ACCECN_MAX + 1);
    for (i = 0; i < ACCECN_MAX; i++)
        e.accecn[i] = take32(in) & 0xffffff;
    return e;
}

static void same_path(const struct packet *p, const struct path *path)
{
    PROMISE(p->version == path->version && p->ttl == path->ttl);
    PROMISE(p->traffic_class == path->traffic_class && p->flow_label == path->flow_label);
    PROMISE(memcmp(p->src, path->src, 16) == 0 && memcmp(p->dst, path->dst, 16) == 0);
    PROMISE(p->dont_fragment == path->dont_fragment && !p->is_fragment);
}

static void same_options(const struct packet *p, const struct emit *e)
{
    uint32_t unwanted = p->options & ~(uint32_t)e->options;

    PROMISE(unwanted == 0);
    if (e->options & OPTION_MSS)
        PROMISE(p->mss == e->mss);
    if (e->options & OPTION_WSCALE)
        PROMISE(p->wscale == e->wscale);
    if (e->options & OPTION_TIMESTAMPS)
        PROMISE(p->tsval == e->tsval && p->tsecr == e->tsecr);
    PROMISE(p->sack_count <= e->sack_count);
    PROMISE(memcmp(p->sack, e->sack, 8u * p->sack_count) == 0);
    if (p->options & OPTION_USER_TIMEOUT)
        PROMISE(p->user_timeout == e->user_timeout);
    if (p->options & OPTION_FAST_OPEN) {
        PROMISE(p->fast_open_length == e->fast_open_length);
        PROMISE(memcmp(p->fast_open, e->fast_open, e->fast_open_length) == 0);
    }
    if (p->options & OPTION_ACCECN) {
        PROMISE(p->accecn_order == e->accecn_order && p->accecn_count == e->accecn_count);
        PROMISE(memcmp(p->accecn, e->accecn, 4u * e->accecn_count) == 0);
    }
    PROMISE(((p->options ^ e->options) & ~(OPTION_SACK | OPTION_FAST_OPEN | OPTION_ACCECN)) == 0);
}

/* A ring with n bytes that begin anywhere in its memory. */
static void fill_ring(struct ring *r, uint32_t start, const uint8_t *text, uint32_t n)
{
    uint32_t at = 0;

    ring_init(r, 8192);
    PROMISE(ring_write_at(r, 8191, text, 1) == 1);
    while (at < start % 8192) {
        uint32_t part = start % 8192 - at;

        part = part < TEXT_MAX ? part : TEXT_MAX;
        PROMISE(ring_write(r, text, part) == part && ring_consume(r, part) == part);
        at += part;
    }
    PROMISE(ring_write(r, text, n) == n);
}

static void tcp_round_trip(struct input *in)
{
    static uint8_t text[TEXT_MAX], data[TEXT_MAX + OUTGOING_HEAD_MAX];
    struct path path = take_path(in);
    struct emit e = take_emit(in);
    uint32_t n = take16(in) % TEXT_MAX, start = take16(in), i, length;
    struct outgoing out;
    struct packet p;
    struct ring r;

    for (i = 0; i < TEXT_MAX; i++)
        text[i] = (uint8_t)(i * 13 + start);
    fill_ring(&r, start, text, n);
    length = outgoing_tcp(&out, &path, &e, &r, 0, n);
    PROMISE(length > 0 && outgoing_copy(&out, data, sizeof data) == length);
    PROMISE(packet_parse(&p, data, length, 0) == FAULT_NONE);
    same_path(&p, &path);
    same_options(&p, &e);
    PROMISE(p.sport == path.sport && p.dport == path.dport && p.seq == e.seq && p.ack == e.ack);
    PROMISE(p.flags == (e.flags & 0x1ff) && p.window == e.window && p.urgent == e.urgent);
    PROMISE(p.text_length == n && memcmp(p.text, text, n) == 0);
    ring_free(&r);
}

static void datagram_round_trip(struct input *in, uint8_t protocol, int32_t checksum_at)
{
    static uint8_t payload[TEXT_MAX], data[TEXT_MAX + 20 + IP_OPTIONS_MAX];
    struct path path = take_path(in);
    uint32_t n = 8 + (uint32_t)(in->length < TEXT_MAX - 8 ? in->length : TEXT_MAX - 8), length;
    struct packet p;

    if (protocol == PROTOCOL_ICMP && path.version == 6)
        protocol = PROTOCOL_ICMPV6;
    take_bytes(in, payload, n);
    if (protocol == PROTOCOL_UDP)
        store16(payload + 4, n);
    length = packet_build(data, sizeof data, &path, protocol, 1, payload, n, checksum_at);
    PROMISE(length > 0 && packet_parse(&p, data, length, 0) == FAULT_NONE);
    same_path(&p, &path);
    PROMISE(p.protocol == protocol && p.text_length == n - 8);
    PROMISE(memcmp(p.text, payload + 8, n - 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct input in = {data, length};
    uint32_t kind = take8(&in) % 4;

    if (kind < 2)
        tcp_round_trip(&in);
    else if (kind == 2)
        datagram_round_trip(&in, PROTOCOL_UDP, 6);
    else
        datagram_round_trip(&in, PROTOCOL_ICMP, 2);
    return 0;
}
