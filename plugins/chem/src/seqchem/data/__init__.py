"""Tables of molecules and proteins: reading them, checking every row, dividing them into parts.

from seqchem.data import read_table, split_table
table = read_table("freesolv.csv.gz", property_columns=["expt"])
parts = split_table(table, "scaffold")          # {"train": ..., "valid": ..., "test": ...}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.data.records import Records, read_records
    from seqchem.data.splits import read_parts, split_table, write_parts
    from seqchem.data.tables import MoleculeTable, property_name, read_table

__all__ = [
    "MoleculeTable",
    "Records",
    "property_name",
    "read_parts",
    "read_records",
    "read_table",
    "split_table",
    "write_parts",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "records": ["Records", "read_records"],
        "splits": ["read_parts", "split_table", "write_parts"],
        "tables": ["MoleculeTable", "property_name", "read_table"],
    },
)
