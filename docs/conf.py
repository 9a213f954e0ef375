"""Sphinx configuration."""

import re

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

project = "SeqSuite"
author = "The SeqSuite authors"
copyright = "2026, The SeqSuite authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
default_role = "code"  # `name` in a docstring is code
html_theme = "furo"
html_title = "SeqSuite"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"


class OwnPageFirst(SphinxPostTransform):
    """Lets a name that two plugins have, such as Splits, refer to the object on the page where it is mentioned."""

    default_priority = 5  # before references are resolved

    def run(self, **_: object) -> None:
        """Write the full name of such objects into the references of a page."""
        known = self.env.get_domain("py").objects
        here = [name for name, entry in known.items() if entry.docname == self.env.docname and not entry.aliased]
        for node in self.document.findall(addnodes.pending_xref):
            if node.get("refdomain") == "py":
                found = [name for name in here if name.endswith(f".{node['reftarget']}")]
                if len(found) == 1:
                    node["reftarget"] = found[0]


def plain_signs(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Keep the star of a shape, (B, *grid, D), and the bars of a norm, |x|, from being read as markup."""
    signs = re.compile(r"(?<=, )\*(?=\w+[,)])|(?<= )\|(?=\w)")
    lines[:] = [line if "`" in line else signs.sub(r"\\\g<0>", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Add what is defined here."""
    app.add_post_transform(OwnPageFirst)
    app.connect("autodoc-process-docstring", plain_signs)
