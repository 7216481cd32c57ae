/*
 * tests/fuzz/fuzz_proxy_header.c - the PROXY protocol's header: no cut changes the verdict, and what is read can be written
 * and read again.
 */
#include "tests/fuzz/fuzz.h"

#include "net/proxy_protocol.h"

static void check_round_trip(const struct net_proxy_header *h, int version)
{
    struct buf out = {0};
    struct net_proxy_header again;
    size_t used = 0;
    FUZZ_CHECK(net_proxy_write(h, version, &out));
    FUZZ_CHECK(net_proxy_parse(&again, out.data, buf_len(&out), &used) == NET_PROXY_DONE &&
               used == buf_len(&out));
    FUZZ_CHECK(again.address_len == h->address_len);
    FUZZ_CHECK(memcmp(again.source, h->source, sizeof h->source) == 0);
    FUZZ_CHECK(again.source_port == h->source_port && again.destination_port == h->destination_port);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct net_proxy_header h, cut;
    size_t used = 0, cut_used = 0;
    char *data = fuzz_copy(bytes, len);
    enum net_proxy_result whole = net_proxy_parse(&h, data, len, &used);
    FUZZ_CHECK(whole != NET_PROXY_DONE || (used > 0 && used <= len));
    for (size_t n = 0; n < len && n < 300; n++) {
        enum net_proxy_result r = net_proxy_parse(&cut, data, n, &cut_used);
        FUZZ_CHECK(r == NET_PROXY_MORE || (r == whole && (r == NET_PROXY_BAD || cut_used == used)));
    }
    if (whole == NET_PROXY_DONE) {
        check_round_trip(&h, 1);
        check_round_trip(&h, 2);
    }
    free(data);
    return 0;
}
