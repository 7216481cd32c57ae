/*
 * conf/table_answers.c - the directives of answers of every kind, and the setter of error pages.
 */
#include "conf/conf.h"
#include "conf/rows.h"

static void set_error_page(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_error_page *page = conf_must(arena_zalloc(&w->conf->arena, sizeof *page));
    int *codes = conf_must(arena_alloc(&w->conf->arena, (size_t)n->nargs * sizeof *codes)), count = 0;
    *page = (struct conf_error_page){.new_code = -1, .uri = n->args[n->nargs - 1], .node = n};
    for (int i = 0; i < n->nargs - 1; i++) {
        int64_t code;
        struct slice arg = n->args[i];
        if (i == n->nargs - 2 && i > 0 && arg.len > 0 && arg.data[0] == '=') {
            bool ok =
                arg.len == 1 || (conf_parse_number(slice_from(arg, 1), &code) && code >= 100 && code <= 999);
            page->new_code = arg.len == 1 ? 0 : ok ? (int)code : -1;
            if (!ok)
                conf_error(&w->conf->errors, n, "invalid value \"%.*s\" in \"error_page\"; write =CODE",
                           SLICE_ARGS(arg));
        } else if (!conf_parse_number(arg, &code) || code < 300 || code > 599) {
            conf_error(&w->conf->errors, n, "value \"%.*s\" in \"error_page\" must be from 300 to 599",
                       SLICE_ARGS(arg));
        } else {
            codes[count++] = (int)code;
        }
    }
    page->codes = codes;
    page->code_count = count;
    page->next = (struct conf_error_page *)(uintptr_t)w->settings->answers.error_pages;
    w->settings->answers.error_pages = page;
}

const struct conf_directive conf_answer_directives[] = {
    // clang-format off
    {.name = "error_page", .where = CONF_HTTP_ALL, .args = {2, CONF_ANY}, .field = FIELD(answers.error_pages), .set = set_error_page,
     .syntax = "CODE ... [=[CODE]] URI",
     .help = "What to show for these codes."},
    {.name = "recursive_error_pages", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(answers.recursive_error_pages), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether an error of an error page has a page again."},
    {.name = "absolute_redirect", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(answers.absolute_redirect), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether redirects of our own have scheme and host."},
    {.name = "port_in_redirect", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(answers.port_in_redirect), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether they have the port."},
    {.name = "server_name_in_redirect", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(answers.server_name_in_redirect), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether their host is the first server_name, or what the client asked for."},
    {.name = "chunked_transfer_encoding", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(answers.chunked), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether answers of unknown length go out in chunks; else the end of the connection ends them."},
    {.name = "server_tokens", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(answers.server_tokens), .default_text = "on",
     .words = WORDS("off", "on", "build"),
     .help = "Whether the version is shown in the Server header and on error pages."},
    {.name = "limit_rate", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(answers.limit_rate),
     .syntax = "SIZE",
     .help = "Bytes a second of one answer to a client; 0: no bound, as by default; may be a variable."},
    {.name = "limit_rate_after", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(answers.limit_rate_after),
     .syntax = "SIZE",
     .help = "How much of an answer is not slowed down; may be a variable."},
    {.name = "handler_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(answers.handler_timeout_ms), .default_text = "60s", .live = CONF_LIVE,
     .help = "504 when a handler, waiting included, takes longer; its thread counts as stuck until it returns. 0: no bound."},
    {0},
    // clang-format on
};

const struct conf_directive conf_interim_directives[] = {
    // clang-format off
    {.name = "early_hints", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(answers.early_hints),
     .syntax = "TEXT ...",
     .help = "Interim answers 103 of upstreams go on to the client only where one of the texts is neither empty nor 0; without it they always do. Inherited where a level has none."},
    {0},
    // clang-format on
};
