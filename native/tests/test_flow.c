#include "check.h"

static const uint8_t secret[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static struct path numbered_path(uint32_t n)
{
    struct path path = sample_path(4);

    path.dport = (uint16_t)n;
    path.dst[14] = (uint8_t)(n >> 16);
    return path;
}

static struct packet packet_from_peer(const struct path *path)
{
    struct packet p;

    memset(&p, 0, sizeof p);
    memcpy(p.src, path->dst, 16);
    memcpy(p.dst, path->src, 16);
    p.sport = path->dport;
    p.dport = path->sport;
    return p;
}

static void siphash_gives_the_published_values(void)
{
    static const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t data[15];
    uint8_t i;

    for (i = 0; i < sizeof data; i++)
        data[i] = i;
    CHECK(siphash_2_4(key, data, 0) == 0x726fdb47dd0e0e31u);
    CHECK(siphash_2_4(key, data, 8) == 0x93f5f5799a932462u);
    CHECK(siphash_2_4(key, data, 15) == 0xa129ca6149be45e5u);
}

static void a_flow_is_found_from_both_sides(void)
{
    struct flow_table *t = flow_table_new(secret);
    struct path path = sample_path(6);
    struct packet p = packet_from_peer(&path);

    CHECK(t != NULL && flow_find(t, &p) == 0);
    CHECK(flow_insert(t, &path, 7, NULL) == 1 && flow_insert(t, &path, 8, NULL) == 0);
    CHECK(flow_find(t, &p) == 7 && flow_find_path(t, &path) == 7 && flow_count(t) == 1);
    p.sport++;
    CHECK(flow_find(t, &p) == 0);
    CHECK(flow_remove(t, &path) == 1 && flow_remove(t, &path) == 0 && flow_count(t) == 0);
    CHECK(flow_insert(t, &path, 0, NULL) == 0);
    flow_table_free(t);
}

static void many_flows_come_and_go(void)
{
    struct flow_table *t = flow_table_new(secret);
    const uint32_t many = 100000;
    uint32_t i;

    CHECK(t != NULL);
    for (i = 0; i < many; i++) {
        struct path path = numbered_path(i);

        CHECK(flow_insert(t, &path, i + 1, NULL) == 1);
    }
    for (i = 0; i < many; i += 2) {
        struct path path = numbered_path(i);

        CHECK(flow_remove(t, &path) == 1);
    }
    CHECK(flow_count(t) == many / 2);
    for (i = 0; i < many; i++) {
        struct path path = numbered_path(i);

        CHECK(flow_find_path(t, &path) == (i % 2 == 0 ? 0 : i + 1));
    }
    flow_table_free(t);
}

static void freeing_nothing_is_harmless(void)
{
    flow_table_free(NULL);
    batch_free(NULL);
}

int main(void)
{
    RUN(siphash_gives_the_published_values);
    RUN(a_flow_is_found_from_both_sides);
    RUN(many_flows_come_and_go);
    RUN(freeing_nothing_is_harmless);
    return 0;
}
