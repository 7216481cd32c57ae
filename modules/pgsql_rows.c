/*
 * modules/pgsql_rows.c - rows of PostgreSQL as objects of JSON.
 */
#include "modules/pgsql_rows.h"

#include "modules/json.h"

#include <string.h>

/* Types whose texts are JSON already (pg_type.dat). */
enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802
};

static void write_value(weir_request *r, const PGresult *row, int column)
{
    const char *text = PQgetvalue(row, 0, column);
    size_t bytes = (size_t)PQgetlength(row, 0, column);
    if (PQgetisnull(row, 0, column)) {
        weir_puts(r, "null");
        return;
    }
    switch (PQftype(row, column)) {
    case OID_BOOL:
        weir_puts(r, text[0] == 't' ? "true" : "false");
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        /* JSON has neither NaN nor Infinity. */
        weir_puts(r, strpbrk(text, "NI") ? "null" : text);
        break;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
    case OID_JSON:
    case OID_JSONB:
        weir_write(r, text, bytes);
        break;
    default:
        json_write_text(r, text, bytes);
    }
}

void pgsql_write_row(weir_request *r, const PGresult *row, bool first)
{
    weir_puts(r, first ? "[{" : ",\n{");
    for (int i = 0; i < PQnfields(row); i++) {
        const char *name = PQfname(row, i);
        if (i)
            weir_puts(r, ",");
        json_write_text(r, name, strlen(name));
        weir_puts(r, ":");
        write_value(r, row, i);
    }
    weir_puts(r, "}");
}
