/*
 * http/request/cgi.h - a request's fields as the parameters of a script (RFC 3875 section 4.1.18).
 *
 * Ownership: none: what is written is copied.
 * Threads:   that of whoever has the request.
 */
#ifndef WEIR_HTTP_REQUEST_CGI_H
#define WEIR_HTTP_REQUEST_CGI_H

#include "base/buf.h"
#include "http/wire/request.h"

/*
 * Appends each field to a stream of FastCGI's parameters: HTTP_ and its name in capitals, those of one name as one value. Left out are Proxy,
 * since programs take HTTP_PROXY for something else (CVE-2016-5385), and what is_given says to be there already. False: out of memory.
 */
bool cgi_write_fields(const struct http_request *req, bool (*is_given)(const void *with, struct slice name),
                      const void *with, struct buf *params);

#endif
