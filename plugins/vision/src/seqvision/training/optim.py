"""timm's optimisers and schedules, by name, in steps.

optimizer = make_optimizer(model, config)
schedule = make_schedule(optimizer, config)         # None for --sched none
schedule.step_update(num_updates)                   # sets the rate of the update number `num_updates`
"""

from __future__ import annotations

import inspect
from typing import Any

from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch.optim import Optimizer

from seqsuite.errors import UserError, suggest, unknown_name
from seqvision.configs.train import VisionTrainConfig
from seqvision.models.image_model import ImageModel, strange_argument

SCHEDULES = ("cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant", "none")
_OURS = {"optimizer", "sched", "num_epochs", "min_lr", "warmup_lr", "warmup_epochs", "warmup_prefix"}
_OURS |= {"step_on_epochs", "updates_per_epoch", "plateau_mode", "patience_epochs"}


def make_optimizer(model: ImageModel, config: VisionTrainConfig) -> Optimizer:
    """Build the optimiser over timm's parameter groups: no decay of biases, norms and what the model exempts.

    Raises:
        UserError: timm has no such optimiser, it needs a package, or it refuses an option.
    """
    known = [str(name) for name in list_optimizers()]
    if config.opt not in known:
        raise unknown_name("--opt", config.opt, known)
    info = get_optimizer_info(config.opt)
    options: dict[str, Any] = {}
    if info.has_betas and info.num_betas == 2:
        options["betas"] = tuple(config.betas)
    if info.second_order:
        raise UserError(f"--opt {config.opt} needs second derivatives, which this trainer does not take")
    try:
        return create_optimizer_v2(
            model.net,
            opt=config.opt,
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            layer_decay=config.layer_decay or None,
            **{**options, **config.opt_options},
        )
    except (TypeError, ValueError, ImportError, AssertionError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = strange_argument(error, lambda: inspect.signature(get_optimizer_class(config.opt, False)).parameters)
        raise UserError(f"--opt {config.opt} cannot be used: {reason}{hint}") from error


def make_schedule(optimizer: Optimizer, config: VisionTrainConfig) -> Scheduler | None:
    """Build the schedule over the steps after the warm-up; None for a constant rate from the first step on.

    Raises:
        UserError: timm has no such schedule, or it refuses an option.
    """
    if config.sched not in SCHEDULES:
        raise unknown_name("--sched", config.sched, SCHEDULES)
    known = set(inspect.signature(create_scheduler_v2).parameters) - _OURS
    for name in config.sched_options:
        if name not in known:
            raise UserError(f"--sched_options has no {name!r}.{suggest(name, known)}")
    warm = config.warmup_steps if config.sched != "none" else 0
    try:
        schedule, _ = create_scheduler_v2(
            optimizer,
            sched=config.sched,
            num_epochs=max(1, config.steps - warm),
            warmup_epochs=warm,
            warmup_lr=min(config.warmup_lr, config.lr),
            warmup_prefix=True,
            min_lr=config.min_lr,
            step_on_epochs=False,
            updates_per_epoch=1,
            **config.sched_options,
        )
        for update in (config.steps, warm, 0) if schedule is not None else ():
            schedule.step_update(update)  # timm finds out about some options when they are used
    except (TypeError, ValueError, AssertionError, ArithmeticError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"--sched {config.sched} cannot be used: {reason}") from error
    return schedule
