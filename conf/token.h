/*
 * conf/token.h - cuts configuration text into words, ";", "{" and "}".
 *
 * Threads: one thread at a time. Allocates only the words whose escapes had to be resolved.
 */
#ifndef WEIR_CONF_TOKEN_H
#define WEIR_CONF_TOKEN_H

#include "base/arena.h"

enum conf_token_kind {
    CONF_TOKEN_WORD,
    CONF_TOKEN_SEMICOLON,
    CONF_TOKEN_OPEN,
    CONF_TOKEN_CLOSE,
    CONF_TOKEN_END,
    CONF_TOKEN_ERROR, /* text holds the message */
};

struct conf_token {
    enum conf_token_kind kind;
    struct slice text;
    int line; /* where the token starts */
};

struct conf_lexer {
    struct arena *arena;
    const char *at, *end;
    int line;
};

struct conf_token conf_next_token(struct conf_lexer *lexer);

#endif
