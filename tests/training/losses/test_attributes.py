"""The loss of attributes, of which each class has its own values."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from training.losses.attributes import attribute_error

# Two classes and three columns: of 3, 1 and 2 values in one, and of 2, 4 and 1 in the other
COUNTS = torch.tensor([[3, 1, 2], [2, 4, 1]])
FIRSTS = torch.tensor([[0, 3, 4], [6, 8, 12]])
SHOWN = torch.tensor([[2, 0, 1], [1, 3, 0], [0, 0, 0]])
LABELS = torch.tensor([0, 1, 0])


def error(logits, most=4):
    return attribute_error(logits, FIRSTS[LABELS], COUNTS[LABELS], most, SHOWN)


def test_it_is_the_mean_over_columns_that_have_several_values():
    logits = torch.randn(3, 13, generator=torch.Generator().manual_seed(0))
    by_hand = [
        cross_entropy(logits[image, FIRSTS[label, column] :][: COUNTS[label, column]], SHOWN[image, column])
        for image, label in enumerate(LABELS.tolist())
        for column in range(3)
        if COUNTS[label, column] > 1
    ]
    assert len(by_hand) == 6
    torch.testing.assert_close(error(logits), torch.stack(by_hand).mean())


def test_values_of_other_classes_and_columns_do_not_matter():
    logits = torch.randn(3, 13, generator=torch.Generator().manual_seed(0), requires_grad=True)
    error(logits).backward()
    touched = logits.grad != 0
    assert touched[0].tolist() == [True] * 3 + [False] + [True] * 2 + [False] * 7
    assert touched[1].tolist() == [False] * 6 + [True] * 6 + [False]
    assert logits.grad.isfinite().all()


def test_without_a_column_of_several_values_it_is_nothing():
    ones = torch.ones(2, 1, dtype=torch.int64)
    assert attribute_error(torch.randn(2, 3), 0 * ones, ones, 1, 0 * ones) == pytest.approx(0)
