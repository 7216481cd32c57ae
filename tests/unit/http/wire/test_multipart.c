/*
 * tests/unit/http/wire/test_multipart.c - forms in parts: boundaries, where parts begin and end, names and files, and what is broken.
 */
#include "http/wire/multipart.h"

#include "tests/unit/check.h"

#define NAMED(name) "Content-Disposition: form-data; name=\"" name "\"\r\n"
#define PART(name, content) "--b\r\n" NAMED(name) "\r\n" content "\r\n"

static void boundaries(void)
{
    static const char seventy[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    static const struct {
        const char *type, *boundary; /* NULL: none */
    } cases[] = {
        {"multipart/form-data; boundary=b", "b"},
        {"Multipart/Form-Data ;charset=utf-8 ; Boundary=\"a b:c\"", "a b:c"},
        {"multipart/form-data; x=\"; boundary=no\"; boundary=yes", "yes"},
        {"multipart/form-data;boundary=b;x=y", "b"},
        {"multipart/form-data", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"\"", NULL},
        {"multipart/form-data; boundary=\"b", NULL},
        {"multipart/form-data; boundary", NULL},
        {"multipart/form-data boundary=b", NULL},
        {"multipart/mixed; boundary=b", NULL},
        {"application/x-www-form-urlencoded", NULL},
        {"", NULL},
    };
    struct slice boundary;
    char type[200];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool found = http_multipart_boundary(slice_of(cases[i].type), &boundary);
        CHECK_FOR(cases[i].type, found == (cases[i].boundary != NULL) &&
                                     (!found || slice_eq(boundary, slice_of(cases[i].boundary))));
    }
    CU_ASSERT(!http_multipart_boundary((struct slice){0}, &boundary));
    for (int more = 0; more < 2; more++) {
        snprintf(type, sizeof type, "multipart/form-data; boundary=%s%s", seventy, more ? "x" : "");
        CHECK_NUMBER(http_multipart_boundary(slice_of(type), &boundary), !more);
    }
}

/* A body as text: "name=content", with "@filename" behind the name of a file; " !" where it is broken. */
static const char *parts_of(const char *body, size_t len)
{
    static char text[2000];
    struct http_part part;
    size_t at = 0, n = 0;
    enum http_part_result result;
    while ((result = http_next_part((struct slice){body, len}, SLICE("b"), &at, &part)) == HTTP_PART_FOUND)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s%s%.*s=%.*s", n ? " " : "",
                              SLICE_ARGS(part.name), part.filename.data ? "@" : "", SLICE_ARGS(part.filename),
                              SLICE_ARGS(part.content));
    snprintf(text + n, sizeof text - n, "%s", result == HTTP_PART_BROKEN ? " !" : "");
    return text;
}

struct form {
    const char *body, *parts;
};

static void check_forms(const struct form *forms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *parts = parts_of(forms[i].body, strlen(forms[i].body));
        CHECK_FOR(forms[i].body, strcmp(parts, forms[i].parts) == 0);
    }
}

static void forms_that_are_whole(void)
{
    static const struct form forms[] = {
        {PART("a", "1") "--b--\r\n", "a=1"},
        {PART("a", "1") "--b--", "a=1"},
        {"\r\n" PART("a", "1") "--b--", "a=1"},
        {"This is a preamble.\r\n" PART("a", "1") "--b--\r\nand this\r\n--b\r\nan epilogue", "a=1"},
        {PART("a", "1") PART("b", "2") PART("a", "3") "--b--", "a=1 b=2 a=3"},
        {PART("a", "") PART("", "x") "--b--", "a= =x"},
        /* Its empty line is the delimiter's (RFC 2046). */
        {"--b\r\n" NAMED("a") "\r\n--b--", "a="},
        {PART("a", "1\r\n2\n3\r4\r\n") "--b--", "a=1\r\n2\n3\r4\r\n"},
        {PART("a", "1--b--") PART("b", "\r\n--c\r\n--bx") PART("c", "\r\n-b\r\n--") "--b--",
         "a=1--b-- b=\r\n--c\r\n--bx c=\r\n-b\r\n--"},
        {"--b \t \r\n" NAMED("a") "\r\n1\r\n--b  \r\n" NAMED("b") "\r\n2\r\n--b--", "a=1 b=2"},
        {"--b--", ""},
        {PART("a", "\r\n--b--x\r\n--b-- x") "--b-- \t\r\n", "a=\r\n--b--x\r\n--b-- x"}, /* no delimiters */
        {PART("a", "1") "--b-- ", "a=1"},
        {"--b\r\n" NAMED("a\"; filename*=utf-8''%C3%A9; x=\"") "\r\n1\r\n--b--", "a@utf-8''%C3%A9=1"},
        {"--b\r\ncontent-disposition:FORM-DATA ; NAME=a ;x=y; filename=f.txt\r\n\r\n1\r\n--b--", "a@f.txt=1"},
        {"--b\r\nX: y\r\n" NAMED("a\"; filename=\"") "\r\n1\r\n--b--", "a@=1"},
        {"--b\r\n" NAMED("x; y=\\\"z\\\"\"; filename=\"C:\\d\\f;g") "\r\n1\r\n--b--",
         "x; y=\\\"z\\\"@C:\\d\\f;g=1"},
        {"--b\r\n" NAMED("a\"; name=\"b") "\r\n1\r\n--b--", "a=1"},
    };
    check_forms(forms, sizeof forms / sizeof forms[0]);
    static const char zero[] = PART("a", "1\0002") "--b--";
    struct http_part part;
    size_t at = 0;
    CHECK_NUMBER(http_next_part((struct slice){zero, sizeof zero - 1}, SLICE("b"), &at, &part),
                 HTTP_PART_FOUND);
    CHECK_NUMBER(part.content.len, 3);
}

static void forms_that_are_broken(void)
{
    static const struct form forms[] = {
        {"", " !"},
        {"--", " !"},
        {"a=1", " !"},
        {"--b", " !"},
        {"--b\r\n", " !"},
        {"--b\n" NAMED("a") "\r\n1\r\n--b--", " !"},
        {"--b x\r\n" NAMED("a") "\r\n1\r\n--b\r\n", " !"}, /* the first line is none */
        {PART("a", "1"), " !"},
        {PART("a", "1") "--b", " !"},
        {PART("a", "1") "--b\r\n", "a=1 !"},
        {PART("a", "1") PART("b", "2"), "a=1 !"},
        {"--b\r\n\r\n1\r\n--b--", " !"},
        {"--b\r\nX: y\r\n\r\n1\r\n--b--", " !"},
        {"--b\r\n" NAMED("a") "no field\r\n\r\n1\r\n--b--", " !"},
        {"--b\r\n" NAMED("a") NAMED("b") "\r\n1\r\n--b--", " !"},
        {"--b\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--b--", " !"},
        {"--b\r\nContent-Disposition: form-data; filename=f\r\n\r\n1\r\n--b--", " !"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--b--", " !"},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"x\r\n\r\n1\r\n--b--", " !"},
        {"--b\r\n" NAMED("a") "1\r\n" PART("b", "2") "--b--", " !"}, /* no empty line */
    };
    check_forms(forms, sizeof forms / sizeof forms[0]);
}

static void types_of_parts(void)
{
    static const char body[] =
        "--b\r\n" NAMED("a") "Content-Type:  image/png;x=y \r\n\r\n1\r\n" PART("b", "2") "--b--";
    struct slice whole = {body, sizeof body - 1};
    struct http_part part;
    size_t at = 0;
    CHECK_NUMBER(http_next_part(whole, SLICE("b"), &at, &part), HTTP_PART_FOUND);
    CHECK_SLICE(part.type, "image/png;x=y");
    CHECK_NUMBER(http_next_part(whole, SLICE("b"), &at, &part), HTTP_PART_FOUND);
    CHECK_SLICE(part.type, "text/plain");
    CHECK_NUMBER(http_next_part(whole, SLICE("b"), &at, &part), HTTP_PART_NONE);
    CHECK_NUMBER(http_next_part(whole, SLICE("b"), &at, &part), HTTP_PART_NONE); /* and again */
}

static void escapes_in_names(void)
{
    static const struct {
        const char *sent, *text;
    } cases[] = {{"plain", "plain"},       {"", ""},     {"a\\\"b\\\"", "a\"b\""}, {"a\\\\b", "a\\b"},
                 {"C:\\d\\f", "C:\\d\\f"}, {"\\", "\\"}, {"%22", "%22"},           {"\\\\\\\"", "\\\""}};
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_SLICE(http_part_text(&arena, slice_of(cases[i].sent)), cases[i].text);
    arena_free(&arena);
}

static const struct check_case cases[] = {
    {"boundaries", boundaries},
    {"forms that are whole", forms_that_are_whole},
    {"forms that are broken", forms_that_are_broken},
    {"types of parts", types_of_parts},
    {"escapes in names", escapes_in_names},
};

CHECK_MAIN("http/multipart", cases)
