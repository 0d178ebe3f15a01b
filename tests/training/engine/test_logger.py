"""What a run writes of itself: rows of statistics that survive whatever a crash leaves of them, and progress for people."""

import json

import pytest

from tests.conftest import SMALL_DATA
from training.config.files import CONFIG
from training.config.schema import TrainingConfig
from training.engine.distributed import Group
from training.engine.logger import RunLogger
from training.engine.state import TrainingState
from training.hardware import Hardware
from training.tracking import history, report

RUN = TrainingConfig(data=str(SMALL_DATA), width=4, images=256, batch_size=32, threads=1, measure=100)


@pytest.fixture(scope="module")
def state():
    return TrainingState.start(RUN, 1, None, Hardware.choose(RUN))


def row(seen, **more):
    return json.dumps(
        {"pictures": seen, "seconds": seen / 10, "frechet": 1.0, "precision": 0.5, "recall": 0.5, "protocol": "p", **more}
    )


@pytest.mark.parametrize(
    "harm",
    [
        b"\0" * 512 + b"\n",
        b"\xff\xfe}\n",
        b'{"pictures": 1',
        b'{"pictures": 1}{"pictures": 2}\n',
        b'{"pict{"pictures": 3}\n',
        b"[1]}\n",
        b"}\n",
        b'{"seconds": 3}\n',
        b'{"pictures": "many"}\n',
        b'{"pictures": null}\n',
        b'{"pictures": NaN}\n',
        b'{"protocol": "p", "pictures": 5}\n',
        b'{"protocol": "p", "pictures": 5, "frechet": "low", "precision": [], "recall": null, "seconds": 1}\n',
        b"[" * 100_000 + b"\n",
    ],
    ids=lambda harm: repr(harm[:20]),
)
def test_a_damaged_line_is_passed_over_on_resume_in_the_report_and_in_comparisons(tmp_path, state, harm):
    content = f"{row(32)}\n".encode() + harm + f"\n{row(64)}\n{row(96)}\n".encode()
    (tmp_path / CONFIG).write_text("width: 4\n")
    (tmp_path / "stats.jsonl").write_bytes(content)
    (tmp_path / "warnings.jsonl").write_bytes(content)
    assert [point.images for point in history.read_history(tmp_path).points] == [32, 64, 96]
    report.write(tmp_path)

    state.seen = 64
    with RunLogger(state, RUN, tmp_path, Group()):
        pass
    for name in ("stats.jsonl", "warnings.jsonl"):
        kept = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert [one["pictures"] for one in kept if "frechet" in one and one["frechet"] == 1.0] == [32, 64]
        assert max(one["pictures"] for one in kept) == 64
