/* Batches of packets from and to a TUN device. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

/* A multiple of the alignment, so that rounding up never leaves it. */
#define ARENA_SIZE ((size_t)1536 * 1024)
/* An IPv6 packet may have 65,535 bytes behind its own header. */
#define PACKET_MAX ((size_t)IPV6_HEADER + 65535)
#define PACKET_ALIGN ((size_t)64)

#define VNET_HDR_NEEDS_CSUM 1
#define VNET_HDR_DATA_VALID 2
#define VNET_MAX 12u

struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof *b);

    if (b == NULL)
        return NULL;
    b->arena = malloc(ARENA_SIZE);
    if (b->arena == NULL) {
        free(b);
        return NULL;
    }
    b->arena_size = ARENA_SIZE;
    return b;
}

void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    free(b->arena);
    free(b);
}

/* ---- in ------------------------------------------------------------------ */

/* Headers go to `data`, and what is behind them to the place where it may land, if there is one. */
static ssize_t read_packet(int fd, uint8_t *vnet, uint32_t vnet_length, uint8_t *data,
                           const struct landing *l)
{
    struct iovec parts[3] = {{vnet, vnet_length}, {data, PACKET_MAX}, {NULL, 0}};
    ssize_t n;

    if (l->place != NULL) {
        parts[1].iov_len = l->head_length;
        parts[2].iov_base = l->place;
        parts[2].iov_len = PACKET_MAX - l->head_length;
    }
    do
        n = readv(fd, parts, l->place != NULL ? 3 : 2);
    while (n < 0 && errno == EINTR);
    return n;
}

static uint32_t vnet_flags(const uint8_t *vnet)
{
    uint32_t flags = 0;

    if (vnet[0] & VNET_HDR_NEEDS_CSUM)
        flags |= VNET_NEEDS_CSUM;
    if (vnet[0] & VNET_HDR_DATA_VALID)
        flags |= VNET_DATA_VALID;
    return flags;
}

static uint16_t vnet_gso_size(const uint8_t *vnet)
{
    uint16_t size;

    if (vnet[1] == 0)
        return 0;
    memcpy(&size, vnet + 4, sizeof size);
    return size;
}

/* Returns how many bytes of the arena the packet has. */
static size_t take_in(struct packet *p, const uint8_t *vnet, uint8_t *data, size_t length,
                      struct landing *l)
{
    uint32_t flags = vnet_flags(vnet);

    if (l->place != NULL && landing_take(l, p, data, (uint32_t)length, flags != 0))
        length = l->head_length;
    else
        packet_parse(p, data, length, flags != 0 ? PARSE_TRUST_CHECKSUM : 0);
    p->vnet_flags = (uint8_t)flags;
    p->gso_size = vnet_gso_size(vnet);
    return length;
}

/* Returns 0, or what the first read failed with. */
static int fill(int fd, struct batch *b, uint32_t vnet, struct landing *l)
{
    uint8_t header[VNET_MAX] = {0};
    size_t at = 0;

    while (b->count < BATCH_PACKETS && b->arena_size - at >= PACKET_MAX && !landing_is_full(l)) {
        uint8_t *data = b->arena + at;
        ssize_t n = read_packet(fd, header, vnet, data, l);

        if (n < 0 && b->count == 0)
            return errno;
        if (n <= 0)
            break;
        if ((size_t)n < vnet)
            continue;
        at += take_in(&b->packets[b->count++], header, data, (size_t)n - vnet, l);
        at = (at + PACKET_ALIGN - 1) / PACKET_ALIGN * PACKET_ALIGN;
    }
    return 0;
}

int tun_receive(int fd, struct batch *b, uint32_t vnet, const struct flow_table *flows)
{
    struct landing landing;
    int error;

    b->count = 0;
    if (vnet > VNET_MAX)
        return -EINVAL;
    landing_begin(&landing, flows, &b->latest);
    error = fill(fd, b, vnet, &landing);
    landing_end(&landing, &b->latest, b->count > 0 ? &b->packets[b->count - 1] : NULL);
    return error != 0 ? -error : (int)b->count;
}

static uint64_t nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int tun_poll(int fd, uint32_t microseconds)
{
    struct pollfd asked = {.fd = fd, .events = POLLIN};
    uint64_t end = nanoseconds() + (uint64_t)microseconds * 1000;

    do {
        int ready = poll(&asked, 1, 0);

        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready > 0)
            return asked.revents & POLLNVAL ? -EBADF : 1;
    } while (nanoseconds() < end);
    return 0;
}

/* ---- out ----------------------------------------------------------------- */

static int fill_iovec(struct iovec parts[4], const struct outgoing *o, uint32_t vnet)
{
    const struct {
        const void *data;
        size_t length;
    } pieces[4] = {
        {o->vnet, vnet},
        {o->head, o->head_length},
        {o->text[0].data, o->text[0].length},
        {o->text[1].data, o->text[1].length},
    };
    int count = 0, i;

    for (i = 0; i < 4; i++) {
        if (pieces[i].length == 0)
            continue;
        /* writev only reads, though struct iovec cannot say so. */
        memcpy(&parts[count].iov_base, &pieces[i].data, sizeof pieces[i].data);
        parts[count++].iov_len = pieces[i].length;
    }
    return count;
}

static int write_packet(int fd, const struct outgoing *o, uint32_t vnet)
{
    struct iovec parts[4];
    int count = fill_iovec(parts, o, vnet);
    ssize_t n;

    do
        n = writev(fd, parts, count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? errno : 0;
}

/* The device refused this packet and would refuse it again: it is lost, as on a wire. */
static int is_refusal(int error)
{
    return error == EINVAL || error == EIO || error == EMSGSIZE;
}

int tun_transmit(int fd, const struct outgoing *out, uint32_t n, uint32_t vnet)
{
    uint32_t i;

    if (vnet > sizeof out->vnet)
        return -EINVAL;
    for (i = 0; i < n; i++) {
        int error = write_packet(fd, &out[i], vnet);

        if (error != 0 && !is_refusal(error))
            return i > 0 ? (int)i : -error;
    }
    return (int)n;
}
