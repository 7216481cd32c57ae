/*
 * base/syslog.h - log lines as datagrams to a syslog server (RFC 3164, as nginx writes them).
 *
 * Ownership: the caller's structure; syslog_close gives the socket back.
 * Threads:   syslog_send is safe from any thread of any process; the rest belongs to whoever makes it.
 * Errors:    a server that is not there, or cannot take more, costs lines and nothing else.
 */
#ifndef WEIR_BASE_SYSLOG_H
#define WEIR_BASE_SYSLOG_H

#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { SYSLOG_TAG_MAX = 32, SYSLOG_INFO = 6 /* severities: 0 emerg ... 7 debug */ };

struct syslog {
    struct sockaddr_storage server;
    socklen_t server_len;
    int facility, severity;
    bool without_host;
    char tag[SYSLOG_TAG_MAX + 1];
    _Atomic int fd; /* -1 until a line could be sent */
};

/*
 * Reads "server=ADDRESS[:PORT]|unix:PATH[,facility=NAME][,severity=NAME][,tag=TAG][,nohostname]"; with look_up
 * names of hosts are looked up now, which may take its time; without, only the text is checked, and nothing can be sent.
 * Returns NULL, or what is wrong.
 */
const char *syslog_parse(struct slice text, bool look_up, struct syslog *out);

/* One message, without a line end. severity -1: that of the text. False: it, or one before it, is lost. */
bool syslog_send(struct syslog *s, int severity, struct slice message);
void syslog_close(struct syslog *s);

#endif
