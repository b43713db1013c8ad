/* The TCP header's options (RFC 9293 §3.1, RFC 7323, RFC 2018, RFC 7413, RFC 5482,
 * RFC 9768). */
#include "internal.h"

#include <string.h>

static void parse_sack(struct packet *p, const uint8_t *blocks, uint32_t count)
{
    uint32_t i;

    p->sack_count = (uint8_t)count;
    for (i = 0; i < 2 * count; i++)
        p->sack[i] = load32(blocks + 4 * i);
}

/* A cookie has 4 to 16 bytes and an even number of them; none of any other length is ours
 * to keep, but the option may be longer one day, so it counts as unknown (RFC 7413 §4.1.1). */
static uint32_t parse_fast_open(struct packet *p, const uint8_t *cookie, uint32_t length)
{
    if (length != 0 && (length < 4 || length > FAST_OPEN_MAX || length % 2 != 0))
        return OPTION_UNKNOWN;
    p->fast_open_length = (uint8_t)length;
    memcpy(p->fast_open, cookie, length);
    return OPTION_FAST_OPEN;
}

/* Zero to three counters of three bytes; any other length is to be ignored (RFC 9768 §3.2.3). */
static uint32_t parse_accecn(struct packet *p, const uint8_t *option, uint32_t length)
{
    uint32_t count = (length - 2) / 3, i;

    if ((length - 2) % 3 != 0 || count > ACCECN_MAX)
        return OPTION_UNKNOWN;
    p->accecn_order = option[0] == KIND_ACCECN_1;
    p->accecn_count = (uint8_t)count;
    for (i = 0; i < count; i++)
        p->accecn[i] = load24(option + 2 + 3 * i);
    return OPTION_ACCECN;
}

/* Takes in one option of known kind; returns its OPTION_ bit, OPTION_UNKNOWN, or
 * OPTION_ILLEGAL when the kind does not come in this length. */
static uint32_t parse_option(struct packet *p, const uint8_t *option, uint32_t length)
{
    switch (option[0]) {
    case KIND_MSS:
        if (length != 4)
            return OPTION_ILLEGAL;
        p->mss = (uint16_t)load16(option + 2);
        return OPTION_MSS;
    case KIND_WSCALE:
        if (length != 3)
            return OPTION_ILLEGAL;
        p->wscale = option[2];
        return OPTION_WSCALE;
    case KIND_SACK_PERMITTED:
        return length == 2 ? OPTION_SACK_PERMITTED : OPTION_ILLEGAL;
    case KIND_SACK:
        if (length < 10 || (length - 2) % 8 != 0)
            return OPTION_ILLEGAL;
        parse_sack(p, option + 2, (length - 2) / 8);
        return OPTION_SACK;
    case KIND_TIMESTAMPS:
        if (length != 10)
            return OPTION_ILLEGAL;
        p->tsval = load32(option + 2);
        p->tsecr = load32(option + 6);
        return OPTION_TIMESTAMPS;
    case KIND_USER_TIMEOUT:
        if (length != 4)
            return OPTION_ILLEGAL;
        p->user_timeout = (uint16_t)load16(option + 2);
        return OPTION_USER_TIMEOUT;
    case KIND_FAST_OPEN:
        return parse_fast_open(p, option + 2, length - 2);
    case KIND_ACCECN_0:
    case KIND_ACCECN_1:
        return parse_accecn(p, option, length);
    default:
        return OPTION_UNKNOWN;
    }
}

/* Options begin on any byte boundary (RFC 9293 §3.1). Behind an illegal length
 * nothing can be trusted to be an option, so the walk ends there (MUST-7). */
void parse_tcp_options(struct packet *p, const uint8_t *options, uint32_t length)
{
    uint32_t at = 0;

    while (at < length && options[at] != KIND_EOL) {
        uint32_t size;

        if (options[at] == KIND_NOP) {
            at++;
            continue;
        }
        size = at + 1 < length ? options[at + 1] : 0;
        if (size < 2 || size > length - at) {
            p->options |= OPTION_ILLEGAL;
            return;
        }
        p->options |= (uint16_t)parse_option(p, options + at, size);
        if (p->options & OPTION_ILLEGAL)
            return;
        at += size;
    }
}
