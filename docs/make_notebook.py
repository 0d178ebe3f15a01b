"""Makes docs/tutorial.ipynb of docs/tutorial.md: `python docs/make_notebook.py`, after each change of the text.

A block of `sh` becomes a cell that runs it, one of `python` a cell as it is. Blocks of `console`, for a terminal, and
of `text`, which are output, stay text. A picture that a command of the tutorial writes is shown from there, not from docs/tutorial.
"""

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DOCS = Path(__file__).parent

# Commands that run until they are stopped, and where it shows that they are ready
SERVERS = {"make serve": "http://127.0.0.1:3000/readyz", "python -m training.watch": "http://127.0.0.1:3001/"}

ABOUT = """\
*This notebook is [tutorial.md](tutorial.md) with cells that run. Open it with the environment of `make train`:*

    .venv/bin/pip install jupyterlab && .venv/bin/jupyter lab docs/tutorial.ipynb
"""

SETUP = '''\
%cd -q ..
import atexit, os, signal, subprocess, sys, time, urllib.request
from pathlib import Path
from PIL import Image

os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # `python` is the one of this notebook
servers = {}

def stop(address):
    """Stop the server that was started for an address, if there is one."""
    if server := servers.pop(address, None):
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()

def start(command, address):
    """Run a server beside the notebook, in the place of the last one with its address, until the notebook ends."""
    stop(address)
    server = servers[address] = subprocess.Popen(command, shell=True, start_new_session=True, stdout=subprocess.DEVNULL)
    atexit.register(stop, address)
    for _ in range(1800):
        try:
            return urllib.request.urlopen(address).status
        except OSError:
            assert server.poll() is None, f"{command} has ended: see the notebook's log"
            time.sleep(0.1)
    raise TimeoutError(address)
'''


def cells(text: str) -> list[nbformat.NotebookNode]:
    """The cells of a notebook that says and does what a tutorial in Markdown says and does."""
    written = set(re.findall(r"(?:-o|--out) data/(\S+\.png)", text))
    found = [new_markdown_cell(ABOUT), new_code_cell(SETUP.rstrip())]
    for part in re.split(r"^(```(?:sh|python)\n.*?^```|!\[[^]]*\]\([^)]*\))\n", text, flags=re.DOTALL | re.MULTILINE):
        if match := re.fullmatch(r"```(sh|python)\n(.*)\n```", part, re.DOTALL):
            found.append(new_code_cell(shell(match[2]) if match[1] == "sh" else match[2]))
        elif (match := re.match(r"!\[[^]]*\]\(tutorial/([^)]*)\)", part)) and match[1] in written:
            found.append(new_code_cell(f'Image.open("data/{match[1]}")'))
        elif part.strip():
            found.append(new_markdown_cell(part.strip()))
    for number, cell in enumerate(found):
        cell.id = f"cell-{number}"
    return found


def shell(commands: str) -> str:
    """A cell that runs commands, and fails where one of them does."""
    for server, address in SERVERS.items():
        if server in commands:
            return f'start("{commands}", "{address}")'
    return f"%%bash -e\n{commands}"


def notebook(text: str) -> nbformat.NotebookNode:
    """A notebook of a tutorial in Markdown, without output."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells(text), metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


if __name__ == "__main__":
    nbformat.write(notebook((DOCS / "tutorial.md").read_text()), DOCS / "tutorial.ipynb")
