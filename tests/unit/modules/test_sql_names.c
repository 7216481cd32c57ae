/*
 * tests/unit/modules/test_sql_names.c - which words of a statement are parameters, and which only look so.
 */
#include "modules/sql_names.h"

#include "tests/unit/check.h"

static void check_statement(const char *sql, const char *text, const char *names)
{
    char found[1024] = "";
    struct sql_names n = sql_names_read(sql);
    for (int i = 0; i < n.count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s ", n.names[i]);
    bool ok = n.text && strcmp(n.text, text) == 0 && strcmp(found, names) == 0;
    if (!ok)
        printf("%s: %s, %s\n", sql, n.text ? n.text : n.error, found);
    CU_ASSERT_TRUE(ok);
    sql_names_free(&n);
}

static void test_names(void)
{
    check_statement("", "", "");
    check_statement("select 1", "select 1", "");
    check_statement(":a", "$1", "a ");
    check_statement("select :a, :b_2,:_c,:\xc3\xa4 from t", "select $1, $2,$3,$4 from t",
                    "a b_2 _c \xc3\xa4 ");
    check_statement(":b:a:b:ab", "$1$2$1$3", "b a ab ");
    check_statement("a=:a;b=(:b)", "a=$1;b=($2)", "a b ");
}

static void test_what_is_none(void)
{
    check_statement("a::int, :b::text, c := 1, d[1:2], : x, :9, ::",
                    "a::int, $1::text, c := 1, d[1:2], : x, :9, ::", "b ");
    check_statement("':a' \":b\" '::c' 'it''s :d' \"x\"\":e\" :f",
                    "':a' \":b\" '::c' 'it''s :d' \"x\"\":e\" $1", "f ");
    check_statement("E'\\':a' e'\\\\' || :b, name'\\' || :c", "E'\\':a' e'\\\\' || $1, name'\\' || $2",
                    "b c ");
    check_statement("-- :a\n:b /* :c /* :d */ :e */ :f - - :g", "-- :a\n$1 /* :c /* :d */ :e */ $2 - - $3",
                    "b f g ");
    check_statement("$$ :a $$ $t$ :b $$ :c $t$ :d $tt$ x", "$$ :a $$ $t$ :b $$ :c $t$ $1 $tt$ x", "d ");
    check_statement("a$1 b$$:c", "a$1 b$$$1", "c ");
}

static void test_without_an_end(void)
{
    static const char *const texts[] = {"'",  "\"", "E'", "E'\\", "/*", "/* /* */", "--",
                                        "$$", "$",  "$a", "$a$",  ":",  "'a''",     "a:"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_statement(texts[i], texts[i], "");
}

static void test_refusals(void)
{
    char many[1024] = "";
    for (int i = 0; i <= SQL_NAMES_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ":p%d ", i);
    struct sql_names n = sql_names_read(many);
    CU_ASSERT_TRUE(!n.text && n.count == 0 && strstr(n.error, "more than 100"));
    n = sql_names_read("select $1");
    CU_ASSERT_TRUE(!n.text && strstr(n.error, "write :name"));
}

static const struct check_case cases[] = {{"names", test_names},
                                          {"what is none", test_what_is_none},
                                          {"without an end", test_without_an_end},
                                          {"refusals", test_refusals}};
CHECK_MAIN("modules/sql_names", cases)
