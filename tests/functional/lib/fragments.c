/*
 * tests/functional/lib/fragments.c PORT CODE UPDATES: downloads /counted over TLS 1.3 with the longest records of that code (RFC 6066 section
 * 4; 0: no wish) by a small window, and asks for new keys so often while the server cannot write. Says how many bytes were right.
 *
 * /counted is the numbers from 0 on, of four bytes each, the low one first.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int fd;

static SSL *begin(const char *port, int code)
{
    int window = 4096;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    if (code)
        SSL_CTX_set_tlsext_max_fragment_length(ctx, (uint8_t)code);
    SSL *ssl = SSL_new(ctx);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 || SSL_set_fd(ssl, fd) != 1 ||
        SSL_connect(ssl) != 1)
        return NULL;
    return ssl;
}

/* Until no more comes: the server cannot write. */
static void wait_full(void)
{
    int before = -1, now = 0;
    for (int same = 0; same < 20; same = now == before ? same + 1 : 0, before = now) {
        usleep(1000);
        ioctl(fd, FIONREAD, &now);
    }
}

int main(int argc, char **argv)
{
    static const char ask[] = "GET /counted HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static unsigned char data[16384];
    SSL *ssl = argc == 4 ? begin(argv[1], atoi(argv[2])) : NULL;
    if (!ssl || SSL_write(ssl, ask, sizeof ask - 1) <= 0)
        return 1;
    long right = 0, line_ends = 0;
    int updates = atoi(argv[3]), n;
    bool in_body = false;
    do {
        if (updates > 0) {
            wait_full();
            if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
                return 2;
            updates--;
        }
        n = SSL_read(ssl, data, sizeof data);
        for (int i = 0; i < n; i++) {
            if (in_body) {
                if (data[i] != (unsigned char)(right / 4 >> 8 * (right % 4)))
                    return printf("wrong at %ld\n", right), 0;
                right++;
                continue;
            }
            line_ends = data[i] == '\n' ? line_ends + 1 : data[i] == '\r' ? line_ends : 0;
            in_body = line_ends == 2;
        }
    } while (n > 0);
    printf("%ld\n", right);
    return 0;
}
