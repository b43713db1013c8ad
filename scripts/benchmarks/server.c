/* The server to compare with: echo, discard and chargen on the kernel's sockets, in one
 * thread with epoll. Says "ready" when it listens, and ends when its input does. An argument
 * names the congestion control; without one it is CUBIC, as on our stack. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (256 * 1024)

enum kind { INPUT = 0, ECHO = 7, DISCARD = 9, CHARGEN = 19 };

struct endpoint {
    int fd;
    int listening;
    enum kind kind;
    uint64_t received;
};

static int epoll;
static char chunk[CHUNK];

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int fd, enum kind kind, int listening)
{
    struct endpoint *e = calloc(1, sizeof *e);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = e};

    if (kind == CHARGEN && !listening)
        event.events |= EPOLLOUT;
    if (e == NULL)
        fail("memory");
    e->fd = fd;
    e->kind = kind;
    e->listening = listening;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static void listen_on(enum kind port, const char *algorithm)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, strlen(algorithm)) < 0)
        fail(algorithm);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(fd, 1024) < 0)
        fail("listen");
    watch(fd, port, 1);
}

static void accept_all(const struct endpoint *e)
{
    int fd, on = 1;

    while ((fd = accept4(e->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(fd, e->kind, 0);
    }
}

static void end(struct endpoint *e)
{
    uint64_t count = htobe64(e->received);

    if (e->kind == DISCARD && write(e->fd, &count, sizeof count) < 0)
        perror("write of the count");
    close(e->fd);
    free(e);
}

/* One read for each event: epoll comes back while there is more. */
static void take(struct endpoint *e)
{
    ssize_t n = read(e->fd, chunk, sizeof chunk);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        end(e);
        return;
    }
    e->received += (uint64_t)n;
    if (e->kind == ECHO && write(e->fd, chunk, (size_t)n) != n)
        perror("write of the echo");
}

static void give(struct endpoint *e)
{
    if (write(e->fd, chunk, sizeof chunk) < 0 && errno != EAGAIN)
        end(e);
}

static void handle(struct endpoint *e, uint32_t events)
{
    if (e->kind == INPUT)
        exit(0);
    if (e->listening)
        accept_all(e);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        take(e);
    else
        give(e);
}

int main(int argc, char **argv)
{
    const char *algorithm = argc > 1 ? argv[1] : "cubic";
    struct epoll_event events[64];

    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(0);
    listen_on(ECHO, algorithm);
    listen_on(DISCARD, algorithm);
    listen_on(CHARGEN, algorithm);
    watch(STDIN_FILENO, INPUT, 0);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int i, n = epoll_wait(epoll, events, 64, -1);

        for (i = 0; i < n; i++)
            handle(events[i].data.ptr, events[i].events);
    }
}
