"""docs/applications.md: its commands answer what it shows, by the models that ship."""

import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.services import serving

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "applications.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^    (curl .*)$", TEXT, re.MULTILINE)]


@pytest.fixture(scope="module")
def client():
    with serving(DOCS.parent / "models") as client:
        yield client


def answered(client, command):
    """The body of the answer to a command of curl, and the file that it is written to."""
    words = dict(zip(command[1::2], command[2::2], strict=False))
    content = (DOCS / words["--data-binary"].removeprefix("@")).read_bytes()
    address = next(word for word in command if word.startswith("localhost:3000"))
    file = command[command.index("-o") + 1] if "-o" in command else None
    answer = client.post(address.removeprefix("localhost:3000"), content=content)
    assert answer.status_code == 200, answer.text
    return answer, file


def test_there_are_commands_of_every_route():
    assert {command[3].partition("?")[0].rpartition("/")[2] for command in COMMANDS} == {"invert", "edit", "score"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[3].partition("?")[2])
def test_the_commands_answer_what_is_shown(client, command):
    answer, file = answered(client, command)
    if file is None:
        (item,) = answer.json()["images"]
        if "noise" in item:
            assert item["label"] == "Ankle boot"
            assert item["psnr"] > 20
        else:
            assert not item["anomalous"]
        return
    shown, drawn = (np.asarray(Image.open(one)).astype(int) for one in (DOCS / file, io.BytesIO(answer.content)))
    assert shown.shape == drawn.shape
    # Another processor may end a search elsewhere, but near by
    assert np.abs(shown - drawn).mean() < 12
    assert f"]({file})" in TEXT
