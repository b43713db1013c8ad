/* IPv4 and IPv6 headers (RFC 791, RFC 8200), and packet_parse, the way in. */
#include "internal.h"

#include <string.h>

/* No sender has a reason for more; a chain of tiny headers only costs us time
 * (RFC 8504 §5.3 lets a host set such limits). */
#define EXTENSIONS_MAX 16

#define PROBLEM_FIELD 0       /* erroneous header field (RFC 4443 §3.4) */
#define PROBLEM_NEXT_HEADER 1 /* unrecognised next header */
#define PROBLEM_OPTION 2      /* unrecognised IPv6 option */

#define IPV6_OPTION_PAD1 0
#define IPV6_OPTION_PADN 1

#define IPV4_OPTION_END 0
#define IPV4_OPTION_NOP 1
#define IPV4_OPTION_LOOSE_ROUTE 131
#define IPV4_OPTION_STRICT_ROUTE 137
#define ROUTE_FIRST 4u /* where the first address stands, counted from one (RFC 791 §3.1) */

static void note_problem(struct packet *p, uint32_t code, uint32_t pointer)
{
    p->problem = 1;
    p->problem_code = (uint8_t)code;
    p->problem_pointer = pointer;
}

/* ---- IPv4 ---------------------------------------------------------------- */

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void map_ipv4(uint8_t out[16], const uint8_t *address)
{
    memcpy(out, mapped_prefix, sizeof mapped_prefix);
    memcpy(out + 12, address, 4);
}

static uint32_t refuse_option(struct packet *p, uint32_t pointer)
{
    note_problem(p, PROBLEM_FIELD, pointer);
    return FAULT_IP_OPTION;
}

/* A source route ends here when its pointer lies behind the last address; what two of them
 * would mean, nobody knows (RFC 1122 §3.2.1.8). */
static uint32_t check_source_route(struct packet *p, uint32_t at, uint32_t size)
{
    uint32_t pointer = size > 2 ? p->data[at + 2] : 0;

    if (p->source_route != 0)
        return refuse_option(p, at);
    if (size % 4 != 3)
        return refuse_option(p, at + 1);
    if (pointer < ROUTE_FIRST || pointer % 4 != 0)
        return refuse_option(p, at + 2);
    p->source_route = at;
    return pointer > size ? FAULT_NONE : FAULT_SOURCE_ROUTE;
}

/* Options that are not understood are passed over (RFC 1122 §3.2.1.8), but each must
 * lie within the header. */
static uint32_t walk_ipv4_options(struct packet *p)
{
    uint32_t at = IPV4_HEADER, end = p->ip_header_length, found = FAULT_NONE;

    while (at < end && p->data[at] != IPV4_OPTION_END) {
        uint32_t kind = p->data[at], size, fault = FAULT_NONE;

        if (kind == IPV4_OPTION_NOP) {
            at++;
            continue;
        }
        size = at + 1 < end ? p->data[at + 1] : 0;
        if (size < 2 || size > end - at)
            return refuse_option(p, at + 1);
        if (kind == IPV4_OPTION_LOOSE_ROUTE || kind == IPV4_OPTION_STRICT_ROUTE)
            fault = check_source_route(p, at, size);
        if (fault == FAULT_IP_OPTION)
            return fault;
        found = fault != FAULT_NONE ? fault : found;
        at += size;
    }
    return found;
}

static void parse_ipv4_fields(struct packet *p)
{
    const uint8_t *h = p->data;
    uint32_t fragment = load16(h + 6);

    p->traffic_class = h[1];
    p->fragment_id = load16(h + 4);
    p->dont_fragment = (fragment & 0x4000u) != 0;
    p->more_fragments = (fragment & 0x2000u) != 0;
    p->fragment_offset = (fragment & 0x1fffu) * 8;
    p->is_fragment = p->more_fragments || p->fragment_offset != 0;
    p->ttl = h[8];
    p->protocol = h[9];
    map_ipv4(p->src, h + 12);
    map_ipv4(p->dst, h + 16);
}

static uint32_t parse_ipv4(struct packet *p)
{
    const uint8_t *h = p->data;
    uint32_t header_length, total;

    if (p->length < IPV4_HEADER)
        return FAULT_SHORT;
    parse_ipv4_fields(p);
    header_length = (h[0] & 0x0fu) * 4u;
    if (header_length < IPV4_HEADER || header_length > p->length)
        return FAULT_IP_HEADER_LENGTH;
    p->ip_header_length = header_length;
    total = load16(h + 2);
    if (total < header_length || total > p->length)
        return FAULT_IP_LENGTH;
    p->length = total;
    if (checksum_add(h, header_length, 0) != 0xffffu)
        return FAULT_IP_CHECKSUM;
    return walk_ipv4_options(p);
}

/* ---- IPv6 ---------------------------------------------------------------- */

/* Such an address is never on the wire (RFC 6890 §2.2.3), and here it would pass for the
 * IPv4 host itself, in the flow table too. */
static int is_mapped(const uint8_t address[16])
{
    return memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0;
}

static uint32_t refuse(struct packet *p, uint32_t code, uint32_t pointer)
{
    note_problem(p, code, pointer);
    return FAULT_EXTENSION;
}

/* The two highest bits of an unrecognised option's type say what to do (RFC 8200 §4.2). */
static uint32_t unknown_option(struct packet *p, uint32_t at)
{
    int multicast = p->dst[0] == 0xff;

    switch (p->data[at] >> 6) {
    case 0:
        return FAULT_NONE;
    case 1:
        return FAULT_EXTENSION;
    case 2:
        return refuse(p, PROBLEM_OPTION, at);
    default:
        return multicast ? (uint32_t)FAULT_EXTENSION : refuse(p, PROBLEM_OPTION, at);
    }
}

/* Walks the options of a hop-by-hop or destination options header between two offsets. */
static uint32_t walk_ipv6_options(struct packet *p, uint32_t at, uint32_t end)
{
    while (at < end) {
        uint32_t fault, size;

        if (p->data[at] == IPV6_OPTION_PAD1) {
            at++;
            continue;
        }
        if (at + 2 > end)
            return refuse(p, PROBLEM_FIELD, at);
        size = 2u + p->data[at + 1];
        if (size > end - at)
            return refuse(p, PROBLEM_FIELD, at + 1);
        if (p->data[at] != IPV6_OPTION_PADN && (fault = unknown_option(p, at)) != FAULT_NONE)
            return fault;
        at += size;
    }
    return FAULT_NONE;
}

/* No routing type is processed here; one whose segments are used up is passed over, any
 * other refused (RFC 8200 §4.4; type 0 likewise, RFC 5095 §3). */
static uint32_t check_routing(struct packet *p, uint32_t at)
{
    return p->data[at + 3] == 0 ? (uint32_t)FAULT_NONE : refuse(p, PROBLEM_FIELD, at + 2);
}

static uint32_t check_fragment(struct packet *p, uint32_t at)
{
    uint32_t field = load16(p->data + at + 2);

    p->unfragmentable_length = at;
    p->fragment_next_header = p->data[at];
    p->fragment_offset = field & 0xfff8u;
    p->more_fragments = field & 1u;
    p->fragment_id = load32(p->data + at + 4);
    p->is_fragment = p->more_fragments || p->fragment_offset != 0;
    return FAULT_NONE;
}

static int is_extension(uint32_t next)
{
    return next == PROTOCOL_HOP_BY_HOP || next == PROTOCOL_ROUTING || next == PROTOCOL_FRAGMENT ||
           next == PROTOCOL_AH || next == PROTOCOL_DESTINATION_OPTIONS;
}

static uint32_t extension_length(uint32_t next, const uint8_t *header)
{
    if (next == PROTOCOL_FRAGMENT)
        return 8;
    if (next == PROTOCOL_AH)
        return (header[1] + 2u) * 4u; /* in 4-byte units, less two (RFC 4302 §2.2) */
    return (header[1] + 1u) * 8u;
}

static uint32_t check_extension(struct packet *p, uint32_t next, uint32_t at, uint32_t end)
{
    switch (next) {
    case PROTOCOL_HOP_BY_HOP:
        /* Only directly behind the IPv6 header (RFC 8200 §4.1); problem_pointer is still
         * at the Next Header field that announced it. */
        if (at != IPV6_HEADER)
            return refuse(p, PROBLEM_NEXT_HEADER, p->problem_pointer);
        return walk_ipv6_options(p, at + 2, end);
    case PROTOCOL_DESTINATION_OPTIONS:
        return walk_ipv6_options(p, at + 2, end);
    case PROTOCOL_ROUTING:
        return check_routing(p, at);
    case PROTOCOL_FRAGMENT:
        return check_fragment(p, at);
    default:
        return FAULT_NONE;
    }
}

static uint32_t walk_extensions(struct packet *p)
{
    uint32_t count;

    for (count = 0; is_extension(p->protocol); count++) {
        uint32_t at = p->ip_header_length, size, fault;

        if (count == EXTENSIONS_MAX || p->length - at < 8)
            return FAULT_EXTENSION;
        size = extension_length(p->protocol, p->data + at);
        if (size > p->length - at)
            return refuse(p, PROBLEM_FIELD, at + 1);
        fault = check_extension(p, p->protocol, at, at + size);
        if (fault != FAULT_NONE)
            return fault;
        p->protocol = p->data[at];
        p->problem_pointer = at;
        p->ip_header_length = at + size;
        if (p->is_fragment)
            break; /* what follows is a piece, not a header */
    }
    return FAULT_NONE;
}

static uint32_t parse_ipv6(struct packet *p)
{
    const uint8_t *h = p->data;
    uint32_t payload;

    if (p->length < IPV6_HEADER)
        return FAULT_SHORT;
    p->traffic_class = (uint8_t)(load16(h) >> 4);
    p->flow_label = load32(h) & 0xfffffu;
    p->protocol = h[6];
    p->problem_pointer = 6;
    p->ttl = h[7];
    memcpy(p->src, h + 8, 16);
    memcpy(p->dst, h + 24, 16);
    if (is_mapped(p->src) || is_mapped(p->dst))
        return FAULT_VERSION;
    p->ip_header_length = IPV6_HEADER;
    payload = load16(h + 4);
    if (payload > p->length - IPV6_HEADER)
        return FAULT_IP_LENGTH;
    p->length = IPV6_HEADER + payload;
    return walk_extensions(p);
}

/* ---- both ---------------------------------------------------------------- */

static uint32_t parse(struct packet *p, uint32_t flags)
{
    uint32_t fault;

    if (p->length == 0)
        return FAULT_SHORT;
    p->version = p->data[0] >> 4;
    if (p->version == 4)
        fault = parse_ipv4(p);
    else if (p->version == 6)
        fault = parse_ipv6(p);
    else
        return FAULT_VERSION;
    if (fault != FAULT_NONE || p->is_fragment)
        return fault;
    return parse_transport(p, flags);
}

uint32_t packet_parse(struct packet *out, const uint8_t *data, size_t length, uint32_t flags)
{
    memset(out, 0, sizeof *out);
    out->data = data;
    out->length = length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
    out->fault = parse(out, flags);
    return out->fault;
}
