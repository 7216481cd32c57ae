/*
 * main.c - the command line: nginx's options, and nothing else.
 */
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/slice.h"
#include "base/title.h"
#include "base/version.h"
#include "conf/conf.h"
#include "conf/report.h"
#include "http/serve/features.h"
#include "master/master.h"
#include "net/tls.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef WEIR_PREFIX
#define WEIR_PREFIX "/usr/local/weir"
#endif
#ifndef WEIR_CONF
#define WEIR_CONF "etc/weir.conf"
#endif
#ifndef WEIR_LOGS
#define WEIR_LOGS WEIR_PREFIX "/logs"
#define WEIR_STATE WEIR_PREFIX
#define WEIR_MODULES WEIR_PREFIX "/modules"
#define WEIR_PID WEIR_LOGS "/weir.pid"
#endif

/* Of the installed program; -p puts everything below one directory instead. */
static const struct conf_places installed = {WEIR_LOGS, WEIR_STATE, WEIR_MODULES, WEIR_PID};

struct arguments {
    const char *file, *prefix, *globals, *error_log, *signal;
    bool help, version, details, test, dump, quiet, json;
};

static void print_help(void)
{
    fputs(
        "weir " WEIR_VERSION ": HTTP server and reverse proxy for handlers that block\n"
        "Usage: weir [-?hvVtTq] [--format=json] [-s signal] [-p prefix] [-e filename] [-c filename] [-g directives]\n\n"
        "  -?,-h,--help  : this help\n"
        "  -v,--version  : show version and exit\n"
        "  -V            : show version and build options, then exit\n"
        "  -t            : test configuration and exit\n"
        "  -T            : test configuration, dump it and exit\n"
        "  --format=json : with -t: what is wrong as JSON, on the standard output\n"
        "  -q            : suppress non-error messages during configuration testing\n"
        "  -s signal     : send signal to the master process: stop, quit, reopen, reload\n"
        "  -p prefix     : set prefix path (default: " WEIR_PREFIX ")\n"
        "  -e filename   : set error log file (default: " WEIR_LOGS "/error.log, or logs/error.log with -p)\n"
        "  -c filename   : set configuration file (default: " WEIR_CONF ")\n"
        "  -g directives : set global directives out of the configuration file\n",
        stderr);
}

static void print_version(bool details)
{
    fprintf(stderr, "weir version: weir/%s\n", WEIR_VERSION);
    if (details)
        fprintf(
            stderr,
            "built by %s, allocator %s\nprefix: %s, configuration: %s\nlogs: %s, temporary files: %s, modules: "
            "%s, pid: %s\n",
#ifdef __clang__
            "clang " __clang_version__,
#else
            "gcc " __VERSION__,
#endif
            memory_allocator_name(), WEIR_PREFIX, WEIR_CONF, WEIR_LOGS, WEIR_STATE, WEIR_MODULES, WEIR_PID);
}

/* Taken out of the arguments, as getopt would not know it. */
static bool take_format(int *argc, char **argv)
{
    bool found = false;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--format=json") != 0)
            continue;
        memmove(&argv[i], &argv[i + 1], sizeof *argv * (size_t)(*argc - i)); /* with the NULL */
        --*argc;
        --i;
        found = true;
    }
    return found;
}

/* getopt would name the second dash alone. */
static bool find_long_option(int argc, char **argv)
{
    int i = 1;
    while (i < argc && strncmp(argv[i], "--", 2) != 0)
        i++;
    if (i == argc || argv[i][2] == '\0')
        return false;
    fprintf(stderr, "weir: invalid option: \"%s\"; see weir -h\n", argv[i]);
    return true;
}

/* When getopt has had its options. */
static bool is_complete(int argc, char **argv, const struct arguments *a)
{
    if (optind < argc)
        fprintf(stderr, "weir: invalid option: \"%s\"; see weir -h\n", argv[optind]);
    else if (a->json && !a->test)
        fputs("weir: invalid option: \"--format=json\" goes with -t; see weir -h\n", stderr);
    return optind == argc && (!a->json || a->test);
}

static bool read_arguments(int argc, char **argv, struct arguments *a)
{
    int option;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return a->help = true;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return a->version = true;
    a->json = take_format(&argc, argv);
    if (find_long_option(argc, argv))
        return false;
    opterr = 0;
    while ((option = getopt(argc, argv, ":?hvVtTqs:p:e:c:g:")) != -1) {
        switch (option) {
        case 'h':
            a->help = true;
            break;
        case '?':
            if (optopt != '?' && optopt != 0) {
                fprintf(stderr, "weir: invalid option: \"%c\"; see weir -h\n", optopt);
                return false;
            }
            a->help = true;
            break;
        case 'v':
            a->version = true;
            break;
        case 'V':
            a->version = a->details = true;
            break;
        case 't':
            a->test = true;
            break;
        case 'T':
            a->test = a->dump = true;
            break;
        case 'q':
            a->quiet = true;
            break;
        case 's':
            a->signal = optarg;
            break;
        case 'p':
            a->prefix = optarg;
            break;
        case 'e':
            a->error_log = optarg;
            break;
        case 'c':
            a->file = optarg;
            break;
        case 'g':
            a->globals = optarg;
            break;
        default:
            fprintf(stderr, "weir: option \"-%c\" requires parameter; see weir -h\n", optopt);
            return false;
        }
    }
    return is_complete(argc, argv, a);
}

/* prefix absolute and with a slash at its end; file absolute. */
static bool resolve_paths(const struct arguments *a, char prefix[PATH_MAX], char file[PATH_MAX])
{
    char cwd[PATH_MAX];
    const char *p = a->prefix ? a->prefix : WEIR_PREFIX, *f = a->file ? a->file : WEIR_CONF;
    if (!getcwd(cwd, sizeof cwd))
        return false;
    size_t len = strlen(p);
    const char *slash = len && p[len - 1] == '/' ? "" : "/";
    int n = p[0] == '/' ? snprintf(prefix, PATH_MAX, "%s%s", p, slash)
                        : snprintf(prefix, PATH_MAX, "%s/%s%s", cwd, p, slash);
    int k = f[0] == '/' ? snprintf(file, PATH_MAX, "%s", f) : snprintf(file, PATH_MAX, "%s%s", prefix, f);
    return n > 0 && n < PATH_MAX && k > 0 && k < PATH_MAX;
}

/* To the terminal, and to the error log of -e (or its default) where it can be opened. */
static bool print_errors(const struct conf *conf, const struct arguments *a, const char *prefix)
{
    char path[PATH_MAX];
    const char *name = a->error_log ? a->error_log : a->prefix ? "logs/error.log" : WEIR_LOGS "/error.log";
    int fd = -1;
    if (conf->errors.count == 0)
        return true;
    if (snprintf(path, sizeof path, "%s%s", name[0] == '/' ? "" : prefix, name) < (int)sizeof path)
        fd = fd_open_append(path);
    log_set_sinks(&(struct log_sink){.fd = fd, .level = LOG_LEVEL_EMERG}, fd >= 0 ? 1 : 0);
    for (const struct conf_error *e = conf->errors.first; e; e = e->next)
        log_emerg("%.*s", SLICE_ARGS(e->message));
    return false;
}

static void print_report(const struct conf *conf, const char *file, bool ok)
{
    struct buf text = {0};
    if (conf_report(conf, file, ok, &text))
        printf("%.*s", SLICE_ARGS(buf_slice(&text)));
    buf_free(&text);
}

static int test(struct conf *conf, const struct arguments *a, const char *file, const char *prefix)
{
    bool syntax_ok = conf->errors.count == 0;
    bool ok = syntax_ok && master_test(conf);
    print_errors(conf, a, prefix);
    if (ok && !a->quiet)
        fprintf(
            stderr,
            "weir: the configuration file %s syntax is ok\nweir: configuration file %s test is successful\n",
            file, file);
    if (!ok)
        fprintf(stderr, "weir: configuration file %s test failed\n", file);
    if (a->json)
        print_report(conf, file, ok);
    for (const struct conf_file *f = a->dump && ok && !a->json ? conf->tree.files : NULL; f; f = f->next)
        printf("# configuration file %.*s:\n%.*s\n", SLICE_ARGS(f->path), SLICE_ARGS(f->text));
    conf_free(conf);
    return ok ? 0 : 1;
}

static int send_signal(struct conf *conf, const char *name)
{
    const char *wrong = master_send_signal(conf, name);
    for (const struct conf_error *e = conf->errors.first; e; e = e->next)
        log_emerg("%.*s", SLICE_ARGS(e->message));
    if (wrong)
        fprintf(stderr, "weir: [error] %s\n", wrong);
    int code = wrong ? 1 : 0; /* `wrong` goes with the conf */
    conf_free(conf);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    char prefix[PATH_MAX], file[PATH_MAX];
    argv = title_init(argc, argv);
    net_tls_begin_process();
    if (!read_arguments(argc, argv, &a))
        return 1;
    if (a.help || a.version) {
        if (a.version)
            print_version(a.details);
        if (a.help)
            print_help();
        return 0;
    }
    if (a.signal && !master_knows_signal(a.signal)) {
        fprintf(stderr, "weir: invalid option: \"-s %s\"; it is stop, quit, reload or reopen\n", a.signal);
        return 1;
    }
    if (!resolve_paths(&a, prefix, file)) {
        fputs("weir: [emerg] path too long, or no current directory\n", stderr);
        return 1;
    }
    struct master_options options = {{file, prefix, a.globals, a.error_log, a.prefix ? NULL : &installed},
                                     argv};
    features_use();
    struct conf *conf = conf_load(&options.conf);
    int code = 1;
    if (a.test)
        code = test(conf, &a, file, prefix);
    else if (print_errors(conf, &a, prefix))
        code = a.signal ? send_signal(conf, a.signal) : master_run(&options, conf);
    else
        conf_free(conf);
    return code;
}
