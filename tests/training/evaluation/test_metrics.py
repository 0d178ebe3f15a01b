import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_feature_extractor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from training.evaluation import feature_extractors, metrics


def normal(n, d=8, seed=0, mean=0.0, scale=1.0):
    return (mean + scale * np.random.default_rng(seed).standard_normal((n, d))).astype(np.float32)


def test_equal_sets():
    x = normal(500)
    found = metrics.measure(x, x)
    assert found["frechet"] == pytest.approx(0, abs=1e-6)
    # The estimator is unbiased for two samples; for one and the same, whose images meet themselves, it is a little below 0.
    assert -0.05 < found["kernel_distance"] < 0
    assert [found[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert found["density"] == pytest.approx(1, abs=0.01)


def test_the_frechet_distance_of_two_normals_is_the_closed_form():
    # |mu|^2 + d (s - 1)^2, for N(0, 1) and N(mu, s^2) in d dimensions
    found = metrics.frechet(normal(40_000, seed=1), normal(40_000, seed=2, mean=0.5, scale=2.0))
    assert found == pytest.approx(8 * 0.5**2 + 8 * (2 - 1) ** 2, rel=0.02)


def test_the_frechet_distance_of_few_images_with_many_features():
    x = normal(20, d=64)
    assert metrics.frechet(x, x) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet(x, x + 1) == pytest.approx(64, rel=1e-5)


@pytest.mark.parametrize(("real", "fake", "width"), [(300, 200, 20), (200, 300, 20), (40, 300, 60), (300, 40, 60), (30, 50, 60)])
def test_the_frechet_distance_is_torch_fidelitys(real, fake, width):
    mixed = np.random.default_rng(0).standard_normal((width, width)).astype(np.float32)  # features that depend on each other
    sets = [normal(real, width) @ mixed, normal(fake, width, seed=1, mean=0.1, scale=1.2) @ mixed]
    theirs = fid_statistics_to_metric(
        *[fid_features_to_statistics(torch.from_numpy(side).double()) for side in sets], verbose=False
    )
    assert metrics.frechet(*sets) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)


def test_kernel_distance_is_unbiased():
    # The same distribution: above and below nothing, and nothing on average.
    found = [metrics.kernel_distance(normal(200, seed=seed), normal(200, seed=100 + seed)) for seed in range(12)]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 2 * np.std(found) / np.sqrt(12)
    assert metrics.kernel_distance(normal(200), normal(200, seed=1, mean=0.5)) > 5 * max(found)


def test_kernel_distance_is_that_of_the_polynomial_kernel():
    # Both sets fit into one subset, so every subset is the whole set.
    real, fake = normal(50, d=3), normal(50, d=3, seed=1, mean=1)
    kernel = lambda a, b: (a.astype(float) @ b.T.astype(float) / 3 + 1) ** 3  # noqa: E731
    within = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / (50 * 49) for x in (real, fake)]
    assert metrics.kernel_distance(real, fake) == pytest.approx(sum(within) - 2 * kernel(real, fake).mean(), rel=1e-9)


def test_half_of_what_is_real_is_precise_and_lacks_recall():
    both = np.concatenate([normal(300, seed=1), normal(300, seed=2, mean=20)])
    half = normal(300, seed=3)
    found = metrics.measure(both, half)
    assert found["precision"] > 0.85
    assert 0.4 < found["recall"] < 0.5
    assert 0.4 < found["coverage"] < 0.51
    assert found["density"] == pytest.approx(1, abs=0.15)
    other_way = metrics.measure(half, both)
    assert (other_way["precision"], other_way["recall"]) == (found["recall"], found["precision"])
    assert other_way["coverage"] > 0.9
    assert other_way["density"] == pytest.approx(0.5, abs=0.1)


def test_density_and_coverage_of_points_on_a_line():
    real = np.arange(10, dtype=np.float32)[:, None]
    fake = np.full((10, 1), 4.5, np.float32)
    # With k = 1 every ball has a radius of 1, so those of 4 and 5 hold all ten.
    assert metrics.density_coverage(real, fake, neighbour=1) == (2.0, 0.2)
    assert metrics.density_coverage(real, fake + 100, neighbour=1) == (0.0, 0.0)


def test_the_score_of_sure_and_of_equally_shared_classes_is_their_number():
    sure = 100 * np.eye(4, dtype=np.float32)[np.arange(4000) % 4]
    assert metrics.score(sure) == pytest.approx(4, rel=0.01)
    assert metrics.score(np.zeros((100, 4), np.float32)) == pytest.approx(1)
    assert metrics.score(sure[::4]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (normal(9), normal(20), "at least 10 images .* not 9 real"),
        (normal(20), normal(20, d=9), r"one network, not \[20, 8\] and \[20, 9\]"),
        (normal(20), np.full((20, 8), np.nan, np.float32), "not finite"),
    ],
)
def test_what_cannot_be_compared(real, fake, message):
    with pytest.raises(ValueError, match=message):
        metrics.measure(real, fake)


def test_names_follow_inception_only_where_it_measures():
    logits = normal(20, d=4)
    assert set(metrics.measure(normal(20), normal(20, seed=1), logits=logits, inception=True)) == {
        *("fid", "kid", "precision", "recall", "density", "coverage", "inception_score")
    }
    assert set(metrics.measure(normal(20), normal(20, seed=1), logits=logits)) == {
        *("frechet", "kernel_distance", "precision", "recall", "density", "coverage", "score")
    }


class Images(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, place):
        return torch.from_numpy(self.images[place])


class RandomFeatures(FeatureExtractorBase):
    """Our random network under torch-fidelity's own command; the first 10 features serve as logits."""

    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)
        self.ours = feature_extractors.random_network()

    @staticmethod
    def get_provided_features_list():
        return "all", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "logits" if metric == "isc" else "all"

    @staticmethod
    def can_be_compiled():
        return False

    def forward(self, images):
        found = {"all": torch.from_numpy(self.ours(images.numpy()))}
        found["logits"] = found["all"][:, :10]
        return tuple(found[name] for name in self.features_list)


def test_torch_fidelity_from_end_to_end_finds_the_same():
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (120, 3, 32, 32), np.uint8)
    fake = (random.integers(0, 200, (100, 3, 32, 32)) + np.arange(0, 50, 0.5)[:, None, None, None]).astype(np.uint8)
    register_feature_extractor("random", RandomFeatures)
    theirs = calculate_metrics(
        input1=Images(fake), input2=Images(real), feature_extractor="random",
        fid=True, kid=True, prc=True, isc=True, kid_subset_size=100,
        cuda=False, cache=False, save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    extract = feature_extractors.random_network()
    values = extract(fake)
    ours = metrics.measure(extract(real), values, logits=values[:, :10], inception=True)
    # They sum the means and the kernel in single precision, we in double.
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert ours["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert ours["precision"] == pytest.approx(theirs["precision"])
    assert ours["recall"] == pytest.approx(theirs["recall"])
    assert ours["fid"] > 0.001


def test_sliced_wasserstein():
    black, white = np.zeros((20, 1, 32, 32), np.uint8), np.full((30, 1, 32, 32), 255, np.uint8)
    assert metrics.sliced_wasserstein(black, black) == 0
    # The projection of a constant 2 on a random unit vector of D components: 2 sqrt(D) E|u_1| = 2 sqrt(2 / pi).
    assert metrics.sliced_wasserstein(black, white) == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.1)
    some = np.random.default_rng(0).integers(0, 256, (200, 3, 20, 28), np.uint8)
    assert metrics.sliced_wasserstein(some, some[::-1]) == 0
    assert metrics.sliced_wasserstein(some, some // 2) == metrics.sliced_wasserstein(some, some // 2) > 0.1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_distance_that_is_no_number_is_not_the_best_there_is(monkeypatch, value):
    monkeypatch.setattr(np.linalg, "norm", lambda *_: value)
    with pytest.raises(ValueError, match="the Fréchet distance of these features is not a finite number"):
        metrics.frechet(normal(20), normal(20, seed=1))


def test_features_so_large_that_their_covariance_is_infinite_are_no_traceback():
    huge = normal(20) * np.float32(1e30)
    with pytest.raises(ValueError, match=r"not a finite number|did not converge|must not contain infs or NaNs"):
        metrics.frechet(huge * np.float64(1e200), huge)


def test_a_distance_that_rounding_leaves_below_nothing_is_nothing(monkeypatch):
    exact = np.linalg.norm
    monkeypatch.setattr(np.linalg, "norm", lambda *arguments: exact(*arguments) * (1 + 1e-9))
    assert metrics.frechet(normal(20), normal(20)) == 0
