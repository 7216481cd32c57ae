/*
 * handlers/process_settings.c - the settings of "handler process" read, and what they name found: a program, a folder, a user.
 */
#include "handlers/process_settings.h"

#include "base/slice.h"
#include "conf/directive.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool refuse(char *error, size_t error_bytes, const char *format, const char *what)
{
    snprintf(error, error_bytes, format, what);
    return false;
}

/* "N" or "MIN..MAX" */
static bool parse_processes(const char *text, struct process_settings *s)
{
    char *end;
    s->most = strtol(text, &end, 10);
    s->least = 0;
    if (end != text && strncmp(end, "..", 2) == 0) {
        s->least = s->most;
        text = end + 2;
        s->most = strtol(text, &end, 10);
    }
    return end != text && *end == '\0' && s->least >= 0 && s->most > 0 && s->least <= s->most &&
           s->most <= 10000;
}

static bool append_word(const char **list, const char *word)
{
    int count = 0;
    while (list[count])
        count++;
    if (count == PROCESS_WORDS_MAX)
        return false;
    list[count] = strdup(word);
    return list[count] != NULL;
}

/* "NAME" or "NAME:GROUP" */
static bool take_user(struct process_settings *s, const char *text, char *error, size_t bytes)
{
    char name[256];
    const char *colon = strchrnul(text, ':');
    snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
    const struct passwd *user = getpwnam(name);
    const struct group *group = *colon ? getgrnam(colon + 1) : NULL;
    if (s->user || !user || (*colon && !group))
        return refuse(error, bytes, "invalid \"user=%s\"; write once a user that there is, or USER:GROUP",
                      text);
    if (geteuid() != 0 && user->pw_uid != geteuid())
        return refuse(error, bytes,
                      "\"user=%s\" is for a server that root starts: leave it out, or name its own user",
                      text);
    s->uid = user->pw_uid;
    s->gid = group ? group->gr_gid : user->pw_gid;
    if (geteuid() != 0 && s->gid != getegid())
        return refuse(error, bytes,
                      "\"user=%s\" is for a server that root starts: leave the group out, or name its own",
                      text);
    return (s->user = strdup(name)) != NULL && (s->home = strdup(user->pw_dir)) != NULL;
}

static bool add_env(struct process_settings *s, const char *name, const char *value)
{
    char text[4096];
    size_t len = strlen(name);
    for (const char **e = s->env; *e; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return true; /* the configuration's own */
    snprintf(text, sizeof text, "%s=%s", name, value);
    return append_word(s->env, text);
}

/* What login would say. */
static bool add_home(struct process_settings *s)
{
    return add_env(s, "HOME", s->home) && add_env(s, "USER", s->user) && add_env(s, "LOGNAME", s->user);
}

static bool take_setting(struct process_settings *s, const struct weir_setting *w, char *error, size_t bytes)
{
    char *end = NULL;
    if (strcmp(w->key, "command") == 0)
        return append_word(s->command, w->value) ||
               refuse(error, bytes, "too many words at \"%s\"", w->value);
    if (strcmp(w->key, "env") == 0)
        return (strchr(w->value, '=') && append_word(s->env, w->value)) ||
               refuse(error, bytes, "invalid \"env=%s\"; write env=NAME=VALUE", w->value);
    if (strcmp(w->key, "dir") == 0)
        return (!s->dir && access(w->value, X_OK) == 0 && (s->dir = strdup(w->value)) != NULL) ||
               refuse(error, bytes, "invalid \"dir=%s\"; write once a folder that is there", w->value);
    if (strcmp(w->key, "user") == 0)
        return take_user(s, w->value, error, bytes);
    if (strcmp(w->key, "processes") == 0)
        return parse_processes(w->value, s) ||
               refuse(error, bytes, "invalid \"processes=%s\"; write MAX or MIN..MAX, as 1..4", w->value);
    if (strcmp(w->key, "memory") == 0)
        return (conf_parse_size(slice_of(w->value), &s->memory_bytes) && s->memory_bytes > 0) ||
               refuse(error, bytes, "invalid \"memory=%s\"; write a size, as 200m", w->value);
    if (strcmp(w->key, "max_requests") == 0) {
        s->max_requests = strtol(w->value, &end, 10);
        return (end != w->value && *end == '\0' && s->max_requests > 0) ||
               refuse(error, bytes, "invalid \"max_requests=%s\"; write a number", w->value);
    }
    return refuse(
        error, bytes,
        "unknown setting \"%s\"; there are processes, max_requests, memory, user, dir, env and pool", w->key);
}

static bool is_program(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0;
}

/* As execvp would look for it, from the folder where it is started. */
static bool is_there(const char *program, const char *dir)
{
    const char *path = getenv("PATH");
    char file[4096];
    if (strchr(program, '/')) {
        bool is_relative = program[0] != '/' && dir;
        snprintf(file, sizeof file, "%s%s%s", is_relative ? dir : "", is_relative ? "/" : "", program);
        return is_program(file);
    }
    for (path = path ? path : "/usr/bin:/bin"; *path; path += strspn(path, ":")) {
        int len = (int)strcspn(path, ":");
        snprintf(file, sizeof file, "%.*s/%s", len, path, program);
        if (is_program(file))
            return true;
        path += len;
    }
    return false;
}

static void free_words(const char **list)
{
    for (; *list; list++)
        free((char *)(uintptr_t)*list);
}

void process_application_free(void *application)
{
    struct process_application *app = application;
    if (app->set)
        process_set_free(app->set);
    free_words(app->settings.command);
    free_words(app->settings.env);
    free((char *)(uintptr_t)app->settings.dir);
    free((char *)(uintptr_t)app->settings.user);
    free((char *)(uintptr_t)app->settings.home);
    free(app);
}

void *process_application_new(const struct weir_setting *settings, char *error, size_t error_bytes)
{
    struct process_application *app = calloc(1, sizeof *app);
    bool ok = app != NULL;
    if (app)
        app->settings.most = 4;
    for (; ok && settings->key; settings++)
        ok = take_setting(&app->settings, settings, error, error_bytes);
    if (ok && app->settings.user)
        ok = add_home(&app->settings) ||
             refuse(error, error_bytes, "too many settings \"env\" with user=%s", app->settings.user);
    if (ok && !app->settings.command[0])
        ok = refuse(error, error_bytes, "a command is missing; write: handler process %s",
                    "PROGRAM [ARGUMENT ...]");
    if (ok && !is_there(app->settings.command[0], app->settings.dir))
        ok = refuse(error, error_bytes, "no program \"%s\" that can be run; install it, or name its path",
                    app->settings.command[0]);
    if (ok)
        ok = (app->set = process_set_new(&app->settings)) != NULL;
    if (ok)
        return app;
    if (app)
        process_application_free(app);
    return NULL;
}
