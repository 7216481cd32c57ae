/*
 * http/site/open_files.h - for how long what is known of files is used without a look at the disk: open_file_cache.
 */
#ifndef WEIR_HTTP_SITE_OPEN_FILES_H
#define WEIR_HTTP_SITE_OPEN_FILES_H

#include "conf/settings.h"

struct feature;

extern const struct feature feature_open_files;

/* open_file_cache */
struct open_files_cache {
    int64_t max; /* 0: off */
    int64_t inactive_ms;
};

struct open_files_settings {
    struct open_files_cache cache;
    int64_t valid_ms;
    int min_uses;
    bool errors;
};
SETTINGS_PART(open_files_settings)

#endif
