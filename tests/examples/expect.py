"""What a program prints against what a page or a comment says it prints."""
import re


def pattern(line, loose=False):
    """The line as a regular expression: "..." stands for anything in it, "[...]" for any lines; spaces
    count as one. loose: numbers may be others."""
    if line.strip() == "[...]":
        return r"(.*\n)*?"
    text = re.escape(line.strip()).replace(r"\.\.\.", ".*")
    if loose:
        text = re.sub(r"[0-9]+", "[0-9]+", text)
    return r" *" + re.sub(r"(\\[ \t])+", r"\\s+", text) + r" *\n"


def matches(output, lines, loose=False):
    return re.fullmatch("".join(pattern(line, loose) for line in lines), output) is not None
