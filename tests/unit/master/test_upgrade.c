/*
 * tests/unit/master/test_upgrade.c - a new binary: what it is handed, what becomes of the pid file, and who is the main process,
 * with each call of the system failing.
 */
#include "tests/unit/master/master_help.h"

#include <netinet/in.h>

static char dir[64];

/* With a pid file, as a master that runs has it. */
static struct master *begin(void)
{
    struct master *m = master_begin(1);
    snprintf(dir, sizeof dir, "/tmp/weir-upgrade-XXXXXX");
    CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
    snprintf(m->pid_path, sizeof m->pid_path, "%s/pid", dir);
    CU_ASSERT(fd_write_all(open(m->pid_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644), "1\n", 2) == 0);
    unsetenv("WEIR_FDS");
    unsetenv("WEIR_READY_FD");
    unsetenv("WATCHDOG_PID");
    return m;
}

static bool has_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void end(struct master *m)
{
    char path[128];
    unlink(m->pid_path);
    snprintf(path, sizeof path, "%s/pid.oldbin", dir);
    unlink(path);
    CU_ASSERT(rmdir(dir) == 0);
    if (m->upgraded_fd >= 0)
        close(m->upgraded_fd);
    master_end(m);
}

/* The new binary's own end of the pipe; it was closed here, and fork has kept a copy. */
static int new_binarys_end(void)
{
    return calls.ends[calls.forks - 1].reports;
}

static void the_pid_file_moves_aside(void)
{
    struct master *m = begin();
    upgrade_begin(m);
    CHECK_NUMBER(m->upgraded_pid, FIRST_PID);
    CU_ASSERT(m->handed_over && m->upgraded_fd >= 0);
    CU_ASSERT(has_file("pid.oldbin") && !has_file("pid"));
    CU_ASSERT(calls_logged("start new binary process 100000000"));
    upgrade_begin(m);
    CU_ASSERT(calls_logged("the new binary, 100000000, is running already"));
    CHECK_NUMBER(calls.forks, 1);
    end(m);
}

static void an_upgrade_that_fails_changes_nothing(void)
{
    static const struct {
        enum call call;
        const char *line;
    } table[] = {{CALL_PIPE2, "fork() failed; not upgrading"},
                 {CALL_FORK, "fork() failed; not upgrading"},
                 {CALL_RENAME, "to .oldbin; not upgrading"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct master *m = begin();
        int fds = calls_count_fds();
        calls.fails[table[i].call] = EAGAIN;
        upgrade_begin(m);
        CHECK_FOR(table[i].line, calls_logged(table[i].line));
        CHECK_FOR(table[i].line, has_file("pid") && !has_file("pid.oldbin"));
        CHECK_FOR(table[i].line, m->upgraded_pid == 0 && !m->handed_over && m->upgraded_fd == -1);
        CHECK_FOR(table[i].line, calls_count_fds() == fds && calls.forks == 0);
        end(m);
    }
    struct master *m = begin();
    char path[sizeof m->pid_path];
    memcpy(path, m->pid_path, sizeof path);
    memset(m->pid_path, 'p', sizeof m->pid_path - 1); /* .oldbin does not fit behind it */
    upgrade_begin(m);
    CU_ASSERT(calls_logged("cannot rename"));
    memcpy(m->pid_path, path, sizeof path);
    end(m);
}

static void the_main_process_is_who_serves(void)
{
    struct master *m = begin();
    upgrade_begin(m);
    upgrade_continue(m); /* it has not said so yet */
    CU_ASSERT(m->is_main && m->upgraded_fd >= 0);
    CU_ASSERT(write(new_binarys_end(), "", 1) == 1);
    upgrade_continue(m);
    CU_ASSERT(!m->is_main && m->upgraded_fd == -1);
    CU_ASSERT(calls_logged("the new binary, 100000000, serves"));
    upgrade_continue(m);
    calls_end(FIRST_PID, status_of_exit(1));
    workers_reap(m);
    CU_ASSERT(calls_logged("the new binary, 100000000, has ended; serving on"));
    CU_ASSERT(m->is_main && !m->handed_over && m->upgraded_pid == 0);
    CU_ASSERT(has_file("pid") && !has_file("pid.oldbin"));
    end(m);
}

static void one_that_ends_before_it_serves(void)
{
    struct master *m = begin();
    upgrade_begin(m);
    close(new_binarys_end());
    calls.ends[0].reports = -1;
    upgrade_continue(m);
    CU_ASSERT(m->is_main && m->upgraded_fd == -1);
    CU_ASSERT(!calls_logged("serves"));
    CHECK_NUMBER(m->upgraded_pid, FIRST_PID); /* SIGCHLD says the rest */
    calls.fails[CALL_RENAME] = EACCES;
    calls_end(FIRST_PID, status_of_signal(SIGSEGV));
    workers_reap(m);
    CU_ASSERT(calls_logged("cannot rename the pid file back"));
    CU_ASSERT(m->is_main && m->upgraded_pid == 0); /* it serves on all the same */
    end(m);
}

static int listening_socket(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1) == 0);
    return fd;
}

static bool stays_open(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
}

static void sockets_are_passed_on(void)
{
    struct master *m = begin();
    int fds[] = {listening_socket(), listening_socket(), listening_socket()}, ready[2];
    struct site_listen second = {.fds = {fds[2]}, .fd_count = 1},
                       first = {.fds = {fds[0], fds[1]}, .fd_count = 2, .next = &second};
    char wanted[64], number[16];
    m->site->listens = &first;
    CU_ASSERT(pipe(ready) == 0 && fcntl(ready[1], F_SETFD, FD_CLOEXEC) == 0);
    setenv("WATCHDOG_PID", "1", 1);
    CU_ASSERT(upgrade_pass_on(m->site, m->shm, ready[1], 4711));
    snprintf(wanted, sizeof wanted, "%d;%d;%d;pid=4711", fds[0], fds[1], fds[2]);
    CU_ASSERT_STRING_EQUAL(getenv("WEIR_FDS"), wanted);
    snprintf(number, sizeof number, "%d", ready[1]);
    CU_ASSERT_STRING_EQUAL(getenv("WEIR_READY_FD"), number);
    snprintf(number, sizeof number, "%d", (int)getpid());
    CU_ASSERT_STRING_EQUAL(getenv("WATCHDOG_PID"), number);
    CU_ASSERT(stays_open(fds[0]) && stays_open(fds[1]) && stays_open(fds[2]) && stays_open(ready[1]));

    sockets_read_environment(); /* as the new binary */
    CU_ASSERT(sockets_from_older_binary() && !getenv("WEIR_FDS"));
    CU_ASSERT(!stays_open(fds[0]) && !stays_open(fds[1]) && !stays_open(fds[2]));
    sockets_close_unused();
    CU_ASSERT(fcntl(fds[0], F_GETFD) < 0 && fcntl(fds[1], F_GETFD) < 0 && fcntl(fds[2], F_GETFD) < 0);

    CU_ASSERT(upgrade_tell_older());
    char byte;
    CU_ASSERT(read(ready[0], &byte, 1) == 1 && read(ready[0], &byte, 1) == 0); /* and the end is closed */
    CU_ASSERT(!upgrade_tell_older());
    close(ready[0]);
    m->site->listens = NULL;
    end(m);
}

/* Only what listens is taken, as far as the list can be read. */
static void an_environment_may_be_anything(void)
{
    static const char *const lists[] = {"",       ";",         "x",     "%d",       "%d,%d;",
                                        "-1;%d;", "99999;%d;", "0;%d;", "%d;y;%d;", " %d;"};
    static const int taken[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        char text[64];
        int fd = listening_socket(), other = listening_socket();
        snprintf(text, sizeof text, lists[i], fd, other);
        setenv("WEIR_FDS", text, 1);
        sockets_read_environment();
        sockets_close_unused();
        CHECK_FOR(lists[i], (fcntl(fd, F_GETFD) < 0) == taken[i]);
        CHECK_FOR(lists[i], fcntl(other, F_GETFD) >= 0);
        CHECK_FOR(lists[i], !getenv("WEIR_FDS"));
        if (!taken[i])
            close(fd);
        close(other);
    }
    static const char *const numbers[] = {"", "x", "-1", "99999999999", "1 "};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        setenv("WEIR_READY_FD", numbers[i], 1);
        CHECK_FOR(numbers[i], !upgrade_tell_older());
    }
    setenv("WEIR_READY_FD", "999", 1); /* nothing is open there: it cannot be told */
    CU_ASSERT(!upgrade_tell_older());
    unsetenv("WEIR_READY_FD");
}

static void a_service_managers_sockets_are_for_one_pid(void)
{
    char number[24];
    setenv("LISTEN_FDS", "2", 1);
    snprintf(number, sizeof number, "%d", (int)getpid() + 1);
    setenv("LISTEN_PID", number, 1);
    int before = fcntl(3, F_GETFD);
    sockets_read_environment();
    sockets_close_unused();
    CHECK_NUMBER(fcntl(3, F_GETFD), before);
    CU_ASSERT(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID"));
    CU_ASSERT(!sockets_from_older_binary());
}

static const struct check_case cases[] = {
    {"the pid file moves aside", the_pid_file_moves_aside},
    {"an upgrade that fails changes nothing", an_upgrade_that_fails_changes_nothing},
    {"the main process is who serves", the_main_process_is_who_serves},
    {"one that ends before it serves", one_that_ends_before_it_serves},
    {"sockets are passed on", sockets_are_passed_on},
    {"an environment may be anything", an_environment_may_be_anything},
    {"a service manager's sockets are for one pid", a_service_managers_sockets_are_for_one_pid},
};

CHECK_MAIN("master: upgrade", cases)
