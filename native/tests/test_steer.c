#include "check.h"

#define KEY 0x12345678u
#define WORKERS 3

static struct packet from_peer(uint8_t version, uint32_t n)
{
    struct path path = sample_path(version);
    struct packet p;

    memset(&p, 0, sizeof p);
    p.version = version;
    p.protocol = PROTOCOL_TCP;
    memcpy(p.src, path.dst, 16);
    memcpy(p.dst, path.src, 16);
    p.sport = (uint16_t)(30000 + n);
    p.dport = 80;
    return p;
}

static uint32_t owner(const struct packet *p)
{
    struct share s = {0, WORKERS, KEY};
    uint32_t found = share_owner(&s, p);

    s.number = 1;
    CHECK(share_owner(&s, p) == found); /* whoever asks */
    return found;
}

static void flows_are_spread_fairly(void)
{
    uint32_t counts[WORKERS] = {0}, n;

    for (n = 0; n < 6000; n++) {
        struct packet p = from_peer(n % 2 ? 4 : 6, n);

        CHECK(owner(&p) < WORKERS);
        counts[owner(&p)]++;
    }
    for (n = 0; n < WORKERS; n++)
        CHECK(counts[n] > 1800 && counts[n] < 2200);
}

static void all_fragments_of_a_packet_stay_together(void)
{
    struct packet first = from_peer(6, 0), later = first;

    first.is_fragment = later.is_fragment = 1;
    first.fragment_id = later.fragment_id = 77;
    later.fragment_offset = 1480;
    later.sport = later.dport = 0;
    CHECK(owner(&first) == owner(&later));
}

static void what_anyone_may_take_stays(void)
{
    struct packet p = from_peer(4, 0);
    struct share s = {0, WORKERS, KEY};

    while (share_owner(&s, &p) == 2)
        p.sport++;
    s.number = 2;
    CHECK(share_owner(&s, &p) != 2);
    p.fault = FAULT_TRANSPORT_CHECKSUM;
    CHECK(share_owner(&s, &p) == 2);
    p.fault = FAULT_NONE;
    p.protocol = PROTOCOL_ICMP;
    p.icmp_type = 8;
    CHECK(share_owner(&s, &p) == 2);
}

/* Every length of a quotation, in memory of exactly that size. */
static void a_short_quotation_is_not_read_beyond_its_end(void)
{
    uint8_t quote[64];
    size_t length;
    int version;

    for (version = 4; version <= 6; version += 2) {
        memset(quote, 0x4f, sizeof quote);
        quote[0] = version == 4 ? 0x4f : 0x60;
        quote[6] = quote[9] = PROTOCOL_TCP;
        for (length = 0; length <= sizeof quote; length++) {
            uint8_t *copy = malloc(length > 0 ? length : 1);
            struct packet p = from_peer((uint8_t)version, 0);

            CHECK(copy != NULL);
            memcpy(copy, quote, length);
            p.protocol = version == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
            p.icmp_type = version == 4 ? 3 : 1;
            p.text = copy;
            p.text_length = (uint32_t)length;
            CHECK(share_owner(&(struct share){1, WORKERS, KEY}, &p) < WORKERS);
            free(copy);
        }
    }
}

static void splitting_keeps_the_order(void)
{
    static struct packet strays[BATCH_PACKETS];
    uint32_t owners[BATCH_PACKETS], gone, i, kept = 0, taken = 0;
    struct share s = {1, WORKERS, KEY};
    struct batch *b = batch_new();

    CHECK(b != NULL);
    for (i = 0; i < BATCH_PACKETS; i++)
        b->packets[i] = from_peer(4, i);
    b->count = BATCH_PACKETS;
    gone = share_split(&s, b, strays, owners);
    CHECK(gone + b->count == BATCH_PACKETS && gone > 0 && b->count > 0);
    for (i = 0; i < BATCH_PACKETS; i++) {
        struct packet p = from_peer(4, i);

        if (owner(&p) == 1) {
            CHECK(b->packets[kept++].sport == p.sport);
        } else {
            CHECK(owners[taken] == owner(&p));
            CHECK(strays[taken++].sport == p.sport);
        }
    }
    CHECK(kept == b->count && taken == gone);
    CHECK(share_split(&s, b, strays, owners) == 0 && b->count == kept);
    batch_free(b);
}

int main(void)
{
    RUN(flows_are_spread_fairly);
    RUN(all_fragments_of_a_packet_stay_together);
    RUN(what_anyone_may_take_stays);
    RUN(a_short_quotation_is_not_read_beyond_its_end);
    RUN(splitting_keeps_the_order);
    return 0;
}
