/* Writes good packets of every kind into a folder, as a corpus to mutate:
 *
 *   seeds FOLDER */
#include "internal.h"

#include <stdio.h>
#include <string.h>

static int save(const char *folder, const char *name, uint32_t version, const uint8_t *data,
                uint32_t length)
{
    char path[512];
    FILE *file;
    size_t written;

    snprintf(path, sizeof path, "%s/%s-ipv%u", folder, name, version);
    file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    written = fwrite(data, 1, length, file);
    return fclose(file) != 0 || written != length;
}

static struct path make_path(uint8_t version)
{
    struct path path;

    memset(&path, 0, sizeof path);
    path.version = version;
    path.ttl = 64;
    path.sport = 1000;
    path.dport = 80;
    path.src[10] = path.src[11] = path.dst[10] = path.dst[11] = version == 4 ? 0xff : 0;
    path.src[12] = path.dst[12] = 192;
    path.src[15] = 1;
    path.dst[15] = 2;
    return path;
}

static int save_tcp(const char *folder, uint8_t version)
{
    struct path path = make_path(version);
    struct outgoing out;
    uint8_t data[256];
    struct emit e;
    int bad;

    memset(&e, 0, sizeof e);
    e.flags = FLAG_SYN;
    e.options = OPTION_MSS | OPTION_SACK_PERMITTED | OPTION_TIMESTAMPS | OPTION_WSCALE;
    outgoing_tcp(&out, &path, &e, NULL, 0, 0);
    bad = save(folder, "syn", version, data, outgoing_copy(&out, data, sizeof data));
    e.options |= OPTION_FAST_OPEN | OPTION_USER_TIMEOUT;
    e.fast_open_length = 8;
    outgoing_tcp(&out, &path, &e, NULL, 0, 0);
    bad |= save(folder, "fast_open", version, data, outgoing_copy(&out, data, sizeof data));
    e.flags = FLAG_ACK;
    e.options = OPTION_SACK | OPTION_TIMESTAMPS;
    e.sack_count = 1;
    e.options |= OPTION_ACCECN;
    e.accecn_count = ACCECN_MAX;
    outgoing_tcp(&out, &path, &e, NULL, 0, 0);
    bad |= save(folder, "accecn", version, data, outgoing_copy(&out, data, sizeof data));
    e.options &= ~(uint32_t)OPTION_ACCECN & 0xffff;
    e.sack_count = 3;
    outgoing_tcp(&out, &path, &e, NULL, 0, 0);
    return bad | save(folder, "sack", version, data, outgoing_copy(&out, data, sizeof data));
}

static int save_payload(const char *folder, const char *name, uint8_t version, uint8_t protocol,
                        const uint8_t *payload, uint32_t length, int32_t checksum_at)
{
    struct path path = make_path(version);
    uint8_t data[256];
    uint32_t n = packet_build(data, sizeof data, &path, protocol, 1, payload, length, checksum_at);

    return save(folder, name, version, data, n);
}

static int save_others(const char *folder, uint8_t version)
{
    static const uint8_t udp[12] = {3, 232, 0, 53, 0, 12, 0, 0, 't', 'e', 'x', 't'};
    static const uint8_t echo[12] = {8, 0, 0, 0, 1, 2, 3, 4, 't', 'e', 'x', 't'};
    uint8_t icmp = version == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;

    return save_payload(folder, "udp", version, PROTOCOL_UDP, udp, sizeof udp, 6) |
           save_payload(folder, "echo", version, icmp, echo, sizeof echo, 2);
}

static int save_extensions(const char *folder)
{
    static const uint8_t chain[] = {
        60, 0, 5, 2, 0, 0, 1, 0,             /* hop-by-hop: router alert, padding */
        43, 0, 0x3e, 4, 0, 0, 0, 0,          /* destination options: an unknown one */
        51, 0, 0, 0, 0, 0, 0, 0,             /* routing, used up */
        44, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, /* AH */
        59, 0, 0, 9, 0, 0, 0, 1, 1, 2, 3, 4, /* a fragment */
    };

    return save_payload(folder, "extensions", 6, PROTOCOL_HOP_BY_HOP, chain, sizeof chain, -1);
}

int main(int count, char **arguments)
{
    const char *folder = arguments[1];

    if (count != 2) {
        fprintf(stderr, "usage: seeds FOLDER\n");
        return 2;
    }
    return save_tcp(folder, 4) | save_tcp(folder, 6) | save_others(folder, 4) |
           save_others(folder, 6) | save_extensions(folder);
}
