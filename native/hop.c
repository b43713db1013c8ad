/* What a router does to nearly every packet: count a hop and send it on (RFC 1812 §5.3.1,
 * RFC 8200 §3). */
#include "internal.h"

#include <string.h>

#define IPV4_TTL_AT 8
#define IPV4_CHECKSUM_AT 10
#define IPV4_DESTINATION_AT 16
#define IPV6_HOP_LIMIT_AT 7
#define IPV6_DESTINATION_AT 24

/* Where the packet begins, and how many bytes of it lie there together. */
static struct span beginning(const struct outgoing *out)
{
    struct span head = {out->head, out->head_length};

    return out->head_length > 0 ? head : out->text[0];
}

static uint32_t ipv4_header_length(const uint8_t *h)
{
    return (h[0] & 0x0fu) * 4u;
}

/* The destination's place in a header that is in order, its bytes in `*size`; NULL: it asks
 * for more than to be sent on. */
static const uint8_t *look(const struct outgoing *out, uint32_t *size)
{
    struct span begin = beginning(out);
    const uint8_t *h = begin.data;

    if (begin.length >= IPV4_HEADER && h[0] >> 4 == 4) {
        uint32_t length = ipv4_header_length(h);

        if (length < IPV4_HEADER || length > begin.length || h[IPV4_TTL_AT] <= 1)
            return NULL;
        if (checksum_add(h, length, 0) != 0xffffu)
            return NULL;
        *size = 4;
        return h + IPV4_DESTINATION_AT;
    }
    if (begin.length < IPV6_HEADER || h[0] >> 4 != 6 || h[IPV6_HOP_LIMIT_AT] <= 1)
        return NULL;
    *size = 16;
    return h + IPV6_DESTINATION_AT;
}

uint32_t hop_look(struct hop *hop, const struct outgoing out[], uint32_t n, uint32_t limit)
{
    uint32_t size = 0, i;

    hop->longest = 0;
    for (i = 0; i < n; i++) {
        uint32_t own_size;
        const uint8_t *destination = look(&out[i], &own_size);

        if (destination == NULL || out[i].length > limit)
            return 0;
        if (i == 0) {
            size = own_size;
            memcpy(hop->destination, destination, size);
        } else if (own_size != size || memcmp(hop->destination, destination, size) != 0) {
            return 0;
        }
        if (out[i].length > hop->longest)
            hop->longest = out[i].length;
    }
    return size;
}

/* One less in the upper byte of a word is one more in the checksum's (RFC 1624 §3). */
static void count_ipv4(uint8_t *h)
{
    uint32_t sum = load16(h + IPV4_CHECKSUM_AT) + 0x100u;

    h[IPV4_TTL_AT]--;
    store16(h + IPV4_CHECKSUM_AT, (sum & 0xffffu) + (sum >> 16));
}

/* Bytes that are borrowed are not ours to change: the header becomes the packet's own. */
static void own_header(struct outgoing *out)
{
    const uint8_t *h = out->text[0].data;
    uint32_t length = h[0] >> 4 == 4 ? ipv4_header_length(h) : IPV6_HEADER;

    memcpy(out->head, h, length);
    out->head_length = length;
    out->text[0].data += length;
    out->text[0].length -= length;
}

void hop_take(struct outgoing onward[], const struct outgoing out[], uint32_t n)
{
    uint32_t i;

    for (i = 0; i < n; i++) {
        onward[i] = out[i];
        if (onward[i].head_length == 0)
            own_header(&onward[i]);
        if (onward[i].head[0] >> 4 == 4)
            count_ipv4(onward[i].head);
        else
            onward[i].head[IPV6_HOP_LIMIT_AT]--;
    }
}
