/* Echo, discard and chargen on lwIP's raw interface, in one thread on a TUN device.
 *
 *   lwip --descriptor N --address A.B.C.D/LENGTH
 *
 * Says "ready" when it listens, and ends when its input does. Debian builds the library for
 * programs with threads, but what it does without its own thread needs no lock. */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lwip/init.h>
#include <lwip/ip4.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>

#define MTU 1500
#define CHUNK (16 * TCP_MSS) /* of one tcp_write, whose length has 16 bits */
#define SEND_BUFFER (1 << 20)
#define BURST 64 /* packets before timers get their turn */

enum kind { ECHO = 7, DISCARD = 9, CHARGEN = 19 };

struct session {
    enum kind kind;
    uint64_t received;
};

static int device;
static char chunk[CHUNK];

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "lwip: %s\n", what);
    exit(2);
}

/* ---- the applications ------------------------------------------------------ */

static void fill(struct tcp_pcb *pcb)
{
    while (tcp_sndbuf(pcb) >= CHUNK && tcp_write(pcb, chunk, CHUNK, TCP_WRITE_FLAG_COPY) == ERR_OK)
        continue;
    tcp_output(pcb);
}

static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t length)
{
    fill(pcb);
    return ERR_OK;
}

static void end(struct session *s, struct tcp_pcb *pcb)
{
    uint64_t count = htobe64(s->received);

    if (s->kind == DISCARD)
        tcp_write(pcb, &count, sizeof count, TCP_WRITE_FLAG_COPY);
    tcp_arg(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_err(pcb, NULL);
    if (tcp_close(pcb) != ERR_OK)
        fprintf(stderr, "lwip: a connection stays open\n");
    free(s);
}

static err_t on_received(void *argument, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    struct session *s = argument;
    struct pbuf *q;

    if (p == NULL) {
        end(s, pcb);
        return ERR_OK;
    }
    if (s->kind == ECHO) {
        if (p->tot_len > tcp_sndbuf(pcb))
            return ERR_MEM; /* lwIP comes back with it */
        for (q = p; q != NULL; q = q->next)
            tcp_write(pcb, q->payload, q->len, TCP_WRITE_FLAG_COPY);
    }
    s->received += p->tot_len;
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    if (s->kind == ECHO)
        tcp_output(pcb);
    return ERR_OK;
}

static void on_error(void *argument, err_t error)
{
    free(argument);
}

static err_t on_accepted(void *argument, struct tcp_pcb *pcb, err_t error)
{
    struct session *s;

    if (error != ERR_OK || pcb == NULL)
        return ERR_VAL;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_MEM;
    s->kind = (enum kind)(uintptr_t)argument;
    tcp_arg(pcb, s);
    tcp_recv(pcb, on_received);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb);
    if (s->kind == CHARGEN) {
        pcb->snd_buf = SEND_BUFFER; /* the library's own is 65,535 bytes */
        tcp_sent(pcb, on_sent);
        fill(pcb);
    }
    return ERR_OK;
}

static void listen_on(enum kind port)
{
    struct tcp_pcb *pcb = tcp_new();

    if (pcb == NULL || tcp_bind(pcb, IP_ANY_TYPE, (u16_t)port) != ERR_OK)
        refuse("cannot bind");
    pcb = tcp_listen_with_backlog(pcb, 255);
    if (pcb == NULL)
        refuse("cannot listen");
    tcp_arg(pcb, (void *)(uintptr_t)port);
    tcp_accept(pcb, on_accepted);
}

/* ---- the device ------------------------------------------------------------- */

static err_t send_packet(struct netif *n, struct pbuf *p, const ip4_addr_t *to)
{
    static char flat[MTU];
    const void *data = p->payload;

    if (p->next != NULL) {
        pbuf_copy_partial(p, flat, p->tot_len, 0);
        data = flat;
    }
    return write(device, data, p->tot_len) < 0 ? ERR_IF : ERR_OK;
}

static err_t set_up(struct netif *n)
{
    n->name[0] = 't';
    n->name[1] = 'n';
    n->mtu = MTU;
    n->output = send_packet;
    return ERR_OK;
}

static void take_packets(struct netif *n)
{
    int left;

    for (left = BURST; left > 0; left--) {
        struct pbuf *p = pbuf_alloc(PBUF_RAW, MTU, PBUF_RAM);
        ssize_t length;

        if (p == NULL)
            fail("memory");
        length = read(device, p->payload, MTU);
        if (length <= 0) {
            pbuf_free(p);
            if (length < 0 && errno != EAGAIN)
                fail("the device");
            return;
        }
        pbuf_realloc(p, (u16_t)length);
        if (n->input(p, n) != ERR_OK)
            pbuf_free(p);
    }
}

static void add(struct netif *n, char *address)
{
    char *slash = strchr(address, '/');
    int length = slash == NULL ? 0 : atoi(slash + 1);
    ip4_addr_t own, mask, none = {0};

    if (length < 1 || length > 32)
        refuse("--address must be like 192.0.2.2/24");
    *slash = '\0';
    if (!ip4addr_aton(address, &own))
        refuse("--address must be like 192.0.2.2/24");
    mask.addr = lwip_htonl(~(uint32_t)0 << (32 - length));
    if (netif_add(n, &own, &mask, &none, NULL, set_up, ip_input) == NULL)
        refuse("cannot add the device");
    netif_set_default(n);
    netif_set_link_up(n);
    netif_set_up(n);
}

static _Noreturn void serve(struct netif *n)
{
    struct pollfd wait[] = {{.fd = device, .events = POLLIN}, {.fd = 0, .events = POLLIN}};

    for (;;) {
        uint32_t pause = sys_timeouts_sleeptime();

        if (poll(wait, 2, pause > 1000 ? 1000 : (int)pause) < 0 && errno != EINTR)
            fail("poll");
        if (wait[1].revents)
            exit(0);
        if (wait[0].revents)
            take_packets(n);
        sys_check_timeouts();
    }
}

int main(int argc, char **argv)
{
    static const struct option options[]
        = {{"descriptor", required_argument, NULL, 'd'}, {"address", required_argument, NULL, 'a'}, {0}};
    struct netif n = {0};
    char *address = NULL;
    int option;

    device = -1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'd')
            device = atoi(optarg);
        else if (option == 'a')
            address = optarg;
        else
            return 2;
    }
    if (device < 0 || address == NULL)
        refuse("needs --descriptor and --address");
    if (fcntl(device, F_SETFL, O_NONBLOCK) < 0)
        fail("the device");
    lwip_init();
    add(&n, address);
    listen_on(ECHO);
    listen_on(DISCARD);
    listen_on(CHARGEN);
    puts("ready");
    fflush(stdout);
    serve(&n);
}
