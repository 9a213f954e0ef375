"""Generated sequences: a table, the base composition along them, and a FASTA file that says how they were made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE = 70
_BINS = 50


@dataclass(frozen=True)
class Generated(TableView):
    """Sequences written by a model.

    Attributes:
        names: The prompt's name and the number of the sample, from 1.
        sequences: Prompt and new bases together.
        places: Of each sequence the 0-based positions that the model wrote.
        settings: How they were drawn; goes into the headers of the FASTA file.
    """

    names: tuple[str, ...]
    sequences: tuple[str, ...] = field(repr=False)
    places: tuple[np.ndarray, ...] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def new(self) -> tuple[str, ...]:
        """Return the bases that the model wrote, of each sequence."""
        return tuple("".join(text[i] for i in at) for text, at in zip(self.sequences, self.places, strict=True))

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence."""
        rows = []
        for name, text, new in zip(self.names, self.sequences, self.new(), strict=True):
            share = f"{sum(map(new.count, 'GC')) / len(new):.3f}" if new else ""
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            rows.append({"name": name, "bases": len(text), "new": len(new), "GC of new": share, "sequence": shown})
        return rows

    def figure(self) -> Figure | None:
        """Draw the share of each base along what the model wrote, in at most 50 steps; None if it wrote nothing."""
        from seqsuite.reports import line_figure

        new = self.new()
        longest = max(map(len, new), default=0)
        if not longest:
            return None
        width = -(-longest // _BINS)
        counts = np.zeros((-(-longest // width), 4))
        for text in new:
            for index, base in enumerate(text):
                counts[index // width, "ACGT".index(base)] += 1
        shares = counts / counts.sum(1, keepdims=True)
        places = np.arange(len(shares)) * width
        curves = {base: (places.tolist(), shares[:, i].tolist()) for i, base in enumerate("ACGT")}
        return line_figure(curves, x="new base", y="share", levels={"even": 0.25})

    def fasta(self) -> str:
        """Return the sequences as FASTA text; the headers hold the settings."""
        told = " ".join(f"{name}={value}" for name, value in self.settings.items())
        parts = []
        for name, text, places in zip(self.names, self.sequences, self.places, strict=True):
            parts.append(f">{name} new={len(places)} {told}".rstrip())
            parts += [text[i : i + _LINE] for i in range(0, len(text), _LINE)]
        return "\n".join(parts) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write `fasta()` whole or not at all; an existing file is replaced.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        target = Path(path).expanduser()
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            aside.write_text(self.fasta(), encoding="utf-8")
            os.replace(aside, target)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise UserError(f"cannot write {target}: {error.strerror or error}") from error
        return target
