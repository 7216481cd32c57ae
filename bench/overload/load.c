/*
 * bench/overload/load.c - loads one server with keep-alive HTTP/1.1 requests and says how it answered.
 *
 *     load port=N [NAME=VALUE ...]
 *
 * mode=closed: so many clients, each of which sends the next request as soon as it is answered, also when refused.
 * mode=open: so many requests a second, whatever becomes of them, over at most so many connections; latency counts
 * from when a request should have been sent. A second, open stream of probes may run beside (probe_rate, probe_path,
 * probe_headers). Phases change an open stream's rate and the path while it runs: "2:3200:/a,4:9600:/b" is seconds, rate
 * and path of each. With interval_ms a line of figures tells of each such interval.
 *
 * Prints "name value" lines: times in ms, rates per second, all else counts; the warm-up is not in them.
 */
#include "bench/overload/client.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { PHASES_MAX = 16, NS_PER_MS = 1000000, POLL_NS = 50 * NS_PER_MS, WARM_UP_MORE_S = 10 };

struct phase {
    double seconds, rate;
    char path[128];
};

/* NAME=VALUE on the command line. */
static struct {
    char mode[16], arrivals[16], host[64], path[128], headers[256], probe_path[128], probe_headers[256];
    char phases[512];
    double port, clients, rate, connections, seconds, warmup, probe_rate, probe_connections, interval_ms;
} opt = {
    .mode = "closed",
    .arrivals = "poisson",
    .host = "127.0.0.1",
    .path = "/",
    .probe_path = "/",
    .clients = 64,
    .rate = 1000,
    .connections = 2048, /* at most, of the open stream */
    .seconds = 4,
    .warmup = 1,
    .probe_connections = 64,
};

#define TEXT(name)                             \
    {                                          \
#name, opt.name, sizeof opt.name, NULL \
    }
#define NUMBER(name)              \
    {                             \
#name, NULL, 0, &opt.name \
    }

static const struct option {
    const char *name;
    char *text;
    size_t size;
    double *number;
} options[] = {
    TEXT(mode),
    TEXT(arrivals),
    TEXT(host),
    TEXT(path),
    TEXT(headers),
    TEXT(probe_path),
    TEXT(phases),
    TEXT(probe_headers),
    NUMBER(port),
    NUMBER(clients),
    NUMBER(rate),
    NUMBER(connections),
    NUMBER(seconds),
    NUMBER(warmup),
    NUMBER(probe_rate),
    NUMBER(interval_ms),
    NUMBER(probe_connections),
};

static struct stream flood, probe;
static struct phase phases[PHASES_MAX];
static size_t phase_count;
static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static void die(const char *sentence, const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, sentence);
    exit(2);
}

/* ---- options ---- */

static void set_option(const char *argument)
{
    const char *equals = strchr(argument, '=');
    for (size_t i = 0; equals && i < sizeof options / sizeof *options; i++) {
        const struct option *o = &options[i];
        if (strlen(o->name) != (size_t)(equals - argument) ||
            strncmp(o->name, argument, strlen(o->name)) != 0)
            continue;
        char *end = NULL;
        if (o->number)
            *o->number = strtod(equals + 1, &end);
        else if ((size_t)snprintf(o->text, o->size, "%s", equals + 1) >= o->size)
            die("too long", argument);
        if (end && (end == equals + 1 || *end || *o->number < 0))
            die("not a number of 0 or more", argument);
        return;
    }
    die("not an option NAME=VALUE, see load.c", argument);
}

/* Headers are given as "Name: value", several with a | between; each becomes a line. */
static void header_lines(const char *given, char *lines, size_t size)
{
    size_t used = 0;
    lines[0] = '\0';
    while (*given) {
        size_t len = strcspn(given, "|");
        used += (size_t)snprintf(lines + used, size - used, "%.*s\r\n", (int)len, given);
        if (used >= size)
            die("too long", "headers");
        given += len + (given[len] == '|');
    }
}

static void read_phases(void)
{
    if (!opt.phases[0])
        snprintf(opt.phases, sizeof opt.phases, "%g:%g:%s", opt.seconds, opt.rate, opt.path);
    opt.seconds = 0;
    for (char *rest = opt.phases, *one; (one = strsep(&rest, ","));) {
        if (phase_count == PHASES_MAX)
            die("too many", "phases");
        struct phase *p = &phases[phase_count++];
        if (sscanf(one, "%lf:%lf:%127s", &p->seconds, &p->rate, p->path) != 3)
            die("not SECONDS:RATE:PATH", one);
        opt.seconds += p->seconds;
    }
}

/* ---- figures ---- */

static void say(const char *prefix, const char *name, double value)
{
    printf("%s%s %.6g\n", prefix, name, value);
}

/* Percentiles of nothing are left out, not called 0. */
static void say_latencies(const char *prefix, const char *kind, const struct hist *h)
{
    if (h->count == 0)
        return;
    printf("%s%sp50 %.4g\n", prefix, kind, hist_percentile(h, 0.5));
    printf("%s%sp99 %.4g\n", prefix, kind, hist_percentile(h, 0.99));
    printf("%s%smax %.4g\n", prefix, kind, (double)h->max_us / 1e3);
}

static void report(const char *prefix, const struct stream *s, double seconds)
{
    const struct stats *t = &s->total;
    char name[] = "answers_0xx";
    uint64_t oldest = 0, now = now_ns();
    size_t unanswered = stream_unanswered(s, &oldest);
    say(prefix, "offered", (double)t->offered / seconds);
    for (int class = 1; class < 6; class ++) {
        name[8] = (char)('0' + class);
        say(prefix, name, (double)t->by_class[class]);
    }
    say(prefix, "goodput", (double)t->ok.count / seconds);
    say_latencies(prefix, "", &t->ok);
    say(prefix, "refusals", (double)t->refused.count / seconds);
    say_latencies(prefix, "refusal_", &t->refused);
    say(prefix, "errors", (double)t->errors);
    say(prefix, "reconnects", (double)t->reconnects);
    say(prefix, "unsent", (double)t->unsent);
    say(prefix, "skipped", (double)t->skipped);
    say(prefix, "unanswered", (double)unanswered);
    say(prefix, "oldest", unanswered && oldest < now ? (double)(now - oldest) / 1e6 : 0);
    say_latencies(prefix, "late_", &t->late);
}

/* One line for the last interval: when it ended, rates per second, latencies in ms. */
static void report_interval(double at, double seconds)
{
    struct stats *t = &flood.recent;
    printf("at %.3f offered %.6g goodput %.6g p50 %.4g p99 %.4g refusals %.6g refusal_p99 %.4g\n", at,
           (double)t->offered / seconds, (double)t->ok.count / seconds, hist_percentile(&t->ok, 0.5),
           hist_percentile(&t->ok, 0.99), (double)t->refused.count / seconds,
           hist_percentile(&t->refused, 0.99));
    fflush(stdout);
    stats_clear(t);
}

/* ---- the run ---- */

static uint64_t later(uint64_t from, double seconds)
{
    return from + (uint64_t)(seconds * 1e9);
}

/* Turns the loop until the given time or a signal. */
static void run_until(uint64_t end)
{
    for (uint64_t now; (now = now_ns()) < end && !stopped;) {
        uint64_t next = end < now + POLL_NS ? end : now + POLL_NS;
        uint64_t arrival = stream_arrivals(&flood, now);
        next = arrival < next ? arrival : next;
        arrival = stream_arrivals(&probe, now);
        client_poll(arrival < next ? arrival : next);
    }
}

/* At least the warm-up's time, and until each client has been answered once: a server that is slow to accept makes the
 * last of them wait for seconds, which is no latency of the load that is to be measured. Returns the time it took. */
static double warm_up(void)
{
    uint64_t begun = now_ns(), limit = later(begun, opt.warmup + WARM_UP_MORE_S);
    run_until(later(begun, opt.warmup));
    while (flood.closed && flood.seen_count < flood.conn_count && now_ns() < limit && !stopped)
        run_until(now_ns() + POLL_NS);
    stats_clear(&flood.total);
    stats_clear(&flood.recent);
    stats_clear(&probe.total);
    return (double)(now_ns() - begun) / 1e9;
}

static void run_phases(uint64_t began, const char *headers)
{
    uint64_t phase_end = began, interval = (uint64_t)(opt.interval_ms * NS_PER_MS), told = began;
    for (size_t i = 0; i < phase_count && !stopped; i++) {
        stream_request(&flood, phases[i].path, headers);
        flood.rate = phases[i].rate;
        phase_end = later(phase_end, phases[i].seconds);
        while (interval && told + interval <= phase_end && !stopped) {
            run_until(told + interval);
            uint64_t now = now_ns();
            report_interval((double)(now - began) / 1e9, (double)(now - told) / 1e9);
            told += interval;
        }
        run_until(phase_end);
    }
}

static void start_streams(const char *headers, const char *probe_headers)
{
    flood.closed = strcmp(opt.mode, "closed") == 0;
    flood.poisson = probe.poisson = strcmp(opt.arrivals, "poisson") == 0;
    if (!flood.closed && strcmp(opt.mode, "open") != 0)
        die("closed or open", opt.mode);
    if (!flood.poisson && strcmp(opt.arrivals, "uniform") != 0)
        die("poisson or uniform", opt.arrivals);
    flood.rate = phases[0].rate;
    probe.rate = opt.probe_rate;
    stream_request(&flood, phases[0].path, headers);
    stream_request(&probe, opt.probe_path, probe_headers);
    stream_start(&flood, (size_t)(flood.closed ? opt.clients : opt.connections));
    stream_start(&probe, (size_t)opt.probe_connections);
}

int main(int argc, char **argv)
{
    static char headers[REQUEST_MAX], probe_headers[REQUEST_MAX];
    struct sockaddr_in server = {.sin_family = AF_INET};
    for (int i = 1; i < argc; i++)
        set_option(argv[i]);
    server.sin_port = htons((uint16_t)opt.port);
    if (opt.port < 1 || opt.port > 65535 || inet_pton(AF_INET, opt.host, &server.sin_addr) != 1)
        die("no IPv4 address, or port= is missing", opt.host);
    header_lines(opt.headers, headers, sizeof headers);
    header_lines(opt.probe_headers, probe_headers, sizeof probe_headers);
    read_phases();
    prctl(PR_SET_TIMERSLACK, 1UL);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    client_init(server);
    start_streams(headers, probe_headers);

    double warm_up_s = warm_up();
    uint64_t began = now_ns();
    printf("began %.6f\n", (double)began / 1e9);
    fflush(stdout);
    run_phases(began, headers);
    double seconds = (double)(now_ns() - began) / 1e9;
    say("", "seconds", seconds);
    say("", "warm_up", warm_up_s);
    report("", &flood, seconds);
    if (opt.probe_rate > 0)
        report("probe_", &probe, seconds);
    return stopped ? 1 : 0;
}
