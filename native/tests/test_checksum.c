#include "check.h"

static void rfc_1071_example(void)
{
    /* RFC 1071 §3: these bytes sum to ddf2. */
    static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    CHECK(checksum_scalar(data, sizeof data, 0) == 0xddf2);
    CHECK(checksum_add(data, sizeof data, 0) == 0xddf2);
}

static void nothing_adds_nothing(void)
{
    static const uint8_t data[1] = {7};

    CHECK(checksum_add(data, 0, 0) == 0);
    CHECK(checksum_add(data, 0, 0x1234) == 0x1234);
    CHECK(checksum_scalar(data, 0, 0x1234) == 0x1234);
}

static void odd_last_byte_is_the_high_one(void)
{
    static const uint8_t data[] = {0xab};

    CHECK(checksum_scalar(data, 1, 0) == 0xab00);
    CHECK(checksum_add(data, 1, 0) == 0xab00);
}

static void every_length_and_alignment_agrees_with_the_reference(void)
{
    static uint8_t data[700];
    size_t start, length;

    fill_pattern(data, sizeof data, 1);
    for (start = 0; start < 33; start++) {
        for (length = 0; start + length <= sizeof data; length++) {
            uint32_t sum = (uint32_t)(length * 977);

            CHECK(checksum_add(data + start, length, sum) ==
                  checksum_scalar(data + start, length, sum));
        }
    }
}

static void all_ones_do_not_overflow(void)
{
    size_t length = 1 << 20;
    uint8_t *data = malloc(length);

    CHECK(data != NULL);
    memset(data, 0xff, length);
    CHECK(checksum_add(data, length, 0) == 0xffff);
    CHECK(checksum_add(data, length, 0xffffffff) == checksum_scalar(data, length, 0xffffffff));
    free(data);
}

static void parts_chain(void)
{
    static uint8_t data[1000];

    fill_pattern(data, sizeof data, 2);
    CHECK(checksum_add(data + 600, 400, checksum_add(data, 600, 0)) ==
          checksum_scalar(data, 1000, 0));
}

static void pseudo_header_is_that_of_the_version(void)
{
    struct path v4 = sample_path(4), v6 = sample_path(6);
    uint8_t flat4[12] = {192, 0, 2, 1, 192, 0, 2, 2, 0, 6, 0x12, 0x34};
    uint8_t flat6[40] = {0};

    memcpy(flat6, v6.src, 16);
    memcpy(flat6 + 16, v6.dst, 16);
    store32(flat6 + 32, 0x00011234);
    flat6[39] = 6;
    CHECK(checksum_pseudo(v4.src, v4.dst, 4, 6, 0x1234) == checksum_scalar(flat4, 12, 0));
    CHECK(checksum_pseudo(v6.src, v6.dst, 6, 6, 0x11234) == checksum_scalar(flat6, 40, 0));
}

int main(void)
{
    RUN(rfc_1071_example);
    RUN(nothing_adds_nothing);
    RUN(odd_last_byte_is_the_high_one);
    RUN(every_length_and_alignment_agrees_with_the_reference);
    RUN(all_ones_do_not_overflow);
    RUN(parts_chain);
    RUN(pseudo_header_is_that_of_the_version);
    return 0;
}
