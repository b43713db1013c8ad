#include "check.h"

static uint8_t pattern[200000];

static void starts_without_memory(void)
{
    struct ring r;
    uint8_t byte;

    ring_init(&r, 1000);
    CHECK(r.data == NULL && r.capacity == 0 && r.limit == 1000);
    CHECK(ring_read(&r, &byte, 1) == 0 && ring_consume(&r, 1) == 0 && ring_commit(&r, 1) == 0);
    ring_free(&r);
}

static void length_never_exceeds_the_limit(void)
{
    struct ring r;

    ring_init(&r, 3000);
    CHECK(ring_write(&r, pattern, 2000) == 2000);
    CHECK(ring_write(&r, pattern, 2000) == 1000);
    CHECK(ring_write(&r, pattern, 1) == 0);
    CHECK(r.length == 3000 && r.capacity == 4096);
    ring_free(&r);
}

static void growth_keeps_what_was_written_ahead(void)
{
    struct ring r;
    static uint8_t out[150000];

    ring_init(&r, 200000);
    CHECK(ring_write(&r, pattern, 1500) == 1500);
    CHECK(ring_consume(&r, 1400) == 1400);
    CHECK(ring_write_at(&r, 1100, pattern + 2500, 900) == 900);
    CHECK(r.length == 100 && r.ahead == 2000);
    CHECK(ring_write_at(&r, 140000, pattern + 141400, 500) == 500);
    CHECK(ring_write_at(&r, 100, pattern + 1500, 1000) == 1000);
    CHECK(ring_commit(&r, 1900) == 1900);
    CHECK(ring_read(&r, out, 2000) == 2000 && memcmp(out, pattern + 1400, 2000) == 0);
    CHECK(r.ahead == 140500 - 2000);
    ring_free(&r);
}

static void writing_ahead_is_all_or_nothing(void)
{
    struct ring r;

    ring_init(&r, 1000);
    CHECK(ring_write_at(&r, 500, pattern, 501) == 0);
    CHECK(ring_write_at(&r, 1001, pattern, 1) == 0);
    CHECK(ring_write_at(&r, UINT32_MAX, pattern, UINT32_MAX) == 0);
    CHECK(ring_write_at(&r, 500, pattern, 500) == 500);
    CHECK(ring_commit(&r, 1001) == 0 && ring_commit(&r, 1000) == 1000);
    CHECK(ring_commit(&r, 1) == 0);
    ring_free(&r);
}

static void large_memory_is_given_back_when_empty(void)
{
    struct ring r;
    uint8_t byte;

    ring_init(&r, 200000);
    CHECK(ring_write(&r, pattern, 32769) == 32769);
    CHECK(r.capacity == 65536);
    CHECK(ring_consume(&r, 32768) == 32768 && r.data != NULL);
    CHECK(ring_read(&r, &byte, 9) == 1 && byte == pattern[32768] && r.data == NULL);
    CHECK(ring_write(&r, pattern, 10) == 10 && ring_consume(&r, 10) == 10 && r.data != NULL);
    ring_free(&r);
}

static void bytes_ahead_keep_an_empty_queue_alive(void)
{
    struct ring r;
    uint8_t out[4];

    ring_init(&r, 200000);
    CHECK(ring_write(&r, pattern, 4) == 4);
    CHECK(ring_write_at(&r, 100000, pattern, 1) == 1);
    CHECK(ring_consume(&r, 4) == 4 && r.data != NULL && r.ahead == 100001 - 4);
    CHECK(ring_write_at(&r, 0, pattern + 4, 4) == 4 && ring_commit(&r, 4) == 4);
    CHECK(ring_peek(&r, 0, out, 4) == 4 && memcmp(out, pattern + 4, 4) == 0);
    ring_free(&r);
}

static void spans_cover_the_wrap(void)
{
    struct ring r;
    struct span spans[2];

    ring_init(&r, 2048);
    CHECK(ring_write(&r, pattern, 2048) == 2048 && ring_consume(&r, 2000) == 2000);
    CHECK(ring_write(&r, pattern + 2048, 100) == 100);
    CHECK(ring_spans(&r, 0, 48, spans) == 1 && spans[0].length == 48);
    CHECK(ring_spans(&r, 0, 49, spans) == 2 && spans[1].length == 1);
    CHECK(memcmp(spans[0].data, pattern + 2000, 48) == 0 && spans[1].data[0] == pattern[2048]);
    CHECK(ring_spans(&r, 50, 98, spans) == 1 && spans[0].data[0] == pattern[2050]);
    CHECK(ring_spans(&r, 50, 99, spans) == 0 && ring_spans(&r, 0, 0, spans) == 0);
    ring_free(&r);
}

static void a_place_can_be_lent_and_filled(void)
{
    struct ring r;
    uint8_t *place, out[3000];

    ring_init(&r, 5000);
    CHECK(ring_place(&r, 0, 1) == NULL && ring_prepare(&r, 5001) == 0);
    CHECK(ring_write(&r, pattern, 1000) == 1000 && ring_prepare(&r, 2000) == 1);
    place = ring_place(&r, 1000, 2000);
    CHECK(place == r.data + 1000);
    memcpy(place, pattern + 1000, 2000);
    CHECK(ring_write_at(&r, 1000, place, 1500) == 1500 && r.ahead == 2500);
    CHECK(ring_write_at(&r, 2500, place + 1500, 500) == 500 && ring_commit(&r, 2000) == 2000);
    CHECK(ring_peek(&r, 0, out, 3000) == 3000 && memcmp(out, pattern, 3000) == 0);
    CHECK(ring_place(&r, 3000, 1096) != NULL && ring_place(&r, 3000, 1097) == NULL);
    CHECK(ring_consume(&r, 2990) == 2990);
    CHECK(ring_place(&r, 10, 1096) != NULL && ring_place(&r, 10, 1097) == NULL); /* it would wrap */
    CHECK(ring_place(&r, 4990, 11) == NULL && ring_place(&r, 5001, 1) == NULL);
    CHECK(ring_prepare(&r, 4990) == 1 && ring_prepare(&r, 4991) == 0);
    ring_free(&r);
}

static void a_transfer_soon_finds_as_much_room_as_usual(void)
{
    struct ring r;
    uint32_t i;

    ring_init(&r, 200000);
    CHECK(ring_write(&r, pattern, 100000) == 100000 && ring_consume(&r, 100000) == 100000);
    for (i = 0; i < 16; i++)
        CHECK(ring_write(&r, pattern + 1000 * i, 1000) == 1000 && r.capacity <= 16384);
    CHECK(ring_write(&r, pattern + 16000, 1000) == 1000 && r.capacity == 131072);
    CHECK(r.length == 17000 && memcmp(r.data, pattern, 17000) == 0);
    ring_free(&r);
}

static void an_empty_ring_is_prepared_for_as_much_as_usual(void)
{
    struct ring r;

    ring_init(&r, 200000);
    CHECK(ring_write(&r, pattern, 100000) == 100000 && ring_consume(&r, 100000) == 100000);
    CHECK(r.usual == 87500 && r.data == NULL);
    CHECK(ring_prepare(&r, 50000) == 1 && r.capacity == 262144);
    ring_settle(&r);
    CHECK(r.data == NULL);
    CHECK(ring_write(&r, pattern, 5) == 5);
    ring_settle(&r);
    CHECK(r.data != NULL);
    ring_free(&r);
}

static void a_lowered_limit_lets_nothing_more_in(void)
{
    struct ring r;

    ring_init(&r, 1000);
    CHECK(ring_write(&r, pattern, 800) == 800);
    r.limit = 500;
    CHECK(ring_write(&r, pattern, 1) == 0 && ring_write_at(&r, 500, pattern, 1) == 0);
    CHECK(ring_consume(&r, 400) == 400 && ring_write(&r, pattern, 200) == 100);
    ring_free(&r);
}

int main(void)
{
    fill_pattern(pattern, sizeof pattern, 5);
    RUN(starts_without_memory);
    RUN(length_never_exceeds_the_limit);
    RUN(growth_keeps_what_was_written_ahead);
    RUN(writing_ahead_is_all_or_nothing);
    RUN(large_memory_is_given_back_when_empty);
    RUN(bytes_ahead_keep_an_empty_queue_alive);
    RUN(spans_cover_the_wrap);
    RUN(a_place_can_be_lent_and_filled);
    RUN(a_transfer_soon_finds_as_much_room_as_usual);
    RUN(an_empty_ring_is_prepared_for_as_much_as_usual);
    RUN(a_lowered_limit_lets_nothing_more_in);
    return 0;
}
