import math

import torch

from training.losses import clip_loss, frame_loss


def slow_log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def test_the_clip_loss_is_finelaps_double_sum() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, -3.0]])
    matches = torch.tensor([[True, False], [False, True]])
    slow = 0.0
    for i in range(2):
        for j in range(2):
            sign = 1 if matches[i, j] else -1
            slow -= slow_log_sigmoid(sign * float(logits[i, j])) / 2
    assert math.isclose(clip_loss(logits, matches).item(), slow, rel_tol=1e-6)


def test_the_frame_loss_is_the_mean_over_known_cells_only() -> None:
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = logits.roll(1) > 0
    known = logits.roll(2) > -0.5
    total, cells = 0.0, 0
    for i in range(3):
        for k in range(4):
            for t in range(5):
                if known[i, k, t]:
                    sign = 1 if labels[i, k, t] else -1
                    total -= slow_log_sigmoid(sign * float(logits[i, k, t]))
                    cells += 1
    assert 0 < cells < 60
    found = frame_loss(logits, labels, known, phrases_per_clip=1000).item()  # more than there are: all count fully
    assert math.isclose(found, total / cells, rel_tol=1e-5)


def test_all_other_phrases_weigh_as_much_as_finelaps_drawn_ones() -> None:
    """In expectation: the mean loss over many draws of N - P others for each clip."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 12, 3, generator=generator)
    labels = torch.zeros(2, 12, 3, dtype=torch.bool)
    labels[0, [1, 4], 1] = labels[1, 7, :] = True
    known = torch.ones_like(labels)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
    expected = 0.0
    for i, sounding in enumerate([[1, 4], [7]]):
        others = [k for k in range(12) if k not in sounding]
        share = (5 - len(sounding)) / len(others)  # the chance of each other phrase to be drawn, N = 5
        expected += float(losses[i, sounding].sum() + share * losses[i, others].sum())
    assert math.isclose(
        frame_loss(logits, labels, known, phrases_per_clip=5).item(), expected / (2 * 5 * 3), rel_tol=1e-5
    )


def test_an_unknown_cell_has_no_gradient() -> None:
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    known = torch.tensor([[[True, True, True], [False, False, False]]])
    frame_loss(logits, torch.zeros(1, 2, 3, dtype=torch.bool), known, phrases_per_clip=20).backward()
    assert logits.grad is not None
    assert (logits.grad[0, 1] == 0).all()
    assert (logits.grad[0, 0] != 0).all()


def test_nothing_known_is_no_loss() -> None:
    empty = torch.zeros(1, 1, 2, dtype=torch.bool)
    assert frame_loss(torch.zeros(1, 1, 2), empty, empty, phrases_per_clip=20).item() == 0


def test_a_logit_of_minus_110_on_a_positive_still_has_a_gradient() -> None:
    logits = torch.full((1, 1, 1), -110.0, requires_grad=True)
    yes = torch.ones(1, 1, 1, dtype=torch.bool)
    frame_loss(logits, yes, yes, phrases_per_clip=20).backward()
    assert logits.grad is not None
    assert logits.grad.item() == -1.0


def test_a_cell_may_weigh_less_than_another() -> None:
    logits = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[True, True, False, True]]])
    weights = torch.tensor([[[1.0, 0.25, 1.0, 0.0]]])
    found = frame_loss(logits, labels, weights, phrases_per_clip=20)
    each = torch.nn.functional.softplus(torch.where(labels, -logits, logits))
    assert math.isclose(found.item(), ((each * weights).sum() / 2.25).item(), rel_tol=1e-5)
