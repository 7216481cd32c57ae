/*
 * http/request/regex.c - PCRE2 with bounds on what one match may cost, so that no URI can hold the loop.
 */
#include "http/request/regex.h"

#include "base/arena.h"
#include "base/slice.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <assert.h>
#include <pcre2.h>

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000, JIT_STACK_LEAST = 32 << 10, JIT_STACK_MOST = 1 << 20 };

/* Opaque: a struct http_regex is a pcre2_code. */
static pcre2_match_data *match_data;
static pcre2_match_context *match_context;

static bool prepare_matching(void)
{
    if (match_data)
        return true;
    match_data = pcre2_match_data_create(HTTP_GROUPS_MAX, NULL);
    match_context = pcre2_match_context_create(NULL);
    if (!match_data || !match_context)
        return false;
    pcre2_set_match_limit(match_context, MATCH_LIMIT);
    pcre2_set_depth_limit(match_context, DEPTH_LIMIT);
    pcre2_jit_stack *stack = pcre2_jit_stack_create(JIT_STACK_LEAST, JIT_STACK_MOST, NULL);
    /* Kept as long as the process, as the context is. */
    if (stack)
        pcre2_jit_stack_assign(match_context, NULL, stack);
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

static bool failed; /* the last matches: a limit was reached */

bool http_regex_take_failure(void)
{
    bool had = failed;
    failed = false;
    return had;
}

bool http_regex_match(const struct http_regex *regex, struct slice subject, struct http_captures *captures)
{
    assert(regex && match_data);
    int groups = pcre2_match((const pcre2_code *)regex, (PCRE2_SPTR)subject.data, subject.len, 0, 0,
                             match_data, match_context);
    if (groups < 0) {
        failed |= groups != PCRE2_ERROR_NOMATCH;
        return false;
    }
    if (groups == 0) /* more groups than there is room for */
        groups = HTTP_GROUPS_MAX;
    if (!captures)
        return true;
    assert(groups > 0 && groups <= HTTP_GROUPS_MAX);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match_data);
    captures->regex = regex;
    captures->count = groups;
    for (int i = 0; i < groups; i++) {
        struct slice *group = &captures->groups[i];
        *group = (struct slice){0};
        PCRE2_SIZE from = at[2 * i], to = at[2 * i + 1];
        /* "\K" in a group that a lookahead calls: the end before the start. */
        assert(from == PCRE2_UNSET || (from <= subject.len && to <= subject.len));
        if (from != PCRE2_UNSET)
            *group = (struct slice){subject.data + from, to > from ? to - from : 0};
    }
    return true;
}

int http_regex_count_groups(const struct http_regex *regex)
{
    uint32_t count = 0;
    assert(regex);
    pcre2_pattern_info((const pcre2_code *)regex, PCRE2_INFO_CAPTURECOUNT, &count);
    return (int)count;
}

int http_regex_group(const struct http_regex *regex, struct slice name)
{
    char text[64];
    assert(regex);
    if (name.len >= sizeof text)
        return -1;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    int group = pcre2_substring_number_from_name((const pcre2_code *)regex, (PCRE2_SPTR)text);
    return group > 0 ? group : -1;
}

bool http_regex_name(const struct http_regex *regex, int index, struct slice *name, int *group)
{
    uint32_t count = 0, entry_bytes = 0;
    assert(regex && index >= 0);
    PCRE2_SPTR table = NULL;
    const pcre2_code *code = (const pcre2_code *)regex;
    pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
    if (index >= (int)count)
        return false;
    pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
    pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
    /* The number in two bytes, then the name. */
    const unsigned char *entry = table + (size_t)index * entry_bytes;
    *group = entry[0] << 8 | entry[1];
    assert(*group > 0);
    *name = slice_of((const char *)entry + 2);
    return true;
}

void http_regex_free(struct http_regex *regex)
{
    pcre2_code_free((pcre2_code *)regex);
}
