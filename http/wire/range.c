/*
 * http/wire/range.c - byte ranges and conditional requests.
 */
#include "http/wire/range.h"

#include "base/clock.h"
#include "base/slice.h"
#include "http/wire/request.h"

#include <assert.h>

enum spec { SPEC_BAD, SPEC_OUTSIDE, SPEC_OK };

/* int-range or suffix-range of RFC 9110 section 14.1.1. */
static enum spec parse_spec(struct slice s, uint64_t size, struct http_range *r)
{
    unsigned long long first, last;
    const char *dash = memchr(s.data, '-', s.len);
    if (!dash)
        return SPEC_BAD;
    struct slice left = slice_trim((struct slice){s.data, (size_t)(dash - s.data)});
    struct slice right = slice_trim(slice_from(s, (size_t)(dash - s.data) + 1));
    if (left.len == 0) {
        if (!slice_to_u64(right, INT64_MAX, &last))
            return SPEC_BAD;
        if (last == 0 || size == 0)
            return SPEC_OUTSIDE;
        *r = (struct http_range){last >= size ? 0 : size - last, size - 1};
        return SPEC_OK;
    }
    if (!slice_to_u64(left, INT64_MAX, &first))
        return SPEC_BAD;
    last = INT64_MAX;
    if (right.len && (!slice_to_u64(right, INT64_MAX, &last) || last < first))
        return SPEC_BAD;
    if (first >= size)
        return SPEC_OUTSIDE;
    *r = (struct http_range){first, last >= size ? size - 1 : last};
    return SPEC_OK;
}

enum http_ranges_result http_parse_ranges(struct slice value, uint64_t size, struct http_range *ranges,
                                          int most, int *count)
{
    struct slice spec;
    uint64_t total = 0;
    bool any = false;
    *count = 0;
    if (value.len <= 6 || strncasecmp(value.data, "bytes=", 6) != 0)
        return HTTP_RANGES_IGNORE;
    value = slice_from(value, 6);
    while (slice_next_in_list(&value, &spec)) {
        struct http_range r;
        enum spec kind = parse_spec(spec, size, &r);
        any = true;
        if (kind == SPEC_BAD || (kind == SPEC_OK && *count == most))
            return kind == SPEC_BAD ? HTTP_RANGES_UNSATISFIABLE : HTTP_RANGES_IGNORE;
        if (kind == SPEC_OUTSIDE)
            continue;
        assert(r.first <= r.last && r.last < size && *count < most);
        ranges[(*count)++] = r;
        total += r.last - r.first + 1;
    }
    if (!any || *count == 0)
        return HTTP_RANGES_UNSATISFIABLE;
    /* Overlapping ranges that add up to more than the whole are an attack (CVE-2011-3192): send it once. */
    return *count > 1 && total > size ? HTTP_RANGES_IGNORE : HTTP_RANGES_OK;
}

static struct slice without_weakness(struct slice tag)
{
    return slice_starts(tag, SLICE("W/")) ? slice_from(tag, 2) : tag;
}

/* Whether a list of entity tags, or "*", has this one. */
static bool has_tag(struct slice list, struct slice etag, bool weak)
{
    struct slice tag;
    if (slice_eq(list, SLICE("*")))
        return true;
    while (etag.len && slice_next_in_list(&list, &tag)) {
        if (weak)
            tag = without_weakness(tag);
        if (slice_eq(tag, weak ? without_weakness(etag) : etag))
            return true;
    }
    return false;
}

/* In the order of RFC 9110 section 13.2.2. */
enum http_condition http_check_conditions(const struct http_request *req, struct slice etag, time_t modified,
                                          enum http_since since)
{
    const struct slice *value = http_find_header(req, SLICE("If-Match"));
    if (value) {
        if (!has_tag(*value, etag, false))
            return HTTP_PRECONDITION_FAILED;
    } else if ((value = http_find_header(req, SLICE("If-Unmodified-Since")))) {
        time_t t = clock_parse_http_date(*value);
        if (t >= 0 && modified > t)
            return HTTP_PRECONDITION_FAILED;
    }
    value = http_find_header(req, SLICE("If-None-Match"));
    if (value)
        return has_tag(*value, etag, true) ? HTTP_NOT_MODIFIED : HTTP_CONDITION_NONE;
    value = http_find_header(req, SLICE("If-Modified-Since"));
    time_t t = value && since != HTTP_SINCE_OFF ? clock_parse_http_date(*value) : -1;
    bool fresh = since == HTTP_SINCE_BEFORE ? t >= modified : t == modified;
    return t >= 0 && fresh ? HTTP_NOT_MODIFIED : HTTP_CONDITION_NONE;
}

bool http_if_range_matches(const struct http_request *req, struct slice etag, time_t modified)
{
    const struct slice *value = http_find_header(req, SLICE("If-Range"));
    if (!value)
        return true;
    /* Comparison is strong: a weak tag never matches. */
    if (value->len >= 2 && value->data[value->len - 1] == '"')
        return slice_eq(*value, etag);
    return modified >= 0 && clock_parse_http_date(*value) == modified;
}
