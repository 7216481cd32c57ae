/*
 * master/permits.c - permits of concurrency over a change of binary: the older one hands on its memory file, and which zone has which
 * number, in WEIR_PERMITS; from then on each looks after its own workers, and after what the other one has left when that is gone.
 */
#include "master/internal.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/slice.h"
#include "shm/permit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum {
    LOOK_EVERY_MS = 1000,
    /* How long the other master has to end a process that holds a lock. */
    OTHER_ACTS_WITHIN_MS = 3 * LOOK_EVERY_MS
};

/* --- over --- */

bool permits_can_pass_on(const struct shm *shm)
{
    return shm->permits_fd >= 0 && !shm->shares_permits;
}

/* LAYOUT;FD;SIDE; and for each zone INDEX:BYTES:NAME; with the name as it is. */
bool permits_pass_on(const struct shm *shm)
{
    struct buf text = {0};
    bool ok = buf_printf(&text, "%d;%d;%d;", SHM_LAYOUT_VERSION, shm->permits_fd, !shm->side);
    for (int i = 0; i < SHM_ZONES; i++)
        if (shm->permit_names[i][0])
            ok = ok && buf_printf(&text, "%d:%zu:%s;", i, strlen(shm->permit_names[i]), shm->permit_names[i]);
    ok = ok && buf_append(&text, "", 1) && setenv("WEIR_PERMITS", text.data, 1) == 0;
    if (ok)
        fd_set_cloexec(shm->permits_fd, false);
    buf_free(&text);
    return ok;
}

/* A number and what ends it, from the front of *text. False: there is none of at most that much. */
static bool take_number(const char **text, char end, long most, long *number)
{
    char *behind;
    errno = 0;
    *number = strtol(*text, &behind, 10);
    if (errno || behind == *text || *behind != end || *number < 0 || *number > most)
        return false;
    *text = behind + 1;
    return true;
}

static bool take_names(const char *text, char names[SHM_ZONES][SHM_ZONE_NAME_BYTES])
{
    long index, bytes;
    while (*text) {
        if (!take_number(&text, ':', SHM_ZONES - 1, &index) ||
            !take_number(&text, ':', SHM_ZONE_NAME_BYTES - 1, &bytes) ||
            strnlen(text, (size_t)bytes + 1) <= (size_t)bytes || text[bytes] != ';')
            return false;
        memcpy(names[index], text, (size_t)bytes);
        text += bytes + 1;
    }
    return true;
}

/* Whether the zones of a configuration find a number each beside those that there are. */
static bool have_room(const struct shm *shm, const struct conf *conf)
{
    int used = 0;
    for (int i = 0; i < SHM_ZONES; i++)
        used += shm->permit_names[i][0] != '\0';
    for (const struct conf_zone *z = conf && conf->http ? conf->http->zones : NULL; z; z = z->next) {
        int i = 0;
        while (i < SHM_ZONES && strcmp(shm->permit_names[i], z->name.data) != 0)
            i++;
        used += i == SHM_ZONES;
    }
    return used <= SHM_ZONES;
}

static void log_apart(const char *why)
{
    log_warn(
        "%s: until the older binary's workers have ended, both count their limits of concurrency by themselves",
        why);
}

static void take_over(struct shm *shm, const struct conf *conf, const char *text)
{
    long layout, fd, side;
    const char *why = "the older binary's shared memory has another layout";
    if (!take_number(&text, ';', INT32_MAX, &layout) || !take_number(&text, ';', INT32_MAX, &fd)) {
        log_apart("WEIR_PERMITS is not understood");
        return;
    }
    fd_set_cloexec((int)fd, true);
    if (!sockets_older_knows_permits()) {
        close((int)fd);
        log_apart("the older binary does not share its memory");
        return;
    }
    if (layout == SHM_LAYOUT_VERSION && take_number(&text, ';', 1, &side) &&
        take_names(text, shm->permit_names)) {
        if (!have_room(shm, conf)) {
            why = "there is no room for the zones of both";
        } else if (permit_take_over(shm, (int)fd, (int)side)) {
            log_notice("limits of concurrency hold over this binary and the older one");
            return;
        } else {
            log_errno(LOG_LEVEL_WARN, errno, "the older binary's shared memory cannot be mapped");
            why = "the older binary's shared memory cannot be mapped";
        }
    }
    memset(shm->permit_names, 0, sizeof shm->permit_names);
    close((int)fd);
    log_apart(why);
}

void permits_take_over(struct shm *shm, const struct conf *conf)
{
    const char *text = getenv("WEIR_PERMITS");
    if (text && sockets_from_older_binary())
        take_over(shm, conf, text);
    else if (sockets_from_older_binary())
        log_apart("the older binary does not share its memory");
    unsetenv("WEIR_PERMITS");
}

/* --- beside another binary --- */

static bool other_master_lives(const struct master *m)
{
    return (m->upgraded_pid > 0 && m->upgraded_shares) || sockets_older_master() > 0;
}

/* Who does not exist is nobody's worker, and each such name would be waited for anew. */
static bool may_exist(uint32_t process)
{
    return process > 0 && process <= INT32_MAX && (kill((pid_t)process, 0) == 0 || errno == EPERM);
}

bool permits_leave_to_other(struct master *m, uint32_t process, uint64_t now_ms)
{
    static struct {
        uint32_t process;
        uint64_t since_ms;
    } left;
    if (!m->shm->shares_permits || !other_master_lives(m) || !may_exist(process))
        return false;
    if (left.process != process || now_ms >= left.since_ms + 2 * OTHER_ACTS_WITHIN_MS) {
        left.process = process;
        left.since_ms = now_ms;
    }
    if (now_ms >= left.since_ms + OTHER_ACTS_WITHIN_MS)
        return false; /* it is none of the other one's, then */
    permit_report_stuck(m->shm, process);
    return true;
}

uint64_t permits_look(struct master *m, uint64_t now_ms)
{
    if (!m->shm->shares_permits)
        return 0;
    if (now_ms < m->next_permits_ms)
        return m->next_permits_ms;
    m->next_permits_ms = now_ms + LOOK_EVERY_MS;
    if (!other_master_lives(m) && permit_reclaim_other(m->shm) == 0) {
        log_notice("limits of concurrency are this binary's alone again");
        return 0;
    }
    return m->next_permits_ms;
}
