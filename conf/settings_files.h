/*
 * conf/settings_files.h - settings of static files: where they lie, what is known of them, lists of them.
 */
#ifndef WEIR_CONF_SETTINGS_FILES_H
#define WEIR_CONF_SETTINGS_FILES_H

#include "conf/values.h"

struct conf_type {
    struct slice extension; /* lower case */
    struct slice type;
};

struct conf_types {
    struct conf_type *items;
    int count;
};

/* root or alias: one of the two has data. */
struct conf_folder {
    struct slice root, alias;
    /* Bytes of the URI that `alias` replaces; -1: all of it. */
    int64_t alias_strip;
    const struct conf_node *node; /* NULL: the default */
};

struct file_settings {
    struct conf_folder folder;
    const struct conf_strings *index;
    const struct conf_types *types;
    struct slice default_type;
    bool sendfile, etag;
    int if_modified_since; /* enum http_since */
    int max_ranges;
    int64_t sendfile_max_chunk_bytes;
    int64_t directio_bytes; /* 0: off */
    /* "off", "on", "threads", "threads=POOL"; NULL: off. */
    const struct conf_node *aio;
    const struct conf_node *disable_symlinks;
    bool random_index;
};

#endif
