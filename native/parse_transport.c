/* From the first byte behind the IP header on: TCP, UDP, ICMP, ICMPv6. */
#include "internal.h"

/* The transport checksum over `length` bytes, field included: 0xffff when it is right. */
static uint32_t transport_sum(const struct packet *p, const uint8_t *header, uint32_t length)
{
    uint32_t sum = 0;

    if (p->protocol != PROTOCOL_ICMP)
        sum = checksum_pseudo(p->src, p->dst, p->version, p->protocol, length);
    return checksum_add(header, length, sum);
}

static uint32_t verify(const struct packet *p, const uint8_t *header, uint32_t length,
                       uint32_t flags)
{
    if (flags & PARSE_TRUST_CHECKSUM)
        return FAULT_NONE;
    return transport_sum(p, header, length) == 0xffffu ? FAULT_NONE : FAULT_TRANSPORT_CHECKSUM;
}

static uint32_t parse_tcp(struct packet *p, const uint8_t *header, uint32_t length, uint32_t flags)
{
    uint32_t header_length;

    if (length < TCP_HEADER)
        return FAULT_TRANSPORT_SHORT;
    p->sport = (uint16_t)load16(header);
    p->dport = (uint16_t)load16(header + 2);
    p->seq = load32(header + 4);
    p->ack = load32(header + 8);
    p->flags = (uint16_t)(load16(header + 12) & 0x1ffu);
    p->window = (uint16_t)load16(header + 14);
    p->urgent = (uint16_t)load16(header + 18);
    header_length = (uint32_t)(header[12] >> 4) * 4;
    if (header_length < TCP_HEADER || header_length > length)
        return FAULT_DATA_OFFSET;
    parse_tcp_options(p, header + TCP_HEADER, header_length - TCP_HEADER);
    p->text = header + header_length;
    p->text_length = length - header_length;
    return verify(p, header, length, flags);
}

static uint32_t parse_udp(struct packet *p, const uint8_t *header, uint32_t length, uint32_t flags)
{
    uint32_t datagram;

    if (length < UDP_HEADER)
        return FAULT_TRANSPORT_SHORT;
    p->sport = (uint16_t)load16(header);
    p->dport = (uint16_t)load16(header + 2);
    datagram = load16(header + 4);
    if (datagram < UDP_HEADER || datagram > length)
        return FAULT_UDP_LENGTH;
    p->text = header + UDP_HEADER;
    p->text_length = datagram - UDP_HEADER;
    /* Zero says that the sender computed none, which only IPv4 allows (RFC 8200 §8.1). */
    if (p->version == 4 && load16(header + UDP_CHECKSUM_AT) == 0)
        return FAULT_NONE;
    return verify(p, header, datagram, flags);
}

static uint32_t parse_icmp(struct packet *p, const uint8_t *header, uint32_t length,
                           uint32_t flags)
{
    if (length < ICMP_HEADER)
        return FAULT_TRANSPORT_SHORT;
    p->icmp_type = header[0];
    p->icmp_code = header[1];
    p->icmp_rest = load32(header + 4);
    p->text = header + ICMP_HEADER;
    p->text_length = length - ICMP_HEADER;
    return verify(p, header, length, flags);
}

/* ICMP belongs to IPv4 and ICMPv6 to IPv6; crossed over, each is just a protocol
 * that nobody here speaks. */
static int is_icmp(const struct packet *p)
{
    return p->protocol == (p->version == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
}

uint32_t parse_transport(struct packet *p, uint32_t flags)
{
    const uint8_t *header = p->data + p->ip_header_length;
    uint32_t length = p->length - p->ip_header_length;

    if (p->protocol == PROTOCOL_TCP)
        return parse_tcp(p, header, length, flags);
    if (p->protocol == PROTOCOL_UDP)
        return parse_udp(p, header, length, flags);
    if (is_icmp(p))
        return parse_icmp(p, header, length, flags);
    p->text = header;
    p->text_length = length;
    return FAULT_NONE;
}

int packet_complete_checksum(const struct packet *p, uint8_t *data)
{
    uint8_t *header = data + p->ip_header_length;
    uint32_t length = p->length - p->ip_header_length;
    uint8_t *field;

    if (p->fault != FAULT_NONE || p->is_fragment)
        return 0;
    if (p->protocol == PROTOCOL_TCP) {
        field = header + TCP_CHECKSUM_AT;
    } else if (p->protocol == PROTOCOL_UDP) {
        field = header + UDP_CHECKSUM_AT;
        length = UDP_HEADER + p->text_length;
    } else if (is_icmp(p)) {
        field = header + ICMP_CHECKSUM_AT;
    } else {
        return 0;
    }
    store16(field, 0);
    if (p->protocol == PROTOCOL_UDP)
        store16(field, checksum_field_udp(transport_sum(p, header, length)));
    else
        store16(field, checksum_field(transport_sum(p, header, length)));
    return 1;
}
