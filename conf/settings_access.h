/*
 * conf/settings_access.h - settings of who may come in, and of what is believed about who it is.
 */
#ifndef WEIR_CONF_SETTINGS_ACCESS_H
#define WEIR_CONF_SETTINGS_ACCESS_H

#include "conf/values.h"

enum conf_satisfy { CONF_SATISFY_ALL, CONF_SATISFY_ANY };

struct access_settings {
    struct conf_lines *rules; /* allow, deny */
    enum conf_satisfy satisfy;
    int64_t delay_ms; /* auth_delay */
};

struct auth_basic_settings {
    const struct conf_node *realm, *user_file;
};

struct auth_request_settings {
    const struct conf_node *uri;
    struct conf_lines *sets;
};

struct referer_settings {
    struct conf_lines *valid;
};

struct realip_settings {
    struct conf_lines *from;
    struct slice header;
    bool recursive;
};

#endif
