/* What the C files share and Python does not see. */
#pragma once
#include "tunstack.h"

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define TCP_HEADER 20u
#define UDP_HEADER 8u
#define ICMP_HEADER 8u
#define TCP_OPTIONS_MAX 40u
#define IP_LENGTH_MAX 65535u

/* Protocol numbers and IPv6 next headers, as IANA registers them. */
#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_AH 51
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_NO_NEXT_HEADER 59
#define PROTOCOL_DESTINATION_OPTIONS 60

/* TCP option kinds. */
#define KIND_EOL 0
#define KIND_NOP 1
#define KIND_MSS 2
#define KIND_WSCALE 3
#define KIND_SACK_PERMITTED 4
#define KIND_SACK 5
#define KIND_TIMESTAMPS 8
#define KIND_USER_TIMEOUT 28
#define KIND_FAST_OPEN 34
#define KIND_ACCECN_0 172
#define KIND_ACCECN_1 174

/* Offsets of the checksum field within each transport header. */
#define TCP_CHECKSUM_AT 16u
#define UDP_CHECKSUM_AT 6u
#define ICMP_CHECKSUM_AT 2u

static inline uint32_t load16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t load24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline void store16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void store32(uint8_t *p, uint32_t value)
{
    store16(p, value >> 16);
    store16(p + 2, value);
}

static inline void store24(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 16);
    store16(p + 1, value);
}

/* The field's value for a sum: its complement. */
static inline uint32_t checksum_field(uint32_t sum)
{
    return ~sum & 0xffffu;
}

/* A computed UDP checksum of zero goes out as all ones, since zero says that there
 * is none (RFC 768, RFC 8200 §8.1). */
static inline uint32_t checksum_field_udp(uint32_t sum)
{
    uint32_t field = checksum_field(sum);

    return field == 0 ? 0xffffu : field;
}

/* Parses what follows the IP header of a packet that is no fragment. */
uint32_t parse_transport(struct packet *p, uint32_t flags);

/* The TCP option walk, which fills the option fields of p. */
void parse_tcp_options(struct packet *p, const uint8_t *options, uint32_t length);

/* The keyed hash of the flow table, visible for its test vectors. */
uint64_t siphash_2_4(const uint64_t secret[2], const uint8_t *data, size_t length);

/* The TCB of a packet's flow; NULL when there is none, or when it came by a source route. */
struct tcb *flow_find_tcb(const struct flow_table *t, const struct packet *p);

/* Makes room for one more transmission; 0 when memory ran out. */
int sent_reserve(struct sent *q);

/* ---- text that is read straight into its receive ring (landing.c) ----------- */

/* What the next packet of a batch is taken to be. */
struct landing {
    const struct packet *like; /* the latest one of its flow; NULL: nothing lands (any more) */
    struct ring *ring;
    uint8_t *place;       /* in the ring, for its text; NULL: there is no room */
    uint32_t seq;
    uint32_t head_length; /* bytes of its headers */
    uint32_t landed;      /* bytes of text before it, in this batch */
};

/* A batch begins, which may land text in the rings of `flows`; `latest` was read before it. */
void landing_begin(struct landing *l, const struct flow_table *flows, const struct packet *latest);
/* A packet of `length` bytes was read: its headers to `head`, the rest to the place. Parses it
 * and returns 1 when it is the expected one, whose checksum somebody vouches for. Else puts its
 * bytes together behind `head`, and returns 0. */
int landing_take(struct landing *l, struct packet *p, uint8_t *head, uint32_t length, int vouched);
/* Whether what has landed should be processed before more is read. */
int landing_is_full(const struct landing *l);
/* The batch is over; `last` is its last packet, NULL: it has none. */
void landing_end(struct landing *l, struct packet *latest, const struct packet *last);

/* ---- what both directions of the segment path use (segment_path.c) -------- */

static inline int before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline uint32_t flight_size(const struct tcb *t)
{
    return t->snd_nxt - t->snd_una;
}

/* TSval at `now`: our clock ticks every millisecond (RFC 7323 §5.4). */
static inline uint32_t timestamp(const struct tcb *t, int64_t now)
{
    return (uint32_t)(now / 1000) + t->ts_offset;
}

/* Nothing of the connection needs a decision: no recovery, no closed window. */
int is_quiet(const struct tcb *t);
void arm_retransmission(struct segment_path *path, struct tcb *t, int64_t now);
void arm_loss_probe(struct segment_path *path, struct tcb *t, int64_t now);
void wants_output(struct segment_path *path, struct tcb *t);
/* How many places a queue of timers has given away: more than before, and its earliest timer
 * may be another one. */
uint64_t timer_places_given(const struct timer_queue *q);
void happens(struct segment_path *path, uint32_t number, uint32_t what);
/* What the buffers drew of the host's budget is for others at once. */
void give_back_buffers(struct segment_path *path, struct tcb *t);

/* A SYN for a port that the segment path answers for: begins the connection. Returns 0, with
 * nothing changed, when the segment is Python's (segments_open.c). */
int segment_opens(struct segment_path *path, const struct packet *p, int64_t now);
/* What a SYN-ACK says, beside what every segment does. */
void offer_options(const struct tcb *t, struct emit *e);
void ack_now(struct segment_path *path, struct tcb *t, uint32_t why);

/* ---- the receiver's side of it (receive_buffer.c) ------------------------- */

/* Bytes that may come where windows of `size` bytes are announced. */
uint32_t with_rounding(uint32_t size);
void begin_receiving(const struct segment_path *path, struct tcb *t, int64_t now);
void measure_round_trip(struct tcb *t, const struct packet *p, int64_t now);
/* What has arrived counts as read. */
void discard(struct segment_path *path, struct tcb *t, int64_t now);
