"""The beginnings of the messages about configurations, for tables that say which error a mistake is: see Weir.mistake()."""

FLAG = '"on" or "off"'
NUMBER = "a whole number"
SIZE = "a size in bytes, or with k, m or g behind it"
TIME = "a time in ms, s, m, h or d"
PARENTHESIS = 'pcre2_compile() failed: missing closing parenthesis in "(" at offset 1'


def arguments(directive, takes):
    return f'invalid number of arguments in "{directive}" directive; it takes {takes}'


def value(directive, word, takes):
    return f'"{directive}" directive invalid value "{word}"; it takes {takes}'


def bounds(directive, word, least, most):
    return f'"{directive}" directive invalid value "{word}": out of range; it must be from {least} to {most}'


def duplicate(directive):
    return f'"{directive}" directive is duplicate'


def variable(name):
    return f'unknown "{name}" variable'
