"""Flags of the training command: where they stand in --help, and what a wrong one is told."""

import pytest

from training.run import main


def said(capsys, *flags):
    with pytest.raises(SystemExit) as ended:
        main(flags)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_wrong_flag_is_told_the_right_one_in_two_lines(capsys):
    lines = said(capsys, "--wdth", "5").splitlines()
    assert lines[0].startswith("usage: python -m training.run [FOLDER] [--flag value")
    assert lines[1:] == ["python -m training.run: error: unrecognized arguments: --wdth 5; did you mean --width?"]
    assert "did you mean" not in said(capsys, "--nothing-like-it")


def test_the_folder_of_images_may_come_first(capsys, tmp_path):
    assert main([str(tmp_path / "nowhere"), "--dry-run"]) == 2
    assert f"--data {tmp_path / 'nowhere'}: there is no such folder" in capsys.readouterr().err
    for data in (["--data", "y"], ["--data=y"]):
        assert "x: --data is given twice; leave one of them out" in said(capsys, "x", *data)


def test_help_lists_the_flags_in_groups(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    order = ["the images:", "--data", "the networks:", "--arch", "the losses:", "--r1", "the optimisers:", "--beta1"]
    order += ["the run:", "--minutes", "how it is measured:", "--measure ", "this command:", "--resume", "--export", "examples:"]
    places = [text.index(f"\n{part}" if part.endswith(":") else f"\n  {part}") for part in order]
    assert places == sorted(places)
