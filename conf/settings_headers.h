/*
 * conf/settings_headers.h - settings of headers and trailers that are added to answers.
 */
#ifndef WEIR_CONF_SETTINGS_HEADERS_H
#define WEIR_CONF_SETTINGS_HEADERS_H

#include "conf/values.h"

enum conf_inherit { CONF_INHERIT_ON, CONF_INHERIT_OFF, CONF_INHERIT_MERGE };

struct header_settings {
    struct conf_lines *added, *trailers, *early_hints;
    enum conf_inherit added_inherit, trailers_inherit;
    const struct conf_node *expires;
};

#endif
