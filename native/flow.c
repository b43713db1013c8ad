/* The flow table: open addressing with linear probing. An entry's slot is found by
 * SipHash-2-4 (Aumasson and Bernstein, 2012) under a secret key. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 64u
#define CAPACITY_LAST (1u << 30)

struct flow_key {
    uint8_t ours[16];
    uint8_t theirs[16];
    uint16_t our_port;
    uint16_t their_port;
};

_Static_assert(sizeof(struct flow_key) == 36, "the key is hashed and compared as plain bytes");

struct slot {
    struct tcb *tcb;
    uint32_t id; /* 0: empty */
    uint32_t hash;
    struct flow_key key;
};

struct flow_table {
    uint64_t secret[2];
    uint32_t capacity; /* a power of two */
    uint32_t count;
    struct slot *slots;
};

/* ---- SipHash-2-4 --------------------------------------------------------- */

static uint64_t rotate(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

static uint64_t load_little(const uint8_t *p, size_t length)
{
    uint64_t word = 0;
    size_t i;

    for (i = 0; i < length; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

uint64_t siphash_2_4(const uint64_t secret[2], const uint8_t *data, size_t length)
{
    uint64_t v[4] = {
        secret[0] ^ 0x736f6d6570736575u,
        secret[1] ^ 0x646f72616e646f6du,
        secret[0] ^ 0x6c7967656e657261u,
        secret[1] ^ 0x7465646279746573u,
    };
    size_t whole = length - length % 8, at;
    int i;

    for (at = 0; at < whole; at += 8)
        sip_word(v, load_little(data + at, 8));
    sip_word(v, (uint64_t)length << 56 | load_little(data + whole, length - whole));
    v[2] ^= 0xff;
    for (i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- keys ---------------------------------------------------------------- */

static struct flow_key key_of_packet(const struct packet *p)
{
    struct flow_key key;

    memcpy(key.ours, p->dst, 16);
    memcpy(key.theirs, p->src, 16);
    key.our_port = p->dport;
    key.their_port = p->sport;
    return key;
}

static struct flow_key key_of_path(const struct path *path)
{
    struct flow_key key;

    memcpy(key.ours, path->src, 16);
    memcpy(key.theirs, path->dst, 16);
    key.our_port = path->sport;
    key.their_port = path->dport;
    return key;
}

static uint32_t hash_key(const struct flow_table *t, const struct flow_key *key)
{
    return (uint32_t)siphash_2_4(t->secret, (const uint8_t *)key, sizeof *key);
}

/* ---- numbers that nobody may guess ----------------------------------------- */

static uint32_t secret_number(const uint64_t secret[2], const struct path *path)
{
    struct flow_key key = key_of_path(path);

    return (uint32_t)siphash_2_4(secret, (const uint8_t *)&key, sizeof key);
}

uint32_t initial_sequence(const struct secrets *s, const struct path *path, int64_t now)
{
    return (uint32_t)(now / 4) + secret_number(s->sequence, path);
}

uint32_t timestamp_offset(const struct secrets *s, const struct path *path)
{
    return secret_number(s->timestamp, path);
}

/* ---- the table ----------------------------------------------------------- */

struct flow_table *flow_table_new(const uint8_t key[16])
{
    struct flow_table *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->slots = calloc(CAPACITY_FIRST, sizeof *t->slots);
    if (t->slots == NULL) {
        free(t);
        return NULL;
    }
    t->capacity = CAPACITY_FIRST;
    t->secret[0] = load_little(key, 8);
    t->secret[1] = load_little(key + 8, 8);
    return t;
}

void flow_table_free(struct flow_table *t)
{
    if (t == NULL)
        return;
    free(t->slots);
    free(t);
}

/* The key's slot, or the empty one where it belongs. The table is never full. */
static struct slot *probe(const struct flow_table *t, const struct flow_key *key, uint32_t hash)
{
    uint32_t mask = t->capacity - 1, i = hash & mask;

    while (t->slots[i].id != 0) {
        if (t->slots[i].hash == hash && memcmp(&t->slots[i].key, key, sizeof *key) == 0)
            break;
        i = (i + 1) & mask;
    }
    return &t->slots[i];
}

static int grow(struct flow_table *t)
{
    struct flow_table larger = *t;
    uint32_t i;

    if (t->capacity == CAPACITY_LAST)
        return 0;
    larger.capacity = t->capacity * 2;
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return 0;
    for (i = 0; i < t->capacity; i++) {
        if (t->slots[i].id != 0)
            *probe(&larger, &t->slots[i].key, t->slots[i].hash) = t->slots[i];
    }
    free(t->slots);
    *t = larger;
    return 1;
}

/* Four fifths full is where probing gets long and memory is still modest. */
static int is_crowded(const struct flow_table *t)
{
    return t->count + 1 > t->capacity / 5 * 4;
}

static const struct slot *find(const struct flow_table *t, const struct flow_key *key)
{
    return probe(t, key, hash_key(t, key));
}

uint32_t flow_find(const struct flow_table *t, const struct packet *p)
{
    struct flow_key key = key_of_packet(p);

    return p->source_route == 0 ? find(t, &key)->id : 0;
}

struct tcb *flow_find_tcb(const struct flow_table *t, const struct packet *p)
{
    struct flow_key key = key_of_packet(p);

    return p->source_route == 0 ? find(t, &key)->tcb : NULL;
}

uint32_t flow_find_path(const struct flow_table *t, const struct path *path)
{
    struct flow_key key = key_of_path(path);

    return find(t, &key)->id;
}

int flow_insert(struct flow_table *t, const struct path *path, uint32_t id, struct tcb *tcb)
{
    struct flow_key key = key_of_path(path);
    uint32_t hash = hash_key(t, &key);
    struct slot *slot;

    if (id == 0 || probe(t, &key, hash)->id != 0)
        return 0;
    if (is_crowded(t) && !grow(t))
        return 0;
    slot = probe(t, &key, hash);
    slot->tcb = tcb;
    slot->id = id;
    slot->hash = hash;
    slot->key = key;
    t->count++;
    return 1;
}

/* Moves the entries behind a new hole up, each as near to its own slot as it may be, so
 * that no search stops too early; this needs no tombstones. */
static void close_hole(struct flow_table *t, uint32_t hole)
{
    uint32_t mask = t->capacity - 1, i;

    for (i = (hole + 1) & mask; t->slots[i].id != 0; i = (i + 1) & mask) {
        uint32_t away = (i - t->slots[i].hash) & mask;

        if (away >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    memset(&t->slots[hole], 0, sizeof t->slots[hole]);
}

int flow_remove(struct flow_table *t, const struct path *path)
{
    struct flow_key key = key_of_path(path);
    struct slot *slot = probe(t, &key, hash_key(t, &key));

    if (slot->id == 0)
        return 0;
    close_hole(t, (uint32_t)(slot - t->slots));
    t->count--;
    return 1;
}

uint32_t flow_count(const struct flow_table *t)
{
    return t->count;
}
