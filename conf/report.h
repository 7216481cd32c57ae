/*
 * conf/report.h - what is wrong with a configuration, for programs: weir -t --format=json.
 *
 * Threads: any, one at a time for each configuration.
 */
#ifndef WEIR_CONF_REPORT_H
#define WEIR_CONF_REPORT_H

#include "base/buf.h"
#include "conf/settings.h"

/*
 * Appends one object (RFC 8259) and the end of a line: ok, file, and errors and warnings with message, file and line; the last two are missing
 * where it is about no line. False: out of memory.
 */
bool conf_report(const struct conf *conf, const char *file, bool ok, struct buf *out);

#endif
