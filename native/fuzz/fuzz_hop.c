/* Whatever comes, a router passes on what it looked at and found fit, one hop less. */
#include "input.h"

#define PACKETS 4u

static void compare(const struct outgoing *before, const struct outgoing *after)
{
    static uint8_t one[PACKETS * 4096], other[PACKETS * 4096];
    uint32_t length = outgoing_copy(before, one, sizeof one), at;

    PROMISE(outgoing_copy(after, other, sizeof other) == length);
    at = one[0] >> 4 == 4 ? 8 : 7;
    PROMISE(other[at] == one[at] - 1);
    other[at] = one[at];
    if (one[0] >> 4 == 4) {
        PROMISE(checksum_add(one, (one[0] & 0x0fu) * 4u, 0) == 0xffffu);
        memcpy(other + 10, one + 10, 2);
    }
    PROMISE(memcmp(one, other, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct outgoing out[PACKETS], onward[PACKETS];
    uint8_t *pieces[PACKETS];
    struct input in = {data, length};
    struct hop hop;
    uint32_t n = take8(&in) % PACKETS + 1, i, size;

    memset(out, 0, sizeof out);
    for (i = 0; i < n; i++) {
        size_t part = in.length / (n - i);

        pieces[i] = malloc(part > 0 ? part : 1);
        PROMISE(pieces[i] != NULL);
        take_bytes(&in, pieces[i], part);
        if (part >= 20 && pieces[i][0] >> 4 == 4) { /* or hardly any would have a checksum */
            store16(pieces[i] + 10, 0);
            store16(pieces[i] + 10, checksum_field(checksum_add(pieces[i], 20, 0)));
        }
        outgoing_raw(&out[i], pieces[i], (uint32_t)part);
    }
    size = hop_look(&hop, out, n, 3000);
    PROMISE(size == 0 || size == 4 || size == 16);
    if (size > 0) {
        hop_take(onward, out, n);
        for (i = 0; i < n; i++)
            compare(&out[i], &onward[i]);
    }
    for (i = 0; i < n; i++)
        free(pieces[i]);
    return 0;
}
