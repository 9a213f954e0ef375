"""A page without any outside resource: text, tables and figures, in light and dark.

Everything a caller passes is escaped; figures become data addresses. `TableView` is the base of
results that a notebook shows as a table and a picture.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --page: #ffffff; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; --card: #161b22; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } figure img { max-width: 100%; background: #ffffff; border-radius: 6px; }
pre { background: var(--card); padding: .75rem; overflow-x: auto; border-radius: 6px; }
"""


def _cell(value: Any) -> str:
    """One table cell: numbers to the right with at most five digits, everything else escaped."""
    if isinstance(value, bool) or value is None:
        return f"<td>{'' if value is None else 'yes' if value else 'no'}</td>"
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    if isinstance(value, float):
        return f'<td class="number">{value:.5g}</td>' if abs(value) < 1e5 else f'<td class="number">{value:,.0f}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def html_table(rows: Rows, *, columns: Sequence[str] | None = None, caption: str = "") -> str:
    """Return a table as HTML.

    Args:
        rows: One mapping (shown as name and value) or a row each.
        columns: Which columns, in which order; all of the rows' keys by default.
        caption: A line above the table.
    """
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    if isinstance(rows, Mapping):
        body = "".join(f"<tr><th>{html.escape(str(name))}</th>{_cell(value)}</tr>" for name, value in rows.items())
        return f'<div class="wide"><table>{title}{body}</table></div>'
    names = list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in names)
    body = "".join(f"<tr>{''.join(_cell(row.get(name)) for name in names)}</tr>" for row in rows)
    return f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure_html(figure: Figure, *, caption: str = "", kind: Literal["svg", "png"] = "svg") -> str:
    """Return a figure as an image without an address.

    Args:
        figure: What to draw.
        caption: A line below it, and its text for those who cannot see it.
        kind: svg, or png for pictures of very many points.
    """
    import matplotlib

    drawn = io.BytesIO()
    # Ids and dates that change would make two reports of the same run differ.
    with matplotlib.rc_context({"svg.hashsalt": "seqsuite"}):
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
        figure.savefig(drawn, format=kind, bbox_inches="tight", dpi=150, metadata=metadata)
    encoded = base64.b64encode(drawn.getvalue()).decode("ascii")
    media = "image/svg+xml" if kind == "svg" else "image/png"
    text = html.escape(caption)
    below = f"<figcaption>{text}</figcaption>" if caption else ""
    return f'<figure><img alt="{text}" src="data:{media};base64,{encoded}">{below}</figure>'


class Report:
    """One page, built from top to bottom; every method returns the report.

    Args:
        title: The page's title.
        subtitle: A line below it.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        if subtitle:
            self._parts.append(f'<p class="soft">{html.escape(subtitle)}</p>')

    def heading(self, text: str) -> Report:
        """Begin a section.

        Args:
            text: Its heading; escaped.

        Returns:
            The report itself, as from all parts.
        """
        return self._add(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> Report:
        """Add a paragraph.

        Args:
            text: Plain text; escaped.

        Returns:
            The report itself.
        """
        return self._add(f"<p>{html.escape(text)}</p>")

    def code(self, text: str) -> Report:
        """Add preformatted text, a command for example.

        Args:
            text: Plain text; escaped.

        Returns:
            The report itself.
        """
        return self._add(f"<pre>{html.escape(text)}</pre>")

    def table(self, rows: Rows, *, columns: Sequence[str] | None = None, caption: str = "") -> Report:
        """Add a table, see `html_table`."""
        return self._add(html_table(rows, columns=columns, caption=caption))

    def figure(self, figure: Figure, *, caption: str = "", kind: Literal["svg", "png"] = "svg") -> Report:
        """Add a figure, see `figure_html`."""
        return self._add(figure_html(figure, caption=caption, kind=kind))

    def _add(self, part: str) -> Report:
        self._parts.append(part)
        return self

    def html(self) -> str:
        """Return the whole page."""
        body = "\n".join(self._parts)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
        )

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page whole or not at all.

        Args:
            path: The HTML file.

        Returns:
            The path.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            # A file name need not be text: what is not becomes escapes.
            temporary.write_text(self.html(), encoding="utf-8", errors="backslashreplace")
            os.replace(temporary, target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UserError(f"cannot write {target}: {error.strerror or error}") from error
        return target

    def _repr_html_(self) -> str:
        return "\n".join(self._parts)


SHOWN_ROWS = 500
"""Rows of a result that a notebook shows: a page of a million opens in no browser."""


class TableView:
    """Base of results that show a table, and a picture where they have one, in a notebook."""

    def table(self) -> Rows:
        """Return the rows to show."""
        raise NotImplementedError

    def figure(self) -> Figure | None:
        """Return the picture to show, or None."""
        return None

    def _repr_html_(self) -> str:
        rows, figure = self.table(), self.figure()
        caption = ""
        if not isinstance(rows, Mapping) and len(rows) > SHOWN_ROWS:
            rows, caption = rows[:SHOWN_ROWS], f"the first {SHOWN_ROWS} of {len(rows):,} rows"
        return html_table(rows, caption=caption) + ("" if figure is None else figure_html(figure))
