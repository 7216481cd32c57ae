/*
 * base/version.h - the version, once.
 */
#ifndef WEIR_BASE_VERSION_H
#define WEIR_BASE_VERSION_H

#define WEIR_VERSION "0.1.0"
#define WEIR_NAME "weir"

#endif
