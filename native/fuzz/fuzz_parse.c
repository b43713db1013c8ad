/* Whatever arrives is parsed or has a fault; what is pointed to lies within the packet; and
 * a packet whose checksum we completed is a good one. */
#include "input.h"

static void check_extent(const struct packet *p, const uint8_t *data, size_t length)
{
    PROMISE(p->fault < FAULT_COUNT);
    PROMISE(p->length <= length);
    if (p->fault != FAULT_NONE)
        return;
    PROMISE(p->version == 4 || p->version == 6);
    PROMISE(p->ip_header_length <= p->length);
    PROMISE(p->sack_count <= SACK_MAX);
    PROMISE(p->fast_open_length <= FAST_OPEN_MAX);
    if (p->is_fragment)
        return;
    PROMISE(p->text >= data + p->ip_header_length);
    PROMISE(p->text + p->text_length <= data + p->length);
}

static void check_completion(const struct packet *p, uint8_t *data, size_t length)
{
    struct packet again;

    packet_complete_checksum(p, data);
    PROMISE(packet_parse(&again, data, length, 0) == p->fault);
    PROMISE(again.text == p->text && again.text_length == p->text_length);
    PROMISE(again.options == p->options && again.protocol == p->protocol);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    /* A copy of exactly this size, so that any read beyond it is seen. */
    uint8_t *copy = malloc(length > 0 ? length : 1);
    struct packet p;

    PROMISE(copy != NULL);
    if (length > 0)
        memcpy(copy, data, length);
    packet_parse(&p, copy, length, 0);
    check_extent(&p, copy, length);
    packet_parse(&p, copy, length, PARSE_TRUST_CHECKSUM);
    check_extent(&p, copy, length);
    if (p.fault == FAULT_NONE)
        check_completion(&p, copy, length);
    free(copy);
    return 0;
}
