/*
 * http/site/rewrite_ops.h - the steps of rewrite, set, if and return, compiled; settings of how they run.
 */
#ifndef WEIR_HTTP_SITE_REWRITE_OPS_H
#define WEIR_HTTP_SITE_REWRITE_OPS_H

#include "conf/settings.h"

struct feature;

extern const struct feature feature_rewrite;

struct rewrite_settings {
    bool log, warns_uninitialized;
};
SETTINGS_PART(rewrite_settings)

#endif
