/*
 * modules/json.c - texts and errors as JSON.
 */
#include "modules/json.h"

#include <string.h>

static int write_escape(weir_request *r, unsigned char c)
{
    return c == '"' || c == '\\' ? weir_printf(r, "\\%c", c) : weir_printf(r, "\\u%04x", c);
}

int json_write_text(weir_request *r, const char *text, size_t bytes)
{
    size_t start = 0;
    weir_puts(r, "\"");
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        weir_write(r, text + start, i - start);
        write_escape(r, c);
        start = i + 1;
    }
    weir_write(r, text + start, bytes - start);
    return weir_puts(r, "\"");
}

int json_answer_error(weir_request *r, int status, const char *message)
{
    weir_set_status(r, status);
    weir_puts(r, "{\"error\":");
    json_write_text(r, message, strlen(message));
    weir_puts(r, "}\n");
    return 0;
}
