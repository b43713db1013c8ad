/* The client of every benchmark: a plain program on the kernel's sockets.
 *
 *   client down ADDRESS SECONDS             reads from chargen
 *   client up ADDRESS SECONDS               writes to discard
 *   client fetch ADDRESS BYTES ALGORITHM SECONDS
 *                                           reads so many from chargen
 *   client push ADDRESS BYTES ALGORITHM SECONDS
 *                                           writes so many to discard
 *   client trips ADDRESS COUNT SECONDS      one byte there and back, again and again
 *   client connect ADDRESS COUNT PARALLEL SECONDS
 *                                           connections with one byte each way
 *   client idle ADDRESS COUNT SECONDS       as many, which stay open until input ends
 *   client probe COUNT CPU CPU              wake-ups from one processor to the other
 *
 * Prints one JSON object. Everything ends by itself: after COUNT or SECONDS, whichever
 * comes first, and by an alarm if nothing moves at all. BYTES must be done in SECONDS, with
 * ALGORITHM as congestion control. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ECHO 7     /* RFC 862 */
#define DISCARD 9  /* RFC 863; here it answers with the count of bytes at the end */
#define CHARGEN 19 /* RFC 864 */

#define ALGORITHM "cubic" /* where none is asked for: the machine's default may pace */
#define CHUNK (256 * 1024)
#define PARALLEL_MAX 1024
#define GRACE 20 /* seconds beyond what was asked for */

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t ns_of(const char *seconds)
{
    return (int64_t)(atof(seconds) * 1e9);
}

static struct sockaddr_in address_of(const char *text, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
        fprintf(stderr, "%s is no IPv4 address\n", text);
        exit(2);
    }
    return address;
}

static int connect_with(const char *algorithm, const char *text, uint16_t port)
{
    struct sockaddr_in address = address_of(text, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, strlen(algorithm)) < 0)
        fail(algorithm);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        fail("TCP_NODELAY");
    return fd;
}

static int connect_to(const char *text, uint16_t port)
{
    return connect_with(ALGORITHM, text, port);
}

/* ---- bulk ----------------------------------------------------------------- */

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* With the processor's time that this process used: the kernel's work for it is in there. */
static void print_bulk(uint64_t bytes, int64_t ns)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"cpu\": %.6f}\n", bytes,
           (double)ns / 1e9, seconds_of(used.ru_utime) + seconds_of(used.ru_stime));
}

static size_t read_some(int fd, char *buffer)
{
    ssize_t n = read(fd, buffer, CHUNK);

    if (n < 0)
        fail("read");
    return (size_t)n;
}

static void down(const char *address, const char *seconds)
{
    char *buffer = malloc(CHUNK);
    int fd = connect_to(address, CHARGEN);
    int64_t start = now_ns(), end = start + ns_of(seconds), now;
    uint64_t bytes = 0;

    do {
        size_t n = read_some(fd, buffer);

        if (n == 0) {
            fprintf(stderr, "the server closed after %" PRIu64 " bytes\n", bytes);
            exit(1);
        }
        bytes += n;
        now = now_ns();
    } while (now < end);
    print_bulk(bytes, now - start);
    shutdown(fd, SHUT_WR);
    while (read_some(fd, buffer) > 0)
        continue;
    close(fd);
    free(buffer);
}

static uint64_t read_count(int fd)
{
    uint64_t count;

    if (recv(fd, &count, sizeof count, MSG_WAITALL) != (ssize_t)sizeof count)
        fail("the server's count");
    return be64toh(count);
}

/* The clock runs until the server said that it has everything. */
static void up(const char *address, const char *seconds)
{
    char *buffer = calloc(1, CHUNK);
    int fd = connect_to(address, DISCARD);
    int64_t start = now_ns(), end = start + ns_of(seconds);
    uint64_t sent = 0, arrived;

    while (now_ns() < end) {
        ssize_t n = write(fd, buffer, CHUNK);

        if (n < 0)
            fail("write");
        sent += (uint64_t)n;
    }
    shutdown(fd, SHUT_WR);
    arrived = read_count(fd);
    print_bulk(arrived, now_ns() - start);
    if (arrived != sent) {
        fprintf(stderr, "%" PRIu64 " bytes sent, %" PRIu64 " arrived\n", sent, arrived);
        exit(1);
    }
    close(fd);
    free(buffer);
}

static _Noreturn void too_slow(uint64_t bytes, uint64_t wanted, const char *seconds)
{
    fprintf(stderr, "%" PRIu64 " of %" PRIu64 " bytes after %s s\n", bytes, wanted, seconds);
    exit(1);
}

/* The server sends without end: what it has sent beyond `wanted` is reset with the rest. */
static void fetch(const char *address, uint64_t wanted, const char *algorithm, const char *seconds)
{
    char *buffer = malloc(CHUNK);
    int fd = connect_with(algorithm, address, CHARGEN);
    int64_t start = now_ns(), end = start + ns_of(seconds);
    uint64_t bytes = 0;

    while (bytes < wanted) {
        size_t n = read_some(fd, buffer);

        bytes += n;
        if (n == 0 || now_ns() > end)
            too_slow(bytes, wanted, seconds);
    }
    print_bulk(bytes, now_ns() - start);
    close(fd);
    free(buffer);
}

static void push(const char *address, uint64_t wanted, const char *algorithm, const char *seconds)
{
    char *buffer = calloc(1, CHUNK);
    int fd = connect_with(algorithm, address, DISCARD);
    int64_t start = now_ns(), end = start + ns_of(seconds);
    uint64_t sent = 0, arrived;

    while (sent < wanted) {
        ssize_t n = write(fd, buffer, wanted - sent < CHUNK ? wanted - sent : CHUNK);

        if (n < 0)
            fail("write");
        sent += (uint64_t)n;
        if (now_ns() > end)
            too_slow(sent, wanted, seconds);
    }
    shutdown(fd, SHUT_WR);
    arrived = read_count(fd);
    if (arrived != wanted)
        too_slow(arrived, wanted, seconds);
    print_bulk(arrived, now_ns() - start);
    close(fd);
    free(buffer);
}

/* ---- round trips ---------------------------------------------------------- */

static int by_size(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;

    return (a > b) - (a < b);
}

static double percentile_us(const int64_t *sorted, size_t count, double part)
{
    size_t index = (size_t)((double)count * part);

    return (double)sorted[index < count ? index : count - 1] / 1000;
}

static void print_times(int64_t *times, size_t count)
{
    qsort(times, count, sizeof *times, by_size);
    printf("{\"count\": %zu, \"p50\": %.3f, \"p99\": %.3f}\n", count,
           percentile_us(times, count, 0.50), percentile_us(times, count, 0.99));
}

static int64_t bounce(int out, int in)
{
    int64_t start = now_ns();
    char byte = 'x';

    if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
        fail("one byte");
    return now_ns() - start;
}

static void trips(const char *address, size_t count, const char *seconds)
{
    int64_t *times = calloc(count, sizeof *times);
    int fd = connect_to(address, ECHO);
    int64_t end = now_ns() + ns_of(seconds);
    size_t done;

    for (done = 0; done < 100; done++) /* the first ones find cold caches */
        bounce(fd, fd);
    for (done = 0; done < count && now_ns() < end; done++)
        times[done] = bounce(fd, fd);
    print_times(times, done);
    close(fd);
    free(times);
}

/* ---- connections ---------------------------------------------------------- */

struct race {
    struct sockaddr_in address;
    int epoll;
    size_t begun, done, count;
    int64_t end;
    int keep; /* connections stay open */
};

static void begin(struct race *r)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};

    if (fd < 0)
        fail("socket");
    if (connect(fd, (struct sockaddr *)&r->address, sizeof r->address) < 0
        && errno != EINPROGRESS)
        fail("connect");
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
    r->begun++;
}

static void connected(struct race *r, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (write(fd, "x", 1) != 1)
        fail("write on a new connection");
    epoll_ctl(r->epoll, EPOLL_CTL_MOD, fd, &event);
}

static void answered(struct race *r, int fd)
{
    char byte;

    if (read(fd, &byte, 1) != 1)
        fail("read on a new connection");
    if (!r->keep)
        close(fd);
    r->done++;
    if (r->begun < r->count && now_ns() < r->end)
        begin(r);
}

static void run_race(struct race *r, const char *address, size_t parallel, const char *seconds)
{
    struct epoll_event events[64];

    r->address = address_of(address, ECHO);
    r->epoll = epoll_create1(0);
    if (r->epoll < 0 || parallel > PARALLEL_MAX)
        fail("epoll_create");
    r->end = now_ns() + ns_of(seconds);
    while (r->begun < parallel && r->begun < r->count)
        begin(r);
    while (r->done < r->begun) {
        int i, n = epoll_wait(r->epoll, events, 64, -1);

        for (i = 0; i < n; i++) {
            if (events[i].events & EPOLLOUT)
                connected(r, events[i].data.fd);
            else
                answered(r, events[i].data.fd);
        }
    }
}

static void connections(const char *address, size_t count, size_t parallel, const char *seconds)
{
    struct race r = {.count = count};
    int64_t start = now_ns();

    run_race(&r, address, parallel, seconds);
    printf("{\"count\": %zu, \"seconds\": %.6f}\n", r.done, (double)(now_ns() - start) / 1e9);
}

static void allow_descriptors(size_t count)
{
    struct rlimit limit = {.rlim_cur = count, .rlim_max = count};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("so many descriptors");
}

/* Who started this process looks at the server meanwhile. */
static void idle(const char *address, size_t count, const char *seconds)
{
    struct race r = {.count = count, .keep = 1};
    char byte;

    allow_descriptors(count + 64);
    run_race(&r, address, 64, seconds);
    printf("{\"count\": %zu}\n", r.done);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
}

/* ---- the machine's state --------------------------------------------------- */

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        fail("sched_setaffinity");
}

static void answer_bytes(int in, int out)
{
    char byte;

    while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1)
        continue;
    _exit(0);
}

/* Two processes wake each other through pipes; a trip holds two wake-ups. */
static void probe(size_t count, int here, int there)
{
    int64_t *times = calloc(count, sizeof *times);
    int to[2], from[2];
    size_t done;

    if (pipe(to) < 0 || pipe(from) < 0)
        fail("pipe");
    if (fork() == 0) {
        close(to[1]);
        close(from[0]);
        pin(there);
        answer_bytes(to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    pin(here);
    for (done = 0; done < count; done++)
        times[done] = bounce(to[1], from[0]) / 2;
    print_times(times, count);
    close(to[1]);
    wait(NULL);
    free(times);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    alarm(GRACE + (unsigned)atof(argv[argc - 1]));
    if (strcmp(what, "down") == 0 && argc == 4)
        down(argv[2], argv[3]);
    else if (strcmp(what, "up") == 0 && argc == 4)
        up(argv[2], argv[3]);
    else if (strcmp(what, "fetch") == 0 && argc == 6)
        fetch(argv[2], (uint64_t)atoll(argv[3]), argv[4], argv[5]);
    else if (strcmp(what, "push") == 0 && argc == 6)
        push(argv[2], (uint64_t)atoll(argv[3]), argv[4], argv[5]);
    else if (strcmp(what, "trips") == 0 && argc == 5)
        trips(argv[2], (size_t)atol(argv[3]), argv[4]);
    else if (strcmp(what, "connect") == 0 && argc == 6)
        connections(argv[2], (size_t)atol(argv[3]), (size_t)atol(argv[4]), argv[5]);
    else if (strcmp(what, "idle") == 0 && argc == 5)
        idle(argv[2], (size_t)atol(argv[3]), argv[4]);
    else if (strcmp(what, "probe") == 0 && argc == 5)
        probe((size_t)atol(argv[2]), atoi(argv[3]), atoi(argv[4]));
    else {
        fprintf(stderr, "client: unknown benchmark %s\n", what);
        return 2;
    }
    return 0;
}
