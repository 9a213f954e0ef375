"""What a notebook imports: a trained Regression Transformer, from a run or a model folder.

    import seqchem
    rt = seqchem.load("runs/logs")
    rt                                              # a table of what it is
    rt.predict(["CCO", "c1ccccc1"]).table()
    rt.evaluate("esol.csv", baselines=True).figure()
    rt.generate({"logs": -1.0}, n=20)
    rt.optimize(["CC(=O)Nc1ccc(O)cc1"], {"logs": "+1"})

A model folder says how molecules and numbers are written; a run folder also has the calibration of the intervals and
the rows that the model was trained on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seqchem.configs.models import RTConfig
from seqsuite.errors import UserError
from seqsuite.models import load_model
from seqsuite.models.base import Model
from seqsuite.models.create import to_device
from seqsuite.models.published import is_hub_id, own_folder, read_json
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqchem.data import MoleculeTable
    from seqchem.evaluation.results import PropertyEvaluation
    from seqchem.generation import GeneratedMolecules, OptimizedMolecules
    from seqchem.prediction import PredictedFile, PropertyPredictions

__all__ = ["TrainedRT", "load"]


class TrainedRT(TableView):
    """A trained Regression Transformer and what belongs to it.

    Args:
        model: The network; put in evaluation mode.
        folder: Its run or model folder; None for a model from elsewhere.
        options: What its run was told; None for a bare model folder.
        calibration: Of its intervals, from `seqchem.prediction.calibrate`.
    """

    def __init__(
        self,
        model: Any,
        folder: Path | None = None,
        options: Mapping[str, Any] | None = None,
        calibration: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.folder = model.eval(), folder
        self.options, self.calibration = options, dict(calibration or {})

    def __repr__(self) -> str:
        return f"TrainedRT({self.config.language}, {', '.join(self.properties) or 'no properties'}, {self.size})"

    @property
    def config(self) -> RTConfig:
        """What it was built from."""
        return self.model.config

    @property
    def properties(self) -> tuple[str, ...]:
        """The properties that it predicts."""
        return tuple(self.config.number_formats)

    @property
    def size(self) -> str:
        """Its number of parameters, in words."""
        return f"{self.model.num_parameters():,} parameters"

    @property
    def name(self) -> str:
        """Its kind and the name of its folder."""
        return "Regression Transformer" if self.folder is None else f"Regression Transformer {self.folder.name}"

    @property
    def run(self) -> Path | None:
        """Its run folder; None where there is none."""
        return self.folder if self.options is not None else None

    def to(self, device: str) -> TrainedRT:
        """Move the network to a device; returns itself.

        Raises:
            UserError: The device cannot be used here.
        """
        to_device(self.model, device)
        return self

    def table(self) -> dict[str, Any]:
        """Return what it is, by name."""
        config = self.config
        facts: dict[str, Any] = {"model": "Regression Transformer", "parameters": self.model.num_parameters()}
        facts |= {"language": config.language, "vocabulary": len(config.vocabulary), "mixer": config.mixer}
        for name, form in config.number_formats.items():
            known = self.calibration.get(name, {})
            facts[name] = f"{form['minimum']:.6g} to {form['maximum']:.6g} in training"
            if "rmse" in known:
                facts[f"{name}, RMSE on validation rows"] = known["rmse"]
        return facts

    def figure(self) -> Figure | None:
        """Draw the losses of its run; None without a run."""
        from seqsuite.reports import loss_curves

        if self.run is None or not (self.run / "metrics.csv").is_file():
            return None
        return loss_curves(self.run)

    def predict(
        self, sequences: str | Sequence[str], properties: Sequence[str] | None = None, **options: Any
    ) -> PropertyPredictions:
        """Predict properties of sequences; see `seqchem.prediction.predict_properties`.

        Args:
            sequences: SMILES, or letters of amino acids; one or several.
            properties: Which; None: all.
            options: batch_size, decode, beams, point, clip, device, level.
        """
        from seqchem.prediction import predict_properties

        names = None if properties is None else _listed(properties)
        return predict_properties(self.model, _listed(sequences), names, **{"calibration": self.calibration} | options)

    def predict_file(
        self, path: str | os.PathLike[str], properties: Sequence[str] | None = None, **options: Any
    ) -> PredictedFile:
        """Predict properties of the rows of a file; see `seqchem.prediction.predict_file`.

        Args:
            path: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
            properties: Which; None: all.
            options: sequence_column, salts, on_invalid, and those of `predict`.
        """
        from seqchem.prediction import predict_file

        names = None if properties is None else _listed(properties)
        return predict_file(self.model, path, names, **{"calibration": self.calibration} | options)

    def evaluate(
        self,
        data: str | os.PathLike[str],
        *,
        part: str = "auto",
        properties: Sequence[str] = (),
        baselines: bool = False,
        train: str = "",
        sequence_column: str = "",
        salts: str = "keep",
        on_invalid: str = "skip",
        **options: Any,
    ) -> PropertyEvaluation:
        """Compare predictions with the measured values of a file.

        Args:
            data: The file; of the one that the run was trained on, its test rows are taken.
            part: all, train, valid or test, to take other rows of it.
            properties: Names, or name=column; none: those of the model that the file has.
            baselines: Train random forests and gradient boosting on the run's training rows.
            train: The file of those, where it is no longer where the run read it.
            sequence_column: Column of the sequences; empty: found by its name.
            salts: keep, largest or refuse.
            on_invalid: error or skip.
            options: Those of `seqchem.evaluation.measure.evaluate_properties`: seeds, threads, batch_size, decode,
                clip, ...

        Raises:
            UserError: The file, a column, a part, or training rows that are not there.
        """
        from seqchem.evaluation import evaluate_properties
        from seqchem.evaluation.rows import rows_to_evaluate

        reading: Any = {"part": part, "sequence_column": sequence_column, "salts": salts, "on_invalid": on_invalid}
        rows = rows_to_evaluate(
            self.model, self.run, self.options or {}, data, properties=_listed(properties), **reading
        )
        known: dict[str, Any] = {}
        if baselines or self.run is not None:
            known = self._training(list(rows.table.values), train, needed=baselines)
        return evaluate_properties(
            self.model,
            rows.table.sequences,
            rows.table.values,
            baselines=baselines,
            rows=rows.table.rows,
            status=rows.table.status,
            left_out=rows.left_out,
            name=self.name,
            source=rows.source,
            **{"calibration": self.calibration} | known | options,
        )

    def training_table(self, properties: Sequence[str] = (), source: str = "") -> MoleculeTable:
        """Return the rows that its run was trained on.

        Args:
            properties: Whose values come along; none: all.
            source: The file, where it is no longer where the run read it.

        Raises:
            UserError: There is no run, or its file is gone.
        """
        from seqchem.evaluation.rows import training_rows

        return training_rows(self.model, self.run, self.options or {}, properties or self.properties, source=source)

    def _training(self, properties: list[str], source: str, *, needed: bool) -> dict[str, Any]:
        """Return the training rows for an evaluation; nothing where they are gone and not needed."""
        try:
            table = self.training_table(properties, source)
        except UserError:
            if needed or source:
                raise
            return {}
        return {"train": table.sequences, "train_values": table.values}

    def generate(self, targets: Mapping[str, float] | str, *, seed: int = 0, **options: Any) -> GeneratedMolecules:
        """Make molecules with wanted properties; see `seqchem.generation.generate`.

        Args:
            targets: Property -> wanted value; may be empty. Or goals as on the command line, "qed=0.9,logp=2".
            seed: Of the draws.
            options: n, seed_sequences, fraction, limits, ...
        """
        import torch

        from seqchem.generation import generate, parse_goals

        if isinstance(options.get("seed_sequences"), str):
            options["seed_sequences"] = [options["seed_sequences"]]
        goals = parse_goals(_goal_texts(targets), relative=False)
        if widths := {goal.name: goal.tolerance for goal in goals if goal.tolerance is not None}:
            options["widths"] = widths | dict(options.get("widths") or {})
        wanted = {goal.name: goal.value for goal in goals}
        return generate(self.model, wanted, generator=torch.Generator().manual_seed(seed), **options)

    def optimize(
        self,
        seeds: str | Sequence[str],
        goals: Mapping[str, Any] | str | Sequence[Any],
        *,
        seed: int = 0,
        **options: Any,
    ) -> OptimizedMolecules:
        """Search for better molecules near seeds; see `seqchem.generation.optimize`.

        Args:
            seeds: SMILES, one or several.
            goals: Property -> "+2" or "-1" (a change), or a value; or as on the command line, "logp=+2,sa=-1"; or a
                list of `PropertyGoal`.
            seed: Of the draws.
            options: similarity, rounds, children, ...
        """
        import torch

        from seqchem.generation import optimize, parse_goals

        wanted: Sequence[Any] = goals if isinstance(goals, Sequence) and not isinstance(goals, str) else ()
        if isinstance(goals, (str, Mapping)):
            wanted = parse_goals(_goal_texts(goals), relative=True)
        generator = torch.Generator().manual_seed(seed)
        return optimize(self.model, _listed(seeds), list(wanted), generator=generator, **options)

    def embed(self, sequences: str | Sequence[str], **options: Any) -> Any:
        """Return embeddings (N, D) float32 of sequences; see `seqchem.embedding.RTEmbedder`.

        Args:
            sequences: SMILES, or letters of amino acids; one or several.
            options: Those of the embedder.
        """
        from seqchem.embedding import RTEmbedder

        given = _listed(sequences)
        return RTEmbedder(self.model, **options).fit(given).transform(given)


def _listed(values: str | Sequence[str]) -> list[str]:
    """Return one value or several as a list."""
    return [values] if isinstance(values, str) else list(values)


def _goal_texts(goals: Mapping[str, Any] | str) -> list[str]:
    """Return goals as a command line has them: NAME=VALUE each."""
    if isinstance(goals, str):
        return [text.strip() for text in goals.split(",") if text.strip()]
    return [f"{name}={value}" for name, value in goals.items()]


def load(source: str | os.PathLike[str], *, device: str = "cpu") -> TrainedRT:
    """Load a trained Regression Transformer.

    Args:
        source: A run folder of `seqchem pretrain` or `finetune`, a model folder, or a hub id (``"owner/name"``).
        device: Where to put it.

    Raises:
        UserError: There is no such folder or model, it is damaged, or it is no Regression Transformer.
    """
    path = Path(os.path.expanduser(source))
    if not path.exists() and (not is_hub_id(str(source)) or path.parent.is_dir()):
        raise UserError(f"{path}: there is no such folder; give a run folder or a model folder")
    if path.is_file():
        raise UserError(f"{path} is a file; give a run folder or a model folder")
    folder = own_folder(path)
    if folder is None and path.is_dir():
        half = " (its run is not complete; go on with --resume)" if (path / "checkpoints").is_dir() else ""
        raise UserError(f"{path} holds no model{half}; give a run folder, or bring one in with `seqchem import`")
    model = load_model(folder or str(source))
    if not isinstance(model, Model) or not isinstance(model.config, RTConfig):
        raise UserError(f"{source} holds a {type(model).__name__}, no Regression Transformer; train one with "
                        "`seqchem finetune`")  # fmt: skip
    is_run = folder is not None and folder != path
    calibration = read_json(path / "calibration.json") if (path / "calibration.json").is_file() else {}
    if not all(isinstance(known, dict) for known in calibration.values()):
        raise UserError(f"{path / 'calibration.json'}: must hold an object for each property")
    return TrainedRT(model, path if path.is_dir() else None, _told(path) if is_run else None, calibration).to(device)


def _told(run: Path) -> dict[str, Any]:
    """Return the options of a run; none where its config.yaml is missing."""
    if not (run / "config.yaml").is_file():
        return {}
    try:
        options = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{run / 'config.yaml'}: is no valid YAML ({' '.join(str(error).split())})") from error
    return options if isinstance(options, dict) else {}
