"""The loss of distillation, and its gradient, without ever holding the logits of more than a few positions."""

import torch
from torch import Tensor

_ROWS = 512
"""positions whose probabilities over the vocabulary are held at once"""


def divergence_at_head(
    hidden: Tensor, head: Tensor, taught: Tensor, teaching_head: Tensor, *, train_head: bool
) -> tuple[float, Tensor, Tensor | None]:
    """The mean KL divergence from teacher to student in nats, and its gradients at `hidden` and, if asked for, `head`.

    `hidden` and `taught` [..., hidden] are final hidden states, the heads [vocabulary, hidden] in the precision that
    products are to be in; gradients in float32. Source: Hinton et al., arXiv 1503.02531, at temperature 1.
    """
    student, teacher = (states.detach().flatten(0, -2).to(head.dtype) for states in (hidden, taught))
    at_hidden = torch.empty(student.shape, device=student.device)
    at_head = torch.zeros(head.shape, device=head.device) if train_head else None
    total = 0.0
    for start in range(0, len(student), _ROWS):
        rows = slice(start, start + _ROWS)
        p = (teacher[rows] @ teaching_head.T).float().log_softmax(-1)
        q = (student[rows] @ head.T).float().log_softmax(-1)
        total += float(torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True))
        change = q.exp_().sub_(p.exp_()).to(head.dtype)  # the gradient at the logits
        at_hidden[rows] = (change @ head).float()
        if at_head is not None:
            at_head += (change.T @ student[rows]).float()
    count = len(student)
    return total / count, at_hidden.view_as(hidden) / count, None if at_head is None else at_head / count
