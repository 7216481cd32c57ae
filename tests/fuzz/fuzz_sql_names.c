/*
 * tests/fuzz/fuzz_sql_names.c - a statement's named parameters: what is read is what was written but for its names, and what has
 * been read has no more of them.
 */
#include "tests/fuzz/fuzz.h"

#include "modules/sql_names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *sql = malloc(size + 1);
    FUZZ_CHECK(sql);
    memcpy(sql, data, size);
    sql[size] = '\0';
    struct sql_names n = sql_names_read(sql);
    FUZZ_CHECK(n.text ? !n.error : n.error && n.count == 0);
    FUZZ_CHECK(!n.text || n.count > 0 || strcmp(n.text, sql) == 0);
    for (int i = 0; i < n.count; i++) {
        FUZZ_CHECK(n.names[i][0]);
        for (int j = 0; j < i; j++)
            FUZZ_CHECK(strcmp(n.names[i], n.names[j]) != 0);
    }
    sql_names_free(&n);
    free(sql);
    return 0;
}
