/*
 * http/regex.c - PCRE2 with bounds on what one match may cost, so that no URI can hold the loop.
 */
#include "http/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000 };

/* Opaque: a struct http_regex is a pcre2_code. */
static pcre2_match_data *match_data;
static pcre2_match_context *match_context;

static bool prepare_matching(void)
{
    if (match_data)
        return true;
    match_data = pcre2_match_data_create(1, NULL);
    match_context = pcre2_match_context_create(NULL);
    if (!match_data || !match_context)
        return false;
    pcre2_set_match_limit(match_context, MATCH_LIMIT);
    pcre2_set_depth_limit(match_context, DEPTH_LIMIT);
    return true;
}

struct http_regex *http_regex_new(struct arena *arena, struct slice pattern, bool no_case, struct slice *why)
{
    int error;
    PCRE2_SIZE at;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, no_case ? PCRE2_CASELESS : 0, &error, &at, NULL);
    if (!code || !prepare_matching()) {
        PCRE2_UCHAR text[128] = "out of memory";
        if (!code)
            pcre2_get_error_message(error, text, sizeof text);
        *why = arena_printf(arena, "pcre2_compile() failed: %s in \"%.*s\" at offset %zu", (char *)text,
                            SLICE_ARGS(pattern), code ? 0 : (size_t)at);
        return NULL;
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    return (struct http_regex *)code;
}

bool http_regex_matches(const struct http_regex *regex, struct slice subject)
{
    return pcre2_match((const pcre2_code *)regex, (PCRE2_SPTR)subject.data, subject.len, 0, 0, match_data,
                       match_context) >= 0;
}

void http_regex_free(struct http_regex *regex)
{
    pcre2_code_free((pcre2_code *)regex);
}
