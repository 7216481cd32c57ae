/*
 * http/serve/features.c - the list of the server's features: adding one is a line here, beside its own files.
 *
 * In this order they are built, so that what is wrong with a location is told in it, and stand in each section of the
 * documentation, behind the directives of conf/.
 */
#include "http/serve/features.h"

#include "http/access/secure_link.h"
#include "http/site/feature.h"

#include <stddef.h>

static const struct feature *const features[] = {
    &feature_secure_link,
    NULL,
};

void features_use(void)
{
    site_use_features(features);
}
