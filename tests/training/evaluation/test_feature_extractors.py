import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from training.errors import FeaturesUnavailableError
from training.evaluation import feature_extractors
from training.evaluation.classifier import Classifier, Network, Record
from training.evaluation.feature_extractors import Extractor
from training.hardware import forbid_tf32


def images(n, channels=1, size=(32, 32), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, channels, *size), np.uint8)


def small_classifier(channels=1):
    torch.manual_seed(0)
    network = Network(channels, classes=4, width=8).eval()
    return Classifier(network, Record(channels=channels, classes=4, width=8, accuracy=0.5, tested=40, guessing=0.2))


EXTRACTORS = [feature_extractors.random_network(), feature_extractors.classifier_network(small_classifier())]


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=lambda one: one.name)
def test_the_size_of_a_batch_changes_nothing(extractor):
    some = images(33)
    together = extractor.extract(some)
    for size in (1, 7, 32):
        parts = Extractor(extractor.name, "", extractor.forward, batch_size=size).extract(some)
        np.testing.assert_allclose(parts.values, together.values, atol=1e-5)
        if together.logits is not None:
            np.testing.assert_allclose(parts.logits, together.logits, atol=1e-5)
    assert together.values.dtype == np.float32
    assert len(np.unique(together.values[:, 0])) > 1


def test_the_random_network_is_fixed():
    # Another value means other weights, or another network: numbers measured before no longer compare.
    grey = np.arange(32 * 32).reshape(1, 1, 32, 32) % 251
    values = feature_extractors.random_network()(grey.astype(np.uint8))
    assert values.shape == (1, 384)
    assert values[0, [0, 100, -1]].tolist() == pytest.approx([0.521054, 0.0236177, 0.40151], rel=1e-4)


def test_random_features_of_grey_are_those_of_the_same_in_rgb():
    extract, grey = feature_extractors.random_network(), images(5, size=(20, 28))
    assert np.array_equal(extract(grey), extract(grey.repeat(3, 1)))
    assert not np.allclose(extract(grey), extract(images(5, size=(20, 28), seed=1)), rtol=0.01)


def test_a_memory_map_is_as_good_as_an_array(tmp_path):
    np.save(tmp_path / "pictures.npy", images(9))
    mapped = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    assert np.array_equal(feature_extractors.random_network()(mapped), feature_extractors.random_network()(images(9)))


def test_classifier_features_and_their_protocol():
    extractor = feature_extractors.classifier_network(small_classifier())
    found = extractor.extract(images(6, size=(28, 28)))
    assert found.values.shape == (6, 128)
    assert found.values.min() == 0
    last = small_classifier().network.last
    expected = found.values @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    version = small_classifier().version
    assert re.fullmatch("[0-9a-f]{8}", version)
    assert extractor.protocol == (
        f"classifier features (LeNet-like, {version}, 50.0 % accurate on 40 held-out pictures), pictures at 32x32, grey"
    )
    with pytest.raises(ValueError, match="3 channels cannot be compared with those of 1"):
        extractor(images(6, channels=3))


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """A machine without Inception's weights and without a network."""
    monkeypatch.setattr(feature_extractors, "get_dir", lambda: str(tmp_path))

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(feature_extractors, "load_state_dict_from_url", refuse)
    return tmp_path


def test_choice(no_weights):
    assert feature_extractors.choose(None, labelled=True)[0] == "classifier"
    assert feature_extractors.choose(None, labelled=False)[0] == "random"
    assert feature_extractors.choose("random", labelled=True) == ("random", "random features, as asked for")
    assert feature_extractors.choose(None, labelled=True, inception_weights=no_weights / "x.pth")[0] == "inception"
    (no_weights / "checkpoints").mkdir()
    (no_weights / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth").touch()
    name, why = feature_extractors.choose(None, labelled=True)
    assert name == "inception"
    assert "published" in why


def test_inception_that_cannot_be_had_says_what_to_do(no_weights):
    with pytest.raises(FeaturesUnavailableError, match=r"no route to host.*--inception-weights.*--features classifier"):
        feature_extractors.inception_network()
    damaged = no_weights / "weights.pth"
    damaged.write_bytes(b"not weights")
    with pytest.raises(FeaturesUnavailableError, match=r"weights\.pth"):
        feature_extractors.inception_network(damaged)
    torch.save({"a": torch.zeros(1)}, damaged)
    with pytest.raises(FeaturesUnavailableError, match=r"weights\.pth"):
        feature_extractors.inception_network(damaged)


class _Malice:
    def __reduce__(self):
        return print, ("run",)


def test_a_file_of_weights_with_code_in_it_is_refused(tmp_path, capsys):
    torch.save({"a": _Malice()}, tmp_path / "weights.pth")
    with pytest.raises(FeaturesUnavailableError, match=r"weights\.pth"):
        feature_extractors.inception_network(tmp_path / "weights.pth")
    assert "run" not in capsys.readouterr().out


def test_inception_with_untrained_weights_takes_grey_of_any_size(tmp_path, monkeypatch):
    # The real network with made-up weights: what is ours are the way there, the colours and the order of what comes back.
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
    torch.save({}, tmp_path / "weights.pth")
    torch.manual_seed(0)
    extractor = feature_extractors.inception_network(tmp_path / "weights.pth")
    found = extractor.extract(images(2, size=(20, 28)))
    assert found.values.shape == (2, 2048)
    assert found.logits.shape == (2, 1008)
    torch.manual_seed(0)
    theirs = FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], str(tmp_path / "weights.pth"))
    expected = theirs(torch.from_numpy(images(2, size=(20, 28)).repeat(3, 1)))
    np.testing.assert_allclose(found.values, expected[0].numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.logits, expected[1].numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_features_are_the_same_on_a_gpu():
    forbid_tf32()
    gpu = torch.device("cuda")
    classifier = small_classifier()
    networks = (feature_extractors.random_network(gpu), feature_extractors.classifier_network(replace(classifier, device=gpu)))
    for here, there in zip(EXTRACTORS, networks, strict=True):
        np.testing.assert_allclose(there(images(5)), here(images(5)), atol=1e-4)
    assert next(classifier.network.parameters()).device.type == "cpu"
