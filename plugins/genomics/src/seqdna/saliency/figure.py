"""The picture of a saliency result: a logo of the contributions, the motifs under it, and all scores.

Letters are drawn with logomaker where it is installed (pip install logomaker), else with matplotlib's own
paths. Past 200 positions letters would be unreadable: the contributions become bars in the bases' colours.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

from seqdna.saliency.motifs import Hit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seqdna.saliency.results import Saliency

COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00"}
MOST_LETTERS = 200
_LANES = 4
_MOST_HITS = 40


def figure_of(result: Saliency) -> Figure:
    """Draw a result; see the top of this module."""
    from matplotlib.figure import Figure

    shown = best_hits(result.hits)
    lanes = 1 + max((lane for _, lane in shown), default=-1)
    logos = 1 if result.probabilities is None else 2
    heights = [2.0] * logos + ([0.25 + 0.22 * lanes] if shown else []) + [1.0]
    figure = Figure(figsize=(float(np.clip(0.12 * len(result), 6, 24)), sum(heights) + 1), layout="constrained")
    axes = list(figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    places = np.arange(result.start + 1, result.start + 1 + len(result))
    values = np.zeros((len(result), 4))
    codes = np.array(["ACGTN".index(base) for base in result.sequence])
    known = np.flatnonzero(codes < 4)
    values[known, codes[known]] = np.nan_to_num(result.contributions()[known])
    draw_logo(axes[0], values, places)
    axes[0].set_ylabel("contribution")
    if result.probabilities is not None:
        draw_logo(axes[1], information(result.probabilities), places)
        axes[1].set_ylabel("bits")
    if shown:
        _draw_hits(axes[logos], shown, lanes, result)
    _draw_scores(figure, axes[-1], result)
    axes[0].set_title(f"{result.name}: {result.about}", fontsize=10)
    return figure


def information(probabilities: np.ndarray) -> np.ndarray:
    """Return letter heights of a sequence logo in bits: p times (2 - entropy), 0 where unknown: (L, 4)."""
    p = np.nan_to_num(probabilities)
    entropy = -(p * np.log2(np.where(p > 0, p, 1))).sum(1, keepdims=True)
    return p * np.where(p.sum(1, keepdims=True) > 0, 2 - entropy, 0)


def draw_logo(axes: Axes, values: np.ndarray, places: np.ndarray) -> None:
    """Draw letters of the heights `values` (L, 4) at `places` (L,): positive ones upwards, negative ones below."""
    if len(values) > MOST_LETTERS:
        for code, (base, colour) in enumerate(COLOURS.items()):
            here = values[:, code] != 0
            axes.bar(places[here], values[here, code], width=1.0, color=colour, label=base)
        axes.legend(frameon=False, ncols=4, fontsize=7)
    elif values.any() and importlib.util.find_spec("logomaker") is not None:  # it warns where there is nothing to draw
        _with_logomaker(axes, values, places)
    else:
        with_matplotlib(axes, values, places)
    axes.set_xlim(places[0] - 0.5, places[-1] + 0.5)
    axes.axhline(0, color="#808080", lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _with_logomaker(axes: Axes, values: np.ndarray, places: np.ndarray) -> None:
    import logomaker
    import pandas as pd

    frame = pd.DataFrame(values, columns=list("ACGT"), index=places)
    logomaker.Logo(frame, ax=axes, color_scheme=COLOURS, flip_below=False, show_spines=None)


def with_matplotlib(axes: Axes, values: np.ndarray, places: np.ndarray) -> None:
    """Draw letters as scaled glyphs, the tallest farthest from zero."""
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    glyphs = {base: TextPath((0, 0), base, size=1) for base in COLOURS}
    for place, row in zip(places, values, strict=True):
        tops = {1: 0.0, -1: 0.0}
        for code in np.argsort(np.abs(row)):
            height = float(row[code])
            if height == 0:
                continue
            glyph, sign = glyphs["ACGT"[code]], 1 if height > 0 else -1
            box = glyph.get_extents()
            bottom = tops[sign] if sign > 0 else tops[sign] + height
            tops[sign] += height
            scale = Affine2D().translate(-box.x0, -box.y0).scale(0.9 / box.width, abs(height) / box.height)
            path = glyph.transformed(scale.translate(place - 0.45, bottom))
            axes.add_patch(PathPatch(path, facecolor=COLOURS["ACGT"[code]], linewidth=0))
    reach = [values.clip(max=0).sum(1).min(), values.clip(min=0).sum(1).max()]
    axes.set_ylim(reach[0] * 1.05, reach[1] * 1.05 or 1)


def best_hits(hits: tuple[Hit, ...]) -> list[tuple[Hit, int]]:
    """Choose the rarest hits that fit into four lanes without overlap, with their lanes."""
    lanes: list[list[Hit]] = [[] for _ in range(_LANES)]
    chosen: list[tuple[Hit, int]] = []
    for hit in sorted(hits, key=lambda hit: (hit.p_value, hit.start, hit.motif.id)):
        for number, lane in enumerate(lanes):
            if len(chosen) < _MOST_HITS and all(hit.end <= other.start or other.end <= hit.start for other in lane):
                lane.append(hit)
                chosen.append((hit, number))
                break
    return chosen


def _draw_hits(axes: Axes, shown: list[tuple[Hit, int]], lanes: int, result: Saliency) -> None:
    for hit, lane in shown:
        left = result.start + hit.start + 0.5
        axes.barh(lane, hit.end - hit.start, left=left, height=0.8, color="#d0d7de", edgecolor="#59636e", lw=0.5)
        label = f"{hit.motif.name} {hit.strand}"
        axes.text(left + (hit.end - hit.start) / 2, lane, label, ha="center", va="center", fontsize=7, clip_on=True)
    axes.set_ylim(lanes - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_ylabel(f"{len(shown)} of {len(result.hits)}\nmotif hits", fontsize=7)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _draw_scores(figure: Figure, axes: Axes, result: Saliency) -> None:
    most = float(np.nanmax(np.abs(result.scores), initial=0)) or 1.0
    edges = result.start + 0.5, result.start + 0.5 + len(result)
    image = axes.imshow(
        np.ma.masked_invalid(result.scores.T),
        aspect="auto",
        interpolation="none",
        cmap="RdBu_r",
        vmin=-most,
        vmax=most,
        extent=(edges[0], edges[1], 3.5, -0.5),
    )
    axes.set_yticks(range(4), list("ACGT"))
    axes.set_xlabel(f"position in {result.name}")
    figure.colorbar(image, ax=axes, label="score")
