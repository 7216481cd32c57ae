/*
 * http/site/module_note.c - what of a module an older one leaves behind in its process: symbols that are unique there
 * (STB_GNU_UNIQUE: in C++ inline variables, and statics of templates and of inline functions), which the loader never gives
 * up; and libraries, of which it never takes a second one of a name.
 *
 * Both are read off the module's file. Source: System V ABI, "Object Files".
 */
#include "http/site/module_note.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/slice.h"

#include <elf.h>

enum { MAPS_BYTES_MAX = 16 << 20 };

#if UINTPTR_MAX > UINT32_MAX
typedef Elf64_Ehdr elf_head;
typedef Elf64_Shdr elf_section;
typedef Elf64_Sym elf_symbol;
typedef Elf64_Dyn elf_dynamic;
#else
typedef Elf32_Ehdr elf_head;
typedef Elf32_Shdr elf_section;
typedef Elf32_Sym elf_symbol;
typedef Elf32_Dyn elf_dynamic;
#endif

/* Copies n bytes from that place of the file. False: it has none there. */
static bool read_at(struct slice file, uint64_t at, void *to, size_t n)
{
    if (at > file.len || n > file.len - at)
        return false;
    memcpy(to, file.data + at, n);
    return true;
}

static bool read_section(struct slice file, uint64_t index, elf_section *s)
{
    elf_head head;
    return read_at(file, 0, &head, sizeof head) && index < head.e_shnum && head.e_shoff <= file.len &&
           read_at(file, head.e_shoff + index * sizeof *s, s, sizeof *s);
}

static bool find_section(struct slice file, uint32_t type, elf_section *s)
{
    for (uint64_t i = 0; read_section(file, i, s); i++)
        if (s->sh_type == type)
            return true;
    return false;
}

static bool has_unique(struct slice file)
{
    elf_section symbols;
    elf_symbol symbol;
    if (!find_section(file, SHT_DYNSYM, &symbols))
        return false;
    for (uint64_t at = 0; at + sizeof symbol <= symbols.sh_size &&
                          read_at(file, symbols.sh_offset + at, &symbol, sizeof symbol);
         at += sizeof symbol)
        if (symbol.st_shndx != SHN_UNDEF && ELF64_ST_BIND(symbol.st_info) == STB_GNU_UNIQUE)
            return true;
    return false;
}

/* The name of the next library that it needs, from the entry *at on; empty: there is none. */
static struct slice next_needed(struct slice file, uint64_t *at)
{
    elf_section dynamic, names;
    elf_dynamic d;
    if (!find_section(file, SHT_DYNAMIC, &dynamic) || !read_section(file, dynamic.sh_link, &names))
        return (struct slice){0};
    for (; *at + sizeof d <= dynamic.sh_size && read_at(file, dynamic.sh_offset + *at, &d, sizeof d);
         *at += sizeof d) {
        if (d.d_tag != DT_NEEDED)
            continue;
        uint64_t name = names.sh_offset + d.d_un.d_val;
        const char *end = name < file.len ? memchr(file.data + name, 0, file.len - name) : NULL;
        *at += sizeof d;
        if (end)
            return (struct slice){file.data + name, (size_t)(end - file.data - name)};
    }
    return (struct slice){0};
}

/* The path of a library of that name which has been loaded, and whose file is another one by now. */
static struct slice find_replaced(struct slice maps, struct slice name)
{
    struct slice mark = SLICE(" (deleted)");
    while (maps.len) {
        const char *end = memchr(maps.data, '\n', maps.len);
        struct slice line = {maps.data, end ? (size_t)(end - maps.data) : maps.len};
        maps = slice_from(maps, line.len + 1);
        const char *path = line.len ? memchr(line.data, '/', line.len) : NULL;
        if (!path || line.len < mark.len || !slice_eq(slice_from(line, line.len - mark.len), mark))
            continue;
        struct slice whole = {path, (size_t)(line.data + line.len - mark.len - path)};
        if (whole.len > name.len && whole.data[whole.len - name.len - 1] == '/' &&
            slice_eq(slice_from(whole, whole.len - name.len), name))
            return whole;
    }
    return (struct slice){0};
}

struct slice module_note_of(struct arena *arena, struct slice path, struct slice file)
{
    struct buf maps = {0};
    struct slice note = {0}, needed;
    uint64_t at = 0;
    if (has_unique(file))
        return arena_printf(
            arena,
            "module \"%.*s\" has unique symbols (C++ inline variables, or statics of "
            "templates): they stay what they are over a reload; build it with -fno-gnu-unique",
            SLICE_ARGS(path));
    if (fd_read_file("/proc/self/maps", MAPS_BYTES_MAX, &maps) < 0)
        return note;
    while (note.len == 0 && (needed = next_needed(file, &at)).len) {
        struct slice replaced = find_replaced(buf_slice(&maps), needed);
        if (replaced.len)
            note = arena_printf(arena,
                                "\"%.*s\", which module \"%.*s\" needs, has been replaced since it was "
                                "loaded, and the old one stays in use; start anew, or upgrade by USR2",
                                SLICE_ARGS(replaced), SLICE_ARGS(path));
    }
    buf_free(&maps);
    return note;
}
