"""Points in the plane: the data, and runs on them from the command to the report."""

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gan.latents import inputs_of_seeds
from training import data
from training.compare import main as compare
from training.config.files import read_config
from training.data import HeldOut, points
from training.data.points import point_set
from training.engine.checkpoint import checkpoints
from training.engine.checkpoint_quality import generate_nchw
from training.engine.state import TrainingState
from training.evaluate import main as evaluate
from training.evaluation.point_evaluator import PointEvaluator, energy_distance
from training.hardware import Hardware
from training.run import main
from training.tracking import frames, report, stats

# Of the recipes, with small batches, the first GAN with R1 needs the fewest seconds
QUICK = ["--recipe", "gan", "--r1", "1e-3", "--width", "128", "--batch-size", "64", "--learning-rate", "4e-3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run that shows within seconds whether a recipe works."""
    folder = tmp_path_factory.mktemp("points")
    lengths = ["--images", "45k", "--sample-every", "15k"]
    assert main(["--data", "ring", *QUICK, *lengths, "--out", str(folder / "runs"), "--models", str(folder / "models")]) == 0
    (found,) = (folder / "runs").iterdir()
    return found


def untrained(run: Path) -> float:
    """The energy distance that the generator of a run had at its start."""
    config = read_config(run)
    hardware = Hardware.choose(config)
    generator = TrainingState.start(config, 2, None, hardware).generator.eval()
    rows = inputs_of_seeds(range(1000), generator.input_spec)
    return PointEvaluator(data.load("ring", (1, 1)), 1000).measure(generate_nchw(generator, rows, dtype=np.float32))["energy"]


def refused(capsys, *flags: str) -> str:
    assert main(list(flags)) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", points.POINT_SETS)
def test_a_set_covers_itself(name):
    chosen, found = point_set(name), data.load(name, (1, 1))
    assert found.images.shape == (50_000, 2, 1, 1)
    assert np.abs(found.images).max() < 1
    modes, good = chosen.coverage(found.held_out.images[:2_500].reshape(-1, 2))
    assert modes == chosen.modes
    assert 0.98 < good < 1  # within three standard deviations of the middle of a normal distribution in two dimensions are 98.9 %


def test_what_is_good_and_covered():
    ring = point_set("ring")
    one = np.tile(ring.centres[3], (100, 1)).astype(np.float32)
    assert ring.coverage(one) == (1, 1.0)
    beside = one + np.float32(3.1 * ring.deviation)
    assert ring.coverage(beside) == (0, 0.0)
    assert ring.coverage(np.concatenate([one, beside, ring.centres.astype(np.float32)])) == (8, 108 / 208)


def test_the_energy_distance_is_that_of_its_definition():
    random = np.random.RandomState(0)
    real, fake = random.randn(30, 2).astype(np.float32), random.randn(20, 2).astype(np.float32) + 1

    def mean(a, b, same):
        pairs = [np.linalg.norm(x - y) for i, x in enumerate(a) for j, y in enumerate(b) if not (same and i == j)]
        return np.mean(pairs)

    expected = 2 * mean(real, fake, False) - mean(real, real, True) - mean(fake, fake, True)
    assert energy_distance(real, fake) == pytest.approx(expected, rel=1e-5)


def test_more_points_than_are_held_out_can_be_measured():
    ring = data.load("ring", (1, 1))
    evaluator = PointEvaluator(replace(ring, held_out=HeldOut(ring.held_out.images[:200])), 150)
    assert "150 of seeds 0 to 149 against 100 of ring" in evaluator.protocol


def test_a_collapsed_generator_is_measured_as_such():
    evaluator = PointEvaluator(data.load("grid", (1, 1)), 500)
    found = evaluator.measure(np.full((500, 2, 1, 1), 0.4, np.float32))
    assert (found["modes"], found["good"], found["recall"]) == (1, 1.0, 0.0)
    row = evaluator.row(1, 1.0, found)
    assert row["energy"] > 100 * abs(row["energy_real"])
    assert (row["modes_real"], row["protocol"]) == (25, evaluator.protocol)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--conditional"], "--conditional True with --data ring: points have no labels: leave it out"),
        (["--recipe", "cgan"], "as --recipe cgan has it; take another"),
        (["--arch", "dcgan"], "--arch dcgan with --data ring: points are no images"),
        (["--resolution", "32"], "--resolution 32 with --data ring: points have none"),
        (["--augment", "diffaugment"], "points are not augmented"),
        (["--codes", "kind=3"], "points are drawn from a latent vector alone"),
        (["--promote"], "--promote: --data ring has points in the plane, and a run on them exports no model"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(capsys, tmp_path, flags, expected):
    assert expected in refused(capsys, "--data", "ring", *flags, "--out", str(tmp_path / "runs"), "--models", str(tmp_path))


def test_a_run_covers_all_modes_and_leaves_its_frames_but_no_model(run):
    last = [row for row in stats.read_rows(run / stats.STATS) if "modes" in row][-1]
    assert last["modes"] == last["modes_real"] == 8
    assert last["good"] > 0.2
    assert last["energy"] < untrained(run) / 10
    files = frames.frame_files(run)
    assert len(files) == 4
    frame, backdrop = json.loads(files[-1].read_bytes()), json.loads((run / frames.BACKDROP).read_bytes())
    assert len(frame["points"]) == len(backdrop["real"]) == 2 * 500
    assert len(frame["manifold"]) == 2 * backdrop["lines"] ** 2
    assert len(base64.b64decode(frame["field"])) == backdrop["side"] ** 2
    assert not (run / "model").exists()
    assert list((run.parents[1] / "models").glob("*")) == []


def test_the_report_draws_the_points_and_says_points(run):
    page = (run / report.REPORT).read_text()
    embedded = json.loads(re.search(r'<script type="application/json" id="points">(.*?)</script>', page, re.S)[1])
    assert [frame["pictures"] for frame in embedded["frames"]] == [
        json.loads(f.read_bytes())["pictures"] for f in frames.frame_files(run)
    ]
    assert "Generated points lie in 8 of the 8 places" in page
    assert "nearest to the data: " in page
    assert "finished" in page
    assert "exported" not in re.sub(r"<style.*</style>|<script.*</script>", "", page, flags=re.S)


def test_a_damaged_frame_is_passed_over(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    first, second, *_ = frames.frame_files(copy)
    first.write_text("{")
    second.write_text('{"pictures": 1, "modes": NaN, "good": 1, "points": [], "field": ""}')
    assert len(frames.read(copy)["frames"]) == 2
    assert report.write(copy).is_file()


def test_a_run_goes_on_exactly(tmp_path, capsys):
    def train(folder: str, *flags: str) -> Path:
        where = ["--out", str(tmp_path / folder), "--models", str(tmp_path / "models")]
        assert main([*flags, *where]) == 0
        return next((tmp_path / folder).iterdir())

    small = ["--data", "grid", "--recipe", "sngan", "--width", "16", "--batch-size", "64", "--measure", "100"]
    whole = train("whole", *small, "--images", "1280")
    half = train("half", *small, "--images", "640")
    assert train("half", "--resume", str(half), "--images", "1280") == half
    first, second = (load_file(checkpoints(folder)[-1]) for folder in (whole, half))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert frames.frame_files(whole)[-1].read_bytes() == frames.frame_files(half)[-1].read_bytes()
    capsys.readouterr()
    train("half", "--resume", str(half))
    assert "is done; its report is in" in capsys.readouterr().out


def test_two_runs_are_compared(run, tmp_path, capsys):
    assert compare([str(run), str(run), "--plot", str(tmp_path / "plot.png")]) == 0
    said = capsys.readouterr().out
    assert "points in the plane; 2,500 of seeds 0 to 2499" in said
    assert "minutes to energy" in said


def test_there_is_nothing_to_export_or_to_evaluate(run, capsys, tmp_path):
    where = ["--out", str(tmp_path), "--models", str(tmp_path)]
    assert "a run on them exports no model" in refused(capsys, "--resume", str(run), "--export", "45k", *where)
    assert evaluate([str(run)]) == 2
    assert "is a run on points in the plane, which exports no model" in capsys.readouterr().err
    assert evaluate([str(tmp_path), "--data", "ring"]) == 2
    assert "points in the plane are no images to measure others by" in capsys.readouterr().err
