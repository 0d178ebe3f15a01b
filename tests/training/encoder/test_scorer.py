"""A score: distances as they are defined, labels that fit best, and noise that is unusual."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from training.encoder import eight_bits, neighbours
from training.encoder.eight_bits import store_in_eight_bits
from training.encoder.neighbours import Neighbours, Whitening, pooled
from training.encoder.scorer import Scorer
from training.encoder.writing import make_scorer


def test_distances_are_those_to_the_two_nearest_in_whitened_features():
    random = torch.Generator().manual_seed(0)
    real = torch.randn(40, 6, generator=random) * torch.tensor([5.0, 1, 1, 1, 1, 0.1])
    asked = torch.randn(7, 6, generator=random) * 3
    find = Neighbours(real)
    stored, found = find.whitened(real), find.whitened(asked)
    expected = torch.cdist(found, stored).sort(1).values[:, :2].mean(1)
    torch.testing.assert_close(find(asked), expected, rtol=1e-3, atol=1e-3)
    variances = real.var(0, unbiased=False)
    soft = neighbours._SOFTNESS * variances.mean()
    whitened = find.whitened(real)[:, :6]  # all components are kept, so that nothing is left
    assert sorted((whitened.var(0, unbiased=False)).tolist()) == pytest.approx(
        sorted(
            (
                torch.linalg.eigvalsh(torch.cov(real.T, correction=0))
                / (torch.linalg.eigvalsh(torch.cov(real.T, correction=0)) + soft)
            ).tolist()
        ),
        rel=1e-3,
    )


def test_what_the_components_leave_counts_too(monkeypatch):
    monkeypatch.setattr(neighbours, "_COMPONENTS", 2)
    real = torch.cat([torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(50, 3)], 1)
    find = Neighbours(real)
    beside = real[:1] + torch.tensor([[0.0, 0, 0, 0, 2]])
    assert find.whitened(beside).shape == (1, 3)
    assert find(beside) > 5 * find(real[:1])
    assert Whitening.of(torch.zeros(4, 3)).scale.isfinite().all()  # features that are all alike


def test_the_largest_components_are_those_of_the_whole_decomposition(monkeypatch):
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(300, 300, generator=random) * torch.logspace(0, -2, 300)[:, None]  # as of layers: few large, many small
    real, asked = torch.randn(400, 300, generator=random) @ mixing + 3, torch.randn(9, 300, generator=random) @ mixing * 2
    monkeypatch.setattr(neighbours, "_COMPONENTS", 32)
    exact, state = Neighbours(real), torch.get_rng_state()
    monkeypatch.setattr(neighbours, "_EXACTLY", 299)
    largest = Neighbours(real)
    torch.testing.assert_close(largest(asked), exact(asked), rtol=2e-3, atol=0)
    assert not torch.equal(largest.basis, exact.basis)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(Neighbours(real).basis, largest.basis)


def test_maps_are_halved_unless_they_are_small_and_large_ones_more():
    assert pooled(torch.zeros(2, 3, 16, 16)).shape == (2, 3 * 64)
    assert pooled(torch.zeros(2, 3, 64, 128)).shape == (2, 3 * 8 * 16)
    assert pooled(torch.zeros(2, 3, 14, 12)).shape == (2, 3 * 7 * 6)
    assert pooled(torch.zeros(2, 3, 4, 6)).shape == (2, 3 * 24)
    assert pooled(torch.zeros(2, 9)).shape == (2, 9)


def test_the_label_is_that_of_the_nearest_of_the_drawn_pictures(labelled):
    encoder = labelled.start().average
    scorer = make_scorer(encoder, labelled.model, labelled.pictures)
    x = torch.from_numpy(labelled.pictures.selection.images[:6].astype(np.float32) / 127.5 - 1)
    score, drawn, label = scorer(x)
    for row in range(6):
        tries = [labelled.model.draw(encoder(x[row : row + 1], torch.tensor([one])), torch.tensor([one])) for one in range(10)]
        errors = [float((one - x[row]).square().mean()) for one in tries]
        assert errors[int(label[row])] == pytest.approx(min(errors), rel=1e-5)
        torch.testing.assert_close(drawn[row], tries[int(label[row])][0], rtol=1e-4, atol=1e-4)
    assert score.shape == (6,)


@pytest.mark.parametrize("kind", ["plain", "labelled"])
def test_the_score_is_the_largest_part_in_units_of_held_out_pictures_and_noise_is_far_above(kind, request):
    found = request.getfixturevalue(kind)
    scorer = make_scorer(found.start().average, found.model, found.pictures)
    held_out = torch.from_numpy(found.pictures.selection.images.astype(np.float32) / 127.5 - 1)
    parts = torch.cat([scorer.parts(some)[0] for some in held_out.split(64)])
    scaled = (parts - parts.mean(0)) / parts.std(0)
    scores = torch.cat([scorer(some)[0] for some in held_out.split(64)])
    torch.testing.assert_close(scores, scaled.max(1).values, rtol=1e-3, atol=1e-3)
    noise = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert scorer(noise)[0].min() > scores.max()


def test_a_model_without_a_discriminator_is_scored_by_the_encoder_alone(plain):
    scorer = Scorer(plain.start().average, plain.model.generator, None).eval()
    images = torch.from_numpy(plain.pictures.train.images[:64].astype(np.float32) / 127.5 - 1)
    scorer.fit(images[:40], images[40:])
    assert len(scorer.neighbours) == len(scorer.encoder.trunk)
    assert scorer(images)[0].isfinite().all()


def test_large_weights_are_stored_in_eight_bits(scored):
    model = onnx.load(scored.model / "scorer.onnx")
    looked_up = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    large = [
        one for one in model.graph.initializer if math.prod(one.dims) > 1000 and len(one.dims) > 1 and one.name not in looked_up
    ]
    assert {one.data_type for one in large} == {onnx.TensorProto.INT8}
    assert sum(math.prod(one.dims) for one in large) > 100_000
    onnx.checker.check_model(model)


def test_storing_in_eight_bits_rounds_weights_and_nothing_else(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(50, 60), torch.nn.Tanh(), torch.nn.Linear(60, 40)).requires_grad_(False)
    network[2].weight[7] = 0  # by whose largest value nothing is divided
    network[2].weight[8] *= 1000  # which must not make the other rows coarse
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(network, (rows,), tmp_path / "network.onnx", dynamo=True, external_data=False, verbose=False)

    def run():
        session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
        return session.run(None, {session.get_inputs()[0].name: rows.numpy()})[0]

    before, size = run(), (tmp_path / "network.onnx").stat().st_size
    store_in_eight_bits(tmp_path / "network.onnx")
    assert (tmp_path / "network.onnx").stat().st_size < 0.45 * size
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(tmp_path / "network.onnx").graph.initializer}
    for name, layer in (("0", network[0]), ("2", network[2])):
        levels, scales = stored[f"{name}.weight.levels"], stored[f"{name}.weight.scales"]
        rounded = torch.from_numpy(levels * scales)
        assert ((rounded - layer.weight).abs() <= torch.from_numpy(scales) / 2 + 1e-7).all()
        assert (np.abs(levels).max(1 if scales.shape[1] == 1 else 0)[scales.ravel() != 1] == 127).all()
        layer.weight.copy_(rounded)
    np.testing.assert_allclose(run(), network(rows).numpy(), rtol=1e-5, atol=1e-5)
    assert not np.array_equal(run(), before)


def test_a_scale_is_that_of_a_column_where_that_rounds_less():
    values = np.random.default_rng(0).standard_normal((60, 50), np.float32) * np.logspace(0, 4, 50, dtype=np.float32)
    rounded = [eight_bits._rounded(values, axis) for axis in (0, 1)]
    assert [scales.shape for _, scales in rounded] == [(60, 1), (1, 50)]
    assert eight_bits._error(values, *rounded[1]) < 0.5 * eight_bits._error(values, *rounded[0])


class _LookUp(torch.nn.Module):
    """Numbers compared with thresholds that are looked up, some of which nothing exceeds."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.rand(40, 50, generator=torch.Generator().manual_seed(0)))
        self.table[:, -3:] = torch.inf

    def forward(self, rows, label):
        return (rows[:, None] > self.table[label]).sum(1)


@torch.no_grad()
def test_a_table_that_values_are_looked_up_in_is_not_rounded(tmp_path):
    network, file = _LookUp().eval(), tmp_path / "network.onnx"
    rows = {"rows": torch.rand(200, generator=torch.Generator().manual_seed(1)), "label": torch.arange(200) % 40}
    torch.onnx.export(network, tuple(rows.values()), file, input_names=list(rows), dynamo=True, external_data=False, verbose=False)
    store_in_eight_bits(file)
    session = onnxruntime.InferenceSession(file)
    (found,) = session.run(None, {name: values.numpy() for name, values in rows.items()})
    np.testing.assert_array_equal(found, network(*rows.values()).numpy())
