#include "check.h"

#define NO_MTU UINT32_MAX

static uint8_t pattern[70000];

static struct line *fast_line(int64_t delay)
{
    struct line *line = line_new(0, delay, 0, 0);

    CHECK(line != NULL);
    return line;
}

/* At 8 Mbit/s a byte takes a microsecond. */
static struct line *slow_line(uint32_t packets_max, uint64_t octets_max)
{
    struct line *line = line_new(8000000, 100, packets_max, octets_max);

    CHECK(line != NULL);
    return line;
}

static void without_a_rate_packets_only_travel(void)
{
    struct line *line = fast_line(20);
    struct span out[4];

    CHECK(line_due(line) == LINE_NOTHING);
    CHECK(line_push(line, pattern, 1500, 5) == 25);
    CHECK(line_push(line, pattern + 1, 40, 6) == 25);
    CHECK(line->travelling == 2 && line->passed == 2 && line_waiting(line, 6) == 0);
    CHECK(line_pop(line, out, 4, 24) == 0);
    CHECK(line_pop(line, out, 4, 25) == 1);
    CHECK(out[0].length == 1500 && memcmp(out[0].data, pattern, 1500) == 0);
    CHECK(line_due(line) == 26 && line_pop(line, out, 4, 26) == 1);
    CHECK(out[0].length == 40 && memcmp(out[0].data, pattern + 1, 40) == 0);
    CHECK(line->travelling == 0 && line_due(line) == LINE_NOTHING);
    line_free(line);
}

static void packets_leave_one_after_the_other(void)
{
    struct line *line = slow_line(0, 0);
    struct span out[4];

    CHECK(line_push(line, pattern, 1000, 10) == 1110);
    CHECK(line_push(line, pattern, 500, 10) == 1110);
    CHECK(line_push(line, pattern, 500, 20) == 1110);
    CHECK(line_waiting(line, 1009) == 2 && line_waiting(line, 1010) == 1);
    CHECK(line_waiting(line, 1510) == 0);
    CHECK(line_pop(line, out, 1, 9999) == 1 && line_due(line) == 1610);
    CHECK(line_pop(line, out, 1, 9999) == 1 && line_due(line) == 2110);
    line_free(line);
}

static void rounding_does_not_add_up(void)
{
    struct line *line = line_new(3000000000u, 0, 0, 0); /* 2⅔ ns a byte */
    struct span out[1];
    int i;

    for (i = 0; i < 3000; i++)
        line_push(line, pattern, 100, 0);
    while (line->travelling > 1)
        CHECK(line_pop(line, out, 1, 100000) == 1);
    CHECK(line_due(line) == 798); /* 266 ns each, not a whole microsecond */
    line_free(line);
}

static void a_full_queue_refuses(void)
{
    struct line *line = slow_line(2, 0);
    struct line *small = slow_line(0, 1000);
    int i;

    for (i = 0; i < 5; i++)
        line_push(line, pattern, 1000, 0);
    CHECK(line->passed == 3 && line->refused == 2 && line_waiting(line, 0) == 2);
    line_push(line, pattern, 1000, 1000);
    CHECK(line->passed == 4);

    line_push(small, pattern, 100, 0);
    line_push(small, pattern, 5000, 0); /* finds none waiting */
    line_push(small, pattern, 1, 0);
    CHECK(small->passed == 2 && small->refused == 1 && small->waiting_octets == 5000);
    line_free(line);
    line_free(small);
}

static void fill_outgoing(struct outgoing *out, uint32_t head, uint32_t first, uint32_t second)
{
    memset(out, 0, sizeof *out);
    memcpy(out->head, pattern, head);
    out->head_length = head;
    out->text[0].data = pattern + head;
    out->text[0].length = first;
    out->text[1].data = pattern + head + first;
    out->text[1].length = second;
    out->length = head + first + second;
}

static void a_batch_goes_in_without_what_is_lost_or_too_long(void)
{
    struct line *line = fast_line(7);
    struct outgoing batch[4];
    struct span out[4];

    fill_outgoing(&batch[0], 52, 100, 0);
    fill_outgoing(&batch[1], 52, 60, 41);
    fill_outgoing(&batch[2], 52, 900, 600);
    fill_outgoing(&batch[3], 60, 0, 0);
    CHECK(line_carry(line, batch, 4, 1500, 1u << 3, 1) == 8);
    CHECK(line->too_long == 1 && line->passed == 2);
    CHECK(line_pop(line, out, 4, 8) == 2);
    CHECK(out[0].length == 152 && memcmp(out[0].data, pattern, 152) == 0);
    CHECK(out[1].length == 153 && memcmp(out[1].data, pattern, 153) == 0);
    CHECK(line_carry(line, batch, 4, 0, 0, 9) == LINE_NOTHING && line->too_long == 5);
    line_free(line);
}

static void what_was_handed_over_holds_until_the_next_time(void)
{
    struct line *line = fast_line(1);
    struct span out[2];

    line_push(line, pattern, 1000, 0);
    CHECK(line_pop(line, out, 2, 1) == 1);
    line_push(line, pattern + 7, 1000, 1);
    line_push(line, pattern + 9, 60000, 1);
    CHECK(memcmp(out[0].data, pattern, 1000) == 0);
    CHECK(line_pop(line, out, 2, 2) == 2 && memcmp(out[1].data, pattern + 9, 60000) == 0);
    line_push(line, pattern, 60000, 2); /* in the memory of one of those before */
    CHECK(line_pop(line, out, 2, 3) == 1 && memcmp(out[0].data, pattern, 60000) == 0);
    line_free(line);
}

static void a_batch_arrives_parsed(void)
{
    struct line *line = fast_line(1);
    struct path path = sample_path(4);
    struct emit emit = {.seq = 77, .flags = FLAG_ACK};
    struct batch *b = batch_new();
    struct outgoing out;
    uint32_t i;

    CHECK(b != NULL && outgoing_tcp(&out, &path, &emit, NULL, 0, 0) == 40);
    for (i = 0; i < BATCH_PACKETS + 2; i++)
        line_carry(line, &out, 1, NO_MTU, 0, 3);
    CHECK(line_deliver(line, b, 3) == 4 && b->count == 0);
    CHECK(line_deliver(line, b, 4) == 4 && b->count == BATCH_PACKETS);
    CHECK(b->packets[63].seq == 77 && b->packets[63].fault == FAULT_NONE);
    CHECK(line_deliver(line, b, 4) == LINE_NOTHING && b->count == 2);
    line_free(line);
    batch_free(b);
}

static void what_is_on_its_way_goes_with_the_line(void)
{
    struct line *line = slow_line(0, 0);
    struct span out[1];

    line_push(line, pattern, 1000, 0);
    line_push(line, pattern, 0, 0);
    line_push(line, pattern, 1000, 0);
    CHECK(line_pop(line, out, 1, 5000) == 1);
    line_free(line);
    line_free(NULL);
}

int main(void)
{
    fill_pattern(pattern, sizeof pattern, 1);
    RUN(without_a_rate_packets_only_travel);
    RUN(packets_leave_one_after_the_other);
    RUN(rounding_does_not_add_up);
    RUN(a_full_queue_refuses);
    RUN(a_batch_goes_in_without_what_is_lost_or_too_long);
    RUN(what_was_handed_over_holds_until_the_next_time);
    RUN(a_batch_arrives_parsed);
    RUN(what_is_on_its_way_goes_with_the_line);
    return 0;
}
