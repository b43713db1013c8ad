/* The flow table against an array indexed by flow number. */
#include "input.h"

#define FLOWS 256u

static struct path numbered_path(uint32_t n)
{
    struct path path;

    memset(&path, 0, sizeof path);
    path.version = 6;
    path.src[0] = 1;
    path.dst[15] = (uint8_t)n;
    path.dport = (uint16_t)(n * 257);
    return path;
}

static uint32_t find_as_packet(const struct flow_table *t, const struct path *path)
{
    struct packet p;

    memset(&p, 0, sizeof p);
    memcpy(p.src, path->dst, 16);
    memcpy(p.dst, path->src, 16);
    p.sport = path->dport;
    p.dport = path->sport;
    return flow_find(t, &p);
}

static int step(struct flow_table *t, uint32_t ids[FLOWS], struct input *in, uint32_t id)
{
    uint32_t kind = take8(in) % 4, n = take8(in), before = ids[n];
    struct path path = numbered_path(n);

    PROMISE(flow_find_path(t, &path) == before);
    PROMISE(find_as_packet(t, &path) == before);
    if (kind < 2) {
        PROMISE(flow_insert(t, &path, id, NULL) == (before == 0));
        ids[n] = before != 0 ? before : id;
    } else if (kind == 2) {
        PROMISE(flow_remove(t, &path) == (before != 0));
        ids[n] = 0;
    }
    return (ids[n] != 0) - (before != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct input in = {data, length};
    uint32_t ids[FLOWS] = {0}, n, count = 0, id;
    uint8_t key[16];
    struct flow_table *t;

    take_bytes(&in, key, sizeof key);
    t = flow_table_new(key);
    PROMISE(t != NULL);
    for (id = 1; in.length > 0; id++) {
        count += (uint32_t)step(t, ids, &in, id);
        PROMISE(flow_count(t) == count);
    }
    for (n = 0; n < FLOWS; n++) {
        struct path path = numbered_path(n);

        PROMISE(flow_find_path(t, &path) == ids[n]);
    }
    flow_table_free(t);
    return 0;
}
