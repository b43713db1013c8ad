#include "check.h"

static struct emit syn(void)
{
    struct emit e;

    memset(&e, 0, sizeof e);
    e.seq = 1;
    e.flags = FLAG_SYN;
    e.window = 65535;
    e.options = OPTION_MSS | OPTION_SACK_PERMITTED | OPTION_TIMESTAMPS | OPTION_WSCALE;
    e.mss = 1460;
    e.wscale = 7;
    e.tsval = 0x01020304;
    return e;
}

static void syn_options_come_in_the_usual_order(void)
{
    static const uint8_t want[20] = {
        2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7,
    };
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;

    CHECK(outgoing_tcp(&out, &path, &e, NULL, 0, 0) == 60);
    CHECK(out.head_length == 60 && memcmp(out.head + 40, want, sizeof want) == 0);
}

static void ip_options_lead_to_the_next_hop_and_the_checksum_covers_the_destination(void)
{
    static const uint8_t route[8] = {131, 7, 4, 192, 0, 2, 2, 0}, hop[4] = {198, 51, 100, 1};
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct packet p;
    uint8_t data[OUTGOING_HEAD_MAX];
    uint16_t start;

    path.options_length = sizeof route;
    memcpy(path.options, route, sizeof route);
    path.routed = 1;
    memcpy(path.next_hop, hop, sizeof hop);
    CHECK(outgoing_tcp(&out, &path, &e, NULL, 0, 0) == 68 && out.head_length == 68);
    CHECK(outgoing_copy(&out, data, sizeof data) == 68);
    CHECK(data[0] == 0x47 && memcmp(data + 16, hop, 4) == 0);
    CHECK(memcmp(data + 20, route, sizeof route) == 0);
    /* On the last leg the destination stands in the header. */
    data[22] = 8;
    memcpy(data + 16, path.dst + 12, 4);
    store16(data + 10, 0);
    store16(data + 10, checksum_field(checksum_scalar(data, 28, 0)));
    p = parse_exact(data, 68, 0);
    CHECK(p.fault == FAULT_NONE && p.source_route == 20 && p.mss == 1460);
    e.gso_size = 100;
    e.checksum_offload = 1;
    CHECK(outgoing_tcp(&out, &path, &e, NULL, 0, 0) == 68);
    memcpy(&start, out.vnet + 6, sizeof start);
    CHECK(start == 28); /* where the device's sum begins */
}

static void options_are_aligned_in_every_combination(void)
{
    struct path path = sample_path(6);
    uint32_t options;

    for (options = 0; options < 0x200; options++) {
        struct emit e = syn();
        struct outgoing out;
        struct packet p;
        uint8_t data[OUTGOING_HEAD_MAX];
        uint32_t n;

        if (options & (OPTION_UNKNOWN | OPTION_ILLEGAL))
            continue;
        e.options = (uint16_t)options;
        e.sack_count = 4;
        e.fast_open_length = 4;
        n = outgoing_tcp(&out, &path, &e, NULL, 0, 0);
        CHECK(n % 4 == 0 && n <= 100 && outgoing_copy(&out, data, sizeof data) == n);
        p = parse_exact(data, n, 0);
        CHECK(p.fault == FAULT_NONE);
        CHECK((p.options & ~OPTION_SACK) == (options & ~(uint32_t)OPTION_SACK));
    }
}

static void sack_blocks_are_those_that_fit(void)
{
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct packet p;
    uint32_t i;

    e.flags = FLAG_ACK;
    e.sack_count = 4;
    for (i = 0; i < 8; i++)
        e.sack[i] = i * 100;
    e.options = OPTION_SACK;
    outgoing_tcp(&out, &path, &e, NULL, 0, 0);
    packet_parse(&p, out.head, out.head_length, 0);
    CHECK(p.sack_count == 4 && memcmp(p.sack, e.sack, sizeof e.sack) == 0);
    e.options = OPTION_SACK | OPTION_TIMESTAMPS;
    outgoing_tcp(&out, &path, &e, NULL, 0, 0);
    packet_parse(&p, out.head, out.head_length, 0);
    CHECK(p.sack_count == 3 && p.options == e.options);
}

static void fast_open_cookies_are_padded_to_words(void)
{
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct packet p;
    uint32_t n;

    e.options = OPTION_FAST_OPEN;
    fill_pattern(e.fast_open, sizeof e.fast_open, 7);
    for (n = 0; n <= FAST_OPEN_MAX; n += n == 0 ? 4 : 2) {
        e.fast_open_length = (uint8_t)n;
        CHECK(outgoing_tcp(&out, &path, &e, NULL, 0, 0) == 40 + (2 + n + 3) / 4 * 4);
        packet_parse(&p, out.head, out.head_length, 0);
        CHECK(p.options == OPTION_FAST_OPEN && p.fast_open_length == n);
        CHECK(memcmp(p.fast_open, e.fast_open, n) == 0);
    }
}

static void a_cookie_that_does_not_fit_is_left_out(void)
{
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct packet p;

    e.options |= OPTION_FAST_OPEN | OPTION_USER_TIMEOUT;
    e.user_timeout = 0x8005;
    e.fast_open_length = FAST_OPEN_MAX;
    CHECK(outgoing_tcp(&out, &path, &e, NULL, 0, 0) == 64);
    packet_parse(&p, out.head, out.head_length, 0);
    CHECK(p.options == (e.options & ~OPTION_FAST_OPEN) && p.user_timeout == 0x8005);
}

static void accecn_counters_of_any_number_are_written(void)
{
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct packet p;
    uint8_t n;

    e.options = OPTION_ACCECN;
    for (n = 0; n < 8; n++) {
        e.accecn_order = n % 2;
        e.accecn_count = n / 2;
        e.accecn[0] = 0x01fffffe;
        e.accecn[1] = 5;
        e.accecn[2] = 0x800000;
        CHECK(outgoing_tcp(&out, &path, &e, NULL, 0, 0) == 40u + (2u + 3u * (n / 2) + 3u) / 4u * 4u);
        packet_parse(&p, out.head, out.head_length, 0);
        CHECK(p.options == OPTION_ACCECN && p.accecn_order == n % 2 && p.accecn_count == n / 2);
        CHECK(p.accecn[0] == (n / 2 > 0 ? 0xfffffeu : 0) && p.accecn[2] == (n / 2 > 2 ? 0x800000u : 0));
    }
}

static void sack_goes_before_accecn(void)
{
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct packet p;

    e.options = OPTION_TIMESTAMPS | OPTION_SACK | OPTION_ACCECN;
    e.accecn_count = ACCECN_MAX;
    for (e.sack_count = 1; e.sack_count <= 3; e.sack_count++) {
        outgoing_tcp(&out, &path, &e, NULL, 0, 0);
        packet_parse(&p, out.head, out.head_length, 0);
        CHECK(p.sack_count == e.sack_count);
        CHECK(!(p.options & OPTION_ACCECN) == (e.sack_count > 1));
    }
}

/* A ring whose `length` bytes begin `before` bytes in front of the wrap. */
static void wrapped_ring(struct ring *r, uint32_t before, uint32_t length)
{
    uint8_t data[2048];

    fill_pattern(data, sizeof data, 3);
    ring_init(r, 2048);
    CHECK(ring_write(r, data, 2048) == 2048);
    CHECK(ring_consume(r, 2048 - before) == 2048 - before);
    CHECK(ring_write(r, data, length - before) == length - before);
}

static void checksum_holds_for_text_split_at_any_byte(void)
{
    struct path path = sample_path(4);
    uint32_t before;

    for (before = 1; before < 300; before++) {
        struct emit e = syn();
        struct outgoing out;
        struct ring r;
        uint8_t data[512], text[300];
        uint32_t n;
        struct packet p;

        wrapped_ring(&r, before, 300);
        n = outgoing_tcp(&out, &path, &e, &r, 0, 300);
        CHECK(n == 360 && out.text[0].length == before && out.text[1].length == 300 - before);
        CHECK(outgoing_copy(&out, data, sizeof data) == n);
        CHECK(packet_parse(&p, data, n, 0) == FAULT_NONE && p.text_length == 300);
        CHECK(ring_peek(&r, 0, text, 300) == 300 && memcmp(text, p.text, 300) == 0);
        ring_free(&r);
    }
}

static uint16_t vnet16_at(const struct outgoing *out, uint32_t at)
{
    uint16_t value;

    memcpy(&value, out->vnet + at, sizeof value);
    return value;
}

static void super_segments_carry_what_the_device_needs(void)
{
    struct path path = sample_path(6);
    struct emit e = syn();
    struct outgoing out;
    struct ring r;
    uint8_t data[4096];

    fill_pattern(data, sizeof data, 4);
    ring_init(&r, 4096);
    CHECK(ring_write(&r, data, 4096) == 4096);
    e.options = OPTION_TIMESTAMPS;
    e.flags = FLAG_ACK;
    e.gso_size = 1428;
    CHECK(outgoing_tcp(&out, &path, &e, &r, 0, 4096) == 72 + 4096);
    CHECK(out.vnet[0] == 1 && out.vnet[1] == 4);
    CHECK(vnet16_at(&out, 2) == 72 && vnet16_at(&out, 4) == 1428);
    CHECK(vnet16_at(&out, 6) == 40 && vnet16_at(&out, 8) == 16);
    CHECK(load16(out.head + 56) == checksum_pseudo(path.src, path.dst, 6, 6, 32 + 4096));
    e.flags |= FLAG_CWR;
    outgoing_tcp(&out, &path, &e, &r, 0, 4096);
    CHECK(out.vnet[1] == (4 | 0x80));
    ring_free(&r);
}

static void one_segment_is_no_super_segment(void)
{
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct ring r;

    ring_init(&r, 4096);
    CHECK(ring_write(&r, (const uint8_t *)"hello", 5) == 5);
    e.gso_size = 5;
    outgoing_tcp(&out, &path, &e, &r, 0, 5);
    CHECK(out.vnet[0] == 0 && out.vnet[1] == 0 && vnet16_at(&out, 4) == 0);
    e.checksum_offload = 1;
    outgoing_tcp(&out, &path, &e, &r, 0, 5);
    CHECK(out.vnet[0] == 1 && out.vnet[1] == 0 && vnet16_at(&out, 6) == 20);
    ring_free(&r);
}

static void what_cannot_be_built_is_refused(void)
{
    struct path path = sample_path(4);
    struct emit e = syn();
    struct outgoing out;
    struct ring r;
    uint8_t data[1024] = {0};
    uint32_t i;

    ring_init(&r, 65536);
    for (i = 0; i < 64; i++)
        CHECK(ring_write(&r, data, 1024) == 1024);
    CHECK(outgoing_tcp(&out, &path, &e, &r, 0, 65535 - 60) == 65535);
    CHECK(outgoing_tcp(&out, &path, &e, &r, 0, 65535 - 59) == 0);
    CHECK(outgoing_tcp(&out, &path, &e, &r, 65530, 7) == 0);
    CHECK(outgoing_tcp(&out, &path, &e, NULL, 0, 1) == 0);
    CHECK(outgoing_copy(&out, data, 0) == 0);
    ring_free(&r);
}

static void raw_packets_are_borrowed_whole(void)
{
    static const uint8_t data[6] = "bytes";
    struct outgoing out;
    uint8_t copy[6];

    memset(&out, 0xff, sizeof out);
    outgoing_raw(&out, data, sizeof data);
    CHECK(out.length == 6 && out.text[0].data == data && out.vnet[0] == 0);
    CHECK(outgoing_copy(&out, copy, 5) == 0);
    CHECK(outgoing_copy(&out, copy, 6) == 6 && memcmp(copy, data, 6) == 0);
}

static void built_packets_fit_or_are_refused(void)
{
    static const uint8_t payload[9] = {0};
    struct path path = sample_path(4);
    uint8_t data[32];

    CHECK(packet_build(data, 29, &path, 253, 0, payload, 9, -1) == 29);
    CHECK(packet_build(data, 28, &path, 253, 0, payload, 9, -1) == 0);
    CHECK(packet_build(data, 29, &path, 253, 0, payload, 9, 7) == 29);
    CHECK(packet_build(data, 29, &path, 253, 0, payload, 9, 8) == 0);
    CHECK(packet_build(data, 20, &path, 253, 0, NULL, 0, -1) == 20);
}

static void udp_sum_of_zero_goes_out_as_all_ones(void)
{
    /* RFC 768: choose the text so that the sum of the rest is all ones. */
    uint8_t datagram[10] = {0, 0, 0, 0, 0, 10};
    struct path path = sample_path(4);
    uint32_t sum = checksum_pseudo(path.src, path.dst, 4, PROTOCOL_UDP, 10);
    uint8_t data[64];

    store16(datagram + 8, checksum_field(checksum_scalar(datagram, 10, sum)));
    CHECK(packet_build(data, sizeof data, &path, PROTOCOL_UDP, 0, datagram, 10, 6) == 30);
    CHECK(load16(data + 26) == 0xffff);
    CHECK(parse_exact(data, 30, 0).fault == FAULT_NONE);
}

int main(void)
{
    RUN(syn_options_come_in_the_usual_order);
    RUN(ip_options_lead_to_the_next_hop_and_the_checksum_covers_the_destination);
    RUN(options_are_aligned_in_every_combination);
    RUN(sack_blocks_are_those_that_fit);
    RUN(fast_open_cookies_are_padded_to_words);
    RUN(a_cookie_that_does_not_fit_is_left_out);
    RUN(accecn_counters_of_any_number_are_written);
    RUN(sack_goes_before_accecn);
    RUN(checksum_holds_for_text_split_at_any_byte);
    RUN(super_segments_carry_what_the_device_needs);
    RUN(one_segment_is_no_super_segment);
    RUN(what_cannot_be_built_is_refused);
    RUN(raw_packets_are_borrowed_whole);
    RUN(built_packets_fit_or_are_refused);
    RUN(udp_sum_of_zero_goes_out_as_all_ones);
    return 0;
}
