/* Which of several workers a packet is for, when they share a device and its addresses.
 *
 * The kernel program of stack/link/steering.py computes the same number from the same
 * bytes; this one decides. */
#include "internal.h"

#include <string.h>

#define MIX_WORD 0x9e3779b1u
#define MIX_END 0x85ebca6bu

#define ICMP_UNREACHABLE 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_INFORMATIONAL 0x80u
#define QUOTE_MIN 8u /* bytes of the transport header that an error surely quotes (RFC 792) */

static uint32_t mix(uint32_t hash, uint32_t word)
{
    hash = (hash ^ word) * MIX_WORD;
    return hash ^ hash >> 15;
}

static uint32_t mix_address(uint32_t hash, const uint8_t *address, uint32_t length)
{
    uint32_t at;

    for (at = 0; at < length; at += 4)
        hash = mix(hash, load32(address + at));
    return hash;
}

/* Multiplying by n and dividing by 2^32 is fair for any n, and needs no division. */
static uint32_t scale(uint32_t hash, uint32_t n)
{
    return (uint32_t)((uint64_t)(hash * MIX_END) * n >> 32);
}

static uint32_t hash_words(const struct share *s, const uint8_t *src, const uint8_t *dst,
                           uint32_t length, uint32_t word)
{
    uint32_t hash = mix_address(mix_address(s->key, src, length), dst, length);

    return scale(mix(hash, word), s->of);
}

static int has_ports(uint32_t protocol)
{
    return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

static int is_error(const struct packet *p)
{
    if (p->version == 6)
        return p->protocol == PROTOCOL_ICMPV6 && (p->icmp_type & ICMPV6_INFORMATIONAL) == 0;
    return p->protocol == PROTOCOL_ICMP &&
           (p->icmp_type == ICMP_UNREACHABLE || p->icmp_type == ICMP_SOURCE_QUENCH ||
            p->icmp_type == ICMP_TIME_EXCEEDED || p->icmp_type == ICMP_PARAMETER_PROBLEM);
}

/* The flow of the packet that an ICMP error quotes, which we sent: its source is our side. */
static uint32_t owner_of_quoted(const struct share *s, const struct packet *p)
{
    const uint8_t *quote = p->text;
    uint32_t header = IPV6_HEADER, protocol, length = p->version == 4 ? 4 : 16;
    const uint8_t *src, *ports;

    if (p->text_length < (p->version == 4 ? IPV4_HEADER : IPV6_HEADER) ||
        quote[0] >> 4 != p->version)
        return s->number;
    if (p->version == 4)
        header = (quote[0] & 0x0fu) * 4u;
    protocol = p->version == 4 ? quote[9] : quote[6];
    if (!has_ports(protocol) || header < IPV4_HEADER || p->text_length < header + QUOTE_MIN)
        return s->number;
    if (p->version == 4 && (load16(quote + 6) & 0x1fffu) != 0)
        return s->number;
    src = quote + (p->version == 4 ? 12 : 8);
    ports = quote + header;
    return hash_words(s, src + length, src, length, load16(ports + 2) << 16 | load16(ports));
}

uint32_t share_owner(const struct share *s, const struct packet *p)
{
    uint32_t at = p->version == 4 ? 12 : 0;

    if (p->fault != FAULT_NONE)
        return s->number;
    if (p->is_fragment)
        return hash_words(s, p->src + at, p->dst + at, 16 - at, p->fragment_id);
    if (has_ports(p->protocol))
        return hash_words(s, p->src + at, p->dst + at, 16 - at,
                          (uint32_t)p->sport << 16 | p->dport);
    return is_error(p) ? owner_of_quoted(s, p) : s->number;
}

uint32_t share_split(const struct share *s, struct batch *b, struct packet strays[BATCH_PACKETS],
                     uint32_t owners[BATCH_PACKETS])
{
    uint32_t kept = 0, gone = 0, i;

    for (i = 0; i < b->count; i++) {
        uint32_t owner = share_owner(s, &b->packets[i]);

        if (owner != s->number) {
            owners[gone] = owner;
            strays[gone++] = b->packets[i];
        } else if (kept++ != i) {
            b->packets[kept - 1] = b->packets[i];
        }
    }
    b->count = kept;
    return gone;
}
