/*
 * modules/json.h - answers in JSON (RFC 8259), for modules that ask databases.
 */
#ifndef WEIR_MODULES_JSON_H
#define WEIR_MODULES_JSON_H

#include <weir/handler.h>

/* The text in quotes; what JSON does not allow inside is escaped. 0, or -1 once the client is gone. */
int json_write_text(weir_request *r, const char *text, size_t bytes);

/* The whole answer: {"error": message} with that status. Returns 0, for run. */
int json_answer_error(weir_request *r, int status, const char *message);

#endif
