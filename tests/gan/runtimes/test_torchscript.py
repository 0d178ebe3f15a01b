"""What of the torch runtime can be seen without a GPU, half precision above all."""

import shutil
import threading
import warnings
from pathlib import Path

import pytest
import torch

from gan import model_folder, runtimes
from gan.errors import ModelFolderError
from gan.latents import Code, InputSpec, inputs_of_seeds
from gan.manifest import MANIFEST
from gan.model_folder import TORCHSCRIPT
from gan.networks import families
from gan.networks.layers.conditioning import inputs_as_tensors
from gan.runtimes import torchscript
from gan.runtimes.torchscript import FixedTypeError, TorchScriptEngine, load_module
from training.export.export import export_torchscript

CPU = torch.device("cpu")
SHIPPED = Path(__file__).parents[3] / "models" / "fashion-mnist"


def network(name, input_spec):
    made = families.generator(name, input_spec, 1, (16, 16), {"width": 16})
    families.initialise(name, made, torch.Generator().manual_seed(0))
    for parameter in made.parameters():  # some of R3GAN's begin as zeros
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return made.eval()


def types_of_constants(module):
    """Of the floating-point tensors that are fixed in a module's graph."""
    graph = module.inlined_graph
    nodes = [node for node in graph.findAllNodes("prim::Constant") if node.hasAttribute("value")]
    values = [node.t("value") for node in nodes if node.kindOf("value") == "t"]
    return {value.dtype for value in values if value.is_floating_point()}


@pytest.mark.parametrize("name", families.names())
@pytest.mark.parametrize(
    "input_spec", [InputSpec(12), InputSpec(12, classes=3, codes=(Code("kind", 4), Code("slant")))], ids=["plain", "coded"]
)
def test_a_loaded_module_computes_in_the_type_that_is_asked_for(name, input_spec, tmp_path):
    generator = network(name, input_spec)
    export_torchscript(generator, tmp_path / TORCHSCRIPT, inputs_of_seeds(range(2), generator.input_spec))
    with torch.no_grad():
        exact = generator(*inputs_as_tensors(range(4), input_spec))
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.float16, 2e-2)):
            module = load_module((tmp_path / TORCHSCRIPT).read_bytes(), CPU, dtype)
            assert types_of_constants(module) == {dtype}
            drawn = module(
                *(value.to(dtype) if value.is_floating_point() else value for value in inputs_as_tensors(range(4), input_spec))
            )
            assert drawn.dtype == dtype
            assert torch.allclose(drawn.float(), exact, atol=tolerance)


def test_a_file_with_fixed_weights_is_refused_in_half_precision_and_drawn_as_ever_without(tmp_path, monkeypatch):
    folder = shutil.copytree(SHIPPED, tmp_path / "shoes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.load(folder / TORCHSCRIPT).eval()
        if list(module.parameters()):
            torch.jit.save(torch.jit.freeze(module), folder / TORCHSCRIPT)  # as they were exported once
    manifest = model_folder.read_manifest(folder)
    files = manifest.files | model_folder.digests(folder, [TORCHSCRIPT])
    (folder / MANIFEST).write_text(manifest.model_copy(update={"files": files}).model_dump_json())
    old = model_folder.read(folder)
    assert runtimes.load(old, "torchscript", "cpu").name == "torchscript-cpu"

    monkeypatch.setattr(torchscript, "load_module", lambda content, device, _: load_module(content, device, torch.float16))
    with pytest.raises(ModelFolderError) as said:
        runtimes.load(old, "torchscript", "cpu")
    assert isinstance(said.value.__cause__, FixedTypeError)
    assert str(said.value).endswith(
        f"{folder / TORCHSCRIPT} was exported with weights that stay float32: "
        f"export the model again (python -m training.export {folder}), or leave GAN_PRECISION unset"
    )


def test_the_first_images_are_drawn_where_the_device_can_be_had_alone(monkeypatch):
    drawn_in = []
    plain = TorchScriptEngine._levels

    def levels(self, batch):
        drawn_in.append(threading.current_thread().name)
        return plain(self, batch)

    def on_device(work):
        thread = threading.Thread(target=work, name="device")
        thread.start()
        thread.join()

    monkeypatch.setattr(TorchScriptEngine, "_levels", levels)
    runtimes.load(model_folder.read(SHIPPED), "torchscript", "cpu", threads=1, on_device=on_device)
    assert set(drawn_in) == {"device"}


def test_a_batch_that_cannot_be_started_leaves_its_place_free():
    slot = torchscript._CudaGraphBuffers.__new__(torchscript._CudaGraphBuffers)  # as it would be made on a GPU
    slot.free, slot._inputs, slot._staged = True, [], [torch.zeros(1)]
    with pytest.raises(ValueError, match="zip"):
        slot.start([])
    assert slot.free
