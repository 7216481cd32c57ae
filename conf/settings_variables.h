/*
 * conf/settings_variables.h - settings of variables that are defined, and of the steps of rewrite.
 */
#ifndef WEIR_CONF_SETTINGS_VARIABLES_H
#define WEIR_CONF_SETTINGS_VARIABLES_H

#include "conf/values.h"

struct variable_settings {
    struct conf_lines *maps, *geos, *splits;
};

struct rewrite_settings {
    bool log, warns_uninitialized;
};

#endif
