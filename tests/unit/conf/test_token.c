/*
 * tests/unit/conf/test_token.c - the lexer: words, quotes, escapes, comments, line numbers, and what is no token.
 */
#include "conf/token.h"

#include "tests/unit/check.h"

enum { KINDS_MAX = 64 };

/* The tokens of a text as one line: words in brackets, marks as they are, "!" for an error, "$" for the end. */
static void spell(struct arena *arena, struct slice text, char *out, size_t out_bytes)
{
    struct conf_lexer lexer = {arena, text.data, text.data + text.len, 1};
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < KINDS_MAX; i++) {
        struct conf_token t = conf_next_token(&lexer);
        const char *form = t.kind == CONF_TOKEN_WORD    ? "[%.*s]"
                           : t.kind == CONF_TOKEN_END   ? "$"
                           : t.kind >= CONF_TOKEN_ERROR ? "!"
                                                        : "%.*s";
        n += (size_t)snprintf(out + n, out_bytes - n, form, SLICE_ARGS(t.text));
        if (t.kind == CONF_TOKEN_END || t.kind >= CONF_TOKEN_ERROR)
            return;
    }
}

static void check_tokens(const char *text, const char *wanted)
{
    struct arena arena;
    char spelled[1024];
    arena_init(&arena, 1024);
    spell(&arena, slice_of(text), spelled, sizeof spelled);
    CHECK_FOR(text, strcmp(spelled, wanted) == 0);
    if (strcmp(spelled, wanted) != 0)
        printf("    got %s\n", spelled);
    arena_free(&arena);
}

static void cuts_words_and_marks(void)
{
    check_tokens("", "$");
    check_tokens(" \t\r\n ", "$");
    check_tokens("listen 80;", "[listen][80];$");
    check_tokens("a{b c;}d;", "[a]{[b][c];}[d];$");
    check_tokens("a;b;", "[a];[b];$");
    check_tokens("location ~ \\.php$ {", "[location][~][\\.php$]{$");
    check_tokens("word", "[word]$");
    check_tokens("}", "}$");
}

static void skips_comments(void)
{
    check_tokens("# all\na; # rest ; { }\n#\nb", "[a];[b]$");
    check_tokens("a#b c", "[a#b][c]$"); /* only where a word could start */
    check_tokens("# to the very end", "$");
    check_tokens("'#' \"#\"", "[#][#]$");
}

static void takes_quotes(void)
{
    check_tokens("\"a b\" 'c d';", "[a b][c d];$");
    check_tokens("\"it's\" 'say \"x\"'", "[it's][say \"x\"]$");
    check_tokens("\"\" ''", "[][]$");
    check_tokens("\"a\nb\"", "[a\nb]$");
    check_tokens("a\"b", "[a\"b]$"); /* a quote inside a word is ordinary */
    check_tokens("\"a;b{c}\"", "[a;b{c}]$");
    check_tokens("\"a\"{", "[a]{$");
    check_tokens("\"a\"b", "!");
    check_tokens("\"never closed", "!");
    check_tokens("'never closed\\'", "!");
    check_tokens("\"", "!");
}

static void resolves_escapes(void)
{
    check_tokens("\"a\\\"b\" 'c\\'d'", "[a\"b][c'd]$");
    check_tokens("\"tab\\tcr\\rlf\\n\"", "[tab\tcr\rlf\n]$");
    check_tokens("a\\\\b", "[a\\b]$");
    /* The blank does not end it; the backslash stays, as in nginx. */
    check_tokens("a\\ b", "[a\\ b]$");
    check_tokens("a\\;b;", "[a\\;b];$");
    check_tokens("\\.\\d+\\w", "[\\.\\d+\\w]$");
    check_tokens("\"\\.\\d\"", "[\\.\\d]$");
    check_tokens("a\\", "[a\\]$");
}

static void variables_in_braces_open_no_block(void)
{
    check_tokens("${name}x{", "[${name}x]{$");
    check_tokens("a${b}c${d};", "[a${b}c${d}];$");
    check_tokens("$ {", "[$]{$");
    check_tokens("{$", "{[$]$");
}

static void refuses_zero_bytes(void)
{
    struct arena arena;
    char spelled[64];
    arena_init(&arena, 1024);
    spell(&arena, SLICE("a \0 b"), spelled, sizeof spelled);
    CU_ASSERT_STRING_EQUAL(spelled, "[a]!");
    spell(&arena, SLICE("\"a\"\0"), spelled, sizeof spelled);
    CU_ASSERT_STRING_EQUAL(spelled, "[a]!");
    arena_free(&arena);
}

static void counts_lines(void)
{
    struct arena arena;
    arena_init(&arena, 1024);
    struct slice text = SLICE("one\ntwo \"a\n\nb\" # comment\n\n  five\\\nsix;\n'\n");
    static const int lines[] = {1, 2, 2, 6, 7, 8};
    struct conf_lexer lexer = {&arena, text.data, text.data + text.len, 1};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct conf_token t = conf_next_token(&lexer);
        CHECK_NUMBER(t.line, lines[i]);
    }
    arena_free(&arena);
}

/* Every prefix of a text ends in an end or an error, and reads no byte behind it. */
static void reads_no_byte_behind_the_end(void)
{
    struct slice text =
        SLICE("http { log_format x '$a \"b\" \\\\'; } # \"c\n location ~ \\.x${y}$ { \"q\\\"\" ; }\\");
    struct check_guarded g = check_guarded_new(text.len);
    for (size_t len = 0; len <= text.len; len++) {
        struct arena arena;
        char spelled[1024];
        arena_init(&arena, 1024);
        char *at = check_guarded_at_end(&g, (struct slice){text.data, len});
        spell(&arena, (struct slice){at, len}, spelled, sizeof spelled);
        char last = spelled[0] ? spelled[strlen(spelled) - 1] : '?';
        CU_ASSERT(last == '$' || last == '!');
        arena_free(&arena);
    }
    check_guarded_free(&g);
}

static const struct check_case cases[] = {
    {"cuts words and marks", cuts_words_and_marks},
    {"skips comments", skips_comments},
    {"takes quotes", takes_quotes},
    {"resolves escapes", resolves_escapes},
    {"variables in braces open no block", variables_in_braces_open_no_block},
    {"refuses zero bytes", refuses_zero_bytes},
    {"counts lines", counts_lines},
    {"reads no byte behind the end", reads_no_byte_behind_the_end},
};

CHECK_MAIN("conf/token", cases)
