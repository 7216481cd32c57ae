/*
 * http/filters/filters.c - which filters a response's body goes through.
 *
 * In nginx's order: texts are replaced, then characters are converted, then the whole is compressed.
 */
#include "http/filters/filters.h"

void filter_decide(struct http_exchange *ex)
{
    sub_filter_decide(ex);
    charset_decide(ex);
    gzip_decide(ex);
}
