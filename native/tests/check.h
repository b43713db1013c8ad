/* What the C tests share: a check that says where it failed, and packet scaffolding. */
#pragma once
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);      \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

#define RUN(test)                                                                        \
    do {                                                                                 \
        test();                                                                          \
        printf("ok  %s\n", #test);                                                       \
    } while (0)

static inline void fill_pattern(uint8_t *data, size_t length, uint32_t seed)
{
    size_t i;

    for (i = 0; i < length; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
}

/* 192.0.2.1:1000 to 192.0.2.2:80, or the same between 2001:db8::1 and ::2. */
static inline struct path sample_path(uint8_t version)
{
    static const uint8_t v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};
    struct path path;

    memset(&path, 0, sizeof path);
    path.version = version;
    path.ttl = 64;
    path.traffic_class = 0x2a;
    path.dont_fragment = 1;
    path.flow_label = 0xabcde;
    memcpy(path.src, version == 4 ? v4 : v6, 16);
    memcpy(path.dst, version == 4 ? v4 : v6, 16);
    path.src[15] = 1;
    path.dst[15] = 2;
    path.sport = 1000;
    path.dport = 80;
    return path;
}

/* Parses a copy of exactly that size, so that a sanitizer sees any read beyond it. The
 * copy is gone afterwards: pointers into it are set to NULL. */
static inline struct packet parse_exact(const uint8_t *data, size_t length, uint32_t flags)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    struct packet p;

    CHECK(copy != NULL);
    memcpy(copy, data, length);
    packet_parse(&p, copy, length, flags);
    p.data = p.text = NULL;
    free(copy);
    return p;
}
