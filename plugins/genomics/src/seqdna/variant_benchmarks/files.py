"""What `seqdna benchmark-variants --out` writes: summary.json, report.html, and TASK.scores.tsv, a row a variant."""

from __future__ import annotations

from pathlib import Path

from seqdna.variant_benchmarks.results import VariantBenchmarkResult
from seqsuite.errors import UserError
from seqsuite.reports import Report
from seqsuite.training.run_folder import told, write_json, write_text


def check_out(path: str | Path, *, overwrite: bool) -> Path:
    """Return the folder to write to.

    Raises:
        UserError: It is a file, or holds a benchmark and may not be replaced.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another --out.")
    if (folder / "summary.json").exists() and not overwrite:
        raise UserError(f"{folder} already holds a benchmark; add --overwrite or choose another --out.")
    return folder


def write_files(result: VariantBenchmarkResult, folder: Path) -> None:
    """Write the files, each whole or not at all, the summary last.

    Raises:
        UserError: The place is not writable.
    """
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for task in result.tasks:
        rows = task.variant_table()
        lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
        write_text(folder / f"{task.task.name}.scores.tsv", "\n".join(lines) + "\n")
    report = Report(f"{result.title} on labelled variants", subtitle=folder.name).table(result.table())
    for line in result.notes():
        report.text(line)
    report.figure(result.figure(), caption="Metrics and chance").write(folder / "report.html")
    write_json(folder / "summary.json", result.to_dict())
