/*
 * handlers/auth_basic.c - the password file: lines "USER:HASH" or "USER:HASH:COMMENT", read anew for each request, so that a
 * change counts at once.
 */
#include "handlers/auth_basic.h"

#include "handlers/handler.h"
#include "handlers/job.h"
#include "handlers/password.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hash in a line, or NULL; *is_users: the line is this user's. */
static char *hash_of(char *line, const char *user, bool *is_users)
{
    size_t len = strlen(user);
    char *colon = strchr(line, ':');
    if (line[0] == '#' || !colon)
        return NULL;
    *is_users = (size_t)(colon - line) == len && memcmp(line, user, len) == 0;
    char *hash = colon + 1;
    hash[strcspn(hash, ":\r\n")] = '\0';
    return hash;
}

/*
 * The user's line is looked for. An unknown user's password is tried against a hash of somebody else, and refused: else the time
 * of a refusal would tell who exists. Which one hangs on the name, so that a user's time is always the same where the kinds of
 * hashes differ. Returns whether the user exists; *hash is the caller's to free, NULL: there is none.
 */
static bool find_hash(FILE *file, const char *user, char **hash)
{
    char *line = NULL;
    size_t room = 0;
    uint32_t mixed = 2166136261u, seen = 0; /* FNV-1a */
    bool found = false;
    for (const char *at = user; *at; at++)
        mixed = (mixed ^ (unsigned char)*at) * 16777619u;
    *hash = NULL;
    while (getline(&line, &room, file) >= 0) { /* to its end, wherever the user stands */
        if (found)
            continue;
        const char *text = hash_of(line, user, &found);
        if (text && (found || (mixed = mixed * 1664525u + 1013904223u) / 65536 % ++seen == 0)) {
            free(*hash);
            *hash = strdup(text);
        }
    }
    free(line);
    return found;
}

static int run_password_check(weir_request *r)
{
    const struct auth_question *q = weir_settings(r);
    FILE *file = fopen(q->file, "re");
    if (!file) {
        int error = errno;
        job_log(r, error == ENOENT ? LOG_LEVEL_ERROR : LOG_LEVEL_CRIT, "open() \"%s\" failed (%d: %s)",
                q->file, error, strerror(error));
        return error == ENOENT ? 403 : 500;
    }
    char *hash;
    bool found = find_hash(file, q->user, &hash);
    int failed = !found && ferror(file) ? errno : 0;
    bool ok = hash && password_matches(q->password, hash) && found;
    free(hash);
    fclose(file);
    if (failed)
        job_log(r, LOG_LEVEL_CRIT, "read() \"%s\" failed (%d: %s)", q->file, failed, strerror(failed));
    else if (!found)
        job_log(r, LOG_LEVEL_ERROR, "user \"%s\" was not found in \"%s\"", q->user, q->file);
    else if (!ok)
        job_log(r, LOG_LEVEL_ERROR, "user \"%s\": password mismatch", q->user);
    return failed ? 500 : ok ? 0 : 401;
}

const struct weir_handler auth_basic_handler = {.name = "auth_basic", .run = run_password_check};
