/*
 * modules/pgsql_rows.h - rows of PostgreSQL as objects of JSON.
 */
#ifndef WEIR_MODULES_PGSQL_ROWS_H
#define WEIR_MODULES_PGSQL_ROWS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <weir/handler.h>

/* The one row of a result, behind "[" where it is the first of its array, else behind a comma. */
void pgsql_write_row(weir_request *r, const PGresult *row, bool first);

#endif
