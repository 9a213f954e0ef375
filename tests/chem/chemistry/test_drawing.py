"""Pictures: their sizes, that different molecules look different, and pages without outside addresses."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.image import imread

from seqchem.chemistry.drawing import MoleculeReport, grid_figure, grid_png, molecule_svg
from seqchem.chemistry.files import writable, write_bytes
from seqsuite.errors import UserError


def pixels(png):
    return imread(io.BytesIO(png), format="png")


def test_a_grid_has_a_place_for_every_molecule():
    one = pixels(grid_png(["CCO"]))
    grid = pixels(grid_png(["CCO", "c1ccccc1", "nothing"], ["a", "b", "c"], columns=2))
    height, width = one.shape[:2]
    assert grid.shape[:2] == (2 * height, 2 * width)
    drawn = (grid[..., :3] < 0.9).any(-1)
    assert drawn[:height, :width].any()
    assert drawn[:height, width:].any()
    assert not drawn[height:, width:].any()  # there is no fourth
    # What is no molecule leaves its place empty but for the legend at its foot.
    assert not drawn[height : height + height // 2, :width].any()


def test_pictures_are_the_same_twice_and_differ_between_molecules():
    assert grid_png(["CCO"]) == grid_png(["CCO"])
    assert grid_png(["CCO"]) != grid_png(["CCN"])
    figure = grid_figure(["CCO", "CCN"])
    assert np.asarray(figure.axes[0].images[0].get_array()).shape[:2] == pixels(grid_png(["CCO", "CCN"])).shape[:2]
    for wrong in ([], ["a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="cannot be drawn"):
            grid_png(["CCO", "CCN"] if wrong else [], wrong)


def test_a_page_has_a_picture_a_row_and_no_address():
    rows = [{"sequence": "CCO", "qed": 0.41}, {"sequence": "<b>&", "qed": None}]
    page = MoleculeReport("Two").molecules(rows).html()
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(pictures) == 2
    assert base64.b64decode(pictures[0]).decode() == molecule_svg("CCO")
    assert "<b>&" not in page
    assert page.count("<tr>") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    plain = MoleculeReport("Two").molecules(rows, picture=None).html()
    assert "<img" not in plain


def test_outputs_are_looked_at_before_and_replaced_only_when_asked(tmp_path):
    out = tmp_path / "a.csv"
    assert writable(out, overwrite=False, beside=(".png",)) == out
    write_bytes(tmp_path / "a.png", b"1")
    with pytest.raises(UserError, match=r"a\.png exists; add --overwrite"):
        writable(out, overwrite=False, beside=(".png",))
    assert writable(out, overwrite=True, beside=(".png",)) == out
    with pytest.raises(UserError, match="there is no folder"):
        writable(tmp_path / "no" / "a.csv", overwrite=True)
    with pytest.raises(UserError, match="is a folder"):
        writable(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="cannot write"):
        write_bytes(tmp_path / "no" / "a.png", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
