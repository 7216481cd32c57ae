/*
 * tests/fuzz/fuzz_conf.c - configurations: whatever the text, it is read or refused with a message; what was read can
 * be written, and reads back as the same.
 */
#include "tests/fuzz/fuzz.h"

#include "conf/conf.h"
#include "http/serve/features.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    features_use();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct conf_options options = {"/nonexistent/weir.conf", "/nonexistent/", NULL, NULL};
    struct slice text = {(const char *)data, size};
    if (memmem(data, size, "include", 7)) /* it would read files */
        return 0;
    struct conf *conf = conf_load_serialized(&options, text);
    for (const struct conf_error *e = conf->errors.first; e; e = e->next)
        FUZZ_CHECK(e->message.len > 0);
    struct buf printed = {0};
    if (conf->errors.count == 0 && conf_serialize(conf, &printed)) {
        struct conf *again = conf_load_serialized(&options, buf_slice(&printed));
        FUZZ_CHECK(again->errors.count == 0);
        FUZZ_CHECK(conf_differs_only_live(conf, again));
        conf_copy_live(conf, again);
        conf_free(again);
    }
    buf_free(&printed);
    conf_free(conf);
    return 0;
}
