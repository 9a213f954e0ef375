"""Molecules a minute of `seqchem predict`, from SMILES to numbers, by size of the model.

    python benchmarks/molecule_throughput.py
    python benchmarks/molecule_throughput.py --sizes rt_mini --rows 500 --no_write

Models of random weights (the time does not depend on them) with one property, asked of molecules of moses_test_20k, all
in one pass: parsing, canonical SMILES, SELFIES, the network, numbers and intervals. --threads threads of the network;
reading molecules takes one. Where other work shares the machine, look at the rate by CPU time: molecules in a minute of
two cores if both do nothing else, that is in 120 CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import write_result
from _molecules import TEST_FILE, default_data, drawn_molecules

CORES = 2
ROWS = {"rt_small": 1000}
"""Most molecules of sizes that take long."""


def make_model(size: str, smiles: list[str]) -> Any:
    """Return a model of a size that knows the molecules' symbols."""
    from seqchem.tokenizers import NumberFormat, build_vocabulary, encode_selfies
    from seqsuite import create_model

    formats = {"qed": NumberFormat.from_values(np.linspace(0.3, 0.95, 50), decimals=2)}
    vocabulary = build_vocabulary([encode_selfies(text) for text in smiles], "selfies", formats, alphabet=True)
    options = {"language": "selfies", "vocabulary": vocabulary}
    torch.manual_seed(0)
    return create_model(size, number_formats={name: form.to_dict() for name, form in formats.items()}, **options).eval()


def measure(size: str, smiles: list[str], batch_size: int) -> dict[str, Any]:
    """Predict the molecules once; the first batches of another call have warmed it up."""
    from seqchem.prediction import predict_properties

    model = make_model(size, smiles)
    smiles = smiles[: ROWS.get(size, len(smiles))]
    predict_properties(model, smiles[: 2 * batch_size], batch_size=batch_size)
    wall, cpu = time.perf_counter(), time.process_time()
    found = predict_properties(model, smiles, batch_size=batch_size)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if not bool(found.ok.all()):
        raise SystemExit("molecules of the file cannot be predicted")
    return {
        "parameters": model.num_parameters(),
        "molecules": len(smiles),
        "seconds": wall,
        "cpu_seconds": cpu,
        "network_seconds": found.seconds,
        "a_minute_by_the_clock": 60 * len(smiles) / wall,
        "a_minute_of_two_cores": 60 * CORES * len(smiles) / cpu,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["rt_mini", "rt_base", "rt_small"])
    parser.add_argument("--rows", type=int, default=10_000, help="default: %(default)s; of rt_small at most 1,000")
    parser.add_argument("--batch_size", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=CORES, help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=default_data(), help="default: chem in SEQSUITE_DATA")
    parser.add_argument("--no_write", action="store_true", help="print only")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    smiles = drawn_molecules(given.data / TEST_FILE, given.rows, 0)
    result: dict[str, Any] = {"threads": given.threads, "batch_size": given.batch_size, "load": os.getloadavg()[0]}
    for size in given.sizes:
        result[size] = measure(size, smiles, given.batch_size)
        found = result[size]
        print(
            f"{size:9} {found['parameters']:>11,} parameters  {found['a_minute_by_the_clock']:9,.0f} a minute by the "
            f"clock, {found['a_minute_of_two_cores']:9,.0f} in a minute of two cores"
        )
    if not given.no_write:
        print(write_result("molecule_throughput", result).name)


if __name__ == "__main__":
    main()
