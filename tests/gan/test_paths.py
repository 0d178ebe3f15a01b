import pwd
from os import getuid
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from gan.paths import UserPath

PATH = TypeAdapter(UserPath)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/runs", "/home/jo/runs"),
        ("~", "/home/jo"),
        ("$HOME/runs", "/home/jo/runs"),
        ("${HOME}/runs", "/home/jo/runs"),
        ("/data/$SET/x", "/data/shoes/x"),
        ("$AWAY/x", "/home/jo/x"),  # whose value begins with ~
        ("/data/$NOTHING/x", "/data/$NOTHING/x"),
        ("price$", "price$"),
        ("/a/~/b", "/a/~/b"),
        ("a~b", "a~b"),
        ("./~/b", "~/b"),  # a folder that is called so
        ("runs", "runs"),
    ],
)
def test_paths_are_expanded_as_a_shell_does(monkeypatch, given, expected):
    monkeypatch.setenv("HOME", "/home/jo")
    monkeypatch.setenv("SET", "shoes")
    monkeypatch.setenv("AWAY", "~")
    monkeypatch.delenv("NOTHING", raising=False)
    assert PATH.validate_python(given) == Path(expected)


def test_an_empty_path_is_not_the_current_folder():
    with pytest.raises(ValidationError, match="is empty, as a variable that is not set"):
        PATH.validate_python("")


def test_the_home_of_another_user():
    me = pwd.getpwuid(getuid())
    assert PATH.validate_python(f"~{me.pw_name}/runs") == Path(me.pw_dir) / "runs"
    with pytest.raises(ValidationError, match="there is no user of the name 'nobody-of-that-name' here; write the path in full"):
        PATH.validate_python("~nobody-of-that-name/runs")


def test_a_folder_whose_name_begins_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~old").mkdir()
    assert PATH.validate_python("~old/x") == Path("~old/x")
