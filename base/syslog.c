/*
 * base/syslog.c - the parameters, and datagrams of one line each.
 */
#include "base/syslog.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LOCAL7 = 23, MESSAGE_BYTES = 8192, HOST_BYTES = 256 };

static const char *const facilities[] = {"kern",   "user",   "mail",   "daemon", "auth",     "intern",
                                         "lpr",    "news",   "uucp",   "clock",  "authpriv", "ftp",
                                         "ntp",    "audit",  "alert",  "cron",   "local0",   "local1",
                                         "local2", "local3", "local4", "local5", "local6",   "local7"};
static const char *const severities[] = {"emerg", "alert",  "crit", "error",
                                         "warn",  "notice", "info", "debug"};

/* Set by the first syslog_parse, before there are threads. */
static char own_host[HOST_BYTES];

static int find_word(const char *const *words, int count, struct slice word)
{
    for (int i = 0; i < count; i++)
        if (slice_eq(word, slice_of(words[i])))
            return i;
    return -1;
}

static const char *take_unix(struct slice path, struct syslog *s)
{
    struct sockaddr_un *un = (void *)&s->server;
    if (path.len == 0 || path.len >= sizeof un->sun_path)
        return "the path of the server's socket is empty or too long";
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.data, path.len);
    s->server_len = sizeof *un;
    return NULL;
}

/* "host", "host:port", "[v6]:port"; the port is 514 by default. */
static const char *take_server_host(struct slice text, bool look_up, struct syslog *s)
{
    char copy[HOST_BYTES], *host = copy, *port = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found;
    if (text.len == 0 || text.len >= sizeof copy)
        return "the server's name is empty or too long";
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (copy[0] == '[') {
        char *end = strchr(copy, ']');
        if (!end)
            return "an IPv6 address ends with \"]\"";
        *end = '\0';
        host = copy + 1;
        if (end[1] && end[1] != ':')
            return "an IPv6 address ends with \"]\", or with \"]:PORT\"";
        port = end[1] ? end + 2 : NULL;
    } else if ((port = strchr(copy, ':'))) {
        *port++ = '\0';
    }
    unsigned long long number = 1;
    if (port && (!slice_to_u64(slice_of(port), 65535, &number) || number == 0))
        return "a port is a number from 1 to 65535";
    s->server_len = 1; /* until it is looked up */
    if (!look_up)
        return NULL;
    if (getaddrinfo(host, port ? port : "514", &hints, &found) != 0)
        return "the server's name or port cannot be resolved";
    memcpy(&s->server, found->ai_addr, found->ai_addrlen);
    s->server_len = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

static const char *take_tag(struct slice tag, struct syslog *s)
{
    if (tag.len == 0 || tag.len > SYSLOG_TAG_MAX)
        return "a tag has 1 to 32 characters";
    for (size_t i = 0; i < tag.len; i++)
        if (!isalnum((unsigned char)tag.data[i]) && tag.data[i] != '_')
            return "a tag has letters, digits and \"_\" only";
    memcpy(s->tag, tag.data, tag.len);
    s->tag[tag.len] = '\0';
    return NULL;
}

static const char *take_parameter(struct slice p, bool look_up, unsigned *seen, struct syslog *s)
{
    static const char *const names[] = {"server=", "facility=", "severity=", "tag=", "nohostname"};
    for (int i = 0; i < 5; i++) {
        if (!slice_starts(p, slice_of(names[i])))
            continue;
        if (*seen & 1u << i)
            return "a parameter is there twice";
        *seen |= 1u << i;
    }
    if (slice_starts(p, SLICE("server=unix:")))
        return take_unix(slice_from(p, 12), s);
    if (slice_starts(p, SLICE("server=")))
        return take_server_host(slice_from(p, 7), look_up, s);
    if (slice_starts(p, SLICE("facility="))) {
        s->facility = find_word(facilities, sizeof facilities / sizeof facilities[0], slice_from(p, 9));
        return s->facility < 0 ? "the facility is unknown" : NULL;
    }
    if (slice_starts(p, SLICE("severity="))) {
        s->severity = find_word(severities, sizeof severities / sizeof severities[0], slice_from(p, 9));
        return s->severity < 0
                   ? "the severity is one of emerg, alert, crit, error, warn, notice, info and debug"
                   : NULL;
    }
    if (slice_starts(p, SLICE("tag=")))
        return take_tag(slice_from(p, 4), s);
    if (!slice_eq(p, SLICE("nohostname")))
        return "the parameters are server=, facility=, severity=, tag= and nohostname";
    s->without_host = true;
    return NULL;
}

const char *syslog_parse(struct slice text, bool look_up, struct syslog *s)
{
    unsigned seen = 0;
    if (!own_host[0] && gethostname(own_host, sizeof own_host - 1) < 0)
        own_host[0] = '-';
    *s = (struct syslog){.facility = LOCAL7, .severity = SYSLOG_INFO, .tag = "weir", .fd = -1};
    while (text.len) {
        const char *comma = memchr(text.data, ',', text.len);
        size_t n = comma ? (size_t)(comma - text.data) : text.len;
        const char *wrong = take_parameter((struct slice){text.data, n}, look_up, &seen, s);
        if (wrong)
            return wrong;
        if (comma && n + 1 == text.len)
            return "there is nothing behind the last comma";
        text = slice_from(text, n + (comma != NULL));
    }
    return s->server_len ? NULL : "it needs server=ADDRESS";
}

/* The socket, made with the first line; others see it when it is ready, and it is never changed: they may be about to use it. */
static int open_syslog_socket(struct syslog *s)
{
    int fd = s->fd, none = -1;
    if (fd >= 0)
        return fd;
    fd = socket(s->server.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && s->server.ss_family != AF_UNIX && /* which tells of refusals */
        connect(fd, (struct sockaddr *)&s->server, s->server_len) != 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0 && !atomic_compare_exchange_strong(&s->fd, &none, fd)) {
        close(fd); /* another thread was faster */
        fd = none;
    }
    return fd;
}

static size_t write_syslog_head(const struct syslog *s, int severity, char *out, size_t room)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    assert(severity >= 0 && severity <= 7 && s->facility >= 0 && s->facility <= LOCAL7);
    int n = snprintf(out, room, "<%d>%s %2d %02d:%02d:%02d %s%s%s: ", s->facility * 8 + severity,
                     months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     s->without_host ? "" : own_host, s->without_host ? "" : " ", s->tag);
    return n < 0 ? 0 : (size_t)n;
}

bool syslog_send(struct syslog *s, int severity, struct slice message)
{
    char text[MESSAGE_BYTES];
    int fd = open_syslog_socket(s);
    if (fd < 0)
        return false;
    size_t n = write_syslog_head(s, severity < 0 ? s->severity : severity, text, sizeof text);
    assert(n < sizeof text && (message.data || !message.len));
    size_t part = message.len < sizeof text - n ? message.len : sizeof text - n;
    memcpy(text + n, message.data, part);
    /* A unix socket is found by name each time: a server that has gone and come back is another one. */
    if (s->server.ss_family == AF_UNIX)
        return sendto(fd, text, n + part, MSG_NOSIGNAL, (struct sockaddr *)&s->server, s->server_len) >= 0;
    if (send(fd, text, n + part, MSG_NOSIGNAL) >= 0)
        return true;
    if (errno == ECONNREFUSED) { /* that was the answer to a line before */
        send(fd, text, n + part, MSG_NOSIGNAL);
        errno = ECONNREFUSED;
    }
    return false;
}

void syslog_close(struct syslog *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}
