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
            CONF_TOKEN_ERROR,
            arena_printf(l->arena, "unexpected \"%c\" behind a closing quote; put a space or \";\" there",
                         *l->at),
            l->line};
    return (struct conf_token){CONF_TOKEN_WORD, unescape(l->arena, raw), line};
}

static struct conf_token plain_word(struct conf_lexer *l)
{
    int line = l->line;
    const char *start = l->at;
    for (; l->at < l->end; l->at++) {
        char c = *l->at;
        bool variable = c == '{' && l->at > start && l->at[-1] == '$';
        if (is_space(c) || c == ';' || (c == '{' && !variable))
            break;
        if (c == '\\' && l->at + 1 < l->end) {
            l->at++;
            l->line += *l->at == '\n';
        }
    }
    return (struct conf_token){CONF_TOKEN_WORD,
                               unescape(l->arena, (struct slice){start, (size_t)(l->at - start)}), line};
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
