/* What the C files share and Python does not see. */
#pragma once
#include "tunstack.h"

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define TCP_HEADER 20u
#define UDP_HEADER 8u
#define ICMP_HEADER 8u
#define TCP_OPTIONS_MAX 40u
#define IP_LENGTH_MAX 65535u

/* Protocol numbers and IPv6 next headers, as IANA registers them. */
#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_AH 51
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_NO_NEXT_HEADER 59
#define PROTOCOL_DESTINATION_OPTIONS 60

/* TCP option kinds. */
#define KIND_EOL 0
#define KIND_NOP 1
#define KIND_MSS 2
#define KIND_WSCALE 3
#define KIND_SACK_PERMITTED 4
#define KIND_SACK 5
#define KIND_TIMESTAMPS 8
#define KIND_USER_TIMEOUT 28
#define KIND_FAST_OPEN 34
#define KIND_ACCECN_0 172
#define KIND_ACCECN_1 174

/* Offsets of the checksum field within each transport header. */
#define TCP_CHECKSUM_AT 16u
#define UDP_CHECKSUM_AT 6u
#define ICMP_CHECKSUM_AT 2u

static inline uint32_t load16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t load24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline void store16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void store32(uint8_t *p, uint32_t value)
{
    store16(p, value >> 16);
    store16(p + 2, value);
}

static inline void store24(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 16);
    store16(p + 1, value);
}

/* The field's value for a sum: its complement. */
static inline uint32_t checksum_field(uint32_t sum)
{
    return ~sum & 0xffffu;
}

/* A computed UDP checksum of zero goes out as all ones, since zero says that there
 * is none (RFC 768, RFC 8200 §8.1). */
static inline uint32_t checksum_field_udp(uint32_t sum)
{
    uint32_t field = checksum_field(sum);

    return field == 0 ? 0xffffu : field;
}

/* Parses what follows the IP header of a packet that is no fragment. */
uint32_t parse_transport(struct packet *p, uint32_t flags);

/* The TCP option walk, which fills the option fields of p. */
void parse_tcp_options(struct packet *p, const uint8_t *options, uint32_t length);

/* The keyed hash of the flow table, visible for its test vectors. */
uint64_t siphash_2_4(const uint64_t secret[2], const uint8_t *data, size_t length);
