/*
 * tests/unit/http/site/test_router.c - which server and which location: nginx's order of precedence, and its details.
 */
#include "http/site/router.h"

#include "tests/unit/check.h"

/* Names and patterns stand for themselves: what is found is the text that was added. */
static void *value_of(const char *text)
{
    return (void *)(uintptr_t)text;
}

static void add_name(struct http_names *names, const char *name)
{
    struct slice why = {0};
    CHECK_FOR(name, http_names_add(names, slice_of(name), value_of(name), &why));
    CHECK_FOR(name, why.data == NULL);
}

static void check_server(const struct http_names *names, const char *host, const char *wanted)
{
    struct http_captures captures = {0};
    const char *found = http_names_find(names, slice_of(host), &captures);
    char seen[200];
    snprintf(seen, sizeof seen, "%s\" found \"%s", host, found ? found : "(default)");
    CHECK_FOR(seen, wanted ? found && strcmp(found, wanted) == 0 : found == NULL);
}

static void names_by_precedence(void)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct http_names *names = http_names_new(&arena);
    static const char *const all[] = {"~^www\\d\\.",
                                      "www.example.*",
                                      "*.example.org",
                                      "*.sub.example.org",
                                      "a.example.org",
                                      ".dotted.org",
                                      "Upper.Case",
                                      "~\\.net$",
                                      "mail.*",
                                      "~^mail\\.example\\.org$",
                                      "",
                                      "www.*"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        add_name(names, all[i]);
    check_server(names, "a.example.org", "a.example.org");
    check_server(names, "A.EXAMPLE.ORG", "a.example.org");
    check_server(names, "b.example.org", "*.example.org");
    check_server(names, "c.b.example.org", "*.example.org");
    check_server(names, "x.sub.example.org", "*.sub.example.org");
    check_server(names, "example.org", NULL);
    check_server(names, "dotted.org", ".dotted.org");
    check_server(names, "x.y.dotted.org", ".dotted.org");
    check_server(names, "undotted.org", NULL);
    check_server(names, "upper.case", "Upper.Case");
    check_server(names, "www.example.com", "www.example.*"); /* the longer of two trailing wildcards */
    check_server(names, "www.example.co.uk", "www.example.*");
    check_server(names, "www.other.com", "www.*");
    check_server(names, "www.example.org", "*.example.org");  /* a leading one before a trailing one */
    check_server(names, "mail.example.org", "*.example.org"); /* and before a regular expression */
    check_server(names, "mail.other.org", "mail.*");
    check_server(names, "www1.example.net", "~^www\\d\\."); /* the first of two expressions */
    check_server(names, "x.net", "~\\.net$");
    check_server(names, "WWW2.X", "~^www\\d\\.");
    check_server(names, "nothing", NULL);
    http_names_free(names);
    arena_free(&arena);
}

static void bad_and_repeated_names(void)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct http_names *names = http_names_new(&arena);
    static const char *const bad[] = {"a.*.org", "*a.org", "www*", "*", "~(", "a*.b", "www.*.com"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct slice why = {0};
        CHECK_FOR(bad[i], !http_names_add(names, slice_of(bad[i]), value_of(bad[i]), &why));
        CHECK_FOR(bad[i], why.len > 0);
    }
    add_name(names, "same");
    struct slice why = {0};
    CU_ASSERT(http_names_add(names, SLICE("SAME"), value_of("other"), &why));
    /* The first of equals wins, and the second is told. */
    CU_ASSERT(why.len > 0);
    check_server(names, "same", "same");
    char host[300];
    memset(host, 'a', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    check_server(names, host, NULL);
    http_names_free(names);
    arena_free(&arena);
}

static void names_capture(void)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct http_names *names = http_names_new(&arena);
    add_name(names, "~^(?<user>[a-z]+)\\.(home|work)\\.org$");
    struct http_captures captures = {0};
    CU_ASSERT_PTR_NOT_NULL(http_names_find(names, SLICE("bob.work.org"), &captures));
    CHECK_NUMBER(captures.count, 3);
    CHECK_SLICE(captures.groups[1], "bob");
    CHECK_SLICE(captures.groups[2], "work");
    CHECK_NUMBER(http_regex_group(captures.regex, SLICE("user")), 1);
    CHECK_NUMBER(http_regex_group(captures.regex, SLICE("nobody")), -1);
    http_names_free(names);
    arena_free(&arena);
}

struct fixture {
    struct arena arena;
    struct http_locations *top;
};

static void add(struct fixture *f, struct http_locations *to, enum http_match match, const char *pattern,
                struct http_locations *nested, const char *value)
{
    struct slice why = {0};
    CHECK_FOR(pattern, http_locations_add(to, match, slice_of(pattern), nested, value_of(value), &why));
    (void)f;
}

static void set_up(struct fixture *f)
{
    arena_init(&f->arena, 4096);
    f->top = http_locations_new(&f->arena);
}

static void tear_down(struct fixture *f)
{
    http_locations_free(f->top);
    arena_free(&f->arena);
}

static void check_location(const struct fixture *f, const char *path, const char *wanted)
{
    struct http_captures captures = {0};
    const char *found = http_locations_find(f->top, slice_of(path), &captures, NULL, NULL);
    char seen[200];
    snprintf(seen, sizeof seen, "%s\" found \"%s", path, found ? found : "(none)");
    CHECK_FOR(seen, wanted ? found && strcmp(found, wanted) == 0 : found == NULL);
}

static void locations_by_precedence(void)
{
    struct fixture f;
    set_up(&f);
    add(&f, f.top, HTTP_MATCH_REGEX, "\\.gif$", NULL, "~ gif");
    add(&f, f.top, HTTP_MATCH_PREFIX, "/", NULL, "/");
    add(&f, f.top, HTTP_MATCH_EXACT, "/", NULL, "= /");
    add(&f, f.top, HTTP_MATCH_PREFIX, "/documents/", NULL, "/documents/");
    add(&f, f.top, HTTP_MATCH_PREFIX_FINAL, "/images/", NULL, "^~ /images/");
    add(&f, f.top, HTTP_MATCH_REGEX_NOCASE, "\\.(gif|jpg|jpeg)$", NULL, "~* pictures");
    add(&f, f.top, HTTP_MATCH_EXACT, "/a.gif", NULL, "= /a.gif");
    add(&f, f.top, HTTP_MATCH_PREFIX, "/images/raw/", NULL, "/images/raw/");
    http_locations_finish(f.top);
    check_location(&f, "/", "= /");
    check_location(&f, "/index.html", "/");
    check_location(&f, "/documents/document.html", "/documents/");
    check_location(&f, "/documents", "/");
    check_location(&f, "/images/1.gif", "^~ /images/");
    check_location(&f, "/images/raw/1.gif", "~ gif"); /* the longest prefix is not final */
    check_location(&f, "/images/raw/1.txt", "/images/raw/");
    check_location(&f, "/documents/1.jpg", "~* pictures");
    check_location(&f, "/documents/1.GIF", "~* pictures");
    check_location(&f, "/documents/1.gif", "~ gif"); /* the first expression */
    check_location(&f, "/a.gif", "= /a.gif");
    check_location(&f, "/a.gif/", "/");
    tear_down(&f);
}

static void no_location_may_match(void)
{
    struct fixture f;
    set_up(&f);
    http_locations_finish(f.top);
    check_location(&f, "/", NULL);
    add(&f, f.top, HTTP_MATCH_PREFIX, "/a", NULL, "/a");
    add(&f, f.top, HTTP_MATCH_REGEX, "b$", NULL, "~ b$");
    http_locations_finish(f.top);
    check_location(&f, "/", NULL);
    check_location(&f, "/x", NULL);
    check_location(&f, "/abc", "/a");
    check_location(&f, "/b", "~ b$");
    tear_down(&f);
}

static void nested_locations(void)
{
    struct fixture f;
    set_up(&f);
    struct http_locations *in_a = http_locations_new(&f.arena), *in_regex = http_locations_new(&f.arena);
    add(&f, in_a, HTTP_MATCH_PREFIX, "/a/b", NULL, "/a/b");
    add(&f, in_a, HTTP_MATCH_REGEX, "\\.php$", NULL, "~ php in /a");
    add(&f, in_a, HTTP_MATCH_PREFIX_FINAL, "/a/final", NULL, "^~ /a/final");
    add(&f, in_a, HTTP_MATCH_EXACT, "/a/exact", NULL, "= /a/exact");
    add(&f, in_regex, HTTP_MATCH_PREFIX, "/r/x", NULL, "/r/x in ~");
    http_locations_finish(in_a);
    http_locations_finish(in_regex);
    add(&f, f.top, HTTP_MATCH_PREFIX, "/a", in_a, "/a");
    add(&f, f.top, HTTP_MATCH_REGEX, "\\.php$", NULL, "~ php");
    add(&f, f.top, HTTP_MATCH_REGEX, "^/r", in_regex, "~ ^/r");
    http_locations_finish(f.top);
    check_location(&f, "/a/x", "/a");
    check_location(&f, "/a/b/c", "/a/b");
    check_location(&f, "/a/exact", "= /a/exact");
    check_location(&f, "/a/x.php", "~ php in /a"); /* the inner expression first */
    check_location(&f, "/b/x.php", "~ php");
    /* An inner "^~" is final on its own level only. */
    check_location(&f, "/a/final/x.php", "~ php");
    check_location(&f, "/a/final/x", "^~ /a/final");
    check_location(&f, "/r/x/y", "/r/x in ~");
    check_location(&f, "/r/z", "~ ^/r");
    tear_down(&f);
}

static void expressions_capture_and_are_checked(void)
{
    struct fixture f;
    set_up(&f);
    struct slice why = {0};
    CU_ASSERT(!http_locations_add(f.top, HTTP_MATCH_REGEX, SLICE("(unclosed"), NULL, NULL, &why));
    CU_ASSERT(memmem(why.data, why.len, "(unclosed", 9) != NULL); /* says which one */
    add(&f, f.top, HTTP_MATCH_REGEX, "^/u/(\\w+)/(.*)$", NULL, "~ u");
    http_locations_finish(f.top);
    struct http_captures captures = {0};
    CU_ASSERT_PTR_NOT_NULL(http_locations_find(f.top, SLICE("/u/bob/x/y"), &captures, NULL, NULL));
    CHECK_SLICE(captures.groups[0], "/u/bob/x/y");
    CHECK_SLICE(captures.groups[1], "bob");
    CHECK_SLICE(captures.groups[2], "x/y");
    tear_down(&f);
}

/* An expression that backtracks for ever costs a bounded time, and does not match. */
static void costly_expressions_are_bounded(void)
{
    struct fixture f;
    char path[3000];
    set_up(&f);
    add(&f, f.top, HTTP_MATCH_REGEX, "^/(a+)+$", NULL, "~ costly");
    http_locations_finish(f.top);
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 2] = 'b';
    path[sizeof path - 1] = '\0';
    uint64_t begun_ms = clock_mono_ms();
    check_location(&f, path, NULL);
    CU_ASSERT(clock_mono_ms() - begun_ms < 5000);
    tear_down(&f);
}

/* The sorted table finds what trying every prefix would find, for all paths over a small alphabet. */
static void the_longest_prefix_of_many(void)
{
    enum { PATTERNS = 60, PATHS = 3000 };
    static char patterns[PATTERNS][8], path[16];
    uint64_t seed = 99;
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < PATTERNS; i++) {
        size_t len = 1 + check_random(&seed) % 6;
        patterns[i][0] = '/';
        for (size_t k = 1; k < len; k++)
            patterns[i][k] = "ab/"[check_random(&seed) % 3];
        struct slice why = {0};
        CU_ASSERT(
            http_locations_add(f.top, HTTP_MATCH_PREFIX, slice_of(patterns[i]), NULL, patterns[i], &why));
    }
    http_locations_finish(f.top);
    for (int n = 0; n < PATHS; n++) {
        size_t len = 1 + check_random(&seed) % 9;
        const char *best = NULL;
        memset(path, 0, sizeof path);
        path[0] = '/';
        for (size_t k = 1; k < len; k++)
            path[k] = "ab/c"[check_random(&seed) % 4];
        for (size_t i = 0; i < PATTERNS; i++)
            if (slice_starts(slice_of(path), slice_of(patterns[i])) &&
                (!best || strlen(patterns[i]) > strlen(best)))
                best = patterns[i];
        check_location(&f, path, best);
    }
    tear_down(&f);
}

static const struct check_case cases[] = {
    {"names by precedence", names_by_precedence},
    {"bad and repeated names", bad_and_repeated_names},
    {"names capture", names_capture},
    {"locations by precedence", locations_by_precedence},
    {"no location may match", no_location_may_match},
    {"nested locations", nested_locations},
    {"expressions capture and are checked", expressions_capture_and_are_checked},
    {"costly expressions are bounded", costly_expressions_are_bounded},
    {"the longest prefix of many", the_longest_prefix_of_many},
};

CHECK_MAIN("http/router", cases)
