/* A pair of sequenced-packet sockets keeps packet borders as a TUN device does. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct wire {
    int ours;
    int theirs;
};

static struct wire open_wire(void)
{
    int ends[2];

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    return (struct wire){ends[0], ends[1]};
}

static void close_wire(struct wire w)
{
    close(w.ours);
    close(w.theirs);
}

static uint32_t segment(struct outgoing *out, const struct ring *r, uint32_t n)
{
    struct path path = sample_path(4);
    struct emit e;

    memset(&e, 0, sizeof e);
    e.flags = FLAG_ACK;
    return outgoing_tcp(out, &path, &e, n > 0 ? r : NULL, 0, n);
}

static void nothing_there_says_so(void)
{
    struct wire w = open_wire();
    struct batch *b = batch_new();

    CHECK(b != NULL && tun_receive(w.ours, b, 0, NULL) == -EAGAIN && b->count == 0);
    CHECK(tun_receive(-1, b, 0, NULL) == -EBADF && tun_receive(w.ours, b, 99, NULL) == -EINVAL);
    batch_free(b);
    close_wire(w);
}

static void polling_ends_with_a_packet_or_the_time(void)
{
    struct wire w = open_wire();

    CHECK(tun_poll(w.ours, 0) == 0 && tun_poll(w.ours, 200) == 0);
    CHECK(send(w.theirs, "x", 1, 0) == 1);
    CHECK(tun_poll(w.ours, 0) == 1 && tun_poll(w.ours, 1000000) == 1);
    close_wire(w);
    CHECK(tun_poll(w.ours, 0) == -EBADF);
}

static void packets_arrive_as_they_left(void)
{
    struct wire w = open_wire();
    struct batch *b = batch_new();
    struct outgoing out[3];
    struct ring r;
    uint8_t text[5];

    ring_init(&r, 2048);
    CHECK(ring_write(&r, (const uint8_t *)"hello", 5) == 5);
    segment(&out[0], &r, 0);
    segment(&out[1], &r, 5);
    segment(&out[2], &r, 2);
    CHECK(tun_transmit(w.ours, out, 3, 10) == 3);
    CHECK(b != NULL && tun_receive(w.theirs, b, 10, NULL) == 3 && b->count == 3);
    CHECK(b->packets[0].fault == FAULT_NONE && b->packets[0].text_length == 0);
    CHECK(b->packets[1].fault == FAULT_NONE && b->packets[1].text_length == 5);
    memcpy(text, b->packets[1].text, 5);
    CHECK(memcmp(text, "hello", 5) == 0 && b->packets[2].text_length == 2);
    CHECK(tun_receive(w.theirs, b, 10, NULL) == -EAGAIN);
    ring_free(&r);
    batch_free(b);
    close_wire(w);
}

static void write_vnet(int fd, const uint8_t vnet[10], const uint8_t *data, size_t length)
{
    uint8_t whole[256];

    memcpy(whole, vnet, 10);
    memcpy(whole + 10, data, length);
    CHECK(write(fd, whole, 10 + length) == (ssize_t)(10 + length));
}

static void the_device_may_vouch_for_a_checksum(void)
{
    struct wire w = open_wire();
    struct batch *b = batch_new();
    struct outgoing out;
    uint8_t data[128], vnet[10] = {0};
    uint32_t n = segment(&out, NULL, 0);

    outgoing_copy(&out, data, sizeof data);
    data[36] ^= 1;
    write_vnet(w.theirs, vnet, data, n);
    vnet[0] = 1;
    vnet[4] = 0x11;
    write_vnet(w.theirs, vnet, data, n);
    vnet[0] = 2;
    vnet[1] = 1;
    vnet[5] = 0x11;
    write_vnet(w.theirs, vnet, data, n);
    CHECK(b != NULL && tun_receive(w.ours, b, 10, NULL) == 3);
    CHECK(b->packets[0].fault == FAULT_TRANSPORT_CHECKSUM && b->packets[0].vnet_flags == 0);
    CHECK(b->packets[1].fault == FAULT_NONE && b->packets[1].vnet_flags == VNET_NEEDS_CSUM);
    CHECK(b->packets[1].gso_size == 0);
    CHECK(b->packets[2].fault == FAULT_NONE && b->packets[2].vnet_flags == VNET_DATA_VALID);
    CHECK(b->packets[2].gso_size == 0x1111);
    batch_free(b);
    close_wire(w);
}

static void a_batch_ends_when_it_is_full(void)
{
    struct wire w = open_wire();
    struct batch *b = batch_new();
    struct outgoing out[BATCH_PACKETS];
    int size = 1 << 20, i;

    CHECK(setsockopt(w.ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    for (i = 0; i < BATCH_PACKETS; i++)
        segment(&out[i], NULL, 0);
    CHECK(tun_transmit(w.ours, out, BATCH_PACKETS, 0) == BATCH_PACKETS);
    CHECK(tun_transmit(w.ours, out, 6, 0) == 6);
    CHECK(b != NULL && tun_receive(w.theirs, b, 0, NULL) == BATCH_PACKETS);
    CHECK(tun_receive(w.theirs, b, 0, NULL) == 6);
    batch_free(b);
    close_wire(w);
}

static void the_arena_is_never_overrun(void)
{
    struct wire w = open_wire();
    struct batch *b = batch_new();
    static uint8_t large[65535];
    int size = 1 << 22, got = 0, sent = 0;

    CHECK(b != NULL && setsockopt(w.ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    while (sent < 40) {
        int n;

        while (sent < 40 && write(w.ours, large, sizeof large) > 0)
            sent++;
        n = tun_receive(w.theirs, b, 0, NULL);
        CHECK(n > 0);
        got += n;
    }
    for (;;) {
        int n = tun_receive(w.theirs, b, 0, NULL);

        if (n < 0)
            break;
        got += n;
    }
    CHECK(got == 40);
    batch_free(b);
    close_wire(w);
}

static void a_full_device_stops_the_batch(void)
{
    struct wire w = open_wire();
    struct outgoing out[BATCH_PACKETS];
    int taken = BATCH_PACKETS, i;

    for (i = 0; i < BATCH_PACKETS; i++)
        segment(&out[i], NULL, 0);
    for (i = 0; i < 1000 && taken == BATCH_PACKETS; i++)
        taken = tun_transmit(w.ours, out, BATCH_PACKETS, 0);
    CHECK(taken < BATCH_PACKETS);
    CHECK(tun_transmit(w.ours, out, 1, 0) == -EAGAIN);
    CHECK(tun_transmit(-1, out, 1, 0) == -EBADF);
    close_wire(w);
}

static void a_refused_packet_is_lost_alone(void)
{
    struct wire w = open_wire();
    struct outgoing out[2];
    struct batch *b = batch_new();
    size_t length = 1 << 20;
    uint8_t *large = calloc(1, length);

    CHECK(b != NULL && large != NULL);
    outgoing_raw(&out[0], large, (uint32_t)length);
    segment(&out[1], NULL, 0);
    CHECK(tun_transmit(w.ours, out, 2, 0) == 2);
    CHECK(tun_receive(w.theirs, b, 0, NULL) == 1 && b->packets[0].length == 40);
    free(large);
    batch_free(b);
    close_wire(w);
}

int main(void)
{
    RUN(nothing_there_says_so);
    RUN(polling_ends_with_a_packet_or_the_time);
    RUN(packets_arrive_as_they_left);
    RUN(the_device_may_vouch_for_a_checksum);
    RUN(a_batch_ends_when_it_is_full);
    RUN(the_arena_is_never_overrun);
    RUN(a_full_device_stops_the_batch);
    RUN(a_refused_packet_is_lost_alone);
    return 0;
}
