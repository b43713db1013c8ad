#include "check.h"

/* Builds a segment with these raw options (a multiple of four bytes) and parses it. */
static struct packet parse_options(const uint8_t *options, uint32_t length)
{
    uint8_t segment[60] = {0}, data[128];
    struct path path = sample_path(4);
    uint32_t n;

    segment[12] = (uint8_t)((20 + length) / 4 << 4);
    segment[13] = FLAG_SYN;
    memcpy(segment + 20, options, length);
    n = packet_build(data, sizeof data, &path, PROTOCOL_TCP, 0, segment, 20 + length, 16);
    CHECK(n == 40 + length);
    return parse_exact(data, n, 0);
}

static void known_options_are_read_at_any_alignment(void)
{
    static const uint8_t options[24] = {
        1, 2, 4, 0x05, 0xb4, 3, 3, 7, 1, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 5, 253, 2, 0,
    };
    struct packet p = parse_options(options, sizeof options);

    CHECK(p.fault == FAULT_NONE && p.mss == 1460 && p.wscale == 7);
    CHECK(p.tsval == 9 && p.tsecr == 5);
    CHECK(p.options == (OPTION_MSS | OPTION_WSCALE | OPTION_SACK_PERMITTED | OPTION_TIMESTAMPS |
                        OPTION_UNKNOWN));
}

static void sack_blocks_are_read(void)
{
    uint8_t options[36] = {1, 1, 5, 34};
    struct packet p;
    uint32_t i;

    for (i = 0; i < 8; i++)
        store32(options + 4 + 4 * i, 0xfffffff0u + 8 * i);
    p = parse_options(options, sizeof options);
    CHECK(p.options == OPTION_SACK && p.sack_count == 4);
    for (i = 0; i < 8; i++)
        CHECK(p.sack[i] == 0xfffffff0u + 8 * i);
}

static void nothing_is_read_behind_end_of_options(void)
{
    CHECK(parse_options((const uint8_t[8]){1, 0, 2, 4, 5, 6, 0, 0}, 8).options == 0);
}

static void illegal_option_lengths_end_the_walk(void)
{
    static const uint8_t cases[][8] = {
        {2, 0, 0, 0, 3, 3, 1, 0},  {2, 1, 0, 0, 3, 3, 1, 0},  {2, 9, 0, 0, 3, 3, 1, 0},
        {2, 3, 0, 3, 3, 1, 0, 0},  {3, 4, 0, 0, 3, 3, 1, 0},  {4, 3, 0, 3, 3, 1, 0, 0},
        {5, 8, 0, 0, 0, 0, 0, 0},  {8, 8, 0, 0, 0, 0, 0, 0},  {5, 2, 3, 3, 1, 0, 0, 0},
        {99, 0, 0, 0, 3, 3, 1, 0}, {1, 1, 1, 1, 1, 1, 1, 2},
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct packet p = parse_options(cases[i], 8);

        CHECK(p.fault == FAULT_NONE && p.options == OPTION_ILLEGAL);
    }
}

static void fast_open_is_read_in_its_lengths_only(void)
{
    uint8_t options[24] = {34, 2, 0, 0};
    struct packet p = parse_options(options, 4);
    uint8_t n;

    CHECK(p.options == OPTION_FAST_OPEN && p.fast_open_length == 0);
    for (n = 0; n <= 20; n++) {
        int good = n == 0 || (n >= 4 && n <= 16 && n % 2 == 0);

        memset(options, 0, sizeof options);
        options[0] = 34;
        options[1] = (uint8_t)(2 + n);
        memset(options + 2, n, n);
        p = parse_options(options, sizeof options);
        CHECK(p.fault == FAULT_NONE);
        CHECK(p.options == (good ? OPTION_FAST_OPEN : OPTION_UNKNOWN));
        CHECK(!good || (p.fast_open_length == n && memcmp(p.fast_open, options + 2, n) == 0));
    }
}

static void user_timeout_is_read(void)
{
    struct packet p = parse_options((const uint8_t[8]){28, 4, 0x80, 5, 0, 0, 0, 0}, 8);

    CHECK(p.options == OPTION_USER_TIMEOUT && p.user_timeout == 0x8005);
    p = parse_options((const uint8_t[8]){28, 3, 0x80, 0, 0, 0, 0, 0}, 8);
    CHECK(p.options == OPTION_ILLEGAL);
}

static void accecn_is_read_in_both_orders_and_every_length(void)
{
    uint8_t options[20];
    uint8_t n;

    for (n = 0; n <= 14; n++) {
        int good = n % 3 == 0 && n <= 9;
        struct packet p;

        memset(options, 0, sizeof options);
        options[0] = n % 2 ? 174 : 172;
        options[1] = (uint8_t)(2 + n);
        memset(options + 2, 0x81, n);
        p = parse_options(options, sizeof options);
        CHECK(p.options == (good ? OPTION_ACCECN : OPTION_UNKNOWN));
        CHECK(!good || (p.accecn_count == n / 3 && p.accecn_order == n % 2));
        CHECK(!good || n == 0 || p.accecn[n / 3 - 1] == 0x818181);
    }
}

static uint32_t tcp_packet(uint8_t *data, uint8_t version)
{
    struct path path = sample_path(version);
    struct emit e;
    struct outgoing out;

    memset(&e, 0, sizeof e);
    e.seq = 0xfffffffe;
    e.ack = 0x80000001;
    e.flags = FLAG_ACK | FLAG_URG | FLAG_AE | FLAG_CWR;
    e.window = 0xfedc;
    e.urgent = 3;
    outgoing_tcp(&out, &path, &e, NULL, 0, 0);
    return outgoing_copy(&out, data, 128);
}

static void tcp_fields_are_read(void)
{
    uint8_t data[128];
    uint32_t n = tcp_packet(data, 6);
    struct packet p = parse_exact(data, n, 0);

    CHECK(p.fault == FAULT_NONE && p.sport == 1000 && p.dport == 80);
    CHECK(p.seq == 0xfffffffe && p.ack == 0x80000001 && p.window == 0xfedc && p.urgent == 3);
    CHECK(p.flags == (FLAG_ACK | FLAG_URG | FLAG_AE | FLAG_CWR) && p.text_length == 0);
}

static void tcp_faults(void)
{
    uint8_t data[128];
    uint32_t n = tcp_packet(data, 6);

    data[40 + 4] ^= 0x10;
    CHECK(parse_exact(data, n, 0).fault == FAULT_TRANSPORT_CHECKSUM);
    CHECK(parse_exact(data, n, PARSE_TRUST_CHECKSUM).fault == FAULT_NONE);
    data[40 + 12] = 0x40;
    CHECK(parse_exact(data, n, 0).fault == FAULT_DATA_OFFSET);
    data[40 + 12] = 0x60;
    CHECK(parse_exact(data, n, 0).fault == FAULT_DATA_OFFSET);
    store16(data + 4, 19);
    CHECK(parse_exact(data, 59, 0).fault == FAULT_TRANSPORT_SHORT);
}

static uint32_t udp_packet(uint8_t *data, uint8_t version, uint32_t announced)
{
    uint8_t datagram[13] = {0x03, 0xe8, 0x00, 0x35, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'};
    struct path path = sample_path(version);

    store16(datagram + 4, announced);
    return packet_build(data, 128, &path, PROTOCOL_UDP, 0, datagram, 13, 6);
}

static void udp_text_ends_where_the_length_says(void)
{
    uint8_t data[128];
    uint32_t n = udp_packet(data, 4, 13);
    struct packet p = parse_exact(data, n, 0);

    CHECK(p.fault == FAULT_NONE && p.sport == 1000 && p.dport == 53 && p.text_length == 5);
    n = udp_packet(data, 4, 10);
    p = parse_exact(data, n, PARSE_TRUST_CHECKSUM);
    CHECK(p.fault == FAULT_NONE && p.text_length == 2);
}

static void udp_faults(void)
{
    uint8_t data[128];
    uint32_t n = udp_packet(data, 4, 7);

    CHECK(parse_exact(data, n, 0).fault == FAULT_UDP_LENGTH);
    n = udp_packet(data, 4, 14);
    CHECK(parse_exact(data, n, 0).fault == FAULT_UDP_LENGTH);
    n = udp_packet(data, 6, 13);
    data[n - 1] ^= 1;
    CHECK(parse_exact(data, n, 0).fault == FAULT_TRANSPORT_CHECKSUM);
}

static void udp_without_checksum_is_for_ipv4_only(void)
{
    uint8_t data[128];
    uint32_t n = udp_packet(data, 4, 13);

    store16(data + 26, 0);
    CHECK(parse_exact(data, n, 0).fault == FAULT_NONE);
    n = udp_packet(data, 6, 13);
    store16(data + 46, 0);
    CHECK(parse_exact(data, n, 0).fault == FAULT_TRANSPORT_CHECKSUM);
}

static void icmp_is_read_in_its_own_version_only(void)
{
    static const uint8_t echo[10] = {128, 1, 0, 0, 0x12, 0x34, 0, 5, 'x', 'y'};
    struct path v6 = sample_path(6), v4 = sample_path(4);
    uint8_t data[128];
    uint32_t n = packet_build(data, sizeof data, &v6, PROTOCOL_ICMPV6, 0, echo, 10, 2);
    struct packet p = parse_exact(data, n, 0);

    CHECK(p.fault == FAULT_NONE && p.icmp_type == 128 && p.icmp_code == 1);
    CHECK(p.icmp_rest == 0x12340005 && p.text_length == 2);
    data[n - 1] ^= 1;
    CHECK(parse_exact(data, n, 0).fault == FAULT_TRANSPORT_CHECKSUM);
    n = packet_build(data, sizeof data, &v4, PROTOCOL_ICMP, 0, echo, 10, 2);
    CHECK(parse_exact(data, n, 0).icmp_type == 128);
    n = packet_build(data, sizeof data, &v4, PROTOCOL_ICMPV6, 0, echo, 10, 2);
    p = parse_exact(data, n, 0);
    CHECK(p.fault == FAULT_NONE && p.icmp_type == 0 && p.text_length == 10);
    n = packet_build(data, sizeof data, &v4, PROTOCOL_ICMP, 0, echo, 7, 2);
    CHECK(parse_exact(data, n, 0).fault == FAULT_TRANSPORT_SHORT);
}

/* Spoils the checksum of a built packet, has it completed, and expects the same bytes. */
static void complete_and_compare(const uint8_t *data, uint32_t n, uint32_t field)
{
    uint8_t copy[128];
    struct packet p;

    memcpy(copy, data, n);
    store16(copy + field, 0x5555);
    CHECK(packet_parse(&p, copy, n, PARSE_TRUST_CHECKSUM) == FAULT_NONE);
    CHECK(packet_complete_checksum(&p, copy) == 1);
    CHECK(memcmp(copy, data, n) == 0);
}

static void checksums_are_completed(void)
{
    static const uint8_t echo[8] = {8, 0, 0, 0, 1, 2, 3, 4};
    struct path v4 = sample_path(4);
    uint8_t data[128];
    uint32_t n = tcp_packet(data, 4);

    complete_and_compare(data, n, 20 + 16);
    n = tcp_packet(data, 6);
    complete_and_compare(data, n, 40 + 16);
    n = udp_packet(data, 4, 13);
    complete_and_compare(data, n, 20 + 6);
    n = packet_build(data, sizeof data, &v4, PROTOCOL_ICMP, 0, echo, 8, 2);
    complete_and_compare(data, n, 20 + 2);
}

static void nothing_is_completed_where_there_is_no_checksum(void)
{
    struct path v4 = sample_path(4);
    uint8_t data[128];
    uint32_t n = packet_build(data, sizeof data, &v4, 253, 0, (const uint8_t *)"ab", 2, -1);
    struct packet p;

    CHECK(packet_parse(&p, data, n, 0) == FAULT_NONE);
    CHECK(packet_complete_checksum(&p, data) == 0);
    packet_parse(&p, data, 5, 0);
    CHECK(packet_complete_checksum(&p, data) == 0);
}

int main(void)
{
    RUN(known_options_are_read_at_any_alignment);
    RUN(sack_blocks_are_read);
    RUN(nothing_is_read_behind_end_of_options);
    RUN(fast_open_is_read_in_its_lengths_only);
    RUN(user_timeout_is_read);
    RUN(accecn_is_read_in_both_orders_and_every_length);
    RUN(illegal_option_lengths_end_the_walk);
    RUN(tcp_fields_are_read);
    RUN(tcp_faults);
    RUN(udp_text_ends_where_the_length_says);
    RUN(udp_faults);
    RUN(udp_without_checksum_is_for_ipv4_only);
    RUN(icmp_is_read_in_its_own_version_only);
    RUN(checksums_are_completed);
    RUN(nothing_is_completed_where_there_is_no_checksum);
    return 0;
}
