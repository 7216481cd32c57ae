/*
 * master/tls_sessions.c - what outlives a configuration and a binary of TLS sessions: the keys of tickets, made once and changed in time,
 * and the caches. The next binary is told where they are in WEIR_TICKET_KEYS and WEIR_SESSION_CACHES.
 */
#include "shm/session_cache.h"
#include "shm/ticket_keys.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/site/tls.h"
#include "master/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool take_over(const char *text)
{
    char *end;
    long fd = strtol(text, &end, 10);
    if (*end || end == text || fd < 0 || fd > INT_MAX)
        return false;
    fd_set_cloexec((int)fd, true);
    if (ticket_keys_take_over((int)fd))
        return true;
    close((int)fd);
    return false;
}

void tickets_open(void)
{
    session_caches_close_unused();
    const char *text = getenv("WEIR_TICKET_KEYS");
    bool ours = text && sockets_from_older_binary() && take_over(text);
    if (!ours && !ticket_keys_open())
        log_errno(LOG_LEVEL_WARN, errno, "no memory for the keys of session tickets; none are given out");
    unsetenv("WEIR_TICKET_KEYS");
}

void sessions_take_over(void)
{
    if (sockets_from_older_binary())
        session_caches_take_over(getenv("WEIR_SESSION_CACHES"));
    unsetenv("WEIR_SESSION_CACHES");
}

static bool pass_on_caches(void)
{
    struct buf numbers = {0};
    bool ok = session_caches_pass_on(&numbers) && buf_append(&numbers, "", 1) &&
              setenv("WEIR_SESSION_CACHES", numbers.data + numbers.start, 1) == 0;
    buf_free(&numbers);
    return ok;
}

bool sessions_pass_on(void)
{
    char text[24];
    int fd = ticket_keys_file();
    if (!pass_on_caches())
        return false;
    if (fd < 0)
        return true;
    fd_set_cloexec(fd, false);
    snprintf(text, sizeof text, "%d", fd);
    return setenv("WEIR_TICKET_KEYS", text, 1) == 0;
}

uint64_t tickets_look(const struct master *m, uint64_t now_ms)
{
    if (m->next_tickets_ms && now_ms < m->next_tickets_ms)
        return m->next_tickets_ms;
    uint64_t valid_ms = tls_longest_session_ms(m->site);
    return valid_ms ? ticket_keys_look(now_ms, valid_ms) : 0;
}
