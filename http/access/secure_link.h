/*
 * http/access/secure_link.h - links that only we can have made: secure_link and its kin.
 */
#ifndef WEIR_HTTP_ACCESS_SECURE_LINK_H
#define WEIR_HTTP_ACCESS_SECURE_LINK_H

struct feature;

extern const struct feature feature_secure_link;

#endif
