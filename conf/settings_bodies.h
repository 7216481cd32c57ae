/*
 * conf/settings_bodies.h - settings of what changes the bodies of answers: sub_filter, charset.
 */
#ifndef WEIR_CONF_SETTINGS_BODIES_H
#define WEIR_CONF_SETTINGS_BODIES_H

#include "conf/values.h"

struct sub_settings {
    struct conf_lines *filters, *types;
    bool once, last_modified;
};

struct charset_settings {
    const struct conf_node *name, *source;
    struct conf_lines *types, *maps;
    bool override;
};

#endif
