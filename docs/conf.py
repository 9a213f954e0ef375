"""Sphinx configuration."""

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
