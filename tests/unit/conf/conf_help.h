/*
 * tests/unit/conf/conf_help.h - configurations out of a test's text: as serialized text, or as a file on disk.
 */
#ifndef WEIR_TESTS_UNIT_CONF_CONF_HELP_H
#define WEIR_TESTS_UNIT_CONF_CONF_HELP_H

#include "conf/conf.h"
#include "conf/directive.h"
#include "http/serve/features.h"
#include "tests/unit/check.h"

/* Before the first test: the directives are those of the program. */
__attribute__((constructor)) static void use_features(void)
{
    features_use();
}

/* From text that stands for no file; messages call it "master". The caller frees it. */
static inline struct conf *conf_of(const char *text)
{
    static const struct conf_options options = {.prefix = "/srv/", .file = "/srv/weir.conf"};
    return conf_load_serialized(&options, slice_of(text));
}

/* The same; fails the test when there is an error. */
static inline struct conf *good_conf_of(const char *text)
{
    struct conf *conf = conf_of(text);
    if (conf->errors.count)
        check_case(false, "no error in the configuration", conf->errors.first->message.data, __FILE__,
                   __LINE__);
    return conf;
}

/* The number that the directive has given, or inherited, in these settings: a flag, a choice or a number of any size. */
static inline int64_t number_of(const struct settings *s, const char *name)
{
    const struct conf_directive *d = conf_find_directive(slice_of(name), CONF_HTTP);
    const void *field = conf_field_of(d, s);
    return d->field.size == sizeof(bool)  ? *(const bool *)field
           : d->field.size == sizeof(int) ? *(const int *)field
                                          : *(const int64_t *)field;
}

/* Whether one of the errors contains this text. */
static inline bool has_error(const struct conf *conf, const char *text)
{
    for (const struct conf_error *e = conf->errors.first; e; e = e->next)
        if (strstr(e->message.data, text))
            return true;
    return false;
}

/* That the text gives exactly one error, and that it contains each of these two texts. */
static inline void check_one_error(const char *text, const char *wanted, const char *also)
{
    struct conf *conf = conf_of(text);
    CHECK_FOR(text, conf->errors.count == 1);
    const char *message = conf->errors.first ? conf->errors.first->message.data : "no error at all";
    char seen[600];
    snprintf(seen, sizeof seen, "%s\" gave \"%s", text, message);
    CHECK_FOR(seen, strstr(message, wanted) != NULL);
    CHECK_FOR(seen, strstr(message, also) != NULL);
    conf_free(conf);
}

#endif
