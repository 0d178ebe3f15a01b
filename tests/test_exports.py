import onnx
import pytest
import torch

from gan.latents import inputs_of_seeds
from gan.networks import families
from gan.networks.layers.conditioning import inputs_as_tensors
from tests import exports
from training.config.schema import TrainingConfig
from training.export.export import export_onnx


def content(path):
    """A graph in bytes, without remarks on its values, which a copy may lose."""
    model = onnx.load(path)
    for value in (*model.graph.value_info, *model.graph.output):
        del value.metadata_props[:]
    return model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("arch", ["dcgan", "r3gan"])
def test_the_file_is_the_one_that_the_exporter_itself_writes(arch, tmp_path, monkeypatch):
    config = TrainingConfig(arch=arch, width={"r3gan": 16}.get(arch, 4), batch_size=2)
    generator = families.generator(arch, config.input_spec(None), 1, (32, 32), config.arguments)
    rows = inputs_of_seeds(range(2), generator.input_spec)
    for seed in (0, 1):
        families.initialise(arch, generator, torch.Generator().manual_seed(seed))
        generator.train()(*inputs_as_tensors(range(8), generator.input_spec))  # batch normalisation has statistics of its own
        export_onnx(generator.eval(), tmp_path / f"{seed}-once", rows)
    monkeypatch.setattr(torch.onnx, "export", exports._export)
    export_onnx(generator, tmp_path / "exporter", rows)
    zero, one, exporter = (content(tmp_path / name) for name in ("0-once", "1-once", "exporter"))
    assert one == exporter
    assert zero != exporter
