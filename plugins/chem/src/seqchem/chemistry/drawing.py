"""Pictures of molecules: a grid as PNG or as a matplotlib figure, and a page with one beside each row of a table.

    Path("grid.png").write_bytes(grid_png(["CCO", "c1ccccc1"], ["qed 0.41", "qed 0.44"]))
    MoleculeReport("Molecules").molecules([{"sequence": "CCO", "qed": 0.41}]).write("molecules.html")

RDKit draws; what is no molecule leaves its place empty, with its legend.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from seqchem.chemistry.parsing import parse
from seqsuite.reports import Report, html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = 200
"""Rows of a page that have a picture: some ten kilobytes each."""

_SIDE = (220, 180)


def grid_png(smiles: Sequence[str], legends: Sequence[str] = (), *, columns: int = 5) -> bytes:
    """Draw molecules side by side.

    Args:
        smiles: N molecules.
        legends: What stands below each; none, or N.
        columns: Molecules in a row.

    Returns:
        A PNG file.

    Raises:
        ValueError: There is nothing to draw, or the numbers of molecules and legends differ.
    """
    if not smiles or (legends and len(legends) != len(smiles)):
        raise ValueError(f"{len(smiles)} molecules with {len(legends)} legends cannot be drawn")
    across = min(columns, len(smiles))
    down = -(-len(smiles) // across)
    width, height = _SIDE
    canvas = rdMolDraw2D.MolDraw2DCairo(width * across, height * down, width, height)
    options: Any = canvas.drawOptions()
    options.legendFontSize = 15
    canvas.DrawMolecules([_placed(text) for text in smiles], legends=list(legends) or [""] * len(smiles))
    canvas.FinishDrawing()
    return bytes(canvas.GetDrawingText())


def grid_figure(smiles: Sequence[str], legends: Sequence[str] = (), *, columns: int = 5) -> Figure:
    """Return the grid of `grid_png` as a matplotlib figure."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    picture = imread(io.BytesIO(grid_png(smiles, legends, columns=columns)), format="png")
    height, width = picture.shape[:2]
    figure = Figure(figsize=(width / 110, height / 110), dpi=110)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(picture, interpolation="none")
    axes.set_axis_off()
    return figure


def molecule_svg(smiles: str) -> str:
    """Draw one molecule.

    Args:
        smiles: The molecule; an empty picture where it is none.

    Returns:
        An SVG file, its background clear.
    """
    canvas = rdMolDraw2D.MolDraw2DSVG(*_SIDE)
    options: Any = canvas.drawOptions()
    options.clearBackground = False
    canvas.DrawMolecule(_placed(smiles))
    canvas.FinishDrawing()
    return str(canvas.GetDrawingText())


def _placed(smiles: str) -> Chem.Mol:
    """Return a molecule with places of its atoms, an empty one where there is none."""
    molecule = parse(smiles)
    if molecule is None:
        return Chem.Mol()
    rdDepictor.Compute2DCoords(molecule)
    return molecule


class MoleculeReport(Report):
    """A page that can show molecules beside their rows."""

    def molecules(self, rows: Sequence[Mapping[str, Any]], *, picture: str | None = "sequence") -> MoleculeReport:
        """Add a table with a picture in front of each of the first rows.

        Args:
            rows: The rows.
            picture: The column that has the SMILES; None: no pictures.

        Returns:
            The report itself.
        """
        table = html_table(list(rows))
        if picture is not None and rows:
            head, *lines = table.split("<tr>")[1:]
            begun = table.split("<tr>")[0]
            drawn = [_image(str(row[picture])) for row in rows[:PICTURES]] + [""] * max(0, len(rows) - PICTURES)
            cells = [f"<tr><td>{image}</td>{line}" for image, line in zip(drawn, lines, strict=True)]
            table = f"{begun}<tr><th></th>{head}{''.join(cells)}"
        self._add(table)
        return self


def _image(smiles: str) -> str:
    encoded = base64.b64encode(molecule_svg(smiles).encode("utf-8")).decode("ascii")
    text = html.escape(smiles, quote=True)
    style = "background:#ffffff;border-radius:6px"
    return f'<img alt="{text}" loading="lazy" style="{style}" width="165" src="data:image/svg+xml;base64,{encoded}">'
