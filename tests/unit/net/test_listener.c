/*
 * tests/unit/net/test_listener.c - listening sockets: opened, told apart from others, a stale unix socket replaced.
 */
#include "net/listener.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

static const struct net_listen_options plain = {.backlog = 5};

/* The loopback with a port of the kernel's choice: the one thing that net_address_parse refuses. */
static struct net_address any_port(void)
{
    struct net_address a;
    CU_ASSERT_PTR_NULL(net_address_parse(SLICE("127.0.0.1:1"), &a));
    ((struct sockaddr_in *)(void *)&a.addr)->sin_port = 0;
    return a;
}

static void opens_and_tells_its_address(void)
{
    struct net_address wanted = any_port(), bound;
    unsigned port;
    char host[NET_ADDRESS_TEXT_BYTES];
    int fd = net_listen(&wanted, &plain);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT(net_is_listening(fd));
    CU_ASSERT(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CU_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_NUMBER(net_bound_address(fd, &bound), 0);
    net_address_host(&bound, host, &port);
    CU_ASSERT_STRING_EQUAL(host, "127.0.0.1");
    CU_ASSERT(port > 0);
    CHECK_NUMBER(net_listen(&bound, &plain), -1); /* taken */
    CHECK_NUMBER(errno, EADDRINUSE);
    CHECK_NUMBER(net_listen_again(fd, &(struct net_listen_options){.backlog = 9, .nodelay = true}), 0);
    close(fd);
}

static void reuseport_shares_an_address(void)
{
    const struct net_listen_options shared = {.backlog = 5, .reuseport = true};
    struct net_address wanted = any_port(), bound;
    int first = net_listen(&wanted, &shared);
    CU_ASSERT_FATAL(first >= 0);
    CHECK_NUMBER(net_bound_address(first, &bound), 0);
    int second = net_listen(&bound, &shared);
    CU_ASSERT(second >= 0);
    close(first);
    close(second);
}

static void other_descriptors_do_not_listen(void)
{
    int ends[2], plain_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(pipe(ends) == 0);
    CU_ASSERT(!net_is_listening(plain_socket));
    CU_ASSERT(!net_is_listening(ends[0]));
    CU_ASSERT(!net_is_listening(-1));
    close(plain_socket);
    close(ends[0]);
    close(ends[1]);
}

static void a_stale_unix_socket_is_replaced(void)
{
    char dir[] = "/tmp/weir-listen-XXXXXX", path[100];
    struct net_address a, bound;
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "unix:%s/sock", dir);
    CU_ASSERT_PTR_NULL(net_address_parse(slice_of(path), &a));
    int fd = net_listen(&a, &plain);
    CU_ASSERT_FATAL(fd >= 0);
    CHECK_NUMBER(net_bound_address(fd, &bound), 0);
    CU_ASSERT(net_address_eq(&a, &bound));
    close(fd); /* the file stays behind, as after a crash */
    fd = net_listen(&a, &plain);
    CU_ASSERT(fd >= 0);
    close(fd);
    unlink(path + 5);
    rmdir(dir);
}

static const struct check_case cases[] = {
    {"opens and tells its address", opens_and_tells_its_address},
    {"reuseport shares an address", reuseport_shares_an_address},
    {"other descriptors do not listen", other_descriptors_do_not_listen},
    {"a stale unix socket is replaced", a_stale_unix_socket_is_replaced},
};

CHECK_MAIN("net/listener", cases)
