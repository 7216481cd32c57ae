/*
 * tests/unit/base/test_syslog.c - syslog: parameters, the form of a message, servers that are not there or do not read.
 */
#include "base/syslog.h"

#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <regex.h>
#include <string.h>
#include <sys/un.h>

enum { MESSAGE_MAX = 8192, MANY = 5000, SENDERS = 4, EACH = 50 };

static char socket_path[] = "/tmp/weir-syslog-XXXXXX/socket";

static const char *parse(const char *text, struct syslog *s)
{
    return syslog_parse(slice_of(text), true, s);
}

/* --- parameters --- */

static void parameters_have_defaults(void)
{
    struct syslog s;
    CU_ASSERT_PTR_NULL(parse("server=127.0.0.1", &s));
    const struct sockaddr_in *in = (void *)&s.server;
    CHECK_NUMBER(in->sin_family, AF_INET);
    CHECK_NUMBER(ntohs(in->sin_port), 514);
    CHECK_NUMBER(s.facility, 23);
    CHECK_NUMBER(s.severity, 6);
    CU_ASSERT_STRING_EQUAL(s.tag, "weir");
    CU_ASSERT(!s.without_host);
    CHECK_NUMBER(s.fd, -1);
}

static void facilities_have_their_numbers(void)
{
    static const char *const names[] = {"kern",   "user",   "mail",   "daemon", "auth",     "intern",
                                        "lpr",    "news",   "uucp",   "clock",  "authpriv", "ftp",
                                        "ntp",    "audit",  "alert",  "cron",   "local0",   "local1",
                                        "local2", "local3", "local4", "local5", "local6",   "local7"};
    for (int i = 0; i < 24; i++) {
        char text[64];
        struct syslog s;
        snprintf(text, sizeof text, "server=127.0.0.1,facility=%s", names[i]);
        CHECK_FOR(names[i], parse(text, &s) == NULL && s.facility == i);
    }
}

static void all_parameters_together(void)
{
    struct syslog s;
    CU_ASSERT_PTR_NULL(
        parse("nohostname,tag=T_9,severity=emerg,facility=kern,server=unix:/run/a_socket", &s));
    CHECK_NUMBER(s.facility, 0);
    CHECK_NUMBER(s.severity, 0);
    CU_ASSERT_STRING_EQUAL(s.tag, "T_9");
    CU_ASSERT(s.without_host);
    CU_ASSERT_STRING_EQUAL(((struct sockaddr_un *)&s.server)->sun_path, "/run/a_socket");
    CU_ASSERT_PTR_NULL(parse("server=[::1]:99", &s));
    CHECK_NUMBER(ntohs(((struct sockaddr_in6 *)&s.server)->sin6_port), 99);
}

static void wrong_parameters_are_refused(void)
{
    static const char *const wrong[] = {
        "",
        "tag=a",
        "server=",
        "server=unix:",
        "server=:514",
        "server=[::1",
        "server=[::1]x",
        "server=127.0.0.1:",
        "server=127.0.0.1:0",
        "server=127.0.0.1:65536",
        "server=127.0.0.1:70000",
        "server=127.0.0.1:x",
        "server=127.0.0.1:1:2",
        "server=127.0.0.1,",
        ",server=127.0.0.1",
        "server=127.0.0.1,,tag=a",
        "server=127.0.0.1,tag=",
        "server=127.0.0.1,tag=a b",
        "server=127.0.0.1,tag=123456789012345678901234567890123",
        "server=127.0.0.1,facility=LOCAL0",
        "server=127.0.0.1,facility=local",
        "server=127.0.0.1,severity=7",
        "server=127.0.0.1,nohostname=1",
        "server=127.0.0.1,NOHOSTNAME",
        "server=127.0.0.1,server=127.0.0.2",
        "server=unix:/longer,server=unix:/s",
        "server=127.0.0.1,tag=a,tag=b",
        "server=127.0.0.1,facility=user,facility=mail",
        "server=127.0.0.1,severity=info,severity=info",
    };
    struct syslog s;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_FOR(wrong[i], parse(wrong[i], &s) != NULL);
}

static void a_path_may_fill_its_room(void)
{
    char text[200] = "server=unix:/";
    struct syslog s;
    size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    memset(text + 13, 'p', most - 1);
    CU_ASSERT_PTR_NULL(parse(text, &s));
    CHECK_NUMBER(strlen(((struct sockaddr_un *)&s.server)->sun_path), most);
    text[12 + most] = 'p';
    CU_ASSERT_PTR_NOT_NULL(parse(text, &s));
}

/* --- messages --- */

static int listen_at(int type, struct sockaddr_storage *address, socklen_t len, int room_bytes)
{
    int fd = socket(address->ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (room_bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room_bytes, sizeof room_bytes);
    if (bind(fd, (struct sockaddr *)address, len) < 0)
        abort();
    return fd;
}

/* A receiver for what s sends: at a path, or at a free port that the text then names. */
static int open_unix(struct syslog *s, const char *more)
{
    char text[256];
    snprintf(text, sizeof text, "server=unix:%s%s", socket_path, more);
    CU_ASSERT_PTR_NULL(parse(text, s));
    return listen_at(SOCK_DGRAM, &s->server, s->server_len, 0);
}

static int open_udp(struct syslog *s, in_port_t *port)
{
    char text[64];
    struct sockaddr_storage any = {0};
    struct sockaddr_in *in = (void *)&any;
    socklen_t len = sizeof *in;
    in->sin_family = AF_INET;
    in->sin_port = *port;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = listen_at(SOCK_DGRAM, &any, len, 0);
    getsockname(fd, (struct sockaddr *)in, &len);
    *port = in->sin_port;
    snprintf(text, sizeof text, "server=127.0.0.1:%d", ntohs(*port));
    if (s)
        CU_ASSERT_PTR_NULL(parse(text, s));
    return fd;
}

/* The next message, zero-terminated, valid until the next call; NULL without one. */
static const char *next(int fd, size_t *len)
{
    static char text[MESSAGE_MAX * 2];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    if (len)
        *len = n > 0 ? (size_t)n : 0;
    return n < 0 ? NULL : text;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    if (!text || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    int rc = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return rc == 0;
}

static void a_message_has_its_form(void)
{
    struct syslog s;
    int fd = open_unix(&s, ",facility=mail,severity=warn,tag=t");
    CU_ASSERT(syslog_send(&s, -1, SLICE("text")));
    CU_ASSERT(
        matches(next(fd, NULL), "^<20>[A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [^ ]+ t: text$"));
    s.without_host = true;
    CU_ASSERT(syslog_send(&s, 0, SLICE("")));
    CU_ASSERT(matches(next(fd, NULL), "^<16>[A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} t: $"));
    CU_ASSERT(syslog_send(&s, 7, SLICE("x\0y")));
    size_t len;
    const char *text = next(fd, &len);
    CU_ASSERT(matches(text, "^<23>") && memcmp(text + len - 3, "x\0y", 3) == 0);
    close(fd);
    unlink(socket_path);
    syslog_close(&s);
    CHECK_NUMBER(s.fd, -1);
}

static void a_long_message_is_cut(void)
{
    static char long_text[MESSAGE_MAX * 2];
    struct syslog s;
    size_t len;
    int fd = open_unix(&s, "");
    memset(long_text, 'l', sizeof long_text);
    for (size_t n = MESSAGE_MAX - 100; n < sizeof long_text; n += n < MESSAGE_MAX ? 1 : 999) {
        CU_ASSERT(syslog_send(&s, -1, (struct slice){long_text, n}));
        const char *text = next(fd, &len);
        CU_ASSERT(text && text[0] == '<' && text[len - 1] == 'l');
        CU_ASSERT(len <= MESSAGE_MAX && (len == MESSAGE_MAX || len > n));
    }
    close(fd);
    unlink(socket_path);
    syslog_close(&s);
}

/* --- servers --- */

static void a_server_that_is_not_there_costs_lines_only(void)
{
    struct syslog s;
    int fd = open_unix(&s, "");
    close(fd);
    unlink(socket_path);
    uint64_t began_ms = clock_mono_ms();
    for (int i = 0; i < MANY; i++)
        CU_ASSERT(!syslog_send(&s, -1, SLICE("lost")));
    CU_ASSERT(clock_mono_ms() - began_ms < 2000);
    fd = listen_at(SOCK_DGRAM, &s.server, s.server_len, 0);
    CU_ASSERT(syslog_send(&s, -1, SLICE("found"))); /* the very next line */
    CU_ASSERT(matches(next(fd, NULL), "found$"));
    close(fd);
    unlink(socket_path);
    fd = listen_at(SOCK_DGRAM, &s.server, s.server_len, 0); /* another socket under the same name */
    CU_ASSERT(syslog_send(&s, -1, SLICE("again")));
    CU_ASSERT(matches(next(fd, NULL), "again$"));
    close(fd);
    unlink(socket_path);
    syslog_close(&s);
}

static void an_old_refusal_costs_no_new_line(void)
{
    struct syslog s;
    in_port_t port = 0;
    int fd = open_udp(&s, &port);
    CU_ASSERT(syslog_send(&s, -1, SLICE("first")));
    CU_ASSERT(matches(next(fd, NULL), "first$"));
    close(fd);
    syslog_send(&s, -1, SLICE("lost"));
    fd = open_udp(NULL, &port);
    syslog_send(&s, -1, SLICE("second")); /* may say that the line before is lost */
    CU_ASSERT(matches(next(fd, NULL), "second$"));
    close(fd);
    syslog_close(&s);
}

static void a_full_socket_never_blocks(void)
{
    struct syslog s;
    int fd = open_unix(&s, ""), sent = 0;
    uint64_t began_ms = clock_mono_ms();
    for (int i = 0; i < MANY; i++)
        sent += syslog_send(&s, -1, SLICE("0123456789"));
    CU_ASSERT(sent > 0 && sent < MANY);
    CU_ASSERT(clock_mono_ms() - began_ms < 2000);
    for (int i = 0; i < sent; i++)
        CU_ASSERT(matches(next(fd, NULL), "0123456789$"));
    CU_ASSERT_PTR_NULL(next(fd, NULL));
    CU_ASSERT(syslog_send(&s, -1, SLICE("room again")));
    CU_ASSERT(matches(next(fd, NULL), "room again$"));
    close(fd);
    unlink(socket_path);
    syslog_close(&s);
}

static struct syslog shared;
static atomic_int delivered;
static pthread_barrier_t together;

static void *run_sender(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&together);
    for (int i = 0; i < EACH; i++)
        delivered += syslog_send(&shared, -1, SLICE("of a thread"));
    return NULL;
}

/* From the very first line: none is lost because another thread is just connecting. */
static void threads_send_at_once(void)
{
    pthread_t threads[SENDERS];
    in_port_t port = 0;
    int fd = open_udp(&shared, &port), got = 0, room = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    pthread_barrier_init(&together, NULL, SENDERS);
    for (int i = 0; i < SENDERS; i++)
        pthread_create(&threads[i], NULL, run_sender, NULL);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&together);
    for (const char *text; (text = next(fd, NULL)); got++)
        CU_ASSERT(matches(text, "^<190>[^:]+:[0-9]{2}:[0-9]{2} [^ ]+ weir: of a thread$"));
    CHECK_NUMBER(delivered, SENDERS * EACH);
    CHECK_NUMBER(got, delivered);
    close(fd);
    syslog_close(&shared);
}

static const struct check_case cases[] = {
    {"parameters have defaults", parameters_have_defaults},
    {"facilities have their numbers", facilities_have_their_numbers},
    {"all parameters together", all_parameters_together},
    {"wrong parameters are refused", wrong_parameters_are_refused},
    {"a path may fill its room", a_path_may_fill_its_room},
    {"threads send at once", threads_send_at_once},
    {"a message has its form", a_message_has_its_form},
    {"a long message is cut", a_long_message_is_cut},
    {"a server that is not there costs lines only", a_server_that_is_not_there_costs_lines_only},
    {"an old refusal costs no new line", an_old_refusal_costs_no_new_line},
    {"a full socket never blocks", a_full_socket_never_blocks},
};

int main(void)
{
    char *slash = strrchr(socket_path, '/');
    *slash = '\0';
    if (!mkdtemp(socket_path))
        return 2;
    *slash = '/';
    int result = check_main("base/syslog", cases, sizeof cases / sizeof cases[0]);
    *slash = '\0';
    rmdir(socket_path);
    return result;
}
