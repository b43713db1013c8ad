/* SYNs for a listening port, and what is left to Python. */
#include "connection.h"

#define PORT 80

static const uint8_t ours[3][16] = {
    {[10] = 0xff, 0xff, 192, 0, 2, 2},
    {0x20, 0x01, 0x0d, 0xb8, [15] = 2},
    {[10] = 0xff, 0xff, 192, 0, 2, 255}, /* a broadcast address */
};
static const uint8_t theirs[2][16] = {
    {[10] = 0xff, 0xff, 192, 0, 2, 1},
    {0x20, 0x01, 0x0d, 0xb8, [15] = 1},
};

struct port {
    struct bench b;
    struct secrets secrets;
    struct listening listening;
    struct packet *p;
};

static struct packet *syn(struct bench *b, uint8_t version)
{
    struct packet *p = &b->batch->packets[b->batch->count++];
    int six = version == 6;

    memset(p, 0, sizeof *p);
    p->version = version;
    p->protocol = PROTOCOL_TCP;
    memcpy(p->dst, ours[six], 16);
    memcpy(p->src, theirs[six], 16);
    p->sport = (uint16_t)(4000 + b->batch->count);
    p->dport = PORT;
    p->seq = UINT32_MAX;
    p->flags = FLAG_SYN;
    p->window = 64000;
    p->traffic_class = 0x88;
    p->options = OPTION_MSS | OPTION_WSCALE | OPTION_SACK_PERMITTED | OPTION_TIMESTAMPS;
    p->mss = 1460;
    p->wscale = 15;
    p->tsval = 77;
    return p;
}

static void port_init(struct port *port)
{
    struct segment_path *path = &port->b.path;

    bench_init(&port->b);
    memset(&port->secrets, 7, sizeof port->secrets);
    memset(&port->listening, 0, sizeof port->listening);
    port->listening.port = PORT;
    port->listening.backlog = 5;
    path->secrets = &port->secrets;
    path->own = ours[0];
    path->own_count = 2;
    path->refused = ours[0];
    path->refused_count = 3;
    path->opens = path->window_scaling = path->timestamps = path->sack = 1;
    path->syn_queue = 4;
    path->wscale = 9;
    path->mtu = 1500;
    path->ttl = 64;
    path->initial_window = 10;
    path->initial_rto = 1000000;
    path->send_buffer = path->receive_buffer = 131072;
    path->quick_acks = 16;
    path->number = 40;
    port_open(path, &port->listening);
    port->p = syn(&port->b, 4);
}

/* Connections that were opened belong to nobody else here. */
static void port_free(struct port *port)
{
    struct segment_path *path = &port->b.path;

    while (path->opened_count > 0)
        tcb_free(path->opened[--path->opened_count]);
    bench_free(&port->b);
}

/* ---- a SYN ------------------------------------------------------------------- */

static void a_syn_opens_a_connection(void)
{
    struct port port;
    const struct tcb *t;

    port_init(&port);
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 1);
    CHECK(port.b.path.opened_count == 1 && port.b.path.number == 41);
    CHECK(port.b.path.happened[0] == HAPPENED_OPENED && port.b.path.happened_to[0] == 41);
    CHECK(port.b.path.sending_count == 1 && port.b.path.sending[0] == 41);
    CHECK(port.b.path.segments_in == 1 && port.b.path.syns_in == 1);
    CHECK(port.listening.half_open == 1);
    t = port.b.path.opened[0];
    CHECK(flow_find_path(port.b.flows, &t->path) == 41);
    CHECK(t->number == 41 && t->state == STATE_SYN_RECEIVED && t->fast && t->half_open);
    CHECK(t->listening == &port.listening && t->syn_due == WHY_SYN_ACCEPTED && t->in_output);
    CHECK(t->iss == initial_sequence(&port.secrets, &t->path, NOW));
    CHECK(t->snd_una == t->iss && t->snd_nxt == t->iss + 1 && t->unacked_since == NOW);
    CHECK(t->ts_offset == timestamp_offset(&port.secrets, &t->path));
    CHECK(t->irs == UINT32_MAX && t->rcv_nxt == 0 && t->rcv_adv == 65535);
    CHECK(t->snd_wnd == 64000 && t->snd_wscale == 14 && t->rcv_wscale == 9 && t->wscale_ok);
    CHECK(t->ts_ok && t->ts_recent == 77 && t->sack_ok && t->rack_end == t->iss);
    CHECK(t->peer_mss == 1460 && t->rcv_mss == 1460 && t->snd_mss == 1448);
    CHECK(t->cwnd == 14480 && t->rto == 1000000 && t->traffic_class_heard == 0x88);
    port_free(&port);
}

static void a_syn_without_options_gets_what_every_host_takes(void)
{
    struct port port;
    const struct tcb *t;
    struct packet *six;

    port_init(&port);
    port.p->options = 0;
    six = syn(&port.b, 6);
    six->options = OPTION_MSS;
    six->mss = 10;
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 2);
    t = port.b.path.opened[0];
    CHECK(t->peer_mss == 536 && t->snd_mss == 536 && t->cwnd == 5360);
    CHECK(!t->ts_ok && !t->sack_ok && !t->wscale_ok && t->rack_end == 0);
    CHECK(t->rcv_wscale == 0 && t->rcv_wnd_max == 65535);
    t = port.b.path.opened[1];
    CHECK(t->peer_mss == 48 && t->rcv_mss == 1440 && t->path.version == 6);
    port_free(&port);
}

static void a_host_that_wants_no_options_gets_none(void)
{
    struct port port;
    const struct tcb *t;

    port_init(&port);
    port.b.path.window_scaling = port.b.path.timestamps = port.b.path.sack = 0;
    port.b.path.mtu = 65575;
    port.p->mss = 65535;
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 1);
    t = port.b.path.opened[0];
    CHECK(!t->ts_ok && !t->sack_ok && !t->wscale_ok);
    CHECK(t->rcv_mss == 65535 && t->snd_mss == 65535 && t->cwnd == 2 * 65535);
    port_free(&port);
}

/* ---- what is left to Python ------------------------------------------------------ */

#define OPENS(change, taken)                                                             \
    do {                                                                                 \
        struct port port;                                                                \
        struct segment_path *path = &port.b.path;                                        \
        struct packet *p;                                                                \
                                                                                         \
        port_init(&port);                                                                \
        p = port.p;                                                                      \
        (void)p;                                                                         \
        (void)path;                                                                      \
        change;                                                                          \
        CHECK(segments_arrive(path, port.b.batch, 0, NOW) == (taken));                   \
        CHECK(path->opened_count == (taken) && path->number == 40 + (taken));            \
        CHECK(path->noted == 2 * (taken) && flow_count(port.b.flows) == 1 + (taken));    \
        port_free(&port);                                                                \
    } while (0)

static void a_syn_that_asks_for_more_is_left(void)
{
    OPENS((void)0, 1);
    OPENS(path->opens = 0, 0);
    OPENS(p->flags |= FLAG_ECE | FLAG_CWR, 0);
    OPENS(p->flags = FLAG_ACK, 0);
    OPENS(p->text_length = 1, 0);
    OPENS(p->options |= OPTION_FAST_OPEN, 0);
    OPENS(p->options |= OPTION_UNKNOWN, 0);
    OPENS(p->source_route = 20, 0);
    OPENS(p->vnet_flags = 0x80, 0);
}

static void a_syn_from_or_to_nowhere_is_left(void)
{
    OPENS(p->dst[15] = 9, 0);
    OPENS(memcpy(p->src, ours[0], 16), 0);
    OPENS(memcpy(p->src, ours[2], 16), 0);
    OPENS(p->src[12] = 0, 0);
    OPENS(p->src[12] = 127, 0);
    OPENS(p->src[12] = 224, 0);
    OPENS(p->src[12] = 223, 1);
    OPENS(p = syn(&port.b, 6); port.b.batch->packets[0] = *p; port.b.batch->count = 1, 1);
    OPENS(*p = *syn(&port.b, 6); port.b.batch->count = 1; p->src[0] = 0xff, 0);
    OPENS(*p = *syn(&port.b, 6); port.b.batch->count = 1; memset(p->src, 0, 16), 0);
    OPENS(*p = *syn(&port.b, 6); port.b.batch->count = 1; memset(p->src, 0, 16); p->src[15] = 1, 0);
}

static void a_syn_that_no_port_has_room_for_is_left(void)
{
    OPENS(p->dport = PORT + 1, 0);
    OPENS(p->dport = PORT + PORT_BUCKETS, 0);
    OPENS(port.listening.waiting = 5, 0);
    OPENS(port.listening.half_open = 4, 0);
    OPENS(port.listening.version = 4, 1);
    OPENS(port.listening.version = 6, 0);
    OPENS(port.listening.has_address = 1, 0);
    OPENS(port.listening.has_address = 1; memcpy(port.listening.address, ours[0], 16), 1);
    OPENS(port_close(path, &port.listening), 0);
}

static void one_of_several_ports_in_a_list_is_found(void)
{
    struct listening other = {.port = PORT + PORT_BUCKETS, .backlog = 1}, same = {.port = PORT};

    OPENS(port_open(path, &other), 1);
    OPENS(port_open(path, &other); port_close(path, &port.listening), 0);
    OPENS(port_open(path, &port.listening), 1);
    OPENS(port_close(path, &same), 1);
}

static void a_flow_that_is_there_is_left(void)
{
    struct port port;
    struct packet *again;

    port_init(&port);
    again = syn(&port.b, 4);
    again->sport = port.p->sport;
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 1);
    CHECK(port.b.path.opened_count == 1);
    port_free(&port);
}

static void a_flow_without_a_tcb_is_left(void)
{
    struct port port;
    struct path path;

    port_init(&port);
    path_back(&path, port.p, 64);
    CHECK(flow_insert(port.b.flows, &path, 9, NULL) == 1);
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 0);
    CHECK(port.b.path.opened_count == 0 && port.b.path.number == 40);
    port_free(&port);
}

static void without_memory_a_syn_is_left(void)
{
    struct port port;

    port_init(&port);
    memory_is_out = 1;
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 0);
    memory_is_out = 0;
    CHECK(port.b.path.opened_count == 0 && port.listening.half_open == 0);
    port_free(&port);
}

/* ---- the SYN-ACK ------------------------------------------------------------------- */

static void a_syn_ack_leaves_once(void)
{
    struct port port;
    struct outgoing out[BATCH_PACKETS];
    struct packet sent;
    uint8_t data[128];
    struct tcb *t;

    port_init(&port);
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 1);
    t = port.b.path.opened[0];
    CHECK(segments_leave(&port.b.path, t, out, BATCH_PACKETS, 0, NOW) == LEAVE_FULL * 256);
    CHECK(segments_leave(&port.b.path, t, out, 0, 0, NOW + 9) == 1);
    CHECK(out[0].why == WHY_SYN_ACCEPTED && t->syn_due == WHY_NONE);
    CHECK(packet_parse(&sent, data, outgoing_copy(&out[0], data, sizeof data), 0) == 0);
    CHECK(sent.flags == (FLAG_SYN | FLAG_ACK) && sent.seq == t->iss && sent.ack == t->rcv_nxt);
    CHECK(sent.window == 65535 && sent.mss == 1460 && sent.wscale == 9 && sent.tsecr == 77);
    CHECK(sent.options == port.p->options && sent.tsval == timestamp(t, NOW + 9));
    CHECK(t->deadlines[TIMER_RETRANSMISSION] == NOW + 9 + 1000000 && t->segments_out == 1);
    CHECK(t->rcv_adv == t->rcv_nxt + 65535 && t->last_ack_sent == t->rcv_nxt);
    CHECK(segments_leave(&port.b.path, t, out, 0, 0, NOW + 9) == LEAVE_PYTHON * 256);
    port_free(&port);
}

static void a_syn_ack_that_is_not_the_common_one_is_left(void)
{
    struct port port;
    struct outgoing out[1];
    struct tcb *t;

    port_init(&port);
    CHECK(segments_arrive(&port.b.path, port.b.batch, 0, NOW) == 1);
    t = port.b.path.opened[0];
    t->backoff = 1;
    CHECK(segments_leave(&port.b.path, t, out, 0, 0, NOW) == LEAVE_PYTHON * 256);
    t->backoff = 0;
    t->fast = 0;
    CHECK(segments_leave(&port.b.path, t, out, 0, 0, NOW) == LEAVE_PYTHON * 256);
    t->fast = 1;
    t->rcv_adv = t->rcv_nxt; /* as if less had been announced before */
    t->rcv_wnd_max = 1000;
    t->ts_ok = t->sack_ok = t->wscale_ok = 0;
    CHECK(segments_leave(&port.b.path, t, out, 0, LEAVE_OFFLOAD, NOW) == 1);
    CHECK(t->rcv_adv == t->rcv_nxt + 1000);
    port_free(&port);
}

int main(void)
{
    RUN(a_syn_opens_a_connection);
    RUN(a_syn_without_options_gets_what_every_host_takes);
    RUN(a_host_that_wants_no_options_gets_none);
    RUN(a_syn_that_asks_for_more_is_left);
    RUN(a_syn_from_or_to_nowhere_is_left);
    RUN(a_syn_that_no_port_has_room_for_is_left);
    RUN(one_of_several_ports_in_a_list_is_found);
    RUN(a_flow_that_is_there_is_left);
    RUN(a_flow_without_a_tcb_is_left);
    RUN(without_memory_a_syn_is_left);
    RUN(a_syn_ack_leaves_once);
    RUN(a_syn_ack_that_is_not_the_common_one_is_left);
    return 0;
}
