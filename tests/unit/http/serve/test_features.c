/*
 * tests/unit/http/serve/test_features.c - the list of features: whole entries, parts that are nobody else's and small.
 */
#include "conf/conf.h"
#include "http/serve/features.h"
#include "http/site/feature.h"
#include "tests/unit/check.h"

enum { PART_MAX = 384 };

static void entries_are_whole(void)
{
    for (const struct feature *const *f = features; *f; f++) {
        CHECK_FOR((*f)->name, (*f)->table && (*f)->table->rows[0].name);
        CHECK_FOR((*f)->name, !(*f)->location || (*f)->build);
        CHECK_FOR((*f)->name, !(*f)->drop || (*f)->location);
        CHECK_FOR((*f)->name, !(*f)->end || (*f)->site);
        for (const struct feature *const *other = features; other != f; other++) {
            CHECK_FOR((*f)->name, strcmp((*f)->name, (*other)->name) != 0);
            CHECK_FOR((*f)->name, (*f)->table != (*other)->table);
            CHECK_FOR((*f)->name, !(*f)->location || (*f)->location != (*other)->location);
        }
    }
}

/* Where a part lies is asked by every request: it has its place, and its fields are inside. */
static void fields_are_inside_of_their_parts(void)
{
    int fields = 0;
    for (const struct feature *const *f = features; *f; f++) {
        const struct part *own = NULL;
        for (const struct conf_directive *d = (*f)->table->rows; d->name; d++) {
            const struct part *part = d->field.part;
            if (!part)
                continue;
            CHECK_FOR(d->name, part->at > 0 && part->at + part->size <= conf_parts_size());
            CHECK_FOR(d->name, d->field.size > 0 && d->field.at + d->field.size <= part->size);
            CHECK_FOR(d->name, !own || own == part);
            own = part;
            fields++;
        }
        CHECK_FOR((*f)->name, !own || own->size <= PART_MAX);
        CHECK_FOR((*f)->name, !(*f)->location || (*f)->location->size <= PART_MAX);
    }
    CU_ASSERT(fields > 40);
}

/* No byte of a block is in two parts. */
static void parts_do_not_overlap(void)
{
    for (const struct feature *const *f = features; *f; f++) {
        for (const struct feature *const *other = features; other != f; other++) {
            const struct part *a = (*f)->location, *b = (*other)->location;
            if (a && b)
                CHECK_FOR((*f)->name, a->at + a->size <= b->at || b->at + b->size <= a->at);
        }
    }
}

static const struct check_case cases[] = {
    {"entries are whole", entries_are_whole},
    {"fields are inside of their parts", fields_are_inside_of_their_parts},
    {"parts do not overlap", parts_do_not_overlap},
};

__attribute__((constructor)) static void use_features(void)
{
    features_use();
}

CHECK_MAIN("http/serve/features", cases)
