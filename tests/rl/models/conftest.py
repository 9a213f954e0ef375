"""Small policies and windows for them."""

from __future__ import annotations

import pytest
import torch

from seqsuite.models import create_model

NO_DROPOUT = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}


@pytest.fixture
def make():
    """Build a debug size, in evaluation mode and float64, with parameters that nothing hides behind."""

    def build(name="decision_transformer_debug", seed=0, **options):
        torch.manual_seed(seed)
        model = create_model(name, **options).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return build


@pytest.fixture
def window():
    """Draw a window for a config: states, actions, returns-to-go, time steps."""

    def draw(config, rows=3, steps=None, seed=1):
        random = torch.Generator().manual_seed(seed)
        steps = steps or config.context
        if config.pixels:
            states = torch.randint(0, 256, (rows, steps, *config.observation_shape), generator=random).byte()
        else:
            states = torch.randn(rows, steps, *config.observation_shape, generator=random, dtype=torch.float64)
        if config.discrete:
            actions = torch.randint(0, config.action_dim, (rows, steps), generator=random)
        else:
            actions = torch.randn(rows, steps, config.action_dim, generator=random, dtype=torch.float64)
        returns = torch.randn(rows, steps, getattr(config, "return_dim", 1), generator=random, dtype=torch.float64)
        start = torch.randint(0, 20, (rows, 1), generator=random)
        return [states, actions, returns, start + torch.arange(steps)]

    return draw
