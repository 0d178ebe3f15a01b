"""The command that measures runtimes."""

import json
from pathlib import Path

import pytest

from gan import bench
from gan.bench import Candidate, Result, main, recommend

MODEL = Path(__file__).parents[2] / "models" / "fashion-mnist"
QUICKLY = ["--seconds", "0.01", "--rounds", "1", "--threads", "1"]


def test_every_runtime_is_measured_compared_and_the_fastest_recommended(capsys, monkeypatch):
    monkeypatch.setattr(
        bench,
        "candidates",
        lambda: [
            Candidate("onnx", "float32", "cpu"),
            Candidate("openvino", "float32", "cpu"),
            Candidate("onnx", "bfloat16", "cpu"),
        ],
    )
    assert main([str(MODEL), *QUICKLY, "--json"]) == 0
    onnx, openvino, refused = json.loads(capsys.readouterr().out)
    for one, name in ((onnx, "onnx-cpu"), (openvino, "openvino-cpu")):
        assert one["name"] == name
        assert one["largest"] <= 1
        assert all(one["images_per_second"][size] > 0 and one["milliseconds"][size] > 0 for size in ("1", "16", "64"))
        assert one["megabytes"] > 50
    assert "needs GAN_RUNTIME=openvino" in refused["failure"]


def test_all_runtimes_and_precisions_are_candidates():
    found = [(one.runtime, one.precision) for one in bench.candidates() if one.device == "cpu"]
    assert found[0] == ("onnx", "float32")
    assert {("openvino", "float32"), ("openvino", "bfloat16"), ("torchscript", "float32")} <= set(found)


def result(runtime, precision, speed, largest, mean):
    speeds = {1: speed / 2, 16: speed, 64: speed}
    return Result(
        Candidate(runtime, precision, "cpu"), None, runtime, 1.0, 100.0, speeds, {1: 1.0, 16: 2.0, 64: 3.0}, largest, mean
    )


def test_settings_that_change_images_are_recommended_apart():
    results = [
        result("onnx", "float32", 100, 0, 0),
        result("openvino", "bfloat16", 300, 9, 0.1),
        Result(Candidate("x", "float32", "cpu"), "no"),
    ]
    same, other = recommend(results)
    assert same == "fastest with the same images, to one grey level: the defaults (100 images/s)"
    assert other.startswith(
        "fastest of all: GAN_RUNTIME=openvino GAN_PRECISION=bfloat16 (300 images/s, 3.00 times as many); its images"
    )
    assert other.endswith("differ by 0.10 grey levels on average, by 9 at most")
    assert len(recommend([*results, result("openvino", "float32", 400, 1, 0)])) == 1
    table = bench.as_table(results).splitlines()
    assert len(table) == 5
    assert {line.count("|") for line in table} == {12}


def test_what_cannot_be_measured_is_said(capsys):
    assert main(["no-such-model"]) == 2
    assert "gan.bench: there is no model folder no-such-model" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(MODEL), "--rounds", "0"])
    assert "--rounds: must be 1 or more" in capsys.readouterr().err
