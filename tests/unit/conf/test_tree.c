/*
 * tests/unit/conf/test_tree.c - statements and blocks, includes, syntax errors with their place, and the round trip.
 */
#include "conf/tree.h"

#include "base/fd.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/weir-tree-XXXXXX";

struct fixture {
    struct arena arena;
    struct conf_errors errors;
    struct conf_tree tree;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    arena_init(&f->arena, 4096);
    f->errors.arena = f->tree.arena = &f->arena;
    f->tree.errors = &f->errors;
}

static const char *write_file(struct fixture *f, const char *name, const char *text)
{
    const char *path = arena_printf(&f->arena, "%s/%s", dir, name).data;
    FILE *out = fopen(path, "we");
    if (!out || fputs(text, out) < 0 || fclose(out) != 0)
        abort();
    return path;
}

static bool read_text(struct fixture *f, const char *text)
{
    return conf_tree_read_text(&f->tree, "text", slice_of(text));
}

static void builds_statements_and_blocks(void)
{
    struct fixture f;
    set_up(&f);
    CU_ASSERT(read_text(&f, "a 1 '2 3';\nb x {\n c;\n d { }\n}\n"));
    const struct conf_node *a = f.tree.root;
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CHECK_SLICE(a->name, "a");
    CHECK_NUMBER(a->nargs, 2);
    CHECK_SLICE(a->args[1], "2 3");
    CU_ASSERT(!a->has_block);
    const struct conf_node *b = a->next;
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT(b->has_block && !b->next);
    CHECK_NUMBER(b->line, 2);
    CHECK_SLICE(b->file, "text");
    CHECK_SLICE(b->children->name, "c");
    CHECK_NUMBER(b->children->line, 3);
    CU_ASSERT(b->children->next->has_block && !b->children->next->children);
    arena_free(&f.arena);
}

static void takes_many_arguments(void)
{
    struct fixture f;
    struct buf text = {0};
    set_up(&f);
    buf_printf(&text, "server_name");
    for (int i = 0; i < 500; i++)
        buf_printf(&text, " host%d.example.org", i);
    buf_printf(&text, ";");
    CU_ASSERT(conf_tree_read_text(&f.tree, "text", buf_slice(&text)));
    CHECK_NUMBER(f.tree.root->nargs, 500);
    CHECK_SLICE(f.tree.root->args[499], "host499.example.org");
    buf_free(&text);
    arena_free(&f.arena);
}

static void syntax_errors_name_their_place(void)
{
    static const struct {
        const char *text;
        const char *message; /* part of it */
        const char *place;
    } cases[] = {
        {"a;\nb", "unexpected end of file", "in text:2"},
        {"a {\n b;\n", "expecting \"}\"", "in text:3"},
        {"a;\n}\n", "unexpected \"}\"", "in text:2"},
        {"a\n}\n", "is a \";\" missing before it?", "in text:2"},
        {"a {\n b\n }\n", "unexpected \"}\"", "in text:3"},
        {"\n;", "unexpected \";\"", "in text:2"},
        {"\n\n{", "unexpected \"{\"", "in text:3"},
        {"a 'b\n\n", "closing '", "in text:1"},
        {"a \"b\"c;", "closing quote", "in text:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        set_up(&f);
        CHECK_FOR(cases[i].text, !read_text(&f, cases[i].text));
        CHECK_FOR(cases[i].text, f.errors.count == 1);
        const char *message = f.errors.first ? f.errors.first->message.data : "";
        CHECK_FOR(cases[i].text, strstr(message, cases[i].message) != NULL);
        CHECK_FOR(cases[i].text,
                  strlen(message) > 9 && !strcmp(message + strlen(message) - 9, cases[i].place));
        arena_free(&f.arena);
    }
}

static void refuses_what_is_too_deep_or_too_long(void)
{
    struct fixture f;
    struct buf text = {0};
    set_up(&f);
    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "a{");
    CU_ASSERT(!conf_tree_read_text(&f.tree, "text", buf_slice(&text)));
    CU_ASSERT(strstr(f.errors.first->message.data, "nested too deep in text:1") != NULL);
    arena_free(&f.arena);
    buf_consume(&text, buf_len(&text));
    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "a\n");
    set_up(&f);
    CU_ASSERT(!conf_tree_read_text(&f.tree, "text", buf_slice(&text)));
    CU_ASSERT(strstr(f.errors.first->message.data, "is a \";\" missing?") != NULL);
    buf_free(&text);
    arena_free(&f.arena);
}

static void messages_reach_a_terminal_clean(void)
{
    struct fixture f;
    set_up(&f);
    conf_error(&f.errors, NULL, "bad \x1b[31m\n\"%s\"\x7f", "value\t");
    CHECK_SLICE(f.errors.first->message, "bad ?[31m?\"value?\"?");
    arena_free(&f.arena);
}

static void expands_includes_in_place(void)
{
    struct fixture f;
    set_up(&f);
    write_file(&f, "one.inc", "b;\nc;\n");
    write_file(&f, "p1.part", "d;");
    write_file(&f, "p2.part", "e { f; }");
    const char *main_file =
        write_file(&f, "main.conf", "a;\ninclude one.inc;\ninclude *.part;\ninclude none-*.x;\ng;\n");
    CU_ASSERT(conf_tree_read_file(&f.tree, main_file));
    char names[16] = "";
    size_t n = 0;
    for (const struct conf_node *node = f.tree.root; node && n < 15; node = node->next)
        names[n++] = node->name.data[0];
    CU_ASSERT_STRING_EQUAL(names, "abcdeg");
    const struct conf_node *c = f.tree.root->next->next;
    CHECK_NUMBER(c->line, 2);
    CU_ASSERT(strstr(c->file.data, "/one.inc") != NULL);
    int files = 0;
    for (const struct conf_file *file = f.tree.files; file; file = file->next)
        files++;
    CHECK_NUMBER(files, 4); /* for -T: each with its text */
    CHECK_SLICE(f.tree.files->next->text, "b;\nc;\n");
    arena_free(&f.arena);
}

static void include_errors_name_the_including_line(void)
{
    struct fixture f;
    set_up(&f);
    CU_ASSERT(!conf_tree_read_file(&f.tree, write_file(&f, "missing.conf", "a;\ninclude no-such-file;\n")));
    CU_ASSERT(strstr(f.errors.first->message.data, "no-such-file\" failed (2: No such file") != NULL);
    CU_ASSERT(strstr(f.errors.first->message.data, "/missing.conf:2") != NULL);
    arena_free(&f.arena);
    set_up(&f);
    CU_ASSERT(!conf_tree_read_file(&f.tree, write_file(&f, "self.conf", "include self.conf;\n")));
    CU_ASSERT(strstr(f.errors.first->message.data, "nested deeper") != NULL);
    arena_free(&f.arena);
    set_up(&f);
    CU_ASSERT(!conf_tree_read_file(&f.tree, write_file(&f, "two.conf", "include a b;\n")));
    CU_ASSERT(!conf_tree_read_file(&f.tree, write_file(&f, "none.conf", "include;\n")));
    arena_free(&f.arena);
    set_up(&f);
    write_file(&f, "bad.inc", "\nb }\n");
    CU_ASSERT(!conf_tree_read_file(&f.tree, write_file(&f, "outer.conf", "include bad.inc;\n")));
    CU_ASSERT(strstr(f.errors.first->message.data, "/bad.inc:2") !=
              NULL); /* the place of the mistake itself */
    arena_free(&f.arena);
    set_up(&f);
    CU_ASSERT(!conf_tree_read_file(&f.tree, "/no/such/weir.conf"));
    CU_ASSERT(strstr(f.errors.first->message.data, "open() \"/no/such/weir.conf\" failed") != NULL);
    arena_free(&f.arena);
}

static bool same_nodes(const struct conf_node *a, const struct conf_node *b)
{
    for (; a && b; a = a->next, b = b->next) {
        if (!slice_eq(a->name, b->name) || a->nargs != b->nargs || a->has_block != b->has_block)
            return false;
        for (int i = 0; i < a->nargs; i++)
            if (!slice_eq(a->args[i], b->args[i]))
                return false;
        if (!same_nodes(a->children, b->children))
            return false;
    }
    return !a && !b;
}

static void what_is_printed_reads_back_the_same(void)
{
    static const char *const texts[] = {
        "",
        "a;",
        "a b c; d { e { f; } } g;",
        "a '' \"\";",
        "location ~ \\.(gif|jpg)$ { }",
        "a 'b \"c\" d' \"e 'f' g\" h\\ i \\\\ \\t;",
        "log_format x '$a \\'$b\\' \\\\n \\n';",
        "return 200 \"line\\r\\nline\\ttab\nreal\";",
        "\"quoted name\" \"}\" \"{\" \";\" \"#\" { \"#\"; }",
        "a \"\\\\\\\"\" '\\\\\\\\' \\d\\s\\;;",
        "a ${b}c \\xff \\0;",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fixture f, g;
        struct buf first = {0}, second = {0};
        set_up(&f);
        set_up(&g);
        CHECK_FOR(texts[i], read_text(&f, texts[i]));
        CU_ASSERT(conf_tree_print(f.tree.root, &first));
        CHECK_FOR(texts[i],
                  conf_tree_read_text(&g.tree, "again", (struct slice){first.data, buf_len(&first)}));
        CHECK_FOR(texts[i], same_nodes(f.tree.root, g.tree.root));
        CU_ASSERT(conf_tree_print(g.tree.root, &second));
        CHECK_FOR(texts[i], buf_len(&first) == buf_len(&second) &&
                                (!first.data || memcmp(first.data, second.data, buf_len(&first)) == 0));
        buf_free(&first);
        buf_free(&second);
        arena_free(&f.arena);
        arena_free(&g.arena);
    }
}

static void reading_twice_appends(void)
{
    struct fixture f;
    set_up(&f);
    CU_ASSERT(read_text(&f, "a;") && read_text(&f, "b;"));
    CHECK_SLICE(f.tree.root->next->name, "b");
    CU_ASSERT(!conf_tree_read_text(&f.tree, "command line", SLICE("user nobody")));
    CU_ASSERT(strstr(f.errors.first->message.data, "unexpected end of parameter") != NULL);
    CU_ASSERT(strstr(f.errors.first->message.data, "in command line:1") != NULL);
    arena_free(&f.arena);
}

static const struct check_case cases[] = {
    {"builds statements and blocks", builds_statements_and_blocks},
    {"takes many arguments", takes_many_arguments},
    {"syntax errors name their place", syntax_errors_name_their_place},
    {"refuses what is too deep or too long", refuses_what_is_too_deep_or_too_long},
    {"messages reach a terminal clean", messages_reach_a_terminal_clean},
    {"expands includes in place", expands_includes_in_place},
    {"include errors name the including line", include_errors_name_the_including_line},
    {"what is printed reads back the same", what_is_printed_reads_back_the_same},
    {"reading twice appends", reading_twice_appends},
};

static void remove_dir(void)
{
    static const char *const names[] = {"one.inc",   "p1.part",  "p2.part",   "main.conf", "missing.conf",
                                        "self.conf", "two.conf", "none.conf", "bad.inc",   "outer.conf"};
    char path[100];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 2;
    int result = check_main("conf/tree", cases, sizeof cases / sizeof cases[0]);
    remove_dir();
    return result;
}
