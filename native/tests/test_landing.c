/* Text that is read straight into its receive ring. */
#define _GNU_SOURCE
#include "device.h"

/* ---- what lands ----------------------------------------------------------------- */

static void lands(uint8_t version, uint32_t head)
{
    struct world *w = world_new(version);
    const struct packet *p = w->batch->packets;

    begin(w);
    send_text(w, TEXT, TEXT);
    CHECK(receive(w) == 1 && p->landed && p->fault == FAULT_NONE);
    CHECK(lies_in(p->text, w->t->rcv.data, w->t->rcv.capacity) && p->text_length == TEXT);
    CHECK(lies_in(p->data, w->batch->arena, w->batch->arena_size));
    CHECK(p->length == head + TEXT && p->version == version && p->seq == FIRST_SEQ + TEXT);
    CHECK(p->gso_size == 1400 && p->vnet_flags == VNET_NEEDS_CSUM);
    CHECK(memcmp(p->data, w->next.data, head) == 0 && w->t->rcv.length == 0);
    process(w);
    check_stream(w, TEXT, TEXT);
    world_free(w);
}

static void the_next_super_segment_lands(void)
{
    lands(4, HEAD4);
    lands(6, HEAD6);
}

static void so_do_those_behind_it(void)
{
    struct world *w = world_new(4);
    uint32_t i;

    begin(w);
    send_text(w, TEXT, 20000);
    w->next.data[IPV4_HEADER + 13] |= FLAG_PSH;
    make(w, TEXT + 20000, 1000)->data[IPV4_HEADER + 13] |= FLAG_PSH;
    w->next.vnet[0] = 2; /* the checksum was verified */
    put(w);
    send_text(w, TEXT + 21000, 30000);
    w->t->rcv.usual = 100000;
    CHECK(receive(w) == 3);
    for (i = 0; i < 3; i++)
        CHECK(w->batch->packets[i].landed);
    process(w);
    check_stream(w, TEXT, 51000);
    world_free(w);
}

static void a_batch_ends_when_no_more_can_land(void)
{
    struct world *w = world_new(4);
    uint32_t at;

    begin(w);
    for (at = TEXT; at < 7 * TEXT; at += TEXT)
        send_text(w, at, TEXT);
    w->t->rcv.usual = 0;
    CHECK(receive(w) == 1 && w->batch->packets[0].landed && w->t->rcv.capacity == 65536);
    process(w);
    CHECK(receive(w) == 1 && w->batch->packets[0].landed && w->t->rcv.capacity == 131072);
    process(w);
    check_stream(w, TEXT, 2 * TEXT);
    CHECK(w->t->rcv.usual == 7 * TEXT / 4); /* so many in front of the room for one */
    CHECK(receive(w) == 4 && w->batch->packets[3].landed && w->t->rcv.capacity == 262144);
    process(w);
    check_stream(w, 3 * TEXT, 4 * TEXT);
    CHECK(receive(w) == -EAGAIN);
    world_free(w);
}

static void no_batch_lands_without_end(void)
{
    struct world *w = world_new(4);
    uint32_t i, landed = 0;

    begin(w);
    w->t->rcv.limit = w->t->rcv.usual = 2000000;
    for (i = 0; i < 16; i++) {
        make(w, TEXT, 60000);
        store32(w->next.data + IPV4_HEADER + 4, FIRST_SEQ + TEXT + i * 60000);
        put(w);
    }
    CHECK(receive(w) > 4 && w->batch->count < 16);
    for (i = 0; i < w->batch->count; i++)
        landed += w->batch->packets[i].landed;
    CHECK(landed == w->batch->count);
    world_free(w);
}

static void what_has_landed_may_be_short(void)
{
    struct world *w = world_new(4);

    begin(w);
    send_text(w, TEXT, TEXT);
    send_text(w, 2 * TEXT, 9);
    w->t->rcv.usual = TEXT;
    CHECK(receive(w) == 2 && w->batch->packets[1].landed);
    process(w);
    check_stream(w, TEXT, TEXT + 9);
    send_text(w, 2 * TEXT + 9, TEXT);
    CHECK(receive(w) == 1 && w->batch->packets[0].landed); /* more came, all the same */
    world_free(w);
}

static void behind_text_that_nobody_read_yet(void)
{
    struct world *w = world_new(4);

    begin(w);
    w->t->rcv.usual = 1;
    send_text(w, TEXT, TEXT);
    CHECK(receive(w) == 1 && w->batch->packets[0].landed);
    process(w);
    send_text(w, 2 * TEXT, TEXT);
    CHECK(receive(w) == 1 && w->batch->packets[0].landed);
    process(w);
    check_stream(w, TEXT, 2 * TEXT);
    world_free(w);
}

/* ---- what does not ---------------------------------------------------------------- */

/* The packet in `next` comes where another one was expected, and one that was behind it. */
static void comes_by_the_arena(struct world *w, uint32_t fault)
{
    const struct packet *p = w->batch->packets;
    uint32_t length = w->next.length;
    uint8_t *data = copy_of(w->next.data, length);

    put(w);
    send_text(w, TEXT, TEXT);
    CHECK(receive(w) == 2 && p[0].fault == fault && !p[0].landed);
    CHECK(p[0].length <= length && memcmp(p[0].data, data, p[0].length) == 0);
    CHECK(lies_in(p[0].data, w->batch->arena, w->batch->arena_size));
    CHECK(p[0].text == NULL || lies_in(p[0].text, w->batch->arena, w->batch->arena_size));
    CHECK(!p[1].landed && p[1].fault == FAULT_NONE && p[1].text_length == TEXT);
    CHECK(memcmp(p[1].text, w->text + TEXT, TEXT) == 0);
    CHECK(w->t->rcv.data == NULL); /* reserved for nothing */
    free(data);
    world_free(w);
}

static struct world *expecting(uint8_t version)
{
    struct world *w = world_new(version);

    begin(w);
    make(w, TEXT, TEXT);
    return w;
}

static void checksum_again(struct world *w)
{
    uint8_t *h = w->next.data;

    store16(h + 10, 0);
    store16(h + 10, checksum_field(checksum_add(h, IPV4_HEADER, 0)));
}

/* One byte of the headers is another one. */
static void with_another_byte(uint8_t version, uint32_t at, uint8_t value, uint32_t fault)
{
    struct world *w = expecting(version);

    w->next.data[at] = value;
    if (version == 4 && at < IPV4_HEADER && at != 10)
        checksum_again(w);
    comes_by_the_arena(w, fault);
}

static void another_flow_does_not(void)
{
    with_another_byte(4, 15, 77, FAULT_NONE);
    with_another_byte(4, 19, 77, FAULT_NONE);
    with_another_byte(6, 23, 77, FAULT_NONE);
    with_another_byte(6, 39, 77, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 1, 77, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 3, 77, FAULT_NONE);
}

static void another_kind_of_packet_does_not(void)
{
    with_another_byte(4, 0, 0x46, FAULT_IP_CHECKSUM);
    with_another_byte(6, 0, 0x46, FAULT_IP_LENGTH);
    with_another_byte(4, 9, PROTOCOL_UDP, FAULT_UDP_LENGTH);
    with_another_byte(6, 6, 253, FAULT_NONE);
    with_another_byte(4, 2, 0x7f, FAULT_NONE);  /* shorter than what came */
    with_another_byte(6, 4, 0xff, FAULT_IP_LENGTH);
    with_another_byte(4, 10, 0, FAULT_IP_CHECKSUM);
    with_another_byte(4, 6, 0x20, FAULT_NONE); /* a fragment */
    with_another_byte(4, 7, 1, FAULT_NONE);
}

static void another_segment_does_not(void)
{
    with_another_byte(4, IPV4_HEADER + 7, 0, FAULT_NONE); /* its sequence number */
    with_another_byte(4, IPV4_HEADER + 12, 0x90, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 12, 0x81, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 13, FLAG_ACK | FLAG_FIN, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 13, FLAG_ACK | FLAG_RST, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 13, FLAG_ACK | FLAG_SYN, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 13, FLAG_ACK | FLAG_URG, FAULT_NONE);
    with_another_byte(4, IPV4_HEADER + 13, FLAG_PSH, FAULT_NONE);
}

static void without_a_word_about_its_checksum_it_does_not(void)
{
    struct world *w = expecting(4);

    w->next.vnet[0] = 0;
    comes_by_the_arena(w, FAULT_TRANSPORT_CHECKSUM);
}

static void what_is_shorter_does_not(void)
{
    uint32_t lengths[] = {0, 1, IPV4_HEADER, HEAD4 - 1, HEAD4}, i;

    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct world *w = expecting(4);

        make(w, TEXT, 0);
        w->next.length = lengths[i];
        if (lengths[i] == HEAD4)
            comes_by_the_arena(w, FAULT_NONE);
        else
            comes_by_the_arena(w, lengths[i] < IPV4_HEADER ? FAULT_SHORT : FAULT_IP_LENGTH);
    }
}

/* ---- when nothing is expected ------------------------------------------------------- */

static void nothing_lands(struct world *w)
{
    const uint8_t *memory = w->t->rcv.data;

    send_text(w, TEXT, TEXT);
    CHECK(receive(w) == 1 && !w->batch->packets[0].landed && w->t->rcv.data == memory);
    CHECK(memcmp(w->batch->packets[0].text, w->text + TEXT, TEXT) == 0);
    world_free(w);
}

static void only_for_a_connection_that_takes_text(void)
{
    static const uint32_t others[] = {STATE_SYN_RECEIVED, STATE_CLOSE_WAIT, STATE_TIME_WAIT};
    static const uint32_t ours[] = {STATE_FIN_WAIT_1, STATE_FIN_WAIT_2};
    struct world *w;
    uint32_t i;

    for (i = 0; i < 3; i++) {
        w = expecting(4);
        w->t->state = others[i];
        nothing_lands(w);
    }
    for (i = 0; i < 2; i++) {
        w = expecting(4);
        w->t->state = ours[i];
        put(w);
        CHECK(receive(w) == 1 && w->batch->packets[0].landed);
        world_free(w);
    }
    w = expecting(4);
    w->t->orphan = 1;
    nothing_lands(w);
    w = expecting(4);
    w->t->fin_received = 1;
    nothing_lands(w);
}

static void only_where_there_is_room(void)
{
    struct world *w = expecting(4);

    w->t->rcv.limit = 65534;
    nothing_lands(w);
    w = expecting(4);
    CHECK(ring_write(&w->t->rcv, w->text, 10) == 10);
    w->t->rcv.limit = 9; /* it was lowered */
    nothing_lands(w);
    w = expecting(4);
    memory_is_out = 1;
    make(w, TEXT, 0);
    put(w);
    CHECK(receive(w) == 1 && w->t->rcv.data == NULL);
    memory_is_out = 0;
    world_free(w);
}

static void not_where_text_lies_ahead(void)
{
    struct world *w = expecting(4);

    CHECK(ring_write_at(&w->t->rcv, TEXT, w->text + 2 * TEXT, 5) == 5);
    nothing_lands(w);
}

static void not_across_the_end_of_the_memory(void)
{
    struct world *w = expecting(4);

    CHECK(ring_write(&w->t->rcv, w->text, 70100) == 70100 && w->t->rcv.capacity == 131072);
    CHECK(ring_consume(&w->t->rcv, 70000) == 70000);
    nothing_lands(w);
}

static void only_behind_a_super_segment(void)
{
    struct world *w = world_new(4);

    nothing_lands(w);
    w = world_new(4);
    send_text(w, 0, 8191);
    CHECK(receive(w) == 1);
    nothing_lands(w);
    w = world_new(4);
    make(w, 0, TEXT)->vnet[1] = 0;
    put(w);
    CHECK(receive(w) == 1);
    nothing_lands(w);
    w = expecting(4);
    make(w, 0, 0);
    put(w);
    CHECK(receive(w) == 1);
    nothing_lands(w);
}

static void not_behind_a_strange_one(void)
{
    struct world *w = world_new(4);

    make(w, 0, TEXT)->data[9] = PROTOCOL_UDP;
    store16(w->next.data + IPV4_HEADER + 4, TEXT);
    checksum_again(w);
    put(w);
    CHECK(receive(w) == 1 && w->batch->packets[0].gso_size > 0);
    nothing_lands(w);
    w = world_new(4);
    w->t->path.options_length = 4; /* our peer's, too */
    memset(w->t->path.options, 1, 4);
    send_text(w, 0, TEXT);
    CHECK(receive(w) == 1 && w->batch->packets[0].ip_header_length == 24);
    nothing_lands(w);
    w = world_new(4);
    make(w, 0, TEXT)->data[10] ^= 1;
    put(w);
    CHECK(receive(w) == 1 && w->batch->packets[0].fault == FAULT_IP_CHECKSUM);
    nothing_lands(w);
}

static void only_for_flows_that_are_known(void)
{
    struct world *w = expecting(4);

    CHECK(flow_remove(w->bench.flows, &w->t->path) == 1);
    nothing_lands(w);
    w = expecting(4);
    put(w);
    CHECK(tun_receive(w->device, w->batch, VNET, NULL) == 1 && !w->batch->packets[0].landed);
    world_free(w);
}

/* ---- memory ------------------------------------------------------------------------- */

static void memory_for_nothing_goes_back(void)
{
    struct world *w = world_new(4);

    begin(w);
    CHECK(receive(w) == -EAGAIN && w->t->rcv.data == NULL);
    send_text(w, TEXT, TEXT);
    CHECK(receive(w) == 1 && w->batch->packets[0].landed); /* still in mind */
    CHECK(w->t->rcv.capacity >= 65536);
    CHECK(receive(w) == -EAGAIN && w->t->rcv.data == NULL); /* nobody processed that */
    world_free(w);
}

static void what_is_in_a_ring_stays(void)
{
    struct world *w = world_new(4);

    begin(w);
    CHECK(ring_write(&w->t->rcv, w->text, 7) == 7);
    CHECK(receive(w) == -EAGAIN);
    check_stream(w, 0, 7);
    world_free(w);
}

int main(void)
{
    RUN(the_next_super_segment_lands);
    RUN(so_do_those_behind_it);
    RUN(a_batch_ends_when_no_more_can_land);
    RUN(no_batch_lands_without_end);
    RUN(what_has_landed_may_be_short);
    RUN(behind_text_that_nobody_read_yet);
    RUN(another_flow_does_not);
    RUN(another_kind_of_packet_does_not);
    RUN(another_segment_does_not);
    RUN(without_a_word_about_its_checksum_it_does_not);
    RUN(what_is_shorter_does_not);
    RUN(only_for_a_connection_that_takes_text);
    RUN(only_where_there_is_room);
    RUN(not_where_text_lies_ahead);
    RUN(not_across_the_end_of_the_memory);
    RUN(only_behind_a_super_segment);
    RUN(not_behind_a_strange_one);
    RUN(only_for_flows_that_are_known);
    RUN(memory_for_nothing_goes_back);
    RUN(what_is_in_a_ring_stays);
    return 0;
}
