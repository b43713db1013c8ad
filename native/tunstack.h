/* The one header of the native part: the C compiler and cffi both read it.
 *
 * cffi understands plain declarations only, so this file holds no macros but
 * integer constants, and no inline functions (those are in internal.h).
 * Integers are in host byte order, lengths in bytes, times in microseconds. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* ---- addresses ----------------------------------------------------------
 * An address is always 16 bytes; IPv4 is stored mapped (::ffff:a.b.c.d,
 * RFC 4291 §2.5.5.2), so that one flow key serves both versions. */

#define FLAG_FIN 0x001
#define FLAG_SYN 0x002
#define FLAG_RST 0x004
#define FLAG_PSH 0x008
#define FLAG_ACK 0x010
#define FLAG_URG 0x020
#define FLAG_ECE 0x040
#define FLAG_CWR 0x080
#define FLAG_AE 0x100

/* TCP options present in a parsed segment, or wanted in a built one. */
#define OPTION_MSS 0x01
#define OPTION_WSCALE 0x02
#define OPTION_SACK_PERMITTED 0x04
#define OPTION_SACK 0x08
#define OPTION_TIMESTAMPS 0x10
#define OPTION_UNKNOWN 0x20
#define OPTION_ILLEGAL 0x40
#define OPTION_FAST_OPEN 0x80
#define OPTION_USER_TIMEOUT 0x100
#define OPTION_ACCECN 0x200

#define SACK_MAX 4
#define ACCECN_MAX 3
#define FAST_OPEN_MAX 16 /* bytes of a cookie (RFC 7413 §2) */

/* Why a packet cannot be used. 0 is a good packet. */
enum fault {
    FAULT_NONE = 0,
    FAULT_SHORT,              /* fewer bytes than an IP header */
    FAULT_VERSION,            /* neither IPv4 nor IPv6, or IPv4 addresses in IPv6 */
    FAULT_IP_HEADER_LENGTH,   /* IHL under 5 or beyond the packet */
    FAULT_IP_LENGTH,          /* total/payload length beyond the bytes given */
    FAULT_IP_CHECKSUM,        /* RFC 791 header checksum */
    FAULT_IP_OPTION,          /* an IPv4 option that runs past the header or contradicts itself */
    FAULT_SOURCE_ROUTE,       /* an IPv4 source route that leads on from here */
    FAULT_EXTENSION,          /* an IPv6 extension header that is cut short or refused */
    FAULT_TRANSPORT_SHORT,    /* fewer bytes than the transport header */
    FAULT_DATA_OFFSET,        /* TCP data offset under 5 or beyond the segment */
    FAULT_UDP_LENGTH,         /* UDP length under 8 or beyond the datagram */
    FAULT_TRANSPORT_CHECKSUM, /* TCP, UDP, ICMP or ICMPv6 checksum */
    FAULT_COUNT
};

/* What the virtio-net header said of a packet. */
#define VNET_NEEDS_CSUM 0x01 /* checksum field holds the pseudo-header sum only */
#define VNET_DATA_VALID 0x02 /* the device vouches for the checksum */

/* ---- a parsed packet ---------------------------------------------------- */

struct packet {
    const uint8_t *data;  /* first byte of the IP header */
    uint32_t length;      /* bytes of the IP packet; what trails it is cut off */
    uint32_t fault;       /* enum fault */
    uint8_t version;      /* 4 or 6 */
    uint8_t protocol;     /* upper-layer protocol, behind any extension headers */
    uint8_t ttl;          /* or hop limit */
    uint8_t traffic_class; /* DSCP and ECN, or IPv4's type of service */
    uint32_t flow_label;
    uint32_t ip_header_length; /* with options or extension headers */
    uint32_t source_route;     /* offset of an IPv4 source route that ends here; 0: none */
    uint8_t src[16];
    uint8_t dst[16];

    /* Fragments (RFC 791 §3.2, RFC 8200 §4.5). When is_fragment is set the
     * transport fields below are not filled in. */
    uint8_t is_fragment;
    uint8_t more_fragments;
    uint8_t dont_fragment;
    uint8_t fragment_next_header; /* IPv6: what the fragment header announces */
    uint32_t fragment_offset;     /* bytes */
    uint32_t fragment_id;
    uint32_t unfragmentable_length; /* IPv6: bytes before the fragment header */

    /* Parameter Problem to send (RFC 1122 §3.2.2.5, RFC 4443 §3.4), with FAULT_IP_OPTION or
     * FAULT_EXTENSION. */
    uint8_t problem;         /* 1 when one is due */
    uint8_t problem_code;
    uint32_t problem_pointer; /* offset of the offending byte; without a problem, of the
                                 Next Header field that gave `protocol` (IPv6) */

    uint8_t vnet_flags;      /* VNET_… */
    uint16_t gso_size;       /* bytes of text per wire segment; 0: a single one */

    /* Transport header. */
    uint16_t sport;
    uint16_t dport;
    uint32_t seq;
    uint32_t ack;
    uint16_t flags;          /* FLAG_… */
    uint16_t window;         /* as on the wire, unscaled */
    uint16_t urgent;
    uint16_t options;        /* OPTION_… seen */
    uint16_t mss;
    uint8_t wscale;          /* as received, may be above 14 */
    uint8_t sack_count;
    uint32_t tsval;
    uint32_t tsecr;
    uint32_t sack[8];        /* left, right edge of up to four blocks */
    uint8_t fast_open_length; /* 0: a cookie is asked for */
    uint8_t fast_open[FAST_OPEN_MAX];
    uint16_t user_timeout;   /* granularity and value as on the wire (RFC 5482 §3.1) */
    uint8_t accecn_order;    /* 0: E0B, CEB, E1B; 1: E1B, CEB, E0B (RFC 9768 §3.2.3) */
    uint8_t accecn_count;    /* counters present, from the first on */
    uint32_t accecn[3];      /* 24 bits each */
    const uint8_t *text;     /* bytes behind the transport header */
    uint32_t text_length;
    uint8_t landed;          /* 1: text lies in the receive ring, and data has the headers only */
    uint8_t icmp_type;
    uint8_t icmp_code;
    uint32_t icmp_rest;      /* the four bytes behind the ICMP checksum */
};

/* Flags for packet_parse. */
#define PARSE_TRUST_CHECKSUM 0x01 /* leave transport checksums unverified */

/* Parses one IP packet. Never reads beyond data[length - 1]. Returns the
 * fault, which is also in out->fault; the fields before the faulty one hold. */
uint32_t packet_parse(struct packet *out, const uint8_t *data, size_t length, uint32_t flags);

/* Writes the transport checksum into a packet whose field holds anything
 * (a virtio packet with VNET_NEEDS_CSUM); p must be free of faults and describe
 * data. Returns 1 when it wrote, 0 when the protocol has no checksum. */
int packet_complete_checksum(const struct packet *p, uint8_t *data);

/* ---- checksum (RFC 1071) ------------------------------------------------ */

/* Ones'-complement sums, folded to 16 bits, not inverted, in network order as
 * a number (first byte is the high one). `sum` chains calls; every part but the
 * last must have an even length. */
uint32_t checksum_scalar(const uint8_t *data, size_t length, uint32_t sum);
uint32_t checksum_add(const uint8_t *data, size_t length, uint32_t sum);
/* Sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1). */
uint32_t checksum_pseudo(const uint8_t src[16], const uint8_t dst[16], uint8_t version,
                         uint8_t protocol, uint32_t length);

/* ---- byte ring ---------------------------------------------------------- */

/* A queue of bytes that grows on demand from nothing up to `limit`. Bytes
 * beyond `length` may be written ahead of time (reassembly) and are taken in
 * with ring_commit. */
struct ring {
    uint8_t *data;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t head;     /* index of the first byte */
    uint32_t length;   /* bytes in the queue */
    uint32_t ahead;    /* bytes, counted from head, that may hold anything written */
    uint32_t limit;    /* most bytes the ring may ever span */
    uint32_t usual;    /* bytes that it holds at most, lately, until it is empty again */
};

struct span {
    const uint8_t *data;
    size_t length;
};

void ring_init(struct ring *r, uint32_t limit);
void ring_free(struct ring *r);
/* Appends up to n bytes; returns how many fitted (0 also when memory ran out). */
uint32_t ring_write(struct ring *r, const uint8_t *src, uint32_t n);
/* Writes n bytes at `offset` from the head without lengthening the queue.
 * All or nothing: returns n, or 0 when offset + n exceeds the limit. */
uint32_t ring_write_at(struct ring *r, uint32_t offset, const uint8_t *src, uint32_t n);
/* Reserves memory for n bytes in one piece behind those that are there, and in an empty ring
 * for as many as usual in front of them. Returns 1, or 0 without memory or below the limit. */
int ring_prepare(struct ring *r, uint32_t n);
/* Where n bytes at `offset` from the head would stand in one piece, for a caller that puts them
 * there itself before ring_write_at, which then copies nothing. NULL: there is no such place in
 * the memory that the ring has. */
uint8_t *ring_place(const struct ring *r, uint32_t offset, uint32_t n);
/* Frees the memory of an empty ring when that is above 32 KiB. */
void ring_settle(struct ring *r);
/* Lengthens the queue by n bytes that were written ahead; returns n or 0. */
uint32_t ring_commit(struct ring *r, uint32_t n);
/* Copies up to n bytes out from `offset` and leaves them; returns the count. */
uint32_t ring_peek(const struct ring *r, uint32_t offset, uint8_t *dst, uint32_t n);
/* Copies up to n bytes out and drops them; returns the count. */
uint32_t ring_read(struct ring *r, uint8_t *dst, uint32_t n);
/* Drops up to n bytes from the front; returns the count. What then is empty is settled. */
uint32_t ring_consume(struct ring *r, uint32_t n);
/* Borrows n bytes at `offset` as at most two spans; returns how many spans. */
int ring_spans(const struct ring *r, uint32_t offset, uint32_t n, struct span out[2]);

/* ---- where packets of a flow go, and the head they carry ----------------- */

#define IP_OPTIONS_MAX 40 /* bytes (RFC 791 §3.1) */

/* With a source route, packets go to next_hop first; dst, which the checksums cover, stands
 * last in the route (RFC 9293 §3.1). */
struct path {
    uint8_t version; /* 4 or 6 */
    uint8_t ttl;
    uint8_t traffic_class;
    uint8_t dont_fragment;
    uint32_t flow_label;
    uint8_t src[16];
    uint8_t dst[16];
    uint16_t sport;
    uint16_t dport;
    uint8_t options_length; /* bytes of IPv4 options, a multiple of four */
    uint8_t routed;         /* 1: the options hold a source route */
    uint8_t next_hop[4];
    uint8_t options[IP_OPTIONS_MAX];
};

/* The way back to the sender of a packet. IPv4 says "don't fragment", so that the path's MTU
 * can be found (RFC 1191 §2). */
void path_back(struct path *path, const struct packet *p, uint8_t ttl);

/* ---- what was sent once ---------------------------------------------------- */

/* Sequence numbers `seq` up to, not including, `end`, that left at `sent_at` (µs). */
struct transmission {
    int64_t sent_at;
    uint32_t seq;
    uint32_t end;
};

/* Transmissions of which nothing is known but that they left: neither acknowledged nor
 * SACKed, not thought lost, never sent again. They lie side by side, oldest first, and the
 * last one ends at snd_nxt. */
struct sent {
    struct transmission *data;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t head;     /* index of the oldest */
    uint32_t count;
};

void sent_free(struct sent *q);
/* Adds the newest; returns 1, or 0 when memory ran out. */
int sent_push(struct sent *q, uint32_t seq, uint32_t end, int64_t now);
/* Takes the oldest out, of which only what lies below `una` where that falls into it; `base`
 * is at or below all of them, to measure from. Returns 1, or 0 when nothing lies below. */
int sent_pop(struct sent *q, uint32_t base, uint32_t una, struct transmission *out);
/* The one at `index`, counted from the oldest. */
struct transmission sent_at(const struct sent *q, uint32_t index);

/* ---- transmission control block ----------------------------------------
 *
 *   Send sequence space (RFC 9293 §3.3.1)
 *
 *          1         2          3          4
 *     ----------|----------|----------|----------
 *            snd_una    snd_nxt    snd_una + snd_wnd
 *
 *   Receive sequence space
 *
 *              1          2          3
 *          ----------|----------|----------
 *                 rcv_nxt    rcv_adv
 *
 *   rcv_adv is the highest right edge ever announced; it never moves left. */
/* States that the segment path knows; core.tcp.states.State has them all. */
#define STATE_ESTABLISHED 1
#define STATE_SYN_RECEIVED 3
#define STATE_FIN_WAIT_1 4
#define STATE_FIN_WAIT_2 5
#define STATE_TIME_WAIT 6
#define STATE_CLOSE_WAIT 8
#define STATE_LAST_ACK 9

/* Indices into deadlines and places. */
#define TIMER_RETRANSMISSION 0 /* RFC 6298 */
#define TIMER_LOSS_PROBE 1     /* RFC 8985 §7 */
#define TIMER_REORDERING 2     /* RFC 8985 §6.2 */
#define TIMER_PERSIST 3        /* RFC 9293 §3.8.6.1 */
#define TIMER_DELAYED_ACK 4    /* RFC 9293 §3.8.6.3 */
#define TIMER_TIME_WAIT 5      /* RFC 9293 §3.6.1, and FIN-WAIT-2 of an orphan */
#define TIMER_KEEPALIVE 6      /* RFC 9293 §3.8.4 */
#define TIMER_PACING 7         /* when the next data may leave */
#define TIMER_CORK 8           /* when a partial segment has waited long enough */
#define TIMER_COUNT 9

/* Numbers of the reasons that the segment path knows (core.why): why an acknowledgement is
 * due or a segment left. From WHY_OTHER on they are Python's, and an acknowledgement that is
 * due for one of those is, too. */
#define WHY_NONE 0
#define WHY_SECOND_SEGMENT 1
#define WHY_QUICK_ACK 2
#define WHY_WINDOW_UPDATE 3
#define WHY_DELAYED_ACK 4
#define WHY_DATA 5
#define WHY_DATA_PUSHED 6
#define WHY_FIN_RECEIVED 7
#define WHY_FIN 8
#define WHY_SYN_ACCEPTED 9
#define WHY_OTHER 10

/* A listening port (core.tcp.listener). */
struct listening {
    struct listening *next; /* among those that the segment path answers for */
    int64_t waiting;        /* connections that are established and not accepted yet */
    int64_t backlog;        /* how many may be */
    int64_t half_open;      /* connections in SYN-RECEIVED */
    uint8_t version;        /* 4, 6, or 0 for both */
    uint8_t has_address;    /* it listens on `address` alone */
    uint8_t address[16];
    uint16_t port;
};

struct tcb {
    struct path path;
    uint32_t number; /* of the connection, as its host counts */
    uint32_t state; /* core.tcp.states.State */

    uint32_t iss;
    uint32_t snd_una;
    uint32_t snd_nxt;
    uint32_t snd_wnd; /* bytes, scaled */
    uint32_t snd_wl1;
    uint32_t snd_wl2;
    uint32_t snd_up;
    uint32_t max_snd_wnd; /* largest window the peer ever offered */

    uint32_t irs;
    uint32_t rcv_nxt;
    uint32_t rcv_adv;
    uint32_t rcv_up;
    uint32_t rcv_wnd_max; /* most bytes the receive buffer lets us announce */

    uint32_t snd_mss;  /* effective, bytes of text per segment, options deducted */
    uint32_t peer_mss; /* the MSS option received, or the RFC's default */
    uint32_t rcv_mss;  /* the MSS option we sent */
    uint8_t snd_wscale;
    uint8_t rcv_wscale;
    uint8_t wscale_ok;
    uint8_t sack_ok;
    uint8_t ts_ok;
    uint8_t fin_received;
    uint8_t fin_queued; /* the application closed its side */
    uint8_t fin_sent;   /* and the FIN has a sequence number, snd_nxt - 1 */

    uint32_t ts_recent;
    uint32_t ts_offset; /* added to the clock for TSval (RFC 7323 §5.4) */
    uint32_t last_ack_sent;
    int64_t ts_recent_at; /* µs */

    int64_t srtt;   /* µs; 0 before the first sample */
    int64_t rttvar; /* µs */
    int64_t rto;    /* µs */
    int64_t min_rtt; /* µs; 0 before the first sample */
    uint32_t backoff; /* consecutive retransmission timeouts */

    uint32_t cwnd;     /* bytes */
    uint32_t ssthresh; /* bytes */
    uint32_t sacked;   /* bytes of the flight that SACK reported as received */
    uint32_t lost;     /* bytes marked lost and not yet retransmitted */
    uint32_t dupacks;
    uint32_t recover;  /* snd_nxt when recovery began (RFC 6582 §3.2) */
    uint32_t recovery; /* core.tcp.recovery.Recovery */

    /* The most recently sent segment that was delivered (RFC 8985 §5.2). */
    int64_t rack_sent_at; /* RACK.xmit_ts */
    int64_t rack_rtt;
    uint32_t rack_end;  /* RACK.end_seq */
    uint32_t rack_fack; /* RACK.fack */

    /* Acknowledgements that congestion control has not heard of. */
    uint64_t sample_acked; /* bytes; within a round of growth, those that cwnd grew for */
    int64_t sample_rtt;    /* µs, the shortest; 0: none was measured */
    uint32_t sample_rtts;  /* how many were measured */
    uint32_t sample_acks;  /* how many there were */
    uint32_t sample_flight; /* bytes in flight before the first of them */

    /* What congestion control allowed cwnd to do until it hears again (core.tcp.growth): to
     * grow by `grow_by` bytes for each `grow_over` that are acknowledged while it is the
     * limit, up to the end of one window. */
    uint32_t grow_by;
    uint32_t grow_over; /* 0: nothing is allowed, it hears of every batch */
    uint32_t grow_rest; /* of the last division */
    uint32_t grow_cwnd; /* what that made of cwnd; where cwnd differs, others have set it */
    uint32_t grow_end;  /* sequence number that ends the round */

    /* Acknowledgement policy (core.tcp.acks). */
    uint32_t syn_due;       /* WHY_…: why a SYN or SYN-ACK must leave; WHY_NONE: none must */
    uint32_t ack_due;       /* WHY_…, WHY_NONE: none is */
    uint32_t ack_waiting;   /* bytes that arrived since the last one left */
    uint32_t ack_full_size; /* the longest text that came in one segment */
    uint32_t ack_alert;     /* segments that are still acknowledged one by one, after a loss */
    int64_t ack_quick;      /* segments that are still acknowledged at once */

    /* Pacing (core.tcp.pacing). */
    uint64_t pacing_rate; /* bytes a second; 0: none */
    uint64_t pacing_rest; /* of the last division */
    int64_t pacing_next;  /* µs, when what has left is paid for */
    int64_t pacing_burst_end; /* µs, up to which a burst may run ahead */

    /* The receiver's own estimate of the round trip (core.tcp.receive_buffer), µs. */
    int64_t rcv_rtt;
    int64_t rcv_measure_at;
    int64_t rcv_round_at;    /* µs, since when what the application reads is counted */
    uint32_t rcv_round_from; /* sequence number of the next byte to read then */
    uint32_t rcv_space;      /* the most bytes that were read within one round trip */

    int64_t last_heard;         /* µs, when the last segment came */
    int64_t last_data_received; /* µs */
    int64_t last_sent_at;       /* µs, data */
    int64_t unacked_since;      /* µs, since when nothing that was sent got acknowledged */
    uint32_t una_at_send;       /* snd_una when data left last */
    uint32_t flight_before;     /* bytes in flight when data had its last chance to leave */
    uint32_t small_end;         /* end of the small segment in flight, with small_in_flight */
    uint32_t data_segments_in;
    uint32_t data_segments_out;
    uint32_t snd_drawn; /* bytes by which the send buffer has grown */
    uint32_t rcv_drawn;

    uint8_t fast; /* the segment path may finish what is expected by itself */
    uint8_t orphan; /* the application let go of it */
    uint8_t nodelay;
    uint8_t discards; /* what arrives counts as read at once (core.tcp.settings) */
    uint8_t small_in_flight;
    uint8_t cwnd_limited;  /* cwnd held data back when it last could have left */
    uint8_t send_blocked;  /* the application was told that the send buffer is full */
    uint8_t mss_proven;    /* segments as large as now were acknowledged */
    uint8_t snd_automatic; /* the buffers follow the connection's needs */
    uint8_t rcv_automatic;
    uint8_t pacing_waits; /* data was held back by the pacing */
    uint8_t in_output;    /* waits for its turn to transmit */
    uint8_t half_open;    /* its listener counts it as such */
    uint8_t traffic_class_heard; /* DSCP and ECN, as in the octet (RFC 9293 MAY-9) */
    uint8_t sample_due;   /* congestion control hears at the end of the batch */
    uint32_t ready; /* what the application must hear of the batch at hand */

    /* Timers: when each runs out, 0 when it is off, and the place that it has in the host's
     * queue, which may be an earlier one. µs. */
    int64_t deadlines[TIMER_COUNT];
    int64_t places[TIMER_COUNT];

    uint64_t segments_in;
    uint64_t segments_out;
    uint64_t bytes_received; /* in order */
    uint64_t bytes_acked;
    uint64_t bytes_sent;     /* with retransmissions */
    uint64_t bytes_retransmitted;
    uint64_t retransmissions;

    struct sent sent; /* the newest part of the flight */
    struct ring snd; /* first byte: snd_una */
    struct ring rcv; /* first byte: the next the application reads */

    struct listening *listening; /* of the listener that opened it; NULL: none did */
    struct timer_handle *timers; /* what its places in the queue know it by; NULL: nothing yet */
};

void tcb_free(struct tcb *t);

/* ---- timers ---------------------------------------------------------------
 *
 * A queue of all timers of a host. Times are in µs, above 0. */
struct timer_handle;
struct timer_queue;
struct timer_queue *timer_queue_new(void);
void timer_queue_free(struct timer_queue *q);
/* (Re)starts a timer to run out at `deadline`; to stop it, set its deadline to 0. Returns 1, or
 * 0 when memory ran out: then it has no place in the queue until it is started again. */
int timer_start(struct timer_queue *q, struct tcb *t, uint32_t timer, int64_t deadline);
/* Stops all timers of a connection; its places in the queue go as they come up. */
void timers_let_go(struct tcb *t);
/* When the earliest timer runs out; 0: none does. */
int64_t timer_next(struct timer_queue *q);
/* No later than that, and found with less work; 0 when the queue is empty. */
int64_t timer_earliest(const struct timer_queue *q);
/* How many places the queue has: some for timers that moved or stopped. */
uint32_t timer_places(const struct timer_queue *q);
/* Takes the earliest timer out if it is due: whose it was (NULL: none is), and which. */
struct tcb *timer_due(struct timer_queue *q, int64_t now, uint32_t *timer);

/* ---- building ----------------------------------------------------------- */

/* What one TCP segment shall say; the path supplies addresses and ports. */
struct emit {
    uint32_t seq;
    uint32_t ack;
    uint16_t flags;
    uint16_t window; /* as on the wire */
    uint16_t urgent;
    uint16_t options; /* OPTION_… wanted */
    uint16_t mss;
    uint8_t wscale;
    uint8_t sack_count;
    uint32_t tsval;
    uint32_t tsecr;
    uint32_t sack[8];
    uint8_t fast_open_length;
    uint8_t fast_open[FAST_OPEN_MAX];
    uint16_t user_timeout;
    uint8_t accecn_order;
    uint8_t accecn_count;
    uint32_t accecn[3]; /* their low 24 bits leave */
    uint16_t ip_id;    /* IPv4 identification */
    uint16_t gso_size; /* above 0: one super-segment for the device to cut */
    uint8_t checksum_offload; /* leave the checksum to the device */
};

#define OUTGOING_HEAD_MAX 128

/* One packet ready to leave: head bytes and up to two borrowed spans of text. */
struct outgoing {
    uint8_t vnet[12]; /* virtio_net_hdr; the first 10 bytes are used */
    uint8_t head[OUTGOING_HEAD_MAX];
    uint32_t head_length;
    uint32_t length; /* bytes of the whole IP packet */
    uint32_t why;    /* WHY_…, where the segment path built it */
    struct span text[2];
};

/* Builds an IP + TCP packet whose text is n bytes at `offset` of ring (NULL when
 * n is 0). Returns the packet's length, or 0 when it would exceed 65,535. */
uint32_t outgoing_tcp(struct outgoing *out, const struct path *path, const struct emit *e,
                      const struct ring *ring, uint32_t offset, uint32_t n);
/* A finished packet, borrowed whole as a span; must outlive the transmission. */
void outgoing_raw(struct outgoing *out, const uint8_t *data, uint32_t length);
/* Copies the packet (without the virtio header) to dst; returns its length. */
uint32_t outgoing_copy(const struct outgoing *out, uint8_t *dst, size_t room);

/* Builds into dst an IP packet around a transport payload given without a valid
 * checksum at checksum_offset (-1: none to fill in). Returns its length, or 0
 * when it does not fit. Used for UDP, ICMP and ICMPv6. */
uint32_t packet_build(uint8_t *dst, size_t room, const struct path *path, uint8_t protocol,
                      uint16_t ip_id, const uint8_t *payload, uint32_t length,
                      int32_t checksum_offset);

/* ---- flow table ---------------------------------------------------------- */

/* From (addresses, ports) to a number, by SipHash-2-4 under a secret key, so that a
 * peer who picks ports cannot pile up one bucket. */
struct flow_table;
struct flow_table *flow_table_new(const uint8_t key[16]);
void flow_table_free(struct flow_table *t);
/* The flow of a packet that arrived: 0 when there is none, or when the packet came by a
 * source route, which its taker has to look at first. */
uint32_t flow_find(const struct flow_table *t, const struct packet *p);
/* Insert under the path of our side (src is ours). id must not be 0; tcb, which may be NULL,
 * must live until the flow is removed. Returns 1, or 0 when it is there already or memory ran
 * out. */
int flow_insert(struct flow_table *t, const struct path *path, uint32_t id, struct tcb *tcb);
int flow_remove(struct flow_table *t, const struct path *path);
uint32_t flow_find_path(const struct flow_table *t, const struct path *path);
uint32_t flow_count(const struct flow_table *t);

/* ---- TUN ---------------------------------------------------------------- */

#define BATCH_PACKETS 64

struct batch {
    struct packet packets[BATCH_PACKETS];
    uint32_t count;
    uint8_t *arena;
    size_t arena_size;
    struct packet latest; /* the last one that was read, where another is likely to follow it */
};

struct batch *batch_new(void);
void batch_free(struct batch *b);
/* Reads and parses until the device is empty, the batch is full or the arena is.
 * vnet: bytes of virtio header in front of each packet (0 or 10). Text of the connections in
 * `flows` (NULL: of none) may land in their receive rings (native/landing.c): the batch has to
 * be processed before anything else is done with those. Returns the number of packets, or
 * -errno when the first read failed (-EAGAIN: nothing there). */
int tun_receive(int fd, struct batch *b, uint32_t vnet, const struct flow_table *flows);
/* Asks again and again for so many microseconds, without sleeping, whether packets came:
 * 1, 0, or -errno. A processor that sleeps takes longer to wake than a packet's whole way. */
int tun_poll(int fd, uint32_t microseconds);
/* Writes n packets; returns how many were taken, or -errno when the first failed. */
int tun_transmit(int fd, const struct outgoing *out, uint32_t n, uint32_t vnet);

/* ---- the segment path ------------------------------------------------------
 *
 * What is common on a synchronised connection, finished without Python: a segment that is
 * exactly the one expected, and the data and acknowledgements that may leave then. All else
 * is left untouched for Python, which decides the same way, only slower (core.tcp). */

/* What an application may hear from here; core.ready has all of them. */
#define READY_READABLE 2
#define READY_WRITABLE 4
#define READY_EOF 8

/* Bytes by which the buffers of a host may still grow. */
struct budget {
    int64_t left;
};

#define HAPPENED_MAX 128     /* two for each packet */

#define PORT_BUCKETS 64

/* Secrets of a host, for numbers that nobody outside may guess. */
struct secrets {
    uint64_t sequence[2];
    uint64_t timestamp[2];
};

/* What can happen to a connection that Python must hear of. */
#define HAPPENED_READY 0       /* the application is to be told what `ready` says */
#define HAPPENED_ESTABLISHED 1 /* the handshake is over */
#define HAPPENED_ENDED 2       /* both sides have closed */
#define HAPPENED_TIME_WAIT 3   /* the same, and the peer may need our last ACK again */
#define HAPPENED_OPENED 4      /* there is a new one, the next in `opened` */

/* The segment path of one host, and what it has noted for Python since that looked last. */
struct segment_path {
    struct flow_table *flows;
    struct timer_queue *timers;
    struct budget *budget;
    const struct secrets *secrets;
    uint32_t number; /* of the newest connection or endpoint of the host */

    /* Settings (core.tcp.config), in µs and bytes. */
    int64_t initial_rto;
    int64_t minimum_rto;
    int64_t maximum_rto;
    int64_t delayed_ack;
    int64_t minimum_probe_timeout;
    int64_t probe_delayed_ack;
    int64_t fin_wait_2;
    uint32_t initial_window; /* segments */
    uint32_t largest_send_buffer;
    uint32_t largest_receive_buffer;
    uint32_t send_buffer;    /* to begin with */
    uint32_t receive_buffer;
    int64_t quick_acks;      /* segments */
    uint32_t mtu;
    uint8_t send_automatic;  /* the buffers follow the connection's needs */
    uint8_t receive_automatic;
    uint8_t window_scaling;
    uint8_t wscale;          /* that we offer */
    uint8_t timestamps;
    uint8_t sack;
    uint8_t ttl;

    /* Ports whose SYNs may be answered here, in lists by `port % PORT_BUCKETS`; `opens` says
     * whether any may, now. A SYN comes to one of `own` and from none of `refused`. */
    struct listening *ports[PORT_BUCKETS];
    uint32_t syn_queue; /* connections in SYN-RECEIVED for one port */
    uint32_t own_count;
    uint32_t refused_count;
    const uint8_t *own; /* addresses of 16 bytes, side by side */
    const uint8_t *refused;
    uint8_t opens;

    /* Numbers of connections, each in the order in which that became due: HAPPENED_…, output,
     * samples for congestion control. */
    uint32_t happened_to[HAPPENED_MAX];
    uint32_t happened[HAPPENED_MAX];
    struct tcb *opened[BATCH_PACKETS]; /* owned by whoever looks */
    uint32_t sending[BATCH_PACKETS];
    uint32_t sampled[BATCH_PACKETS];
    struct tcb *sender; /* the first in `sending`, until Python takes over */
    uint32_t happened_count;
    uint32_t opened_count;
    uint32_t sending_count;
    uint32_t sampled_count;
    uint32_t noted; /* the counts together: 0 when there is nothing to look at */

    /* Since the host was made: packets of all batches, and segments that were finished here. */
    uint64_t packets_in;
    uint64_t octets_in;
    uint64_t segments_in;
    uint64_t segments_out;
    uint64_t syns_in; /* among segments_in: they opened connections */
    uint64_t packets_out; /* of turns that Python had no part in (network_run) */
};

/* 0 when the environment has TUNSTACK_FASTPATH=0: everything then goes through Python. */
int segment_path_wanted(void);
/* Finishes the segments of a batch from packet `first` on (with 0 the batch is counted, too),
 * up to the first one that is Python's to look at; returns that one's index, or the number of
 * packets. */
uint32_t segments_arrive(struct segment_path *path, struct batch *b, uint32_t first, int64_t now);

/* What segments_leave leaves to do. */
#define LEAVE_DONE 0
#define LEAVE_FULL 1   /* more may leave, and there was no room */
#define LEAVE_PYTHON 2 /* something else than data and acknowledgements may be due */

/* Flags for segments_leave. */
#define LEAVE_OFFLOAD 0x01 /* the device cuts super-segments and fills in checksums */

/* Builds what a connection may send behind the `count` packets that are in `out` already, of
 * BATCH_PACKETS at most. Returns how many came in addition, plus LEAVE_… times 256. */
uint32_t segments_leave(struct segment_path *path, struct tcb *t, struct outgoing out[],
                        uint32_t count, uint32_t flags, int64_t now);
/* ISN = M + F(four-tuple, secret), M ticking every 4 µs (RFC 6528 §3). */
uint32_t initial_sequence(const struct secrets *s, const struct path *path, int64_t now);
/* Where a connection's timestamp clock starts (RFC 7323 §5.4). */
uint32_t timestamp_offset(const struct secrets *s, const struct path *path);
/* A control block with empty buffers, as a connection of this host begins; NULL when memory
 * ran out. */
struct tcb *tcb_new(const struct segment_path *host, uint32_t number, uint32_t state,
                    const struct path *path);
/* The end of a connection: its timers stop, and what its send buffer holds and both buffers
 * drew of the budget is free. */
void tcb_end(struct segment_path *path, struct tcb *t);
/* The segment path answers for a port from now on, or no more. */
void port_open(struct segment_path *path, struct listening *listening);
void port_close(struct segment_path *path, struct listening *listening);
/* Counts a batch that has arrived. */
void segment_path_count(struct segment_path *path, const struct batch *b);

/* ---- simulated line ------------------------------------------------------ */

/* One direction of a simulated wire that damages nothing and keeps the order. Packets are
 * copied in and wait for their turn, if there is room; they leave one after the other at `rate`
 * and travel for `delay`. Time never goes back. */
struct parcel;
struct line {
    uint64_t rate;        /* bit/s; 0: no limit, and nothing waits */
    int64_t delay;        /* µs */
    uint32_t packets_max; /* that may wait; 0: no limit */
    uint64_t octets_max;  /* the same in bytes; a packet that finds none waiting is taken */

    uint64_t passed;   /* packets taken in */
    uint64_t refused;  /* packets that found no room */
    uint64_t too_long; /* packets beyond the MTU */

    int64_t sent_at; /* when the packet before has left: whole µs, and ns beyond them */
    uint32_t sent_at_ns;
    uint32_t travelling; /* packets that are here */
    uint32_t waiting;    /* of those, that had not their turn when it was last looked at */
    uint64_t waiting_octets;
    struct parcel *first;
    struct parcel *last;
    struct parcel *first_waiting;
    struct parcel *held;  /* handed over last; their bytes hold until the next hand-over */
    struct parcel *spare; /* memory for others */
};

#define LINE_NOTHING -1 /* no packet is on its way */
#define LINE_NO_MEMORY -2

struct line *line_new(uint64_t rate, int64_t delay, uint32_t packets_max, uint64_t octets_max);
void line_free(struct line *line);
/* Takes one packet in. Returns as line_carry. */
int64_t line_push(struct line *line, const uint8_t *data, uint32_t length, int64_t now);
/* Takes in n packets, at most 64, but those that are longer than `mtu`, and those whose bit
 * in `lost` is set (the first packet's is the lowest). Returns when the first packet of all
 * arrives, or LINE_… */
int64_t line_carry(struct line *line, const struct outgoing out[], uint32_t n, uint32_t mtu,
                   uint64_t lost, int64_t now);
/* Hands over up to `limit` packets that have arrived; returns how many. */
uint32_t line_pop(struct line *line, struct span out[], uint32_t limit, int64_t now);
/* The same for up to 64 packets, as packets to be sent on. */
uint32_t line_lend(struct line *line, struct outgoing out[], int64_t now);
/* The same for a whole batch, parsed. Returns when the next one arrives, or LINE_NOTHING. */
int64_t line_deliver(struct line *line, struct batch *b, int64_t now);
/* When the next packet arrives, or LINE_NOTHING. */
int64_t line_due(const struct line *line);
/* Packets that wait for their turn at `now`. */
uint32_t line_waiting(struct line *line, int64_t now);

/* ---- simulated network ----------------------------------------------------
 *
 * What is to arrive where, in the order of times and then of scheduling, which Python's own
 * events have part in. Where packets arrive at a host that the segment path can finish alone,
 * the host takes its whole turn here: it receives, and sends what may leave. */

struct channel; /* one direction of a wire */

/* A host, as far as it can take turns without Python. */
struct station {
    struct segment_path *path;
    struct batch *batch;
    struct outgoing *out;
    struct channel *way; /* where it sends by */
    uint32_t number;
    uint64_t ready; /* the epoch in which it may take turns here */
    int64_t now;    /* of its last turn, while it is among the `touched` */
    struct station *next;
};

struct channel {
    struct line *line;  /* NULL: Python carries its packets */
    struct station *to; /* NULL: what arrives is Python's */
    uint32_t number;
    uint32_t mtu;
    int64_t due; /* when the one entry in the schedule that counts is; LINE_NOTHING: none is */
};

struct arrival;
struct network {
    struct arrival *heap;
    uint32_t count;
    uint32_t capacity;
    uint64_t order; /* of the last event scheduled, in Python or here */
    uint64_t epoch; /* a new one begins whenever somebody may have called a host */
    int64_t now;
    struct station *touched; /* had a turn since Python looked last */
    /* What network_run leaves to do. */
    uint32_t at;     /* number of the channel or station */
    uint32_t packet; /* first of the batch that is Python's */
    uint32_t sender; /* number of the connection */
};

/* What network_run returns. */
#define RUN_NOTHING 0   /* nothing is due before the limits */
#define RUN_ENOUGH 1    /* so many events have happened */
#define RUN_ARRIVAL 2   /* a channel's packets are due, and Python's */
#define RUN_PACKETS 3   /* a station's turn is Python's from a packet of its batch on */
#define RUN_OUTPUT 4    /* the same from the output of a connection on */
#define RUN_TIMERS 5    /* a turn is over, and an earlier timer may run now */
#define RUN_NO_MEMORY 6

/* Gives back what a network, all 0 at first, has come to hold. */
void network_clear(struct network *net);
/* Has a channel looked at when its next packet arrives, or at `now` if that is over. Returns 1,
 * or 0 when memory ran out. */
int network_expect(struct network *net, struct channel *channel, int64_t when, int64_t now);
/* When the next arrival is due, or LINE_NOTHING. */
int64_t network_due(const struct network *net);
/* Lets up to `events` arrivals happen that are due by `until` and come before an event of
 * Python's, which is number `order` and due at `when`. */
uint32_t network_run(struct network *net, int64_t until, int64_t when, uint64_t order,
                     uint32_t events);

/* ---- forwarding ----------------------------------------------------------- */

struct hop {
    uint8_t destination[16]; /* of all packets; in IPv4 the first four bytes */
    uint32_t longest;        /* bytes of the longest packet */
};

/* Looks whether n packets, none above `limit` bytes, go to one address and ask a router for
 * nothing but to be sent on: headers in order and hops left. Returns the bytes of that address, 4 or 16, or 0. */
uint32_t hop_look(struct hop *hop, const struct outgoing out[], uint32_t n, uint32_t limit);
/* Writes to `onward` the packets, which hop_look found fit, with one hop less each. */
void hop_take(struct outgoing onward[], const struct outgoing out[], uint32_t n);

/* ---- workers that share a device ------------------------------------------ */

/* One of `of` workers, counted from 0; they have the key in common. */
struct share {
    uint32_t number;
    uint32_t of;
    uint32_t key;
};

/* The worker that a packet is for. All of a TCP or UDP flow go to one, the ICMP errors about it
 * included, and all fragments of a packet go to one; whatever else there is, and what is
 * faulty, anyone may take, so it stays with the worker that asks. */
uint32_t share_owner(const struct share *s, const struct packet *p);
/* Takes the packets of other workers out of a batch, in their order, and tells whose they
 * are; returns how many. Their bytes stay in the batch's arena. */
uint32_t share_split(const struct share *s, struct batch *b, struct packet strays[BATCH_PACKETS],
                     uint32_t owners[BATCH_PACKETS]);
