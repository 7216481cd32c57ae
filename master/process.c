/*
 * master/process.c - what a daemon needs besides its work: user, logs, pid file, going to the background.
 */
#include "master/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/slice.h"
#include "conf/tree.h"
#include "http/site/site.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The waiting parent's end is read until we say that we are up. */
static int daemon_pipe = -1;

bool process_find_user(struct conf *conf, uid_t *uid, gid_t *gid)
{
    *uid = 0;
    *gid = 0;
    if (geteuid() != 0) {
        if (conf->user_node)
            conf_error(&conf->warnings, conf->user_node,
                       "the \"user\" directive makes sense only if the master runs with "
                       "super-user privileges, ignored");
        return true;
    }
    const struct passwd *user = getpwnam(conf->user.data);
    if (!user) {
        conf_error(&conf->errors, conf->user_node,
                   "user \"%.*s\" does not exist; create it or name another in \"user\"",
                   SLICE_ARGS(conf->user));
        return false;
    }
    *uid = user->pw_uid;
    *gid = user->pw_gid;
    fd_distrust(*uid);
    bool given = conf->group.data && !slice_eq(conf->group, conf->user);
    const struct group *group = conf->group.data ? getgrnam(conf->group.data) : NULL;
    if (group)
        *gid = group->gr_gid;
    if (given && !group)
        conf_error(&conf->errors, conf->user_node,
                   "group \"%.*s\" does not exist; create it or name another in \"user\"",
                   SLICE_ARGS(conf->group));
    return group || !given;
}

/* Paths that nobody wrote down may be made; a directory that the configuration names has to be there. */
static void make_default_dirs(const struct conf *conf)
{
    char path[PATH_MAX];
    if (conf->places)
        mkdir(conf->places->logs, 0755); /* the rest is there once it is installed */
    else if (snprintf(path, sizeof path, "%.*slogs", SLICE_ARGS(conf->prefix)) < (int)sizeof path)
        mkdir(path, 0755);
}

static bool open_or_say(struct conf *conf, struct logfiles *files)
{
    struct logfile *failed = logfiles_open(files);
    if (failed)
        conf_error(&conf->errors, NULL,
                   "open() \"%s\" failed (%d: %s); check that the directory exists and may be written%.*s",
                   failed->path.data, errno, strerror(errno), SLICE_ARGS(failed->place));
    return !failed;
}

bool process_open_logs(struct site *site)
{
    make_default_dirs(site->conf);
    return open_or_say(site->conf, &site->error_files) && open_or_say(site->conf, &site->access_files);
}

/* A directory that is there belongs to the workers from now on, as in nginx. */
static void make_temp_dir(const char *name, const char *path, uid_t uid, gid_t gid)
{
    struct stat st;
    int fd = fd_make_dir_warily(path, 0700);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    if (ok && uid != 0 && st.st_uid != uid)
        ok = fchown(fd, uid, gid) == 0;
    if (!ok)
        log_errno(LOG_LEVEL_WARN, errno,
                  "cannot make %s \"%s\" for the workers; what is large will not fit into memory", name,
                  path);
    if (fd >= 0)
        close(fd);
}

static void make_temp_dir_of_pass(const struct conf_location *l, uid_t uid, gid_t gid)
{
    char name[64];
    const char *path = l->settings.passes[l->proxy->kind].upstream.temp_path.data;
    snprintf(name, sizeof name, "%s_temp_path", conf_pass_prefix(l->proxy->kind));
    if (path) /* not of gRPC, which buffers nothing */
        make_temp_dir(name, path, uid, gid);
}

static void make_temp_dirs_of(const struct conf_location *l, uid_t uid, gid_t gid)
{
    for (; l; l = l->next) {
        make_temp_dir("client_body_temp_path", l->settings.client.body_temp_path.data, uid, gid);
        if (l->content == CONF_CONTENT_PROXY)
            make_temp_dir_of_pass(l, uid, gid);
        make_temp_dirs_of(l->locations, uid, gid);
    }
}

bool process_make_temp_dirs(struct conf *conf, uid_t uid, gid_t gid)
{
    for (const struct conf_server *s = conf->http ? conf->http->servers : NULL; s; s = s->next)
        make_temp_dirs_of(&s->top, uid, gid);
    return true;
}

static bool pid_failed(struct conf *conf, int error)
{
    conf_error(&conf->errors, conf_tree_find(&conf->tree, "pid"),
               "open() \"%s\" failed (%d: %s); the pid file's directory must exist and be writable",
               conf->pid_path.data, error, strerror(error));
    return false;
}

bool process_test_pid(struct conf *conf)
{
    char directory[PATH_MAX];
    const char *path = conf->pid_path.data, *slash = strrchr(path, '/');
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return pid_failed(conf, EISDIR);
    if (access(path, W_OK) == 0)
        return true;
    if (errno != ENOENT || !slash || (size_t)(slash - path) >= sizeof directory)
        return pid_failed(conf, errno);
    snprintf(directory, sizeof directory, "%.*s/", (int)(slash - path), path);
    make_default_dirs(conf); /* as a start would */
    return access(directory, W_OK | X_OK) == 0 || pid_failed(conf, errno);
}

bool process_write_pid(struct conf *conf)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    int fd = fd_open_warily(conf->pid_path.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || fd_write_all(fd, text, (size_t)n) < 0) {
        pid_failed(conf, errno);
        log_emerg("%.*s", SLICE_ARGS(conf->errors.last->message));
        if (fd >= 0)
            close(fd);
        return false;
    }
    close(fd);
    return true;
}

/* The parent returns to the shell only once the daemon has written its pid file, so that whoever waits can use it. */
static _Noreturn void wait_for_daemon(int fd)
{
    char byte;
    ssize_t n = read(fd, &byte, 1);
    _exit(n == 1 ? 0 : 1);
}

bool process_daemonize(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid > 0) {
        close(ends[1]);
        wait_for_daemon(ends[0]);
    }
    close(ends[0]);
    daemon_pipe = ends[1];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (setsid() < 0 || null < 0)
        return false;
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    umask(0);
    if (null > STDERR_FILENO)
        close(null);
    return true;
}

void process_daemon_ready(void)
{
    if (daemon_pipe < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDERR_FILENO);
        close(null);
    }
    if (write(daemon_pipe, "", 1) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "write() to the waiting parent failed");
    close(daemon_pipe);
    daemon_pipe = -1;
}
