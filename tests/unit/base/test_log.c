/*
 * tests/unit/base/test_log.c - the error log: levels, the form of a line, hostile bytes, several sinks, lost lines.
 */
#include "base/log.h"

#include "base/fd.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>

static int sink_fds[2];

static void set_sinks(enum log_level first, enum log_level second)
{
    const struct log_sink sinks[] = {{.fd = sink_fds[0], .level = first},
                                     {.fd = sink_fds[1], .level = second}};
    for (int i = 0; i < 2; i++)
        if (ftruncate(sink_fds[i], 0) < 0)
            abort();
    log_also_stderr(false);
    log_set_sinks(sinks, 2);
}

/* What has been written to a sink, zero-terminated; valid until the next call. */
static const char *written(int sink)
{
    static char text[8192];
    ssize_t n = pread(sink_fds[sink], text, sizeof text - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    int rc = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return rc == 0;
}

static void a_line_looks_as_nginx_has_it(void)
{
    set_sinks(LOG_LEVEL_ERROR, LOG_LEVEL_DEBUG);
    errno = E2BIG;
    log_error("number %d", 42);
    CHECK_NUMBER(errno, E2BIG);
    const char *form =
        "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \\[error\\] [0-9]+#[0-9]+: number 42\n$";
    CU_ASSERT(matches(written(0), form));
    CU_ASSERT(matches(written(1), form));
    set_sinks(LOG_LEVEL_ERROR, LOG_LEVEL_DEBUG);
    log_errno(LOG_LEVEL_CRIT, ENOENT, "open() \"x\" failed");
    CU_ASSERT(
        matches(written(0),
                "\\[crit\\] [0-9]+#[0-9]+: open\\(\\) \"x\" failed \\(2: No such file or directory\\)\n$"));
}

static void each_sink_has_its_level(void)
{
    set_sinks(LOG_LEVEL_ERROR, LOG_LEVEL_INFO);
    CU_ASSERT(log_wants(LOG_LEVEL_INFO));
    CU_ASSERT(!log_wants(LOG_LEVEL_DEBUG));
    log_info("for the second");
    log_debug("for nobody");
    CU_ASSERT_STRING_EQUAL(written(0), "");
    CU_ASSERT(strstr(written(1), "for the second") != NULL);
    CU_ASSERT(strstr(written(1), "for nobody") == NULL);
    log_set_level(1, LOG_LEVEL_ERROR, false);
    CU_ASSERT(!log_wants(LOG_LEVEL_WARN));
    log_set_level(0, LOG_LEVEL_DEBUG, false);
    log_debug("for the first");
    CU_ASSERT(strstr(written(0), "for the first") != NULL);
    CU_ASSERT(strstr(written(1), "for the first") == NULL);
}

static void hostile_bytes_forge_no_line(void)
{
    set_sinks(LOG_LEVEL_ERROR, LOG_LEVEL_ERROR);
    log_error("client sent \"%s\"", "a\r\n2026/01/01 [emerg] forged\x1b[2J\x7f\x01");
    const char *text = written(0);
    CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
    for (const char *p = text; *p && *p != '\n'; p++)
        CU_ASSERT((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void long_lines_are_cut(void)
{
    char message[5000];
    memset(message, 'm', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    set_sinks(LOG_LEVEL_ERROR, LOG_LEVEL_ERROR);
    log_errno(LOG_LEVEL_ERROR, ENOSPC, "%s", message);
    size_t len = strlen(written(0));
    CU_ASSERT(len <= LOG_LINE_BYTES);
    CU_ASSERT(len > LOG_LINE_BYTES / 2);
    CU_ASSERT(matches(written(0), "m \\(28: No space left on device\\)\n$"));
}

static void lost_lines_are_counted(void)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const struct log_sink sink = {.fd = full, .level = LOG_LEVEL_ERROR};
    log_set_sinks(&sink, 1);
    unsigned long before = log_lost_lines();
    log_error("nowhere to go");
    CHECK_NUMBER(log_lost_lines(), before + 1);
    log_set_sinks(NULL, 0);
    close(full);
}

static void levels_have_names(void)
{
    static const char *const names[] = {"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"};
    for (int i = 0; i < 8; i++) {
        CHECK_NUMBER(log_level_by_name(names[i]), LOG_LEVEL_EMERG + i);
        CU_ASSERT_STRING_EQUAL(log_level_name((enum log_level)(LOG_LEVEL_EMERG + i)), names[i]);
    }
    CHECK_NUMBER(log_level_by_name("loud"), -1);
    CHECK_NUMBER(log_level_by_name(""), -1);
    CHECK_NUMBER(log_level_by_name("stderr"), -1);
}

static const struct check_case cases[] = {
    {"a line looks as nginx has it", a_line_looks_as_nginx_has_it},
    {"each sink has its level", each_sink_has_its_level},
    {"hostile bytes forge no line", hostile_bytes_forge_no_line},
    {"long lines are cut", long_lines_are_cut},
    {"lost lines are counted", lost_lines_are_counted},
    {"levels have names", levels_have_names},
};

int main(void)
{
    for (int i = 0; i < 2; i++)
        if ((sink_fds[i] = memfd_create("log", MFD_CLOEXEC)) < 0 || fcntl(sink_fds[i], F_SETFL, O_APPEND) < 0)
            return 2;
    return check_main("base/log", cases, sizeof cases / sizeof cases[0]);
}
