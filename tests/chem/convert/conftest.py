"""Folders as the authors of the Regression Transformer publish them."""

from __future__ import annotations

import json

import pytest
import torch

from seqchem.configs.models import RTConfig
from seqchem.models.regression_transformer import RegressionTransformer

DIGITS = tuple(f"_{digit}_{power}_" for digit in range(10) for power in range(-5, 4))
MOLECULES = (
    "[PAD]", "_-_", "_+_", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", "<qed>", "<esol>", "_._", *DIGITS,
    "[C]", "[O]", "[=C]", "[N]", "[Branch1_1]", "[Expl=Ring1]", "[Ring1]", "[epsilon]",
)  # fmt: skip
PROTEINS = (
    "", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", "<stab>", "_._", *DIGITS, *"ACDEFGHIKLMNPQRSTVWY",
)  # fmt: skip
CONFIG = {
    "architectures": ["XLNetLMHeadModel"], "attn_type": "bi", "bi_data": False, "bos_token_id": 14, "clamp_len": -1,
    "d_head": 8, "d_inner": 48, "d_model": 32, "dropout": 0.2, "end_n_top": 5, "eos_token_id": 14,
    "ff_activation": "gelu", "initializer_range": 0.02, "language": "selfies", "layer_norm_eps": 1e-12, "mem_len": None,
    "model_type": "xlnet", "n_head": 4, "n_layer": 2, "numerical_encodings_dim": 16,
    "numerical_encodings_format": "sum", "numerical_encodings_type": "float", "pad_token_id": 0, "reuse_len": None,
    "same_length": False, "untie_r": True, "use_numerical_encodings": True, "vmax": 1.0,
}  # fmt: skip
INFERENCE = {
    "property_token": ["<qed>", "<esol>"],
    "property_ranges": {"<qed>": [0.0, 1.0], "<esol>": [-11.6, 1.6]},
    "property_mask_length": {"<qed>": 5, "<esol>": 6},
    "normalize": [True, True],
    "max_span_length": 7,
    "example": "<qed>0.727|<esol>0.1234|[C][O]",
}


class Published:
    """Writes a folder; what differs from the usual one is given.

    Attributes:
        state: The tensors in it.
    """

    def __init__(self, folder):
        self.folder = folder

    def write(self, vocabulary=MOLECULES, config=CONFIG, inference=INFERENCE, *, rows=None, tokenizer=None, **more):
        """Return the folder; its embedding has as many rows as there are tokens, or as `rows` says."""
        torch.manual_seed(0)
        names = ("d_model", "n_layer", "n_head", "d_inner")
        padding = tuple(f"[unused{number}]" for number in range(len(vocabulary) + 10))
        tokens = (*vocabulary, *padding)[: rows or len(vocabulary)]
        sizes = RTConfig(vocabulary=tokens, **{name: config[name] for name in names})
        self.state = RegressionTransformer(sizes).backbone.state_dict()
        self.folder.mkdir(exist_ok=True)
        torch.save(self.state, self.folder / "pytorch_model.bin")
        (self.folder / "vocab.txt").write_text("\n".join(vocabulary))
        (self.folder / "config.json").write_text(json.dumps({**config, "vocab_size": len(tokens), **more}))
        if inference is not None:
            (self.folder / "inference.json").write_text(json.dumps(inference))
        if tokenizer is not None:
            (self.folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        return self.folder


@pytest.fixture
def published(tmp_path):
    """The usual folder is written by `published.write()`."""
    return Published(tmp_path / "published")
