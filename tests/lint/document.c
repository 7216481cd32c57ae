/*
 * tests/lint/document.c - prints docs/directives.md from the directive tables; `make docs` writes it, lint compares it.
 */
#include "conf/conf.h"

#include <stdio.h>

int main(void)
{
    struct buf text = {0};
    bool ok = conf_document(&text) && fwrite(text.data, 1, text.end, stdout) == text.end;
    buf_free(&text);
    return ok ? 0 : 1;
}
