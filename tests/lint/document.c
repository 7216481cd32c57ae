/*
 * tests/lint/document.c - prints docs/directives.md, or with an argument docs/variables.md, from the tables; `make docs` writes
 * them, lint compares them.
 */
#include "conf/conf.h"
#include "http/request/variable_list.h"
#include "http/serve/features.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    features_use();
    struct buf text = {0};
    const char *missing = http_undocumented_variable();
    (void)argv;
    if (missing)
        fprintf(stderr, "$%s has no sentence in http/request/variable_list.c\n", missing);
    bool ok = (argc > 1 ? http_document_variables(&text) : conf_document(&text)) &&
              fwrite(text.data, 1, text.end, stdout) == text.end;
    buf_free(&text);
    return ok && !missing ? 0 : 1;
}
