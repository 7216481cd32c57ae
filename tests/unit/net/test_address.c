/*
 * tests/unit/net/test_address.c - socket addresses: every form of a listen address, and what is none.
 */
#include "net/address.h"

#include "tests/unit/check.h"

#include <netdb.h>

static void check_address(const char *text, const char *printed)
{
    struct net_address a;
    char out[NET_ADDRESS_TEXT_BYTES];
    const char *wrong = net_address_parse(slice_of(text), &a);
    CHECK_FOR(text, wrong == NULL);
    if (!wrong && strcmp(net_address_text(&a, out), printed) != 0)
        check_slice(slice_of(out), slice_of(printed), text, __FILE__, __LINE__);
}

static void good_addresses(void)
{
    check_address("80", "0.0.0.0:80");
    check_address("*:8080", "0.0.0.0:8080");
    check_address(":81", "0.0.0.0:81");
    check_address("*", "0.0.0.0:80");
    check_address("127.0.0.1", "127.0.0.1:80");
    check_address("127.0.0.1:65535", "127.0.0.1:65535");
    check_address("[::]:80", "[::]:80");
    check_address("[::1]", "[::1]:80");
    check_address("[2001:db8:0:0::1]:443", "[2001:db8::1]:443");
    check_address("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1");
    check_address("010.0.00.0001:80", "10.0.0.1:80"); /* decimal, however many zeros are in front */
    check_address("[::ffff:01.2.3.08]:1", "[::ffff:1.2.3.8]:1");
    check_address("unix:/run/weir.sock", "unix:/run/weir.sock");
    check_address("unix:relative:80", "unix:relative:80");
}

/* Where the system knows one: in a bare chroot there is no /etc/hosts. */
static void a_name(void)
{
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", NULL, NULL, &found) != 0) {
        check_skip("localhost as an address: needs /etc/hosts");
        return;
    }
    freeaddrinfo(found);
    check_address("localhost:90", "127.0.0.1:90");
}

/* Name servers that answer nobody hold the reading of a configuration up once, not for each name. */
static void names_are_not_asked_for_without_end(void)
{
    struct net_address found[4];
    struct slice host;
    uint64_t spent_ms = 3600000;
    unsigned port;
    int count;
    const char *wrong = net_address_resolve(SLICE("localhost:90"), found, 4, &count, &host, &port, &spent_ms);
    CU_ASSERT(wrong && strstr(wrong, "host not found") != NULL);
    CHECK_SLICE(host, "localhost");
    CHECK_NUMBER(spent_ms, 3600000);
    wrong = net_address_resolve(SLICE("127.0.0.1:90"), found, 4, &count, &host, &port, &spent_ms);
    CU_ASSERT(!wrong && count == 1); /* an address needs nobody */
}

static void bad_addresses(void)
{
    static const char *const cases[] = {"0",
                                        "65536",
                                        "99999999999999999999",
                                        "127.0.0.1:",
                                        "127.0.0.1:0",
                                        "127.0.0.1:65536",
                                        "127.0.0.1:8x",
                                        "127.0.0.1:-1",
                                        "127.0.0.1: 80",
                                        "[::1",
                                        "[::1]80",
                                        "[::1]x:80",
                                        "[::1]:0",
                                        "[::g]:80",
                                        "[1.2.3.4]:80",
                                        "[00001::1]:80",
                                        "[:0:0.1.2.3]:80",
                                        "[]:80",
                                        "unix:",
                                        "*:"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_address a;
        const char *wrong = net_address_parse(slice_of(cases[i]), &a);
        CHECK_FOR(cases[i], wrong && strlen(wrong) > 5); /* a sentence, not only a failure */
    }
}

/* Printed with port 0 where the system is to choose. */
static void local_addresses(void)
{
    static const struct {
        const char *text, *printed; /* NULL: refused */
    } cases[] = {{"127.0.0.1", "127.0.0.1:0"},
                 {"127.0.0.1:81", "127.0.0.1:81"},
                 {"::1", "[::1]:0"},
                 {"[::1]", "[::1]:0"},
                 {"[::1]:81", "[::1]:81"},
                 {"fe80::1:2", "[fe80::1:2]:0"},
                 {"", NULL},
                 {"80", NULL},
                 {"*", NULL},
                 {"localhost", NULL},
                 {"unix:/x", NULL},
                 {"127.0.0.1:0", NULL},
                 {"none.invalid", NULL},
                 {"1:2:3", NULL},
                 {"127.0.0.1:x", NULL},
                 {"::1::", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_address a;
        char text[NET_ADDRESS_TEXT_BYTES];
        const char *wrong = net_address_parse_local(slice_of(cases[i].text), &a);
        CHECK_FOR(cases[i].text, cases[i].printed
                                     ? !wrong && !strcmp(net_address_text(&a, text), cases[i].printed)
                                     : wrong != NULL);
    }
}

static void lengths_are_bounded(void)
{
    struct net_address a;
    char text[600] = "unix:";
    memset(text + 5, 'p', 107);
    CU_ASSERT_PTR_NULL(net_address_parse(slice_of(text), &a)); /* the longest that fits */
    char out[NET_ADDRESS_TEXT_BYTES];
    CHECK_SLICE(slice_of(net_address_text(&a, out)), text);
    text[5 + 107] = 'p';
    CU_ASSERT_PTR_NOT_NULL(net_address_parse(slice_of(text), &a));
    memset(text, 'h', 500);
    CU_ASSERT_PTR_NOT_NULL(net_address_parse(slice_of(text), &a));
    text[0] = '[';
    text[498] = ']';
    text[499] = '\0';
    CU_ASSERT_PTR_NOT_NULL(net_address_parse(slice_of(text), &a));
}

static bool same(const char *a, const char *b)
{
    struct net_address x, y;
    CU_ASSERT_PTR_NULL(net_address_parse(slice_of(a), &x));
    CU_ASSERT_PTR_NULL(net_address_parse(slice_of(b), &y));
    CU_ASSERT(net_address_eq(&x, &y) == net_address_eq(&y, &x));
    return net_address_eq(&x, &y);
}

static void equality(void)
{
    CU_ASSERT(same("80", "*:80"));
    CU_ASSERT(same("0.0.0.0:80", "80"));
    CU_ASSERT(same("[::1]:80", "[0:0::1]"));
    CU_ASSERT(same("unix:/a", "unix:/a"));
    CU_ASSERT(!same("80", "81"));
    CU_ASSERT(!same("127.0.0.1:80", "*:80"));
    CU_ASSERT(!same("[::]:80", "80"));
    CU_ASSERT(!same("[::1]:80", "[::1]:81"));
    CU_ASSERT(!same("unix:/a", "unix:/ab"));
    CU_ASSERT(!same("unix:/a", "80"));
}

static bool covers(const char *any, const char *one)
{
    struct net_address x, y;
    CU_ASSERT_PTR_NULL(net_address_parse(slice_of(any), &x));
    CU_ASSERT_PTR_NULL(net_address_parse(slice_of(one), &y));
    return net_address_covers(&x, &y);
}

static void wildcards(void)
{
    CU_ASSERT(covers("*:80", "127.0.0.1:80"));
    CU_ASSERT(covers("[::]:80", "[::1]:80"));
    CU_ASSERT(!covers("*:80", "127.0.0.1:81"));
    CU_ASSERT(!covers("*:80", "*:80"));
    CU_ASSERT(!covers("127.0.0.1:80", "*:80"));
    CU_ASSERT(!covers("[::]:80", "127.0.0.1:80"));
    CU_ASSERT(!covers("*:80", "unix:/a"));
    CU_ASSERT(!covers("unix:/a", "unix:/a"));
}

static void hosts_and_ports_apart(void)
{
    struct net_address a;
    char out[NET_ADDRESS_TEXT_BYTES];
    unsigned port = 1;
    CU_ASSERT_PTR_NULL(net_address_parse(SLICE("[::1]:8443"), &a));
    CHECK_NUMBER(net_address_host(&a, out, &port), 3);
    CU_ASSERT_STRING_EQUAL(out, "::1");
    CHECK_NUMBER(port, 8443);
    CU_ASSERT_PTR_NULL(net_address_parse(SLICE("unix:/a"), &a));
    CHECK_NUMBER(net_address_host(&a, out, &port), 5);
    CU_ASSERT_STRING_EQUAL(out, "unix:");
    CHECK_NUMBER(port, 0);
}

static const struct check_case cases[] = {
    {"good addresses", good_addresses},
    {"a name", a_name},
    {"names are not asked for without end", names_are_not_asked_for_without_end},
    {"bad addresses", bad_addresses},
    {"local addresses", local_addresses},
    {"lengths are bounded", lengths_are_bounded},
    {"equality", equality},
    {"wildcards", wildcards},
    {"hosts and ports apart", hosts_and_ports_apart},
};

CHECK_MAIN("net/address", cases)
