import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from serving.auth import OPEN_PAGES, RequireKey, require_admin
from serving.errors import RequestError, problem
from serving.secret_files import SecretFileError
from serving.settings import KeyFileError, Settings
from tests.serving.test_api import refused

OPEN = PlainTextResponse("come in")


def client(*keys, admin=()):
    return TestClient(RequireKey(OPEN, secret(keys), secret(admin)))


def secret(keys):
    return tuple(map(SecretStr, keys))


def test_without_keys_all_come_in():
    assert client().get("/generate").text == "come in"


@pytest.mark.parametrize("authorization", ["Bearer one", "bearer two", "BEARER one", "Bearer  one "])
def test_each_key_opens(authorization):
    assert client("one", "two").get("/generate", headers={"Authorization": authorization}).text == "come in"


@pytest.mark.parametrize("authorization", [None, "", "one", "Basic one", "Bearer", "Bearer three", "Bearer onetwo", "Bearer \xe9"])
def test_all_else_is_refused(authorization):
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    for path in ("/generate", "/models", "/metrics", "/nothing"):
        response = client("one", "two").get(path, headers=headers)
        refused(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("key", ["voilà", "Schlüssel zum Haus", "ÿ\xa0ÿ"])
def test_letters_beyond_ascii_and_spaces_open_in_either_encoding(key, encoding):
    sent = b"Bearer " + key.encode(encoding)
    assert client("one", key).get("/generate", headers={"Authorization": sent}).text == "come in"
    refused(client("one", key).get("/generate", headers={"Authorization": sent[:-1]}), 401)


def test_a_key_that_latin_1_does_not_have_opens():
    assert client("ключ").get("/generate", headers={"Authorization": b"Bearer " + "ключ".encode()}).text == "come in"


def test_two_authorization_headers_are_none():
    headers = [("Authorization", "Bearer one"), ("Authorization", "Bearer other")]
    for sent in (headers, headers[::-1]):
        told = refused(client("one").get("/generate", headers=sent), 401)
        assert "Authorization came twice: send it once" in told["detail"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_needs_no_key(path):
    assert client("one").get(path).text == "come in"


@pytest.mark.parametrize("path", sorted(OPEN_PAGES))
def test_pages_can_be_read_without_a_key(path):
    assert client("one").get(path).text == "come in"
    assert client("one").head(path).status_code == 200
    refused(client("one").post(path), 401)
    refused(client("one").get(f"{path}more"), 401)


def test_nothing_else_opens_with_the_pages():
    assert {"/", "/docs", "/openapi.json"} == {path for path in OPEN_PAGES if not path.startswith(("/static_content/", "/pages/"))}
    for path in (
        "/models",
        "/metrics",
        "/schema.json",
        "/docs.json",
        "/static_content/marked.min.js",
        "/static_content/..%2fmetrics",
        "/pages/",
        "/pages/../metrics",
    ):
        refused(client("one").get(path), 401)


async def for_admins(scope, receive, send):
    try:
        require_admin(scope)
        await OPEN(scope, receive, send)
    except RequestError as error:
        await problem(error.status, error.detail, [], error.headers)(scope, receive, send)


@pytest.mark.parametrize(
    ("keys", "admin", "authorization", "status"),
    [
        ((), (), None, 200),
        (("one",), (), "Bearer one", 200),  # any key, where no setting says which
        (("one",), ("chief",), None, 401),
        (("one",), ("chief",), "Bearer one", 403),
        (("one",), ("chief",), "Bearer chief", 200),
        (("one", "chief"), ("chief",), "Bearer chief", 200),
        ((), ("chief",), None, 401),  # the rest is open
        ((), ("chief",), "Bearer other", 401),
        ((), ("chief",), "Bearer chief", 200),
    ],
)
def test_with_admin_keys_only_they_open_what_is_for_admins(keys, admin, authorization, status):
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = TestClient(RequireKey(for_admins, secret(keys), secret(admin))).post("/models/a/reload", headers=headers)
    if status == 200:
        assert answer.text == "come in"
        return
    assert refused(answer, status)["detail"].startswith(
        "a key is needed" if keys and status == 401 else "only a key of GAN_ADMIN_KEYS"
    )
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


def test_an_admin_key_opens_everything_else_too():
    served = client("one", admin=("chief",))
    assert served.get("/models", headers={"Authorization": "Bearer chief"}).text == "come in"
    refused(served.get("/models", headers={"Authorization": "Bearer other"}), 401)
    assert client(admin=("chief",)).get("/models").text == "come in"


def test_the_lifespan_passes():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(RequireKey(app, secret(["one"]))({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


@pytest.mark.parametrize(("variable", "of"), [("GAN_API_KEYS", Settings.keys), ("GAN_ADMIN_KEYS", Settings.keys_of_admins)])
def test_keys_come_from_the_environment_and_from_a_file(monkeypatch, tmp_path, variable, of):
    assert of(Settings()) == ()
    monkeypatch.setenv(variable, "hush, two,")
    assert of(Settings()) == secret(["hush", "two"])
    file = tmp_path / "keys"
    file.write_bytes("\ufeffthree\r\n\r\n four, with spaces \nfünf\n".encode())
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    assert of(Settings()) == secret(["hush", "two", "three", "four, with spaces", "fünf"])
    for text in (repr(Settings()), str(of(Settings())), Settings().model_dump_json()):
        assert not {"hush", "three"} & set(re.findall(r"\w+", text))
    file.write_text("\n")
    with pytest.raises(KeyFileError, match=f"{variable}_FILE: {re.escape(str(file))} holds no keys"):
        of(Settings())
    file.write_text("three\n", encoding="utf-16")
    with pytest.raises(KeyFileError, match=f"{variable}_FILE: {re.escape(str(file))} is not UTF-8: save it as UTF-8"):
        of(Settings())
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="there is no such file"):
        Settings()


def test_keys_come_from_secret_files_unless_the_environment_has_them(monkeypatch, tmp_path):
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    assert (Settings().keys(), Settings().keys_of_admins()) == ((), ())
    (tmp_path / "GAN_API_KEYS").write_text("hush, two\n")
    (tmp_path / "gan_admin_keys").write_text("chief\n")
    assert (Settings().keys(), Settings().keys_of_admins()) == (secret(["hush", "two"]), secret(["chief"]))
    monkeypatch.setenv("GAN_API_KEYS", "other")
    assert Settings().keys() == secret(["other"])


def test_keys_of_secret_files_may_stand_in_lines(monkeypatch, tmp_path):
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    (tmp_path / "GAN_API_KEYS").write_bytes(b"\xef\xbb\xbfhush\r\ntwo, three\n")
    assert Settings().keys() == secret(["hush", "two", "three"])


def test_a_secret_that_cannot_be_read_does_not_leave_the_service_open(monkeypatch, tmp_path):
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    keys = tmp_path / "GAN_API_KEYS"
    keys.mkdir()  # as Docker does where the file to mount is missing
    with pytest.raises(SecretFileError, match=f"{re.escape(str(keys))} is a folder, .*: put the file there"):
        Settings()
    keys.rmdir()
    keys.symlink_to(tmp_path / "nothing")
    with pytest.raises(
        SecretFileError, match=f"cannot read {re.escape(str(keys))} .No such file or directory.: see that it is there"
    ):
        Settings()
    keys.unlink()
    keys.write_text("hush", encoding="utf-16")
    with pytest.raises(SecretFileError, match=f"{re.escape(str(keys))} is not UTF-8: save it as UTF-8"):
        Settings()
    keys.unlink()
    (tmp_path / "password_of_the_database").mkdir()
    assert Settings().keys() == ()
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path / "file")
    (tmp_path / "file").touch()
    with pytest.raises(SecretFileError, match=f"cannot look for secrets in {re.escape(str(tmp_path / 'file'))} "):
        Settings()


def test_without_a_folder_of_secrets_nothing_is_said():
    code = "from serving.settings import Settings; print(Settings().keys(), Settings.model_config['secrets_dir'])"
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("() ")
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("keys", "admin_keys", "warned"),
    [
        ((), (), ["open to all who reach it: no GAN_API_KEYS are set"]),
        ((), ("0123456789abcdef",), ["open to all who reach it, but for reloading models: no GAN_API_KEYS are set"]),
        (("0123456789abcdef",), (), []),
        (("0123456789abcdef", "hush"), (), ["a key has fewer than 16 letters and can be guessed: openssl rand -hex 32 makes one"]),
        (("0123456789abcdef",), ("hush",), ["a key has fewer than 16 letters and can be guessed: openssl rand -hex 32 makes one"]),
    ],
)
def test_the_log_warns_of_what_keys_leave_open(keys, admin_keys, warned, caplog):
    from service import _warn_about_keys

    _warn_about_keys(secret(keys), secret(admin_keys))
    assert [record.getMessage() for record in caplog.records] == warned
