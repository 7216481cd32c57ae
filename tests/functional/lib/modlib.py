"""Modules written for a test: C text in, the path of a loadable module out."""

import subprocess

import weirlib

HEAD = "#include <weir/handler.h>\n"


def build(folder, source, name="handlers", head=""):
    """Compile the text, with `head` before it, into a module of that name in the folder; returns its path."""
    text, path = folder / f"{name}.c", folder / f"{name}.so"
    text.write_text(head + HEAD + source)
    fresh = folder / f"{name}.so.new"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", weirlib.BINARY.parent / "include",
                    text, "-o", fresh], check=True)
    fresh.rename(path)  # as an installer does: the file of a running module is never written to
    return path


def handlers(**bodies):
    """The text of a module whose handlers have these bodies, each with the request as `r`."""
    functions = "".join(f"static int run_{name}(weir_request *r)\n{{\n(void)r;\n{body}\n}}\n"
                        for name, body in bodies.items())
    table = "".join(f'{{.name = "{name}", .run = run_{name}}}, ' for name in bodies)
    return f"{functions}static const struct weir_handler list[] = {{{table}{{0}}}};\nWEIR_MODULE(list);\n"
