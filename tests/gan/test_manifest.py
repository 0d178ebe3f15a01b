"""model.json of both versions."""

import json
from pathlib import Path

import pytest

from gan.errors import ModelFolderError
from gan.latents import Code, InputSpec
from gan.manifest import Manifest, generator_inputs, image_output
from gan.manifest_parts import Architecture, Imported, Network, Styles, Trained
from gan.manifest_versions import parse_manifest

FIRST = Path(__file__).with_name("manifest-1.json")  # as fashion-mnist had it
CODES = (Code("kind", 4), Code("slant"))


def first():
    """A manifest of version 1, as a dict."""
    return json.loads(FIRST.read_text())


def parse(content):
    return parse_manifest(json.dumps(content).encode(), "shoes/model.json")


def test_a_manifest_of_version_1_is_read_as_the_same_model():
    before = first()
    assert before["format_version"] == 1
    manifest = parse(before)
    assert (manifest.format_version, manifest.task) == (2, "generate")
    assert (manifest.name, manifest.version, manifest.files) == (before["name"], before["version"], before["files"])
    assert (manifest.z_dim, manifest.latent, manifest.classes) == (before["z_dim"], before["latent"], before["classes"])
    assert (manifest.channels, manifest.height, manifest.width) == (1, 32, 32)
    assert [one.name for one in manifest.inputs] == ["z", "label"]
    assert manifest.input_spec == InputSpec(100, "normal", 10)
    assert manifest.architecture == Architecture(**before["architecture"])
    assert manifest.networks["generator"].files == {
        "weights": "generator.safetensors",
        "onnx": "generator.onnx",
        "torchscript": "generator.torchscript.pt",
    }
    assert {name: export.model_dump() for name, export in manifest.exports.items()} == before["exports"]
    assert isinstance(manifest.origin, Trained)
    assert manifest.origin.model_dump(mode="json", exclude={"kind"}) == before["origin"]
    rows = {row["name"]: row for row in before["metrics"]}
    assert [metric.name for metric in manifest.metrics] == [name for name in rows if not name.startswith("deviation/")]
    for metric in manifest.metrics:
        row, deviation = rows[metric.name], rows.get(f"deviation/{metric.name}", {})
        assert (metric.value, metric.protocol, metric.real) == (row["value"], row["protocol"], row["real"])
        assert (metric.deviation, metric.real_deviation) == (deviation.get("value"), deviation.get("real"))


def test_what_is_written_is_read_again():
    manifest = parse(first())
    assert parse_manifest(manifest.model_dump_json().encode(), "again") == manifest


def test_codes_of_version_1_keep_their_order_and_kind():
    manifest = parse({**first(), "codes": [{"name": "kind", "categories": 4}, {"name": "slant", "categories": None}]})
    assert manifest.codes == list(CODES)
    assert [(one.name, one.role, one.dtype) for one in manifest.inputs[2:]] == [
        ("kind", "code", "int64"),
        ("slant", "code", "float32"),
    ]


def imported(**changes):
    fields = {
        "name": "cats",
        "version": "0123456789ab",
        "inputs": generator_inputs(InputSpec(8, "uniform"), None),
        "outputs": [image_output(3, 16, 24)],
        "networks": {"generator": Network(files={"onnx": "generator.onnx"})},
        "origin": Imported(source="cats.onnx", digest="0" * 64),
        "licence": "unknown",
        "files": {"generator.onnx": "0" * 64},
    }
    return Manifest.model_validate(fields | changes)


def test_a_model_of_another_program_has_no_architecture_of_ours():
    manifest = parse_manifest(imported().model_dump_json().encode(), "cats")
    assert (manifest.architecture, manifest.exports, manifest.classes) == (None, {}, None)
    assert (manifest.latent, manifest.z_dim, manifest.outputs[0].values) == ("uniform", 8, 3 * 16 * 24)


NAMES = (["a", "b"], ["a", "b", "a"], ["a", "", "b"])


def labelled(names):
    """Inputs of three classes with these names, as a file may have them."""
    z, label = generator_inputs(InputSpec(8), ["a", "b", "c"])
    return [z.model_dump(), {**label.model_dump(), "names": names}]


SHAPES = (("n", 3, 16), ("n", 3, 16, 16, 1), ("n", 2, 16, 16), ("n", "n", 16, 16), (1, 3, 16, 16), ("n", 3, 0, 16), ("n",))


def shaped(*sides):
    return {**image_output(3, 16, 24).model_dump(), "shape": sides}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": [*generator_inputs(InputSpec(8), None), *generator_inputs(InputSpec(8), None)]}, "two inputs .* one name"),
        ({"inputs": generator_inputs(InputSpec(8, codes=(Code("label", 3),)), None)}, "two inputs .* one name"),
        ({"inputs": generator_inputs(InputSpec(8), ["a"])[1:]}, "first input must be the latent vector z"),
        ({"networks": {"discriminator": Network(files={})}}, "no generator among the networks"),
        ({"styles": Styles(layers=3, size=4)}, "belong together"),
        ({"networks": {"generator": Network(files={}), "mapping": Network(files={})}}, "belong together"),
        ({"sampling": {"truncation": 0.5, "truncation_space": "w"}}, "belong together"),
        ({"sampling": {"truncation": 0}}, "a truncation of 0 is for styles"),
        *(({"inputs": labelled(names)}, "label has 3 categories, which need as many different names") for names in NAMES),
        *(({"outputs": [shaped(*sides)]}, "images must have .* n, channels, 1 or 3, height and width") for sides in SHAPES),
        ({"inputs": [{**generator_inputs(InputSpec(8), None)[0].model_dump(), "shape": ["n"]}]}, "z must have the shape n and one"),
        ({"origin": {"kind": "found"}}, "does not match any of the expected tags"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        imported(**changes)


def test_networks_name_files_of_their_folder_only():
    manifest = imported(networks={"generator": Network(files={"onnx": "../generator.onnx"})})
    with pytest.raises(ModelFolderError, match="names a file that is none of its folder's"):
        parse_manifest(manifest.model_dump_json().encode(), "cats")


def test_a_copy_with_other_inputs_has_other_classes():
    manifest = parse(first())
    assert len(manifest.classes) == 10
    assert manifest.input_spec.classes == 10
    changed = manifest.model_copy(update={"inputs": [one for one in manifest.inputs if one.role != "label"]})
    assert (changed.classes, changed.input_spec.classes) == (None, None)
    assert manifest.input_spec.classes == 10
