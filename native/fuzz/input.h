/* Reads a fuzzer's bytes as numbers; beyond the end everything is zero. */
#pragma once
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* A broken promise is a finding. */
#define PROMISE(condition) \
    do {                   \
        if (!(condition))  \
            abort();       \
    } while (0)

struct input {
    const uint8_t *data;
    size_t length;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static inline uint8_t take8(struct input *in)
{
    if (in->length == 0)
        return 0;
    in->length--;
    return *in->data++;
}

static inline uint16_t take16(struct input *in)
{
    uint16_t high = take8(in);

    return (uint16_t)(high << 8 | take8(in));
}

static inline uint32_t take32(struct input *in)
{
    uint32_t high = take16(in);

    return high << 16 | take16(in);
}

static inline void take_bytes(struct input *in, uint8_t *out, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        out[i] = take8(in);
}

static inline struct path take_path(struct input *in)
{
    struct path path;

    memset(&path, 0, sizeof path);
    path.version = take8(in) & 1 ? 4 : 6;
    path.ttl = take8(in);
    path.traffic_class = take8(in);
    path.dont_fragment = take8(in) & 1;
    path.flow_label = take32(in) & 0xfffffu;
    take_bytes(in, path.src, 16);
    take_bytes(in, path.dst, 16);
    path.sport = take16(in);
    path.dport = take16(in);
    if (path.version == 4) {
        static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

        memcpy(path.src, prefix, 12);
        memcpy(path.dst, prefix, 12);
        path.flow_label = 0;
        path.options_length = (uint8_t)(take8(in) % (IP_OPTIONS_MAX / 4 + 1) * 4);
        memset(path.options, take8(in) & 1, path.options_length); /* ends, or no operations */
    } else {
        path.dont_fragment = 0;
        path.src[0] |= 0x20; /* never a mapped address, which an IPv6 packet may not carry */
        path.dst[0] |= 0x20;
    }
    return path;
}
