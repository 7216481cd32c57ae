/*
 * tests/unit/http/wire/test_uri.c - paths: decoded, normalised, never above the root, and encoded again.
 */
#include "http/wire/uri.h"

#include "tests/unit/check.h"

static void check_path(const char *raw, const char *wanted)
{
    char scratch[256];
    struct slice path = {0};
    bool ok = http_normalize_path(slice_of(raw), true, scratch, &path);
    CHECK_FOR(raw, ok == (wanted != NULL));
    if (ok && wanted && !slice_eq(path, slice_of(wanted)))
        check_slice(path, slice_of(wanted), raw, __FILE__, __LINE__);
}

static void normal_paths_stay(void)
{
    static const char *const paths[] = {"/", "/a", "/a/", "/a/b.c", "/a.", "/a..b/..c"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        check_path(paths[i], paths[i]);
    char scratch[8];
    struct slice raw = SLICE("/a/b"), path;
    CU_ASSERT(http_normalize_path(raw, true, scratch, &path));
    CU_ASSERT_PTR_EQUAL(path.data, raw.data); /* without a copy */
}

static void escapes_are_decoded(void)
{
    check_path("/%41%62c", "/Abc");
    check_path("/a%20b", "/a b");
    check_path("/a%2Fb", "/a/b");
    check_path("/a%2fb%3f%23%25", "/a/b?#%");
    check_path("/%2541", "/%41"); /* once only */
    check_path("/a+b", "/a+b");
    check_path("/%C3%A9\xc3\xa9", "/\xc3\xa9\xc3\xa9");
    check_path("/%0a", "/\n");
    check_path("/%", NULL);
    check_path("/%4", NULL);
    check_path("/%4g", NULL);
    check_path("/%g4", NULL);
    check_path("/%%41", NULL);
    check_path("/% 41", NULL);
    check_path("/%-1", NULL);
    check_path("/%00", NULL);
    check_path("/a%00.html", NULL);
}

static void slashes_are_merged(void)
{
    check_path("//", "/");
    check_path("/a//b", "/a/b");
    check_path("///a///", "/a/");
    check_path("/a/%2f/b", "/a/b");
    check_path("/%2f", "/");
}

/* merge_slashes off: an empty segment is one, which ".." takes back like any other. */
static void slashes_can_stay(void)
{
    static const char *const cases[][2] = {{"/a//b", "/a//b"},     {"//", "//"},         {"/a//../b", "/a/b"},
                                           {"/a/%2f/b", "/a///b"}, {"/a//./b", "/a//b"}, {"///..", "//"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char scratch[64];
        struct slice path = {0};
        CHECK_FOR(cases[i][0], http_normalize_path(slice_of(cases[i][0]), false, scratch, &path));
        check_slice(path, slice_of(cases[i][1]), cases[i][0], __FILE__, __LINE__);
    }
}

static void dots_are_resolved(void)
{
    check_path("/.", "/");
    check_path("/./", "/");
    check_path("/a/.", "/a/");
    check_path("/a/./b", "/a/b");
    check_path("/a/..", "/");
    check_path("/a/../", "/");
    check_path("/a/b/..", "/a/");
    check_path("/a/b/../c", "/a/c");
    check_path("/a/b/../../c", "/c");
    check_path("/a/b/c/../../d", "/a/d");
    check_path("/a/%2e%2E/b", "/b");
    check_path("/a/%2e/b", "/a/b");
    check_path("/a/b%2f..%2fc", "/a/c");
    check_path("/a//../b", "/b");
    check_path("/...", "/...");
    check_path("/..a", "/..a");
    check_path("/.a/..b", "/.a/..b");
    check_path("/a/.../b", "/a/.../b");
}

static void the_root_is_never_left(void)
{
    static const char *const paths[] = {"/..",        "/../",          "/../a",
                                        "/a/../..",   "/./..",         "//..",
                                        "/a/../../b", "/%2e%2e",       "/.%2e/etc",
                                        "/%2e./a",    "/a/b/../../..", "/a/%2e%2e/%2e%2e/b",
                                        "/%2f../a",   "/a/..%2f..",    "/../../../etc/passwd"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        check_path(paths[i], NULL);
}

/* Whether nothing in the path could still be understood as a way up, and each segment has a name. */
static bool is_clean(struct slice path)
{
    if (path.len == 0 || path.data[0] != '/')
        return false;
    for (size_t at = 1; at < path.len;) {
        const char *slash = memchr(path.data + at, '/', path.len - at);
        size_t len = slash ? (size_t)(slash - path.data) - at : path.len - at;
        struct slice segment = {path.data + at, len};
        if (len == 0 || slice_eq(segment, SLICE(".")) || slice_eq(segment, SLICE("..")))
            return false;
        at += len + 1;
    }
    return !memchr(path.data, '\0', path.len);
}

/* All short paths over an alphabet that matters: clean, no longer than before, and stable once they are encoded. */
static void all_short_paths_come_out_clean(void)
{
    static const char *const pieces[] = {"/", ".", "a", "%2e", "%2F", "%25", "%61"};
    enum { PIECES = 7, LENGTH = 6 };
    size_t total = 1, wrong = 0;
    struct arena arena;
    arena_init(&arena, 4096);
    for (int i = 0; i < LENGTH; i++)
        total *= PIECES;
    for (size_t number = 0; number < total; number++) {
        char raw[64] = "/", scratch[64], again[64];
        for (size_t i = 0, n = number; i < LENGTH; i++, n /= PIECES)
            strcat(raw, pieces[n % PIECES]);
        struct slice path, second;
        if (!http_normalize_path(slice_of(raw), true, scratch, &path))
            continue;
        struct slice encoded = http_encode_path(&arena, path);
        wrong += !is_clean(path) || path.len > strlen(raw);
        wrong += !http_normalize_path(encoded, true, again, &second) || !slice_eq(second, path);
        arena_reset(&arena);
    }
    CHECK_NUMBER(wrong, 0);
    arena_free(&arena);
}

static void the_scratch_is_large_enough(void)
{
    static const char *const paths[] = {"/%41", "/a/",  "//",        "/./a", "/a/../bb",
                                        "/%2f", "/a/%", "/a/b/c/..", "/.",   "/%61/"};
    struct check_guarded in = check_guarded_new(64), out = check_guarded_new(64);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct slice raw = slice_of(paths[i]), path;
        raw.data = check_guarded_at_end(&in, raw);
        http_normalize_path(raw, true, out.room + out.room_bytes - raw.len, &path);
    }
    CU_PASS("no fault");
    check_guarded_free(&in);
    check_guarded_free(&out);
}

static void decoding_of_arguments(void)
{
    struct arena arena;
    arena_init(&arena, 1024);
    CHECK_SLICE(http_decode(&arena, SLICE("a%20b+c"), true), "a b c");
    CHECK_SLICE(http_decode(&arena, SLICE("a%20b+c"), false), "a b+c");
    CHECK_SLICE(http_decode(&arena, SLICE("%"), true), "%"); /* bad escapes stay */
    CHECK_SLICE(http_decode(&arena, SLICE("%4"), true), "%4");
    CHECK_SLICE(http_decode(&arena, SLICE("%4x%41"), true), "%4xA");
    CHECK_SLICE(http_decode(&arena, SLICE("%%41"), true), "%A");
    CHECK_SLICE(http_decode(&arena, SLICE(""), true), "");
    CHECK_NUMBER(http_decode(&arena, SLICE("a%00b"), true).len, 3);
    arena_free(&arena);
}

static void encoding_of_paths(void)
{
    struct arena arena;
    arena_init(&arena, 1024);
    CHECK_SLICE(http_encode_path(&arena, SLICE("/a/b-c_d.e~f!$&'()*+,;=:@")), "/a/b-c_d.e~f!$&'()*+,;=:@");
    CHECK_SLICE(http_encode_path(&arena, SLICE("/a b%c?d#e\"<>\\^`{|}")),
                "/a%20b%25c%3Fd%23e%22%3C%3E%5C%5E%60%7B%7C%7D");
    CHECK_SLICE(http_encode_path(&arena, SLICE("/\xc3\xa9\r\n\x7f")), "/%C3%A9%0D%0A%7F");
    CHECK_SLICE(http_encode_path(&arena, SLICE("")), "");
    arena_free(&arena);
}

static void climbs_are_counted(void)
{
    static const struct {
        const char *path;
        unsigned climbs;
    } paths[] = {{"", 0},      {".", 0},      {"..", 1},         {"...", 0},
                 {"/..", 1},   {"../", 1},    {"/a..b/..c", 0},  {"/a../b", 0},
                 {"/.../", 0}, {"/../..", 2}, {"/./../a/..", 2}, {"/a/../b/../c.d", 2},
                 {"/a/.", 0}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        CHECK_FOR(paths[i].path, http_climbs(slice_of(paths[i].path)) == paths[i].climbs);
    CHECK_NUMBER(http_climbs((struct slice){"/..", 2}), 0); /* not beyond its end */
    CHECK_NUMBER(http_climbs((struct slice){0}), 0);
}

static const struct check_case cases[] = {
    {"climbs are counted", climbs_are_counted},
    {"normal paths stay", normal_paths_stay},
    {"escapes are decoded", escapes_are_decoded},
    {"slashes are merged", slashes_are_merged},
    {"slashes can stay", slashes_can_stay},
    {"dots are resolved", dots_are_resolved},
    {"the root is never left", the_root_is_never_left},
    {"all short paths come out clean", all_short_paths_come_out_clean},
    {"the scratch is large enough", the_scratch_is_large_enough},
    {"decoding of arguments", decoding_of_arguments},
    {"encoding of paths", encoding_of_paths},
};

CHECK_MAIN("http/uri", cases)
