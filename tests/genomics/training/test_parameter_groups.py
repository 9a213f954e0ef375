"""Parameter groups of the genome models under the published rule, by name."""

from __future__ import annotations

import pytest

import seqsuite
from seqdna.configs import PretrainConfig
from seqdna.tasks import LanguageModelling
from seqdna.tokenizers import NucleotideTokenizer


def groups(name: str, **options) -> dict[str, tuple[set[str], float, float]]:
    task = LanguageModelling(
        seqsuite.create_model(name, **options), PretrainConfig(decay="published"), NucleotideTokenizer()
    )
    names = {id(parameter): path for path, parameter in task.model.named_parameters()}
    optimizer = task.configure_optimizers()["optimizer"]
    return {
        group["name"]: ({names[id(p)] for p in group["params"]}, group["initial_lr"], group["weight_decay"])
        for group in optimizer.param_groups
    }


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "caduceus_ph_debug", "mamba_dna_debug"])
def test_caduceus_groups_are_the_papers(name) -> None:
    """Biases, the embedding, A_log and D are exempt; the projections, the convolution and RMSNorm decay."""
    found = groups(name)
    assert set(found) == {"decay", "no_decay"}
    decayed, _, rate = found["decay"]
    exempt, _, none = found["no_decay"]
    assert (rate, none) == (0.1, 0.0)
    for path in decayed | exempt:
        last = path.rsplit(".", 1)[-1]
        spared = last in ("bias", "A_log", "D") or path == "embedding.weight"
        assert (path in exempt) == spared, path
    assert any(path.endswith("norm.weight") for path in decayed)
    kinds = {path.rsplit(".", 1)[-1] for path in exempt}
    assert {"bias", "A_log", "D"} <= kinds


def test_hyena_filters_have_a_rate_of_their_own_and_no_decay() -> None:
    options = {"l_max": 66, "filter_width": 8, "filter_lr_scale": 0.1}
    found = groups("hyenadna_debug", d_model=8, mixer_options=options)
    lr = PretrainConfig().lr
    slow = {name: group for name, group in found.items() if group[1] == pytest.approx(0.1 * lr)}
    assert len(slow) == 1
    ((members, _, decay),) = slow.values()
    assert decay == 0.0
    rest = {path for name, group in found.items() if name not in slow for path in group[0]}
    assert members
    assert all("filter" in path for path in members), members
    assert not any("implicit_filter" in path for path in rest)
