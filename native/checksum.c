/* The Internet checksum (RFC 1071).
 *
 * Ones'-complement addition is commutative and indifferent to byte order (§2 (B)),
 * so words of the machine's own order and any width may be added, and the result
 * is folded and swapped at the end. */
#include "internal.h"

#include <string.h>

/* CHECKSUM_PORTABLE lets the tests reach the other path on this machine. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(CHECKSUM_PORTABLE)
#define HAVE_AVX2_PATH 1
#include <immintrin.h>
#endif

#define VECTOR_WORTHWHILE 128u

static uint32_t fold(uint64_t sum)
{
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffu) + (sum >> 16);
    sum = (sum & 0xffffu) + (sum >> 16);
    return (uint32_t)((sum & 0xffffu) + (sum >> 16));
}

static uint32_t from_machine_order(uint32_t folded)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return folded;
#else
    return (folded & 0xffu) << 8 | folded >> 8;
#endif
}

uint32_t checksum_scalar(const uint8_t *data, size_t length, uint32_t sum)
{
    uint64_t total = sum;
    size_t i;

    for (i = 0; i + 1 < length; i += 2)
        total += load16(data + i);
    if (i < length)
        total += (uint32_t)data[i] << 8; /* padded with a zero byte (RFC 1071 §1) */
    return fold(total);
}

/* The sum in machine order; 32-bit words cannot overflow 64 bits below 16 GiB. */
static uint64_t sum_portable(const uint8_t *data, size_t length)
{
    uint64_t a = 0, b = 0;
    uint32_t word[4];
    uint8_t rest[16] = {0};

    for (; length >= sizeof word; data += sizeof word, length -= sizeof word) {
        memcpy(word, data, sizeof word);
        a += (uint64_t)word[0] + word[1];
        b += (uint64_t)word[2] + word[3];
    }
    if (length > 0) {
        memcpy(rest, data, length);
        memcpy(word, rest, sizeof word);
        a += (uint64_t)word[0] + word[1];
        b += (uint64_t)word[2] + word[3];
    }
    return a + b;
}

#ifdef HAVE_AVX2_PATH
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *data, size_t length)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i even = _mm256_setzero_si256(), odd = _mm256_setzero_si256();
    uint64_t lane[4];

    for (; length >= 64; data += 64, length -= 64) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)data);
        __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(data + 32));

        even = _mm256_add_epi64(even, _mm256_and_si256(x, low));
        odd = _mm256_add_epi64(odd, _mm256_srli_epi64(x, 32));
        even = _mm256_add_epi64(even, _mm256_and_si256(y, low));
        odd = _mm256_add_epi64(odd, _mm256_srli_epi64(y, 32));
    }
    _mm256_storeu_si256((__m256i *)(void *)lane, _mm256_add_epi64(even, odd));
    return lane[0] + lane[1] + lane[2] + lane[3] + sum_portable(data, length);
}
#endif

static uint64_t sum_machine_order(const uint8_t *data, size_t length)
{
#ifdef HAVE_AVX2_PATH
    if (length >= VECTOR_WORTHWHILE && __builtin_cpu_supports("avx2"))
        return sum_avx2(data, length);
#endif
    return sum_portable(data, length);
}

uint32_t checksum_add(const uint8_t *data, size_t length, uint32_t sum)
{
    return fold((uint64_t)sum + from_machine_order(fold(sum_machine_order(data, length))));
}

uint32_t checksum_pseudo(const uint8_t src[16], const uint8_t dst[16], uint8_t version,
                         uint8_t protocol, uint32_t length)
{
    uint64_t total = (uint64_t)protocol + (length >> 16) + (length & 0xffffu);
    size_t skip = version == 4 ? 12 : 0; /* the mapped prefix is not on the wire */
    uint32_t sum = checksum_add(src + skip, 16 - skip, fold(total));

    return checksum_add(dst + skip, 16 - skip, sum);
}
