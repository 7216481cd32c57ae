/*
 * tests/functional/lib/early.c - a client that sends a request with its first words, and not all of it, or more than it may.
 *
 * early PORT cut      for each n: n bytes of the first flight, and then the end of what it sends
 * early PORT stop     the whole first flight; nothing after it
 * early PORT flip     for each n: the first flight with that byte wrong
 * early PORT much N   N bytes in the first flight, whatever the server has allowed
 * Prints how many connections that were, how long the first flight was, and how many bytes came back.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const char get[] = "GET /says HTTP/1.1\r\nHost: localhost\r\n\r\n",
                  last[] = "GET /says HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
enum { FLIGHT_MAX = 1 << 20 };

static unsigned char flight[FLIGHT_MAX];
static SSL_CTX *ctx;
static unsigned short port;

static void fail(const char *what)
{
    fprintf(stderr, "early: %s\n", what);
    exit(1);
}

static int open_socket(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {10, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail("no connection");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static SSL_SESSION *first_session(void)
{
    char answer[4096];
    int fd = open_socket();
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "localhost");
    if (SSL_connect(ssl) != 1 || SSL_write(ssl, last, sizeof last - 1) <= 0)
        fail("no handshake");
    while (SSL_read(ssl, answer, sizeof answer) > 0)
        ;
    SSL_SESSION *session = SSL_get1_session(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    if (SSL_SESSION_get_max_early_data(session) == 0)
        fail("no early data is allowed");
    return session;
}

/* A hello, and the request as often as it fits into so many bytes, once at least. */
static size_t make_flight(SSL_SESSION *session, size_t bytes)
{
    size_t written, len;
    SSL *ssl = SSL_new(ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl);
    SSL_set_tlsext_host_name(ssl, "localhost");
    SSL_set_session(ssl, session);
    for (size_t done = 0; done == 0 || done < bytes; done += sizeof get - 1)
        if (SSL_write_early_data(ssl, get, sizeof get - 1, &written) != 1)
            fail("no early data is written");
    if (!BIO_read_ex(out, flight, sizeof flight, &len))
        fail("no flight");
    SSL_free(ssl);
    return len;
}

/* Sends so many bytes; returns how many came until the server closed. */
static size_t say(size_t len, int is_all)
{
    char heard[65536];
    size_t sum = 0;
    int fd = open_socket();
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, flight + done, len - done, MSG_NOSIGNAL);
        if (n <= 0)
            break; /* it has had enough */
        done += (size_t)n;
    }
    if (is_all)
        shutdown(fd, SHUT_WR);
    for (ssize_t n; (n = recv(fd, heard, sizeof heard, 0)) > 0;)
        sum += (size_t)n;
    close(fd);
    return sum;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        fail("PORT cut|stop|flip|much [N]");
    port = (unsigned short)atoi(argv[1]);
    ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_SESSION *session = first_session();
    size_t bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, count = 1;
    if (bytes)
        SSL_SESSION_set_max_early_data(session, FLIGHT_MAX);
    size_t len = make_flight(session, bytes), heard = 0;
    if (strcmp(argv[2], "cut") == 0) {
        for (count = 1; count < len; count++)
            say(count, 1);
        count--;
    } else if (strcmp(argv[2], "flip") == 0) {
        for (count = 1; count < len; count++) {
            flight[count] ^= 0x41;
            say(len, 1);
            flight[count] ^= 0x41;
        }
        count--;
    } else {
        heard = say(len, 0);
    }
    printf("%zu %zu %zu\n", count, len, heard);
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    return 0;
}
