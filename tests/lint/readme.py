"""README.md shows examples/thirty_lines.lua word for word, names every example and page, and points to
files that are there; so do the pages."""
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def text_of(name):
    with open(os.path.join(TOP, name), encoding="utf-8") as f:
        return f.read()


readme, example = text_of("README.md"), text_of("examples/thirty_lines.lua")
blocks = re.findall(r"^```lua\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
assert blocks == [example], "README.md does not show examples/thirty_lines.lua as it is"
assert example.count("\n") <= 30, "thirty lines are more than thirty"

checked = 0
pages = ["README.md"] + [f"docs/{n}" for n in sorted(os.listdir(os.path.join(TOP, "docs")))]
for page in pages:
    for target in re.findall(r"\]\(([^)#:]+)\)", text_of(page)):
        path = os.path.normpath(os.path.join(os.path.dirname(page), target))
        assert os.path.exists(os.path.join(TOP, path)), f"{page} points to {target}, not there"
        checked += 1
assert checked > 10, f"only {checked} links found"
for name in os.listdir(os.path.join(TOP, "examples")):
    assert name in ("guest.lua", "devices") or f"`{name}`" in readme, f"README.md does not name {name}"
for name in os.listdir(os.path.join(TOP, "docs")):
    assert f"({'docs/' + name})" in readme, f"README.md does not point to docs/{name}"
print(f"README.md shows the example; {checked} links lead somewhere")
