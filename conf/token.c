/*
 * conf/token.c - the lexer of nginx's configuration grammar.
 *
 * Words end at blanks, ";" and "{". A word that starts with a quote ends at the same quote; a "#" where a word
 * could start begins a comment. A backslash keeps the next byte from ending the word; of the escapes, \" \' \\ lose
 * their backslash, \t \r \n become the control character, every other one stays as written, so that regular
 * expressions need no doubling. "${" does not open a block.
 */
#include "conf/token.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct conf_lexer *l)
{
    while (l->at < l->end) {
        if (*l->at == '#') {
            const char *eol = memchr(l->at, '\n', (size_t)(l->end - l->at));
            l->at = eol ? eol : l->end;
        } else if (is_space(*l->at)) {
            l->line += *l->at == '\n';
            l->at++;
        } else {
            return;
        }
    }
}

static struct slice unescape(struct arena *arena, struct slice raw)
{
    if (!memchr(raw.data, '\\', raw.len))
        return arena_dup(arena, raw);
    char *out = arena_alloc(arena, raw.len + 1);
    size_t n = 0;
    if (!out)
        return (struct slice){0};
    for (size_t i = 0; i < raw.len; i++) {
        char next = i + 1 < raw.len ? raw.data[i + 1] : '\0';
        if (raw.data[i] != '\\' || !next || !strchr("\"'\\trn", next)) {
            out[n++] = raw.data[i];
            continue;
        }
        out[n++] = next == 't' ? '\t' : next == 'r' ? '\r' : next == 'n' ? '\n' : next;
        i++;
    }
    out[n] = '\0';
    return (struct slice){out, n};
}

static struct conf_token error_at(int line, const char *message)
{
    return (struct conf_token){CONF_TOKEN_ERROR, slice_of(message), line};
}

static struct conf_token quoted_word(struct conf_lexer *l)
{
    int line = l->line;
    char quote = *l->at++;
    const char *start = l->at;
    for (; l->at < l->end && *l->at != quote; l->at++) {
        if (*l->at == '\\' && l->at + 1 < l->end)
            l->at++;
        l->line += *l->at == '\n';
    }
    if (l->at >= l->end)
        return error_at(line, quote == '"' ? "unexpected end of file, expecting the closing \" of this line"
                                           : "unexpected end of file, expecting the closing ' of this line");
    struct slice raw = {start, (size_t)(l->at - start)};
    l->at++;
    if (l->at < l->end && !is_space(*l->at) && !strchr(";{)", *l->at))
        return (struct conf_token){
            CONF_TOKEN_MISTAKE,
            arena_printf(l->arena, "unexpected \"%c\" behind a closing quote; put a space or \";\" there",
                         *l->at),
            l->line};
    return (struct conf_token){CONF_TOKEN_WORD, unescape(l->arena, raw), line};
}

/* "{2}", "{2,}" or "{2,3}" of a regular expression: no block begins so. Returns its length, or 0. */
static size_t quantifier(const char *at, const char *end)
{
    const char *p = at + 1, *digits = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    bool counted = p > digits;
    if (p < end && *p == ',')
        for (p++; p < end && *p >= '0' && *p <= '9';)
            p++;
    return counted && p < end && *p == '}' ? (size_t)(p + 1 - at) : 0;
}

static struct conf_token plain_word(struct conf_lexer *l)
{
    int line = l->line;
    bool quantified = false;
    const char *start = l->at;
    for (; l->at < l->end; l->at++) {
        char c = *l->at;
        bool variable = c == '{' && l->at > start && l->at[-1] == '$';
        size_t skip = c == '{' && !variable && l->at > start ? quantifier(l->at, l->end) : 0;
        if (skip) {
            quantified = true;
            l->at += skip - 1;
            continue;
        }
        if (is_space(c) || c == ';' || (c == '{' && !variable))
            break;
        if (c == '\\' && l->at + 1 < l->end) {
            l->at++;
            l->line += *l->at == '\n';
        }
    }
    struct slice word = {start, (size_t)(l->at - start)};
    struct slice quoted = word;
    if (quoted.len > 1 && !memchr(quoted.data, '(', quoted.len) && quoted.data[quoted.len - 1] == ')')
        quoted.len--; /* of "if (" */
    if (quantified)
        return (struct conf_token){
            CONF_TOKEN_MISTAKE,
            arena_printf(l->arena, "an expression with \"{\" has to stand in quotes: write \"%.*s\"",
                         SLICE_ARGS(quoted)),
            line};
    return (struct conf_token){CONF_TOKEN_WORD, unescape(l->arena, word), line};
}

/* A text in quotes, or a comment of Lua from "--" to the end of its line. */
static void skip_text(struct conf_lexer *l)
{
    char first = *l->at++;
    bool comment = first == '-';
    for (; l->at < l->end && *l->at != (comment ? '\n' : first); l->at++) {
        if (!comment && *l->at == '\\' && l->at + 1 < l->end)
            l->at++;
        l->line += *l->at == '\n';
    }
    if (!comment && l->at < l->end)
        l->at++;
}

bool conf_skip_foreign_block(struct conf_lexer *l)
{
    int depth = 1;
    while (l->at < l->end) {
        char c = *l->at;
        bool comment = c == '-' && l->at + 1 < l->end && l->at[1] == '-';
        if (c == '"' || c == '\'' || comment) {
            skip_text(l);
            continue;
        }
        depth += (c == '{') - (c == '}');
        l->line += c == '\n';
        l->at++;
        if (depth == 0)
            return true;
    }
    return false;
}

struct conf_token conf_next_token(struct conf_lexer *l)
{
    skip_blanks(l);
    if (l->at >= l->end)
        return (struct conf_token){CONF_TOKEN_END, {0}, l->line};
    switch (*l->at) {
    case ';':
        l->at++;
        return (struct conf_token){CONF_TOKEN_SEMICOLON, SLICE(";"), l->line};
    case '{':
        l->at++;
        return (struct conf_token){CONF_TOKEN_OPEN, SLICE("{"), l->line};
    case '}':
        l->at++;
        return (struct conf_token){CONF_TOKEN_CLOSE, SLICE("}"), l->line};
    case '"':
    case '\'':
        return quoted_word(l);
    case '\0':
        return error_at(l->line, "zero byte; this is not a configuration file");
    default:
        return plain_word(l);
    }
}
