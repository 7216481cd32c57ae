/*
 * http/serve/features.c - the list of the server's features: adding one is a line here, beside its own files.
 *
 * In this order they are built, so that what is wrong with a location is told in it, and stand in each section of the
 * documentation, behind the directives of conf/.
 *
 * rewrite is the first: variables of "set" have their names before maps and geos define one of that name, and are made one with
 * it before any text with variables is compiled.
 */
#include "http/serve/features.h"

#include "handlers/autoindex.h"
#include "handlers/process.h"
#include "handlers/static.h"
#include "http/access/access.h"
#include "http/access/auth.h"
#include "http/access/auth_basic.h"
#include "http/access/auth_request.h"
#include "http/access/limit_keyed.h"
#include "http/access/limit_settings.h"
#include "http/access/realip.h"
#include "http/access/referer.h"
#include "http/access/secure_link.h"
#include "http/filters/charset.h"
#include "http/filters/filters.h"
#include "http/filters/headers.h"
#include "http/serve/try_files.h"
#include "http/site/feature.h"
#include "http/site/geo.h"
#include "http/site/gzip_client.h"
#include "http/site/maps.h"
#include "http/site/open_files.h"
#include "http/site/rewrite_ops.h"
#include "http/site/status_zone.h"
#include "http/site/tls.h"
#include "http/site/tls_cache.h"
#include "http/site/tls_status.h"
#include "http/site/tls_varying.h"
#include "proxy/script.h"
#include "proxy/sticky.h"
#include "proxy/tls.h"

#include <stddef.h>

// clang-format off
const struct feature *const features[] = {
    &feature_rewrite, /* first: see above */
    &feature_limit_concurrency,
    &feature_limit_keyed,
    &feature_autoindex,
    &feature_open_files,
    &feature_headers,
    &feature_gzip_static,
    &feature_gzip,
    &feature_gzip_client,
    &feature_sub_filter,
    &feature_charset,
    &feature_access,
    &feature_auth_basic,
    &feature_satisfy,
    &feature_auth_request,
    &feature_referer,
    &feature_secure_link,
    &feature_fastcgi_script,
    &feature_realip,
    &feature_tls,
    &feature_try_files,
    &feature_map,
    &feature_geo,
    &feature_status_zone,
    &feature_sticky,
    &feature_proxy_tls,
    &feature_tls_cache,
    &feature_tls_status,
    &feature_tls_varying,
    NULL,
};
// clang-format on

void features_use(void)
{
    static const struct weir_handler *const own[] = {&process_handler, NULL};
    site_use_features(features);
    site_use_handlers(own);
}
