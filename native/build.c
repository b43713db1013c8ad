/* Packets that leave: IP and TCP headers in front of text borrowed from a ring, and
 * whole small packets of the other protocols. */
#include "internal.h"

#include <string.h>

/* struct virtio_net_hdr (VIRTIO 1.2 §5.1.6), which a TUN device speaks in the
 * machine's own byte order. */
#define VNET_HDR_NEEDS_CSUM 1
#define VNET_HDR_GSO_TCPV4 1
#define VNET_HDR_GSO_TCPV6 4
#define VNET_HDR_GSO_ECN 0x80
#define VNET_AT_HDR_LEN 2
#define VNET_AT_GSO_SIZE 4
#define VNET_AT_CSUM_START 6
#define VNET_AT_CSUM_OFFSET 8

/* ---- IP headers ---------------------------------------------------------- */

static uint32_t ip_header_length(const struct path *path)
{
    return path->version == 4 ? IPV4_HEADER + path->options_length : IPV6_HEADER;
}

static void write_ipv4(uint8_t *h, const struct path *path, uint8_t protocol, uint16_t ip_id,
                       uint32_t total)
{
    uint32_t length = ip_header_length(path);

    h[0] = (uint8_t)(0x40u | length / 4);
    h[1] = path->traffic_class;
    store16(h + 2, total);
    store16(h + 4, ip_id);
    store16(h + 6, path->dont_fragment ? 0x4000u : 0);
    h[8] = path->ttl;
    h[9] = protocol;
    store16(h + 10, 0);
    memcpy(h + 12, path->src + 12, 4);
    memcpy(h + 16, path->routed ? path->next_hop : path->dst + 12, 4);
    if (path->options_length > 0)
        memcpy(h + IPV4_HEADER, path->options, path->options_length);
    store16(h + 10, checksum_field(checksum_add(h, length, 0)));
}

static void write_ipv6(uint8_t *h, const struct path *path, uint8_t protocol, uint32_t total)
{
    store32(h, 6u << 28 | (uint32_t)path->traffic_class << 20 | (path->flow_label & 0xfffffu));
    store16(h + 4, total - IPV6_HEADER);
    h[6] = protocol;
    h[7] = path->ttl;
    memcpy(h + 8, path->src, 16);
    memcpy(h + 24, path->dst, 16);
}

static void write_ip(uint8_t *h, const struct path *path, uint8_t protocol, uint16_t ip_id,
                     uint32_t total)
{
    if (path->version == 4)
        write_ipv4(h, path, protocol, ip_id, total);
    else
        write_ipv6(h, path, protocol, total);
}

/* ---- TCP options --------------------------------------------------------- */

static uint8_t *put_timestamps(uint8_t *o, const struct emit *e)
{
    /* In a SYN the two bytes of padding carry SACK-permitted. */
    int sack_permitted = (e->options & OPTION_SACK_PERMITTED) != 0;

    o[0] = sack_permitted ? KIND_SACK_PERMITTED : KIND_NOP;
    o[1] = sack_permitted ? 2 : KIND_NOP;
    o[2] = KIND_TIMESTAMPS;
    o[3] = 10;
    store32(o + 4, e->tsval);
    store32(o + 8, e->tsecr);
    return o + 12;
}

static uint8_t *put_sack(uint8_t *o, const struct emit *e, uint32_t room)
{
    uint32_t fits = room >= 12 ? (room - 4) / 8 : 0;
    uint32_t count = e->sack_count < fits ? e->sack_count : fits;
    uint32_t i;

    if (count > SACK_MAX)
        count = SACK_MAX;
    if (count == 0)
        return o;
    o[0] = o[1] = KIND_NOP;
    o[2] = KIND_SACK;
    o[3] = (uint8_t)(2 + 8 * count);
    for (i = 0; i < 2 * count; i++)
        store32(o + 4 + 4 * i, e->sack[i]);
    return o + 4 + 8 * count;
}

static uint8_t *put_user_timeout(uint8_t *o, const struct emit *e)
{
    o[0] = KIND_USER_TIMEOUT;
    o[1] = 4;
    store16(o + 2, e->user_timeout);
    return o + 4;
}

/* With what pads it to whole words; left out where it does not fit. */
static uint8_t *put_fast_open(uint8_t *o, const struct emit *e, uint32_t room)
{
    uint32_t n = e->fast_open_length < FAST_OPEN_MAX ? e->fast_open_length : FAST_OPEN_MAX;
    uint32_t padding = (2 + n) % 4 == 0 ? 0 : 4 - (2 + n) % 4;

    if (padding + 2 + n > room)
        return o;
    memset(o, KIND_NOP, padding);
    o += padding;
    o[0] = KIND_FAST_OPEN;
    o[1] = (uint8_t)(2 + n);
    memcpy(o + 2, e->fast_open, n);
    return o + 2 + n;
}

/* With what pads it to whole words; left out where it does not fit. */
static uint8_t *put_accecn(uint8_t *o, const struct emit *e, uint32_t room)
{
    uint32_t n = e->accecn_count < ACCECN_MAX ? e->accecn_count : ACCECN_MAX;
    uint32_t padding = (4 - (2 + 3 * n) % 4) % 4, i;

    if (padding + 2 + 3 * n > room)
        return o;
    memset(o, KIND_NOP, padding);
    o += padding;
    o[0] = e->accecn_order ? KIND_ACCECN_1 : KIND_ACCECN_0;
    o[1] = (uint8_t)(2 + 3 * n);
    for (i = 0; i < n; i++)
        store24(o + 2 + 3 * i, e->accecn[i]);
    return o + 2 + 3 * n;
}

/* Writes the options in the order and alignment that Linux uses, which middleboxes and
 * readers of traces are used to; returns their length, a multiple of four. */
static uint32_t put_options(uint8_t *options, const struct emit *e)
{
    uint8_t *o = options;

    if (e->options & OPTION_MSS) {
        o[0] = KIND_MSS;
        o[1] = 4;
        store16(o + 2, e->mss);
        o += 4;
    }
    if (e->options & OPTION_TIMESTAMPS) {
        o = put_timestamps(o, e);
    } else if (e->options & OPTION_SACK_PERMITTED) {
        o[0] = o[1] = KIND_NOP;
        o[2] = KIND_SACK_PERMITTED;
        o[3] = 2;
        o += 4;
    }
    if (e->options & OPTION_WSCALE) {
        o[0] = KIND_NOP;
        o[1] = KIND_WSCALE;
        o[2] = 3;
        o[3] = e->wscale;
        o += 4;
    }
    if (e->options & OPTION_USER_TIMEOUT)
        o = put_user_timeout(o, e);
    if (e->options & OPTION_FAST_OPEN)
        o = put_fast_open(o, e, TCP_OPTIONS_MAX - (uint32_t)(o - options));
    if (e->options & OPTION_SACK)
        o = put_sack(o, e, TCP_OPTIONS_MAX - (uint32_t)(o - options));
    if (e->options & OPTION_ACCECN)
        o = put_accecn(o, e, TCP_OPTIONS_MAX - (uint32_t)(o - options));
    return (uint32_t)(o - options);
}

/* ---- TCP segments -------------------------------------------------------- */

static void write_tcp(uint8_t *h, const struct path *path, const struct emit *e, uint32_t length)
{
    store16(h, path->sport);
    store16(h + 2, path->dport);
    store32(h + 4, e->seq);
    store32(h + 8, e->ack);
    store16(h + 12, length / 4 << 12 | (e->flags & 0x1ffu));
    store16(h + 14, e->window);
    store16(h + TCP_CHECKSUM_AT, 0);
    store16(h + 18, e->urgent);
}

/* Ring text may be split at an odd byte, and the second span's bytes then have the
 * other half of each word. */
static uint32_t sum_spans(const struct span text[2], uint32_t sum)
{
    uint32_t second;

    sum = checksum_add(text[0].data, text[0].length, sum);
    if (text[1].length == 0)
        return sum;
    second = checksum_add(text[1].data, text[1].length, 0);
    if (text[0].length % 2 != 0)
        second = (second & 0xffu) << 8 | second >> 8;
    sum += second;
    return (sum & 0xffffu) + (sum >> 16);
}

static void vnet16(uint8_t *vnet, uint32_t at, uint32_t value)
{
    uint16_t native = (uint16_t)value;

    memcpy(vnet + at, &native, sizeof native);
}

static void write_vnet(struct outgoing *out, const struct path *path, const struct emit *e,
                       uint32_t gso_size)
{
    out->vnet[0] = VNET_HDR_NEEDS_CSUM;
    vnet16(out->vnet, VNET_AT_CSUM_START, ip_header_length(path));
    vnet16(out->vnet, VNET_AT_CSUM_OFFSET, TCP_CHECKSUM_AT);
    if (gso_size == 0)
        return;
    out->vnet[1] = path->version == 4 ? VNET_HDR_GSO_TCPV4 : VNET_HDR_GSO_TCPV6;
    if (e->flags & FLAG_CWR)
        out->vnet[1] |= VNET_HDR_GSO_ECN; /* CWR belongs on the first segment only */
    vnet16(out->vnet, VNET_AT_HDR_LEN, out->head_length);
    vnet16(out->vnet, VNET_AT_GSO_SIZE, gso_size);
}

uint32_t outgoing_tcp(struct outgoing *out, const struct path *path, const struct emit *e,
                      const struct ring *ring, uint32_t offset, uint32_t n)
{
    uint32_t ip = ip_header_length(path);
    uint8_t *tcp = out->head + ip;
    uint32_t header = TCP_HEADER + put_options(tcp + TCP_HEADER, e);
    uint32_t gso_size = n > e->gso_size ? e->gso_size : 0;
    uint32_t sum;

    memset(out->vnet, 0, sizeof out->vnet);
    memset(out->text, 0, sizeof out->text);
    if (n > IP_LENGTH_MAX - ip - header)
        return 0;
    if (n > 0 && (ring == NULL || ring_spans(ring, offset, n, out->text) == 0))
        return 0;
    out->head_length = ip + header;
    out->length = ip + header + n;
    write_ip(out->head, path, PROTOCOL_TCP, e->ip_id, out->length);
    write_tcp(tcp, path, e, header);
    sum = checksum_pseudo(path->src, path->dst, path->version, PROTOCOL_TCP, header + n);
    if (gso_size > 0 || e->checksum_offload) {
        /* The device finishes a sum that starts from the pseudo header's, uninverted. */
        write_vnet(out, path, e, gso_size);
        store16(tcp + TCP_CHECKSUM_AT, sum);
    } else {
        sum = sum_spans(out->text, checksum_add(tcp, header, sum));
        store16(tcp + TCP_CHECKSUM_AT, checksum_field(sum));
    }
    return out->length;
}

/* ---- other packets ------------------------------------------------------- */

void outgoing_raw(struct outgoing *out, const uint8_t *data, uint32_t length)
{
    memset(out->vnet, 0, sizeof out->vnet);
    out->head_length = 0;
    out->length = length;
    out->text[0].data = data;
    out->text[0].length = length;
    out->text[1].data = NULL;
    out->text[1].length = 0;
}

uint32_t outgoing_copy(const struct outgoing *out, uint8_t *dst, size_t room)
{
    size_t i;

    if (out->length > room)
        return 0;
    memcpy(dst, out->head, out->head_length);
    dst += out->head_length;
    for (i = 0; i < 2; i++) {
        if (out->text[i].length == 0)
            continue;
        memcpy(dst, out->text[i].data, out->text[i].length);
        dst += out->text[i].length;
    }
    return out->length;
}

static void fill_checksum(uint8_t *payload, uint32_t length, uint32_t at, const struct path *path,
                          uint8_t protocol)
{
    uint32_t sum = 0;

    store16(payload + at, 0);
    if (protocol != PROTOCOL_ICMP)
        sum = checksum_pseudo(path->src, path->dst, path->version, protocol, length);
    sum = checksum_add(payload, length, sum);
    store16(payload + at,
            protocol == PROTOCOL_UDP ? checksum_field_udp(sum) : checksum_field(sum));
}

uint32_t packet_build(uint8_t *dst, size_t room, const struct path *path, uint8_t protocol,
                      uint16_t ip_id, const uint8_t *payload, uint32_t length,
                      int32_t checksum_offset)
{
    uint32_t header = ip_header_length(path);
    /* IPv4 counts its header into the length field, IPv6 does not (RFC 8200 §3). */
    uint32_t longest = path->version == 4 ? IP_LENGTH_MAX - header : IP_LENGTH_MAX;

    if (length > longest || header + length > room)
        return 0;
    if (checksum_offset >= 0 && (uint32_t)checksum_offset + 2 > length)
        return 0;
    if (length > 0)
        memmove(dst + header, payload, length);
    write_ip(dst, path, protocol, ip_id, header + length);
    if (checksum_offset >= 0)
        fill_checksum(dst + header, length, (uint32_t)checksum_offset, path, protocol);
    return header + length;
}
