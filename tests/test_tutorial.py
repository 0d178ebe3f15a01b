"""docs/tutorial.md: everything in it works, in its order, and its notebook is the same.

The notebook is made of the text, so running its cells runs every command of the text, scaled down by the table below. What is for a
terminal alone (docker, make) is compared with the files that it names.
"""

import json
import os
import re
import shlex
import shutil
import socket
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from filelock import FileLock
from nbclient import NotebookClient

from docs.make_notebook import notebook

pytestmark = pytest.mark.timeout(600)  # one of them runs the whole tutorial

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEXT = (DOCS / "tutorial.md").read_text()
EMOJI = ROOT / "tests" / "data" / "emoji.zip"

QUICKLY = "--images 256 --width 8 --resolution 16 --batch-size 32 --measure 100 --measure-final 100 --measure-sets 1 --threads 1"
SERVE = "exec env GAN_DRAIN=0 GAN_THREADS=1"

# What is scaled down, and how: of each line the part that is found in the notebook, and what runs in its place
REPLACEMENTS = [
    (r"npm ci .*\n", ""),
    (r"node examples/avatars/render.mjs .*", "test -d data/faces"),  # which `pictures` has put there
    (r"--minutes 15", QUICKLY),
    (r"--minutes 25 --anneal-images 270k --change anneal-images", "--images 512"),
    (r"(training.directions models/faces)", r"\1 --samples 60"),
    (r"--images 30k", "--images 256 --width 4 --threads 1"),
    (r"move=redness", "move=sefa-1"),
    (r"(GAN_\S+ )+make serve", SERVE + r" \g<0>"),
    (r"make serve", "python -m bentoml serve service:GanService --host 127.0.0.1 --port 3000"),
    (r"python -m training.watch", "exec python -m training.watch --port 3001"),
]


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def write_pictures(folder):
    """Two classes of emoji where the tutorial has two styles of faces."""
    with zipfile.ZipFile(EMOJI) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        for style, part in (("open-peeps", names[:100]), ("pixel-art", names[100:200])):
            for k, name in enumerate(part):
                where, number = ("test", 1_000_000_000 + k) if k < 20 else ("train", k)
                file = folder / where / style / f"{style}-{number:010}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))


def in_the_kernel(source):
    """A command of training in the notebook's own process, which imports torch once for all of them."""
    if (match := re.fullmatch(r"%%bash -e\npython -m training\.(\w+) (.*)", source)) is None:
        return source
    module = f"training.{match[1]}.__main__" if (ROOT / "training" / match[1]).is_dir() else f"training.{match[1]}"
    return f"from {module} import main\nassert main({shlex.split(match[2])!r}) == 0"


def write_clone(folder):
    """A clone as far as the tutorial needs one, with its pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("gan", "serving", "training"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("service.py", "deploy/requirements-cpu.txt", "docs/shoe.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    write_pictures(folder / "data" / "faces")


def run(cells, folder):
    """Run the cells, scaled down, in a clone of their own; a notebook of them with what they put out."""
    write_clone(folder)
    ports = {"3000": free_port(), "3001": free_port()}
    for cell in cells:
        if cell.cell_type == "code":
            for find, replace in REPLACEMENTS:
                cell.source = re.sub(find, replace, cell.source)
            cell.source = in_the_kernel(cell.source)
            cell.source = re.sub(r"(127\.0\.0\.1:|--port )(3000|3001)", lambda match: match[1] + ports[match[2]], cell.source)
    scaled = nbformat.v4.new_notebook(cells=cells)
    return NotebookClient(scaled, timeout=300, resources={"metadata": {"path": str(folder / "docs")}}).execute()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What the cells of the notebook put out, by what the tutorial has in them; run by the first worker that asks."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tutorial"
    kept = folder / "done.ipynb"
    with FileLock(folder.with_suffix(".lock")):
        if not kept.exists():
            nbformat.write(run(notebook(TEXT).cells, folder), kept)
    cells = zip(notebook(TEXT).cells, nbformat.read(kept, as_version=4).cells, strict=True)
    return {cell.source: ran.outputs for cell, ran in cells if cell.cell_type == "code"}


def printed(done, command):
    """The lines that the cell with a command printed."""
    (outputs,) = (outputs for source, outputs in done.items() if command in source)
    return "".join(output.get("text", "") for output in outputs).splitlines()


def test_every_replacement_replaces_something():
    sources = [cell.source for cell in notebook(TEXT).cells if cell.cell_type == "code"]
    assert [find for find, _ in REPLACEMENTS if not any(re.search(find, source) for source in sources)] == []


def test_the_notebook_is_that_of_the_text():
    kept = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    assert kept == notebook(TEXT), "run `python docs/make_notebook.py`"


def test_training_says_what_it_chose_how_good_the_model_is_and_what_comes_next(done):
    said = "\n".join(printed(done, "training.run data/faces"))
    for part in (
        "--recipe auto, for 160 images of about 64x64:",
        "Fréchet distance",
        "serve it: GAN_DEFAULT_MODEL=faces make serve",
    ):
        assert part in said
    assert "python -m training.run --resume runs/001-faces-auto" in said


def test_the_pictures_that_are_drawn_are_shown(done):
    shown = {source: outputs for source, outputs in done.items() if source.startswith(("Image.open", "import gan"))}
    assert len(shown) == 7
    for source, outputs in shown.items():
        assert any("image/png" in output.get("data", {}) for output in outputs), source


def test_a_cache_is_told_that_nothing_has_changed(done):
    assert printed(done, "--etag-compare") == ["304"]


def test_the_model_that_is_served_names_its_version(done):
    (line,) = filter(None, printed(done, "grep -i x-model"))
    assert re.fullmatch(r"x-model: faces@[0-9a-f]{12}", line, re.IGNORECASE)


def test_pictures_are_scored(done):
    scored = [json.loads(line)["images"][0] for line in printed(done, "/score?")]
    assert len(scored) == 2
    assert all(0 <= one["share"] <= 1 for one in scored)


def test_without_the_key_nothing_is_drawn_and_figures_and_log_say_what_was(done):
    refused, status, *said = printed(done, "/metrics")
    assert json.loads(refused)["status"] == 401
    assert status == "200"
    assert any('route="/generate",status="200"' in line for line in said)
    logged = [json.loads(line) for line in said if line.startswith("{")]
    assert [line["status"] for line in logged if line["path"] == "/generate"] == [401, 200]


def test_what_would_be_published_is_shown(done):
    assert any(line.startswith("nothing was sent; once it is: GAN_FETCH=hf://") for line in printed(done, "training.publish"))


def test_what_is_for_a_terminal_names_what_there_is():
    commands = "".join(blocks("console"))
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make ([a-z-]+)", commands)) <= set(targets)
    (file, profile) = re.search(r"compose --file (\S+) --profile (\S+) up", commands).groups()
    services = yaml.safe_load((ROOT / file).read_text())["services"]
    assert {name for name, service in services.items() if profile in service.get("profiles", ())} == {"prometheus", "grafana"}
    deploying = (DOCS / "deploy.md").read_text()
    assert "&& sudo chown -R 1034 deploy/keys && sudo chmod 400 deploy/keys/api-keys" in deploying
    assert "curl --retry 20 --retry-delay 1 --retry-all-errors http://127.0.0.1:3000/readyz" in deploying


def test_make_serve_runs_what_is_run_here_in_its_place():
    (recipe,) = re.findall(r"^\t@\$\(BIN\)/(bentoml serve .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (replacement,) = (replace for find, replace in REPLACEMENTS if find == "make serve")
    assert f"python -m {recipe.replace('$(PORT)', '3000')}" == replacement


def test_pictures_are_small_and_all_of_them_are_shown():
    shown = set(re.findall(r"\]\(tutorial/(\S+)\)", TEXT))
    kept = {file.name: file.stat().st_size for file in (DOCS / "tutorial").iterdir()}
    assert set(kept) == shown
    assert max(kept.values()) < 150_000
    assert sum(kept.values()) < 1_000_000
