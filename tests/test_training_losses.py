import math

import torch

from training.losses import clip_sigmoid_loss, frame_loss, infonce_loss, prior_loss


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
    assert math.isclose(clip_sigmoid_loss(logits, matches).mean.item(), slow, rel_tol=1e-6)


def test_both_losses_worked_by_hand() -> None:
    """-log sigmoid is ln 2 at 0 and ln 4/3 at ln 3; of ln 3 on what is not so, ln 4."""
    three = math.log(3.0)
    logits = torch.tensor([[three, -three], [three, 0.0]])
    clip = clip_sigmoid_loss(logits, torch.tensor([[True, False], [False, True]]))
    assert math.isclose(clip.mean.item(), (2 * math.log(4 / 3) + math.log(4) + math.log(2)) / 2, rel_tol=1e-6)
    labels = torch.tensor([[[True, False], [False, True]]])
    weights = torch.tensor([[[1.0, 3.0], [0.0, 1.0]]])  # the only wrong one of the four is not known
    frame = frame_loss(logits[None], labels, weights)
    assert math.isclose(frame.mean.item(), (4 * math.log(4 / 3) + math.log(2)) / 5, rel_tol=1e-6)


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
    found = frame_loss(logits, labels, known.float()).mean.item()
    assert math.isclose(found, total / cells, rel_tol=1e-5)


def test_an_unknown_cell_has_no_gradient() -> None:
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    known = torch.tensor([[[True, True, True], [False, False, False]]])
    frame_loss(logits, torch.zeros(1, 2, 3, dtype=torch.bool), known.float()).mean.backward()
    assert logits.grad is not None
    assert (logits.grad[0, 1] == 0).all()
    assert (logits.grad[0, 0] != 0).all()


def test_nothing_known_is_no_loss() -> None:
    empty = torch.zeros(1, 1, 2, dtype=torch.bool)
    assert frame_loss(torch.zeros(1, 1, 2), empty, empty.float()).mean.item() == 0


def test_a_logit_of_minus_110_on_a_positive_still_has_a_gradient() -> None:
    logits = torch.full((1, 1, 1), -110.0, requires_grad=True)
    yes = torch.ones(1, 1, 1, dtype=torch.bool)
    frame_loss(logits, yes, yes.float()).mean.backward()
    assert logits.grad is not None
    assert logits.grad.item() == -1.0


def test_a_cell_may_weigh_less_than_another() -> None:
    logits = torch.randn(1, 1, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[True, True, False, True]]])
    weights = torch.tensor([[[1.0, 0.25, 1.0, 0.0]]])
    found = frame_loss(logits, labels, weights).mean
    each = torch.nn.functional.softplus(torch.where(labels, -logits, logits))
    assert math.isclose(found.item(), ((each * weights).sum() / 2.25).item(), rel_tol=1e-5)


def test_a_clip_that_nobody_described_has_no_clip_loss() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    matches = torch.tensor([[True, False, False, False], [False] * 4, [False, True, True, False]])
    found = clip_sigmoid_loss(logits, matches)
    assert math.isclose(found.mean.item(), clip_sigmoid_loss(logits[[0, 2]], matches[[0, 2]]).mean.item(), rel_tol=1e-6)
    found.mean.backward()
    assert logits.grad is not None
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[[0, 2]] != 0).all()


def test_infonce_is_cross_entropy_both_ways_over_pairs() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    pairs = torch.eye(5, dtype=torch.bool)
    entropy = torch.nn.functional.cross_entropy
    expected = 0.5 * (entropy(logits, torch.arange(5)) + entropy(logits.T, torch.arange(5)))
    assert math.isclose(infonce_loss(logits, pairs).item(), expected.item(), rel_tol=1e-6)


def test_infonce_of_several_captions_a_clip_is_the_mean_of_their_terms() -> None:
    """Worked by hand: clip 0 has captions 0 and 1, caption 1 describes clip 1, too; clip 2 is not described."""
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [9.0, 9.0, 9.0]])
    matches = torch.tensor([[True, True, False], [False, True, False], [False, False, False]])
    rows = [math.log(math.e + math.e**2), math.log(1 + math.e)]  # of captions 0 and 1 alone: 2 describes nothing
    by_clip = ((rows[0] - 1.0) / 2 + (rows[0] - 2.0) / 2 + (rows[1] - 1.0)) / 2
    columns = [math.log(math.e + 1), math.log(math.e**2 + math.e)]
    by_caption = ((columns[0] - 1.0) + (columns[1] - 2.0) / 2 + (columns[1] - 1.0) / 2) / 2
    assert math.isclose(infonce_loss(logits, matches).item(), 0.5 * (by_clip + by_caption), rel_tol=1e-6)
    assert infonce_loss(logits, torch.zeros(3, 3, dtype=torch.bool)).item() == 0.0


def test_the_prior_loss_is_least_where_the_bias_is_the_log_odds_of_the_share() -> None:
    """FLAM's eq. 10; with one matching clip of B and coverage c that is ln((c / B) / (1 - c / B))."""
    biases = torch.zeros(3, requires_grad=True)
    shares = torch.tensor([0.3 / 64, 0.5, float("nan")])
    slow = -sum(z * slow_log_sigmoid(0.5) + (1 - z) * slow_log_sigmoid(-0.5) for z in (0.3 / 64, 0.5)) / 2
    assert math.isclose(prior_loss(torch.full((3,), 0.5), shares).item(), slow, rel_tol=1e-5)
    optimizer = torch.optim.LBFGS([biases], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = prior_loss(biases, shares)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert math.isclose(biases[0].item(), -5.36, abs_tol=0.01)
    assert math.isclose(biases[1].item(), 0.0, abs_tol=1e-3)
    assert biases[2].item() == 0.0
