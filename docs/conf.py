"""How Sphinx builds the site: `make docs` puts it into docs/_build/html.

A build asks nothing of the network, and neither does a page that is read: formulas are MathML,
which browsers draw by themselves, and what other projects' pages are called stands in `ELSEWHERE`.
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from math_core import LatexToMathML

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from lightfm_clone import __version__  # noqa: E402

REPOSITORY = "https://github.com/lightfm-clone/lightfm-clone"
SITE = "https://lightfm-clone.github.io/lightfm-clone/"

project = "lightfm-clone"
author = "the lightfm-clone maintainers"
copyright = f"{author}, MIT licence"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxext.opengraph",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
nitpicky = True
# A name in single backquotes is a link where it names something here, and stays code elsewhere.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", ".*")]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

autodoc_typehints = "none"  # docstrings have the types, in words
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = {
    "lightfm_clone.FitWarning": False,
    "lightfm_clone.evaluation.Comparison": False,
    "lightfm_clone.evaluation.Evaluation": False,
}
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    "Axes": "matplotlib.axes.Axes",
    "Comparison": "lightfm_clone.evaluation.Comparison",
    "Dataset": "lightfm_clone.data.Dataset",
    "Evaluation": "lightfm_clone.evaluation.Evaluation",
    "Explanation": "lightfm_clone.explain.Explanation",
    "FeatureEncoder": "lightfm_clone.data.FeatureEncoder",
    "Generator": "numpy.random.Generator",
    "ItemNeighbours": "lightfm_clone.ItemNeighbours",
    "LightFM": "lightfm_clone.LightFM",
    "RandomState": "numpy.random.RandomState",
    "Recommender": "lightfm_clone.Recommender",
    "coo_matrix": "scipy.sparse.coo_matrix",
    "csr_matrix": "scipy.sparse.csr_matrix",
    "ndarray": "numpy.ndarray",
}

html_theme = "pydata_sphinx_theme"
html_title = f"lightfm-clone {version}"
html_baseurl = SITE
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "start": []}
html_theme_options = {
    "logo": {"text": "lightfm-clone", "alt_text": "lightfm-clone, start page"},
    "github_url": REPOSITORY,
    "navbar_persistent": ["search-button"],
    "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    "switcher": {"json_url": "_static/switcher.json", "version_match": release},
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}

ogp_site_url = SITE
ogp_site_name = "lightfm-clone"
ogp_image = "_static/card.png"
ogp_social_cards = {"enable": False}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples" / "gallery"),
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "api/generated/examples",
    "doc_module": ("lightfm_clone",),
    "reference_url": {"lightfm_clone": None},
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
}

# The pages of other projects that docstrings refer to, by role and name.
ELSEWHERE = {
    "https://docs.python.org/3/": {
        "py:class collections.abc.Callable": "library/collections.abc.html",
        "py:class dict": "library/stdtypes.html",
        "py:class float": "library/functions.html",
        "py:class int": "library/functions.html",
        "py:class list": "library/stdtypes.html",
        "py:class str": "library/stdtypes.html",
        "py:class tuple": "library/stdtypes.html",
        "py:data False": "library/constants.html",
        "py:data None": "library/constants.html",
        "py:data True": "library/constants.html",
        "std:label bltin-boolean-values": "library/stdtypes.html#boolean-type-bool",
        "std:term iterable": "glossary.html#term-iterable",
        "std:term sequence": "glossary.html#term-sequence",
    },
    "https://numpy.org/doc/stable/": {
        "py:class numpy.ndarray": "reference/generated/numpy.ndarray.html",
        "py:class numpy.random.Generator": "reference/random/generator.html",
        "py:class numpy.random.RandomState": "reference/random/legacy.html",
        "py:module numpy": "reference/index.html",
        "std:term array_like": "glossary.html#term-array_like",
    },
    "https://docs.scipy.org/doc/scipy/": {
        "py:class scipy.sparse.coo_matrix": "reference/generated/scipy.sparse.coo_matrix.html",
        "py:class scipy.sparse.csr_matrix": "reference/generated/scipy.sparse.csr_matrix.html",
    },
    "https://matplotlib.org/stable/": {
        "py:class matplotlib.axes.Axes": "api/_as_gen/matplotlib.axes.Axes.html",
    },
}


def inventories() -> dict[str, tuple[str, str]]:
    """For intersphinx: a file for each project, in the form of Sphinx's own objects.inv."""
    folder = HERE / "_build" / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for site, pages in ELSEWHERE.items():
        project = next(name for name in ("python", "numpy", "scipy", "matplotlib") if name in site)
        lines = [
            "# Sphinx inventory version 2",
            f"# Project: {project}",
            "# Version:",
            "# The remainder of this file is compressed using zlib.",
            "",
        ]
        entries = []
        for role_and_name, page in pages.items():
            role, name = role_and_name.split()
            entries.append(f"{name} {role} 1 {page if '#' in page else f'{page}#{name}'} -")
        path = folder / f"{project}.inv"
        path.write_bytes("\n".join(lines).encode() + zlib.compress("\n".join(entries).encode()))
        mapping[project] = (site, str(path))
    return mapping


intersphinx_mapping = inventories()


def with_links_out(text: str, source: Path) -> str:
    """Markdown of a file of the repository, whose links reach what the site does not have."""

    def moved(link: re.Match[str]) -> str:
        path, mark, anchor = link[1].partition("#")
        target = (source.parent / path).resolve()
        if not path or not target.exists():
            return link[0]
        if target.is_relative_to(HERE):
            return f"](/{target.relative_to(HERE)}{mark}{anchor})"
        kind = "tree" if target.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{target.relative_to(ROOT)}{mark}{anchor})"

    return re.sub(r"\]\(((?!\w+:)[^)\s]+)\)", moved, text)


def read_page(app: Any, docname: str, content: list[str]) -> None:
    path = HERE / f"{docname}.md"
    if path.exists():
        content[0] = with_links_out(content[0], path)


def read_included(app: Any, source: Path, docname: str, content: list[str]) -> None:
    content[0] = with_links_out(content[0], (HERE / source).resolve())


def find_short_name(app: Any, env: Any, node: Any, content: nodes.Element) -> nodes.Element | None:
    """`LightFM.fit` or `evaluate`, wherever they are said: the one thing with such an end."""
    if node.get("refdomain") != "py":
        return None
    python, name = env.get_domain("py"), node["reftarget"]
    found = [
        (full, entry)
        for full, entry in python.objects.items()
        if full.endswith(f".{name}")
        and not entry.aliased  # by the module that it is written in
        and ("." in name or entry.objtype in ("class", "function"))
    ]
    if len(found) != 1:
        return None
    [(full, entry)] = found
    return python.resolve_xref(env, node["refdoc"], app.builder, entry.objtype, full, node, content)


MATHML = LatexToMathML(annotation=True, fancy_error=False)


def visit_math(writer: Any, node: nodes.math) -> None:
    writer.body.append(MATHML.convert_with_local_state(node.astext(), displaystyle=False))
    raise nodes.SkipNode


def visit_math_block(writer: Any, node: nodes.math_block) -> None:
    formula = MATHML.convert_with_local_state(node.astext(), displaystyle=True)
    writer.body.append(f'<div class="math">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    app.connect("missing-reference", find_short_name)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))


html_math_renderer = "mathml"
