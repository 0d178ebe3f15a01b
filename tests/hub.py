"""A server that speaks as much of the Hub's API as its client uses here: repositories, branches, uploads through LFS, downloads."""

import base64
import hashlib
import json
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from gan import model_folder

TOKEN = "hf_writer"
LARGE = (".safetensors", ".onnx", ".pt", ".png")  # kept outside git, as the .gitattributes of the Hub's repositories say

SHIPPED = Path(__file__).parents[1] / "models" / "fashion-mnist-dcgan"


def small_model(folder):
    """A model folder as one is shipped, but for its weights, which nobody draws from here."""
    folder.mkdir()
    manifest = json.loads((SHIPPED / "model.json").read_text())
    for name in manifest["files"]:
        (folder / name).write_bytes(name.encode() * 1000)
    for name in ("README.md", "samples.png"):
        shutil.copy(SHIPPED / name, folder)
    files = model_folder.digests(folder, list(manifest["files"]))
    manifest |= {"files": files, "version": files[model_folder.WEIGHTS][:12]}
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


@dataclass
class Repository:
    private: bool = False
    branches: dict = field(default_factory=lambda: {"main": "0" * 40})
    commits: dict = field(default_factory=lambda: {"0" * 40: {}})  # commit -> name of a file -> its bytes

    def commit(self, branch, files):
        content = self.commits[self.branches[branch]] | files
        named = "".join(f"{name}{hashlib.sha256(data).hexdigest()}" for name, data in sorted(content.items()))
        oid = hashlib.sha1(f"{self.branches[branch]}{named}".encode()).hexdigest()
        self.commits[oid] = content
        self.branches[branch] = oid
        return oid

    def files(self, revision):
        return self.commits.get(self.branches.get(revision, revision))


@dataclass
class Hub:
    repositories: dict = field(default_factory=dict)
    uploaded: dict = field(default_factory=dict)  # SHA-256 -> bytes
    asked: list = field(default_factory=list)  # method, path and token of each request
    breaks_off: str = ""  # the file whose answer ends in the middle
    full: bool = False  # no large file is taken
    endpoint: str = ""
    store: str = ""  # another origin, which large files are sent to and come from

    def add(self, repository, folder):
        """Put the files of a folder into a repository; returns the commit."""
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return self.repositories.setdefault(repository, Repository()).commit("main", files)


def _handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, content=b"", error="", **headers):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"X-Error-Code": error, "Content-Length": len(body), **headers}.items():
                if value != "":
                    self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle_any(self):
            path = urlsplit(self.path).path
            self.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            hub.asked.append((self.command, path, self.token))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = [unquote(part) for part in path.strip("/").split("/")]
            match self.command, parts:
                case "PUT", ["lfs", digest]:
                    if not hub.full:
                        hub.uploaded[digest] = body
                    self.answer(403 if hub.full else 200)
                case "GET", ["lfs", digest]:
                    self.send_file(hub.uploaded[digest], digest)
                case (("GET" | "HEAD"), [owner, name, "resolve", revision, *file]):
                    self.resolve(f"{owner}/{name}", revision, "/".join(file))
                case "POST", ["api", "validate-yaml"]:
                    self.validate(json.loads(body)["content"])
                case "POST", ["api", "repos", "create"]:
                    self.create(json.loads(body))
                case "POST", [_, _, "info", "lfs", "objects", "batch"]:
                    self.plan(json.loads(body)["objects"])
                case _, ["api", "models", owner, name, *rest]:
                    if (found := self.repository(f"{owner}/{name}")) is not None:
                        self.api(found, rest, body)
                case _:
                    self.answer(404, {"error": f"no such route: {self.command} {path}"})

        do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

        def repository(self, named):
            found = hub.repositories.get(named)
            if found is None or (found.private and self.token != TOKEN):
                self.answer(404 if self.token == TOKEN else 401, {"error": "Repository not found"}, "RepoNotFound")
                return None
            return found

        def api(self, repository, rest, body):
            match rest:
                case [] | ["revision", _]:
                    files = repository.files(rest[1] if rest else "main")
                    oid = repository.branches.get(rest[1], rest[1]) if rest else repository.branches["main"]
                    if files is None:
                        self.answer(404, {"error": "Invalid rev id"}, "RevisionNotFound")
                    else:
                        self.answer(200, {"id": "x", "sha": oid, "private": repository.private})
                    return
            if self.token != TOKEN:
                self.answer(403, {"error": "you may not write here"})
                return
            match rest:
                case ["branch", branch]:
                    known = branch in repository.branches
                    repository.branches.setdefault(branch, repository.branches["main"])
                    self.answer(409 if known else 200, {})
                case ["preupload", revision]:
                    if repository.files(revision) is None:
                        self.answer(404, {"error": "Invalid rev id"}, "RevisionNotFound")
                        return
                    names = [file["path"] for file in json.loads(body)["files"]]
                    modes = [{"path": name, "uploadMode": "lfs" if name.endswith(LARGE) else "regular"} for name in names]
                    self.answer(200, {"files": [mode | {"shouldIgnore": False} for mode in modes]})
                case ["commit", revision]:
                    files = {}
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                        elif line["key"] == "lfsFile":
                            files[line["value"]["path"]] = hub.uploaded[line["value"]["oid"]]
                    oid = repository.commit(revision, files)
                    self.answer(200, {"commitUrl": f"{hub.endpoint}/o/n/commit/{oid}", "commitOid": oid})
                case _:
                    self.answer(404, {"error": f"no such route: {rest}"})

        def create(self, wanted):
            if self.token != TOKEN or wanted["organization"] != "me":
                self.answer(403, {"error": f"You don't have the rights to create a model under {wanted['organization']}"})
                return
            named = f"{wanted['organization']}/{wanted['name']}"
            hub.repositories[named] = Repository(wanted.get("visibility") == "private")
            self.answer(200, {"url": f"{hub.endpoint}/{named}"})

        def validate(self, card):
            header = yaml.safe_load(card.split("---\n")[1])
            good = str(header["license"]) in ("mit", "cc0-1.0", "other")
            self.answer(200 if good else 400, {} if good else {"errors": [{"message": '"license" must be one of …'}]})

        def plan(self, objects):
            actions = [
                {"oid": one["oid"], "size": one["size"], "actions": {"upload": {"href": f"{hub.store}/lfs/{one['oid']}"}}}
                for one in objects
            ]
            self.answer(200, {"transfer": "basic", "objects": actions})

        def resolve(self, named, revision, file):
            repository = self.repository(named)
            if repository is None:
                return
            files = repository.files(revision)
            if files is None or file not in files:
                error = "RevisionNotFound" if files is None else "EntryNotFound"
                self.answer(404, {"error": error}, error)
                return
            digest = hashlib.sha256(files[file]).hexdigest()
            headers = {"ETag": f'"{digest}"', "X-Repo-Commit": repository.branches.get(revision, revision)}
            if file.endswith(LARGE):
                hub.uploaded[digest] = files[file]
                linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": len(files[file])}
                self.answer(302, Location=f"{hub.store}/lfs/{digest}", **headers, **linked)
            else:
                self.send_file(files[file], file, **headers)

        def send_file(self, content, name, **headers):
            half = hub.breaks_off and hashlib.sha256(content).hexdigest() == hub.breaks_off
            if not half:
                self.answer(200, content, **headers)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True

    return Handler


@contextmanager
def running_hub():
    """A hub without repositories, and until its end."""
    hub = Hub()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) for _ in range(2)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    hub.endpoint, hub.store = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def client_of(hub, monkeypatch, cache, token=""):
    """Within this process, the client as HF_ENDPOINT, HF_HOME and HF_TOKEN would set it at its import."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", token)
    yield
