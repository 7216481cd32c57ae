/*
 * http/site/tls_words.c - words of statements about TLS, as contexts want them.
 */
#include "http/site/tls_words.h"

#include "conf/tree.h"
#include "http/site/build.h"

const char *tls_file(struct site *site, struct slice path)
{
    return path.len ? conf_full_path(site->conf, path).data : NULL;
}

const char *tls_text_or_file(struct site *site, struct slice text)
{
    return slice_starts(text, SLICE("data:")) ? text.data : tls_file(site, text);
}

const struct net_tls_command *tls_commands(struct site *site, const struct conf_lines *lines)
{
    struct net_tls_command *commands = site_array(site, site_count_lines(lines), sizeof *commands);
    int i = 0;
    for (const struct conf_lines *c = lines; c; c = c->next)
        commands[i++] = (struct net_tls_command){c->node->args[0].data, c->node->args[1].data};
    return commands;
}
