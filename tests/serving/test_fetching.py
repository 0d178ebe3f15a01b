"""Models that come from an address, and from BentoML's store."""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gan import model_folder
from gan.errors import ModelFolderError
from serving import fetching
from serving.fetching import fetch

# A model folder of the shipped kind
SHIPPED = model_folder.discover(Path(__file__).parents[2] / "models")[0]


def digest(folder):
    return hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()


@pytest.fixture
def shop(tmp_path):
    """A model folder on a web server: the folder, its address, and the paths that were asked for."""
    folder = shutil.copytree(SHIPPED, tmp_path / "shop" / "shoes")
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_):
            asked.append(self.path)

        def log_error(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path / "shop"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/shoes", asked
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_whole_and_only_once(shop, tmp_path):
    folder, address, asked = shop
    models = tmp_path / "models"
    fetched = fetch(f"{address}/#sha256={digest(folder)}", models)
    assert fetched == models / model_folder.read(folder).manifest.name
    assert model_folder.read(fetched).manifest == model_folder.read(folder).manifest
    asked.clear()
    assert fetch(f"{address}#sha256={digest(folder)}", models) == fetched
    assert asked == []


def test_another_version_takes_the_place_of_the_one_before(shop, tmp_path):
    folder, address, _ = shop
    models = tmp_path / "models"
    fetched = fetch(f"{address}#sha256={digest(folder)}", models)
    (folder / "model.json").write_text((folder / "model.json").read_text() + "\n")
    assert fetch(f"{address}#sha256={digest(folder)}", models) == fetched
    assert digest(fetched) == digest(folder)
    assert [path.name for path in models.iterdir()] == [fetched.name]


@pytest.mark.parametrize("file", ["model.json", "generator.onnx"])
def test_what_has_another_digest_is_refused_and_nothing_is_left(shop, tmp_path, file):
    folder, address, _ = shop
    meant = digest(folder)
    (folder / file).write_bytes((folder / file).read_bytes()[:-1])
    with pytest.raises(ModelFolderError, match=rf"/shoes/{file} is not the file that is meant \(its SHA-256 begins "):
        fetch(f"{address}#sha256={meant}", tmp_path / "models")
    assert list((tmp_path / "models").glob("*")) == []


def test_every_other_trouble_is_a_sentence_too(shop, tmp_path):
    folder, address, _ = shop
    right = f"#sha256={digest(folder)}"
    for wrong, said in [
        (address, "does not end in #sha256= and 64 hex digits"),
        (f"{address}#sha256=abc", "does not end in #sha256= and 64 hex digits"),
        (f"{address}/nothing{right}", "cannot fetch .*nothing/model.json .*404"),
        (f"http://127.0.0.1:1/shoes{right}", "cannot fetch .*Cannot connect to host 127.0.0.1:1"),
        (f"nope://me:secret@bucket/shoes{right}", "cannot fetch nope://bucket/shoes/model.json .*Protocol not known"),
    ]:
        with pytest.raises(ModelFolderError, match=said) as caught:
            fetch(wrong, tmp_path / "models")
        assert "secret" not in str(caught.value)
    (notes := tmp_path / "models" / model_folder.read(folder).manifest.name / "notes").parent.mkdir(parents=True)
    notes.write_text("of somebody")
    with pytest.raises(ModelFolderError, match=r"is in the way of .* and holds no model: move it"):
        fetch(f"{address}{right}", tmp_path / "models")
    assert notes.read_text() == "of somebody"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelFolderError, match=r"cannot write .* set GAN_MODELS to a folder that can be written"):
        fetch(f"{address}{right}", tmp_path / "file")


def test_a_protocol_without_its_package_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ModelFolderError, match=r"cannot fetch s3://b/shoes/model.json: .* needs a package .* \(Install s3fs"):
        fetch(f"s3://b/shoes#sha256={'0' * 64}", tmp_path)


@contextmanager
def answering(respond):
    """The address of a server whose answers `respond` writes, given a request for a file."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.close_connection = True
            with suppress(OSError):  # whoever asked has had enough
                respond(self)

        def log_message(self, *_):
            pass

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def head(request, status=200, **headers):
    request.send_response(status)
    for name, value in (headers | {"Connection": "close"}).items():
        request.send_header(name.replace("_", "-"), str(value))
    request.end_headers()


def endless(request):
    """More than it promised, or without a promise, for ever; also to whoever asks for a part."""
    head(request, 206 if "Range" in request.headers else 200)
    while request.command == "GET":
        request.wfile.write(b"x" * 2**16)


def endless_after_a_manifest(request):
    """The file has grown since the manifest was written."""
    if request.path.endswith("model.json"):
        content = (SHIPPED / "model.json").read_bytes()
        head(request, Content_Length=len(content))
        if request.command == "GET":
            request.wfile.write(content)
    else:
        endless(request)


def round_in_circles(request):
    head(request, 302, Location=request.path, Content_Length=0)


def silent(request):
    head(request)
    request.wfile.flush()
    time.sleep(30 * (request.command == "GET"))


def trickling(request):
    head(request)
    while request.command == "GET":
        request.wfile.write(b"x")
        time.sleep(0.01)


def broken_off(request):
    head(request, Content_Length=1000)
    if request.command == "GET":
        request.wfile.write(b"x" * 10)


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (endless, r"/shoes/model.json is larger than 1,048,576 bytes and was given up"),
        (endless_after_a_manifest, r"/shoes/generator.\S+ is larger than 20,000,000 bytes and was given up"),
        (round_in_circles, r"cannot fetch .*/shoes/model.json \(TooManyRedirects: "),
        (silent, r"cannot fetch .*/shoes/model.json \(\w*Timeout\w*: "),
        (trickling, r"cannot fetch .*/shoes/model.json \(TimeoutError: \d+ bytes came in 0 s\)"),
        (broken_off, r"cannot fetch .*/shoes/model.json \(ContentLengthError: .*received 10 of 1000 bytes"),
    ],
)
def test_a_server_that_does_not_come_to_an_end_is_given_up_and_nothing_is_left(tmp_path, monkeypatch, respond, said):
    monkeypatch.setattr(fetching, "_LARGEST_FILE", 20_000_000)
    monkeypatch.setattr(fetching, "_SILENCE", 0.3)
    with answering(respond) as address, pytest.raises(ModelFolderError, match=said):
        fetch(f"{address}/shoes#sha256={digest(SHIPPED)}", tmp_path / "models")
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "models"])


def test_a_large_file_is_never_in_memory_as_a_whole(shop, tmp_path, monkeypatch):
    folder, address, _ = shop
    pieces = []
    plain = fetching._read
    monkeypatch.setattr(fetching, "_CHUNK", 2**16)
    monkeypatch.setattr(fetching, "_read", lambda address: (pieces.append(len(piece)) or piece for piece in plain(address)))
    fetch(f"{address}#sha256={digest(folder)}", tmp_path / "models")
    assert sum(pieces) > 10 * 2**16
    assert max(pieces) <= 2**16


def test_one_that_was_damaged_since_is_fetched_again(shop, tmp_path):
    folder, address, asked = shop
    fetched = fetch(f"{address}#sha256={digest(folder)}", tmp_path / "models")
    elsewhere = fetched.rename(fetched.with_name("elsewhere"))
    (elsewhere / "generator.onnx").write_bytes(b"cut")
    asked.clear()
    assert fetch(f"{address}#sha256={digest(folder)}", tmp_path / "models") == elsewhere
    assert model_folder.read(elsewhere).manifest == model_folder.read(folder).manifest
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["elsewhere"]


def test_weights_of_other_programs_are_not_written_over(shop, tmp_path):
    folder, address, _ = shop
    (theirs := tmp_path / "models" / model_folder.read(folder).manifest.name / "netG.pth").parent.mkdir(parents=True)
    theirs.write_text("of somebody")
    with pytest.raises(ModelFolderError, match=r"is in the way of .* and holds no model: move it"):
        fetch(f"{address}#sha256={digest(folder)}", tmp_path / "models")
    assert theirs.read_text() == "of somebody"


def in_store(home, *arguments):
    """Run the command with a store of its own."""
    environment = {**os.environ, "BENTOML_HOME": str(home)}
    return subprocess.run([sys.executable, "-m", "serving.store", *arguments], env=environment, capture_output=True, text=True)


def test_a_model_goes_through_bentomls_store_unchanged(tmp_path):
    manifest = model_folder.read(SHIPPED).manifest
    for _ in range(2):  # importing it again changes nothing
        assert in_store(tmp_path / "home", "import", SHIPPED).stdout == f"{manifest.name}:{manifest.version}\n"
    exported = tmp_path / "models" / manifest.name
    assert in_store(tmp_path / "home", "export", f"{manifest.name}:latest", "--to", tmp_path / "models").stdout == f"{exported}\n"
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == {
        path.name: path.read_bytes() for path in SHIPPED.iterdir()
    }


def test_the_store_keeps_no_model_in_the_place_of_another(tmp_path):
    manifest = model_folder.read(SHIPPED).manifest
    in_store(tmp_path / "home", "import", SHIPPED)
    again = shutil.copytree(SHIPPED, tmp_path / "again")
    (again / "model.json").write_text((again / "model.json").read_text() + "\n")
    refused = in_store(tmp_path / "home", "import", again)
    assert refused.returncode == 1
    assert f"bentoml models delete {manifest.name}:{manifest.version}" in refused.stderr
    long = shutil.copytree(SHIPPED, tmp_path / "long")
    (long / "model.json").write_text((SHIPPED / "model.json").read_text().replace(f'"{manifest.name}"', f'"{"x" * 64}"', 1))
    refused = in_store(tmp_path / "home", "import", long)
    assert refused.returncode == 1
    assert refused.stderr.endswith("give the model another name\n")


def test_the_store_takes_no_damaged_model_and_gives_none_that_it_has_not(tmp_path):
    damaged = shutil.copytree(SHIPPED, tmp_path / "shoes")
    (damaged / "generator.onnx").write_bytes(b"")
    refused = in_store(tmp_path / "home", "import", damaged)
    assert refused.returncode == 1
    assert "generator.onnx is damaged" in refused.stderr
    refused = in_store(tmp_path / "home", "export", "shoes", "--to", tmp_path / "models")
    assert refused.returncode == 1
    assert refused.stderr.startswith("serving.store: there is no model shoes in BentoML's store")
