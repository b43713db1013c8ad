#include "check.h"

#define NO_LIMIT UINT32_MAX

static uint8_t text[64];

/* A packet as a host builds it: its headers are its own, its text is borrowed. */
static struct outgoing built(uint8_t version, uint8_t ttl, uint8_t last)
{
    struct path path = sample_path(version);
    struct emit emit = {.flags = FLAG_ACK};
    struct outgoing out;

    path.ttl = ttl;
    path.dst[15] = last;
    CHECK(outgoing_tcp(&out, &path, &emit, NULL, 0, 0) > 0);
    out.text[0].data = text;
    out.text[0].length = sizeof text;
    out.length += (uint32_t)sizeof text;
    return out;
}

/* The same in one piece, of which nothing is the packet's own. */
static struct outgoing borrowed(const struct outgoing *out, uint8_t bytes[256])
{
    struct outgoing raw;

    CHECK(outgoing_copy(out, bytes, 256) == out->length);
    memset(&raw, 0, sizeof raw);
    outgoing_raw(&raw, bytes, out->length);
    return raw;
}

static void expect_one_hop_less(const struct outgoing *onward, const struct outgoing *out,
                                uint8_t version)
{
    uint8_t before[256], after[256];
    uint32_t at = version == 4 ? 8 : 7;

    CHECK(outgoing_copy(out, before, sizeof before) == outgoing_copy(onward, after, sizeof after));
    CHECK(after[at] == before[at] - 1);
    if (version == 4)
        CHECK(checksum_add(after, 20, 0) == 0xffffu);
    after[at] = before[at];
    if (version == 4)
        memcpy(after + 10, before + 10, 2);
    CHECK(memcmp(before, after, out->length) == 0);
}

static void one_hop_is_counted(void)
{
    uint32_t version, ttl;

    for (version = 4; version <= 6; version += 2) {
        for (ttl = 2; ttl < 256; ttl++) {
            uint8_t bytes[256], kept[256];
            struct outgoing out[2], onward[2];
            struct hop hop;

            out[0] = built((uint8_t)version, (uint8_t)ttl, 9);
            out[1] = borrowed(&out[0], bytes);
            memcpy(kept, bytes, sizeof kept);
            CHECK(hop_look(&hop, out, 2, out[0].length) == (version == 4 ? 4u : 16u));
            CHECK(hop.longest == out[0].length);
            CHECK(hop.destination[version == 4 ? 3 : 15] == 9);
            hop_take(onward, out, 2);
            expect_one_hop_less(&onward[0], &out[0], (uint8_t)version);
            expect_one_hop_less(&onward[1], &out[1], (uint8_t)version);
            CHECK(memcmp(kept, bytes, out[1].length) == 0);
        }
    }
}

static uint32_t looked_at(const struct outgoing *first, const struct outgoing *second,
                          uint32_t limit)
{
    struct outgoing both[2] = {*first, *second};
    struct hop hop;

    return hop_look(&hop, both, 2, limit);
}

static void what_asks_for_more_is_left(void)
{
    struct outgoing good = built(4, 64, 9), other = built(4, 64, 8), six = built(6, 64, 9);
    struct outgoing dead = built(4, 1, 9), dead6 = built(6, 1, 9), bad = good, zero = good;
    struct outgoing longer = good, version = good, fives = six;

    CHECK(looked_at(&good, &good, NO_LIMIT) == 4 && looked_at(&six, &six, NO_LIMIT) == 16);
    CHECK(looked_at(&good, &other, NO_LIMIT) == 0 && looked_at(&good, &six, NO_LIMIT) == 0);
    CHECK(looked_at(&good, &dead, NO_LIMIT) == 0 && looked_at(&dead6, &dead6, NO_LIMIT) == 0);
    CHECK(looked_at(&good, &good, good.length - 1) == 0);
    bad.head[4] ^= 1;
    CHECK(looked_at(&good, &bad, NO_LIMIT) == 0);
    zero.head[0] = 0x40;
    CHECK(looked_at(&zero, &zero, NO_LIMIT) == 0);
    longer.head[0] = 0x4f;
    CHECK(looked_at(&longer, &longer, NO_LIMIT) == 0);
    version.head[0] = 0x55;
    fives.head[0] = 0x50;
    CHECK(looked_at(&version, &version, NO_LIMIT) == 0);
    CHECK(looked_at(&fives, &fives, NO_LIMIT) == 0);
}

static void nothing_is_read_beyond_a_short_packet(void)
{
    struct outgoing four = built(4, 64, 9), six = built(6, 64, 9);
    uint32_t length;

    for (length = 0; length < 40; length++) {
        uint8_t *copy = malloc(length > 0 ? length : 1);
        struct outgoing out;
        struct hop hop;

        CHECK(copy != NULL);
        memset(&out, 0, sizeof out);
        memcpy(copy, four.head, length);
        outgoing_raw(&out, copy, length);
        CHECK(hop_look(&hop, &out, 1, NO_LIMIT) == (length < 20 ? 0u : 4u));
        memcpy(copy, six.head, length);
        CHECK(hop_look(&hop, &out, 1, NO_LIMIT) == 0);
        free(copy);
    }
    CHECK(hop_look(&(struct hop){{0}, 0}, &four, 0, NO_LIMIT) == 0);
}

int main(void)
{
    fill_pattern(text, sizeof text, 1);
    RUN(one_hop_is_counted);
    RUN(what_asks_for_more_is_left);
    RUN(nothing_is_read_beyond_a_short_packet);
    return 0;
}
