"""The losses that verl's SFT trainer hasn't got, in the form in which it calls one: ReCoT-NER's recall-oriented loss.

In an SFT configuration, where no `loss`, or null, means verl's own:

    loss: {name: recall_oriented, alpha: 1.2, beta: 1.0, confidence: true, detach_confidence: false}
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch

from recipe.core.entities import DataError

# The field of a batch that says which tokens hold the `B` of a tag: (seq,) as `loss_mask`, written by sft.dataset.
BEGIN_MASK = "begin_mask"
_SETTINGS = {"alpha": 1.2, "beta": 1.0, "confidence": True, "detach_confidence": False}


def recall_oriented_loss(
    config,
    model_output,
    data,
    dp_group=None,
    *,
    alpha: float = 1.2,
    beta: float = 1.0,
    confidence: bool = True,
    detach_confidence: bool = False,
) -> tuple[torch.Tensor, dict]:
    """The mean over the batch's answer tokens t of `-w_t log p_t`, a scalar, and no metrics (Fu and Zhang, ReCoT-NER).

    `w_t` is `alpha (1 - p_t)` where t holds the `B` of a tag and `beta (1 - p_t)` elsewhere, or just alpha and beta
    without `confidence`. The formula leaves open whether 1 - p_t is part of what is differentiated. With w0 for alpha
    or beta, and by `detach_confidence`, which changes no value of the loss:

        false   dL/d(log p) = -w0 (1 - p - p log p)     as the formula reads: the focal loss with gamma = 1 (Lin et al.
                                                        2017, eq. 5)
        true    dL/d(log p) = -w0 (1 - p)               1 - p is a weight, a constant of the step

    The first is 1.3, 1.7 and 1.9 times the second at p = 0.1, 0.5 and 0.9, twice as large in the limit of 1.

    `model_output["log_probs"]`, `data["loss_mask"]`, `data["begin_mask"]`: jagged, (rows, seq). Position i of the first
    is about token i + 1, so the masks are rolled by one. Divided by the tokens of the whole batch, times the ranks, as
    verl's sft_loss, which it equals for alpha = beta = 1 without confidence: micro-batches add up and ranks average.
    """
    kept, begins = (torch.roll(data[mask].values(), shifts=-1, dims=0) for mask in ("loss_mask", BEGIN_MASK))
    # The prompt's tokens go first: a log-probability of -inf among them would make the gradient NaN.
    log_prob = torch.where(kept.bool(), model_output["log_probs"].values(), 0.0)
    surprise = -log_prob
    if confidence:
        surprise = -torch.expm1(log_prob.detach() if detach_confidence else log_prob) * surprise  # exact for p near 1
    weighted = torch.where(begins.bool(), alpha * surprise, beta * surprise)
    return (weighted * kept).sum() / data["batch_num_tokens"] * data["dp_size"], {}


def configured_loss(settings: Mapping | None) -> Callable | None:
    """What verl's `set_loss_fn` takes for a configuration's `loss`; None, for none, leaves verl's own.

    DataError for a name, key or value that isn't known.
    """
    if not settings:
        return None
    given = {**_SETTINGS, **settings}
    name = given.pop("name", None)
    if name != "recall_oriented":
        raise DataError(f"loss.name={name}: not known; take recall_oriented, or loss=plain for verl's own")
    if unknown := sorted(given.keys() - _SETTINGS.keys()):
        raise DataError(f"loss.{unknown[0]}: not known; there are name, {', '.join(_SETTINGS)}")
    for key in ("alpha", "beta"):
        value = given[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise DataError(f"loss.{key}={value}: must be a number, zero or more")
    for key in ("confidence", "detach_confidence"):
        if not isinstance(given[key], bool):
            raise DataError(f"loss.{key}={given[key]}: must be true or false")
    if given["detach_confidence"] and not given["confidence"]:
        raise DataError("loss.detach_confidence=True: there is nothing to detach with loss.confidence=false; set one")
    return partial(recall_oriented_loss, None, **given)
