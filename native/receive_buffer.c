/* The size of the receive buffer (core.tcp.receive_buffer), and applications that only let
 * bytes pass. */
#include "internal.h"

#define SHORTEST_RTT 1000 /* µs: timestamps tick no faster */
#define ROUNDING (1u << 14)

uint32_t with_rounding(uint32_t size)
{
    return size + size / 8 + ROUNDING;
}

/* The first measurement of the receiver's round trip begins (core.tcp.receive_buffer). */
void begin_receiving(const struct segment_path *path, struct tcb *t, int64_t now)
{
    uint64_t first = (uint64_t)path->initial_window * t->rcv_mss;

    t->rcv_rtt = t->srtt > SHORTEST_RTT ? t->srtt : SHORTEST_RTT;
    t->rcv_space = first < t->rcv_wnd_max ? (uint32_t)first : t->rcv_wnd_max;
    t->rcv_round_from = t->rcv_nxt - t->rcv.length;
    t->rcv_round_at = t->rcv_measure_at = now;
}

/* The receiver's round trip, once in each, from what the sender echoes. */
void measure_round_trip(struct tcb *t, const struct packet *p, int64_t now)
{
    int64_t sample;

    if (!t->rcv_automatic || now < t->rcv_measure_at || !t->ts_ok || p->tsecr == 0)
        return;
    sample = (int64_t)(timestamp(t, now) - p->tsecr) * 1000;
    if (sample < SHORTEST_RTT)
        sample = SHORTEST_RTT;
    if (sample < t->rcv_rtt || t->rcv_rtt == 0)
        t->rcv_rtt = sample;
    else
        t->rcv_rtt += (sample - t->rcv_rtt) / 8;
    t->rcv_measure_at = now + t->rcv_rtt;
}

static int64_t wanted_size(const struct segment_path *path, const struct tcb *t, uint32_t copied)
{
    int64_t most = INT64_C(0xffff) << t->rcv_wscale;
    int64_t wanted = 2 * (int64_t)copied + 16 * (int64_t)t->rcv_mss;
    int64_t rise = copied - t->rcv_space;

    if (most > path->largest_receive_buffer)
        most = path->largest_receive_buffer;
    if (wanted >= most || t->rcv_space == 0)
        return most;
    if (rise > t->rcv_space)
        rise = t->rcv_space;
    wanted += wanted * rise / t->rcv_space;
    return wanted < most ? wanted : most;
}

static void widen(struct segment_path *path, struct tcb *t, uint32_t copied)
{
    int64_t more = wanted_size(path, t, copied) - t->rcv_wnd_max;
    uint32_t limit;

    if (more > path->budget->left)
        more = path->budget->left;
    if (more <= 0)
        return;
    path->budget->left -= more;
    t->rcv_drawn += (uint32_t)more;
    t->rcv_wnd_max += (uint32_t)more;
    limit = with_rounding(t->rcv_wnd_max);
    if (limit > t->rcv.limit)
        t->rcv.limit = limit;
}

/* The window follows, once a round trip, what the application took in it. */
static void follow_reader(struct segment_path *path, struct tcb *t, int64_t now)
{
    uint32_t copied = t->rcv_nxt - t->rcv_round_from;

    if (!t->rcv_automatic || t->rcv_rtt == 0 || now - t->rcv_round_at < t->rcv_rtt)
        return;
    if (copied > t->rcv_space) {
        widen(path, t, copied);
        t->rcv_space = copied;
    }
    t->rcv_round_from = t->rcv_nxt;
    t->rcv_round_at = now;
}

/* Less than half of the buffer was announced (core.tcp.window): since it is empty, the window
 * at least doubles. */
static int update_is_worth_a_segment(const struct tcb *t)
{
    return t->rcv_adv - t->rcv_nxt <= t->rcv_wnd_max / 2 && t->rcv_wnd_max > 0;
}

void discard(struct segment_path *path, struct tcb *t, int64_t now)
{
    ring_consume(&t->rcv, t->rcv.length);
    follow_reader(path, t, now);
    if (update_is_worth_a_segment(t))
        ack_now(path, t, WHY_WINDOW_UPDATE);
}
