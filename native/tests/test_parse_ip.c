#include "check.h"

/* A good IPv4 packet of 20 + 8 bytes, protocol 253 (for experiments, RFC 3692). */
static size_t ipv4(uint8_t *data)
{
    static const uint8_t payload[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct path path = sample_path(4);

    return packet_build(data, 64, &path, 253, 77, payload, sizeof payload, -1);
}

static void fix_ipv4_checksum(uint8_t *data)
{
    uint32_t length = (data[0] & 0x0fu) * 4u;

    store16(data + 10, 0);
    store16(data + 10, checksum_field(checksum_scalar(data, length, 0)));
}

static void ipv4_fields_are_read(void)
{
    uint8_t data[64];
    size_t length = ipv4(data);
    struct packet p = parse_exact(data, length, 0);
    struct path path = sample_path(4);

    CHECK(p.fault == FAULT_NONE && p.version == 4 && p.protocol == 253 && p.length == 28);
    CHECK(p.ttl == 64 && p.traffic_class == 0x2a && p.dont_fragment && p.fragment_id == 77);
    CHECK(memcmp(p.src, path.src, 16) == 0 && memcmp(p.dst, path.dst, 16) == 0);
    CHECK(p.ip_header_length == 20 && p.text_length == 8 && !p.is_fragment);
}

static void trailing_bytes_are_cut_off(void)
{
    uint8_t data[64] = {0};

    ipv4(data);
    CHECK(parse_exact(data, 60, 0).length == 28);
}

/* A packet of 20 + 8 + 8 bytes whose options are these. */
static struct packet with_options(const uint8_t options[8])
{
    static const uint8_t payload[8] = {0};
    struct path path = sample_path(4);
    uint8_t data[64];

    path.options_length = 8;
    memcpy(path.options, options, 8);
    return parse_exact(data, packet_build(data, 64, &path, 253, 77, payload, 8, -1), 0);
}

static void a_source_route_ends_here_or_leads_on(void)
{
    static const uint8_t ends[8] = {1, 131, 7, 8, 1, 2, 3, 4};
    static const uint8_t leads_on[8] = {137, 7, 4, 1, 2, 3, 4, 0};
    static const uint8_t none[8] = {148, 4, 0, 0, 0, 131, 7, 8};
    static const uint8_t bad[][8] = {
        {131, 7, 3}, {131, 7, 5}, {131, 7, 0}, {131, 6, 4}, {131, 8, 4},
        {131, 2, 1, 1, 1, 1, 1, 1}, {131, 3, 4, 137, 3, 4}, {1, 1, 1, 1, 1, 1, 1, 131},
    };
    size_t i;

    CHECK(with_options(ends).fault == FAULT_NONE && with_options(ends).source_route == 21);
    CHECK(with_options(leads_on).fault == FAULT_SOURCE_ROUTE);
    CHECK(with_options(none).fault == FAULT_NONE && with_options(none).source_route == 0);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct packet p = with_options(bad[i]);

        CHECK(p.fault == FAULT_IP_OPTION && p.problem == 1 && p.problem_code == 0);
        CHECK(p.problem_pointer >= 20 && p.problem_pointer < 29);
    }
}

static void ipv4_faults(void)
{
    uint8_t data[64], bad[64];
    size_t length = ipv4(data);

    CHECK(parse_exact(data, 0, 0).fault == FAULT_SHORT);
    CHECK(parse_exact(data, 19, 0).fault == FAULT_SHORT);
    CHECK(parse_exact(data, 27, 0).fault == FAULT_IP_LENGTH);
    memcpy(bad, data, length);
    bad[0] = 0x55;
    CHECK(parse_exact(bad, length, 0).fault == FAULT_VERSION);
    bad[0] = 0x44;
    CHECK(parse_exact(bad, length, 0).fault == FAULT_IP_HEADER_LENGTH);
    bad[0] = 0x4f;
    CHECK(parse_exact(bad, length, 0).fault == FAULT_IP_HEADER_LENGTH);
    bad[0] = 0x45;
    bad[8] ^= 1;
    CHECK(parse_exact(bad, length, 0).fault == FAULT_IP_CHECKSUM);
    CHECK(parse_exact(bad, length, PARSE_TRUST_CHECKSUM).fault == FAULT_IP_CHECKSUM);
}

static uint32_t fault_of_ipv4_options(const uint8_t options[4])
{
    uint8_t data[64];

    ipv4(data);
    data[0] = 0x46;
    memcpy(data + 20, options, 4);
    fix_ipv4_checksum(data);
    return parse_exact(data, 28, 0).fault;
}

static void ipv4_options_stay_within_the_header(void)
{
    CHECK(fault_of_ipv4_options((const uint8_t[4]){1, 1, 1, 0}) == FAULT_NONE);
    CHECK(fault_of_ipv4_options((const uint8_t[4]){148, 4, 0, 0}) == FAULT_NONE);
    CHECK(fault_of_ipv4_options((const uint8_t[4]){0, 7, 0, 0}) == FAULT_NONE);
    CHECK(fault_of_ipv4_options((const uint8_t[4]){148, 5, 0, 0}) == FAULT_IP_OPTION);
    CHECK(fault_of_ipv4_options((const uint8_t[4]){148, 1, 0, 0}) == FAULT_IP_OPTION);
    CHECK(fault_of_ipv4_options((const uint8_t[4]){1, 1, 1, 148}) == FAULT_IP_OPTION);
}

static void ipv4_fragments_are_told_apart(void)
{
    uint8_t data[64];
    struct packet p;

    ipv4(data);
    store16(data + 6, 0x2000 | 3);
    fix_ipv4_checksum(data);
    p = parse_exact(data, 28, 0);
    CHECK(p.fault == FAULT_NONE && p.is_fragment && p.more_fragments && p.fragment_offset == 24);
    store16(data + 6, 0x1fff);
    fix_ipv4_checksum(data);
    p = parse_exact(data, 28, 0);
    CHECK(p.is_fragment && !p.more_fragments && p.fragment_offset == 65528);
    store16(data + 6, 0);
    fix_ipv4_checksum(data);
    CHECK(!parse_exact(data, 28, 0).is_fragment);
}

/* An IPv6 packet whose payload is `headers`, announced as `next`. */
static struct packet parse_ipv6(uint8_t next, const uint8_t *headers, uint32_t length)
{
    uint8_t data[512];
    struct path path = sample_path(6);
    uint32_t n = packet_build(data, sizeof data, &path, next, 0, headers, length, -1);

    CHECK(n == 40 + length);
    return parse_exact(data, n, 0);
}

static void ipv6_fields_are_read(void)
{
    struct packet p = parse_ipv6(253, (const uint8_t *)"12345", 5);
    struct path path = sample_path(6);

    CHECK(p.fault == FAULT_NONE && p.version == 6 && p.protocol == 253 && p.length == 45);
    CHECK(p.ttl == 64 && p.traffic_class == 0x2a && p.flow_label == 0xabcde);
    CHECK(memcmp(p.src, path.src, 16) == 0 && memcmp(p.dst, path.dst, 16) == 0);
    CHECK(p.ip_header_length == 40 && p.text_length == 5 && p.problem_pointer == 6);
}

static void ipv6_lengths_are_checked(void)
{
    uint8_t data[64];
    struct path path = sample_path(6);

    packet_build(data, sizeof data, &path, 253, 0, (const uint8_t *)"12345", 5, -1);
    CHECK(parse_exact(data, 39, 0).fault == FAULT_SHORT);
    CHECK(parse_exact(data, 44, 0).fault == FAULT_IP_LENGTH);
    CHECK(parse_exact(data, 60, 0).length == 45);
}

static void mapped_addresses_are_not_for_the_wire(void)
{
    struct path near = sample_path(6), far = sample_path(6), v4 = sample_path(4);
    uint8_t data[64];

    memcpy(near.src, v4.src, 16);
    packet_build(data, sizeof data, &near, 253, 0, NULL, 0, -1);
    CHECK(parse_exact(data, 40, 0).fault == FAULT_VERSION);
    memcpy(far.dst, v4.dst, 16);
    packet_build(data, sizeof data, &far, 253, 0, NULL, 0, -1);
    CHECK(parse_exact(data, 40, 0).fault == FAULT_VERSION);
}

static void extension_headers_are_walked(void)
{
    static const uint8_t chain[] = {
        60, 0, 1, 4, 0, 0, 0, 0,              /* hop-by-hop, PadN */
        43, 0, 0, 0, 0, 0, 1, 0,              /* destination options, Pad1 and PadN */
        51, 0, 99, 0, 0, 0, 0, 0,             /* routing of unknown type, used up */
        59, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2,  /* AH */
        0xaa, 0xbb,
    };
    struct packet p = parse_ipv6(PROTOCOL_HOP_BY_HOP, chain, sizeof chain);

    CHECK(p.fault == FAULT_NONE && p.protocol == PROTOCOL_NO_NEXT_HEADER);
    CHECK(p.ip_header_length == 40 + 36 && p.text_length == 2 && p.problem_pointer == 40 + 24);
}

static void hop_by_hop_comes_first_or_not_at_all(void)
{
    static const uint8_t chain[] = {
        0, 0, 1, 4, 0, 0, 0, 0, 59, 0, 1, 4, 0, 0, 0, 0,
    };
    struct packet p = parse_ipv6(PROTOCOL_DESTINATION_OPTIONS, chain, sizeof chain);

    CHECK(p.fault == FAULT_EXTENSION && p.problem && p.problem_code == 1);
    CHECK(p.problem_pointer == 40);
}

static struct packet parse_unknown_option(uint8_t kind, int multicast)
{
    const uint8_t header[8] = {59, 0, kind, 4, 0, 0, 0, 0};
    uint8_t data[64];
    struct path path = sample_path(6);

    if (multicast)
        path.dst[0] = 0xff;
    packet_build(data, sizeof data, &path, PROTOCOL_DESTINATION_OPTIONS, 0, header, 8, -1);
    return parse_exact(data, 48, 0);
}

static void unknown_options_act_by_their_two_highest_bits(void)
{
    struct packet p = parse_unknown_option(0x3e, 0);

    CHECK(p.fault == FAULT_NONE && !p.problem);
    p = parse_unknown_option(0x7e, 0);
    CHECK(p.fault == FAULT_EXTENSION && !p.problem);
    p = parse_unknown_option(0xbe, 1);
    CHECK(p.fault == FAULT_EXTENSION && p.problem && p.problem_code == 2);
    CHECK(p.problem_pointer == 42);
    p = parse_unknown_option(0xfe, 0);
    CHECK(p.fault == FAULT_EXTENSION && p.problem && p.problem_code == 2);
    p = parse_unknown_option(0xfe, 1);
    CHECK(p.fault == FAULT_EXTENSION && !p.problem);
}

static void unknown_routing_with_segments_left_is_refused(void)
{
    static const uint8_t routing[8] = {59, 0, 0, 1, 0, 0, 0, 0};
    struct packet p = parse_ipv6(PROTOCOL_ROUTING, routing, sizeof routing);

    CHECK(p.fault == FAULT_EXTENSION && p.problem && p.problem_code == 0);
    CHECK(p.problem_pointer == 42);
}

static void extensions_that_are_cut_short_are_refused(void)
{
    static const uint8_t cut[8] = {59, 1, 1, 4, 0, 0, 0, 0};
    static const uint8_t option[8] = {59, 0, 1, 5, 0, 0, 0, 0};
    struct packet p = parse_ipv6(PROTOCOL_DESTINATION_OPTIONS, cut, sizeof cut);

    CHECK(p.fault == FAULT_EXTENSION && p.problem && p.problem_pointer == 41);
    CHECK(parse_ipv6(PROTOCOL_ROUTING, cut, 7).fault == FAULT_EXTENSION);
    p = parse_ipv6(PROTOCOL_HOP_BY_HOP, option, sizeof option);
    CHECK(p.fault == FAULT_EXTENSION && p.problem && p.problem_pointer == 43);
}

static void endless_chains_are_refused(void)
{
    uint8_t chain[8 * 17];
    int i;

    memset(chain, 0, sizeof chain);
    for (i = 0; i < 17; i++) {
        chain[8 * i] = i == 16 ? PROTOCOL_NO_NEXT_HEADER : PROTOCOL_DESTINATION_OPTIONS;
        chain[8 * i + 2] = 1;
        chain[8 * i + 3] = 4;
    }
    CHECK(parse_ipv6(PROTOCOL_DESTINATION_OPTIONS, chain, sizeof chain).fault == FAULT_EXTENSION);
    CHECK(parse_ipv6(PROTOCOL_DESTINATION_OPTIONS, chain + 8, sizeof chain - 8).fault ==
          FAULT_NONE);
}

static void ipv6_fragments_end_the_walk(void)
{
    static const uint8_t chain[] = {
        44, 0, 1, 4, 0, 0, 0, 0, 60, 0, 0x01, 0x01, 0xde, 0xad, 0xbe, 0xef, 0, 255, 1, 2,
    };
    struct packet p = parse_ipv6(PROTOCOL_HOP_BY_HOP, chain, sizeof chain);

    CHECK(p.fault == FAULT_NONE && p.is_fragment && p.more_fragments);
    CHECK(p.fragment_offset == 256 && p.fragment_id == 0xdeadbeef);
    CHECK(p.unfragmentable_length == 48 && p.fragment_next_header == 60);
    CHECK(p.ip_header_length == 56 && p.length == 60);
}

static void atomic_fragments_are_whole_packets(void)
{
    /* RFC 6946: offset 0 and nothing more to come. */
    static const uint8_t chain[] = {253, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3};
    struct packet p = parse_ipv6(PROTOCOL_FRAGMENT, chain, sizeof chain);

    CHECK(p.fault == FAULT_NONE && !p.is_fragment && p.protocol == 253 && p.text_length == 3);
}

int main(void)
{
    RUN(ipv4_fields_are_read);
    RUN(trailing_bytes_are_cut_off);
    RUN(ipv4_faults);
    RUN(a_source_route_ends_here_or_leads_on);
    RUN(ipv4_options_stay_within_the_header);
    RUN(ipv4_fragments_are_told_apart);
    RUN(ipv6_fields_are_read);
    RUN(ipv6_lengths_are_checked);
    RUN(mapped_addresses_are_not_for_the_wire);
    RUN(extension_headers_are_walked);
    RUN(hop_by_hop_comes_first_or_not_at_all);
    RUN(unknown_options_act_by_their_two_highest_bits);
    RUN(unknown_routing_with_segments_left_is_refused);
    RUN(extensions_that_are_cut_short_are_refused);
    RUN(endless_chains_are_refused);
    RUN(ipv6_fragments_end_the_walk);
    RUN(atomic_fragments_are_whole_packets);
    return 0;
}
