import json

from PIL import Image

from training import compare

REAL = {"frechet_real": 0.5, "precision_real": 0.9, "recall_real": 0.8}


def a_run(folder, distances, protocol="classifier features", minutes_each=2):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("width: 4\n")
    with (folder / "stats.jsonl").open("w") as stats:
        for number, distance in enumerate(distances, 1):
            row = {"pictures": 1000 * number, "seconds": 60.0 * minutes_each * number}
            stats.write(json.dumps({**row, "loss_d": 1.0}) + "\n")
            measures = {"frechet": distance, "precision": 0.1 * number, "recall": 0.05 * number}
            stats.write(json.dumps({**row, **measures, **REAL, "protocol": protocol}) + "\n")
        stats.write('{"pictures": 99')  # a row that is being written
    return str(folder)


def compared(capsys, tmp_path, *arguments):
    assert compare.main([*arguments, "--plot", str(tmp_path / "plot.png"), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_best_checkpoints_and_when_they_were_as_good_as_the_firsts(tmp_path, capsys):
    slow = a_run(tmp_path / "001-slow", [9.0, 4.0, 6.0], minutes_each=10)
    fast = a_run(tmp_path / "002-fast", [5.0, 3.0])
    poor = a_run(tmp_path / "003-poor", [8.0])
    (table,) = compared(capsys, tmp_path, slow, fast, poor)
    assert table["protocol"] == "classifier features"
    assert table["real"] == {"frechet": 0.5, "precision": 0.9, "recall": 0.8}
    first, second, third = table["runs"]
    assert (first["run"], first["pictures"], first["minutes"], first["frechet"]) == ("001-slow", 2000, 20.0, 4.0)
    assert (first["precision"], first["recall"]) == (0.2, 0.1)
    assert [run["minutes_to_the_first_runs_best"] for run in (first, second, third)] == [20.0, 4.0, None]
    assert Image.open(tmp_path / "plot.png").width > 1000


def test_only_what_was_reached_in_so_many_minutes(tmp_path, capsys):
    runs = a_run(tmp_path / "a", [9.0, 4.0, 1.0]), a_run(tmp_path / "b", [8.0, 7.0, 0.5], minutes_each=1)
    (table,) = compared(capsys, tmp_path, *runs, "--minutes", "4")
    assert [(run["frechet"], run["of_minutes"]) for run in table["runs"]] == [(4.0, 4.0), (0.5, 3.0)]


def test_what_was_measured_otherwise_gets_a_table_of_its_own(tmp_path, capsys):
    runs = [
        a_run(tmp_path / "a", [2.0]),
        a_run(tmp_path / "b", [1.0], protocol="random features"),
        a_run(tmp_path / "c", [4.0]),
    ]
    tables = compared(capsys, tmp_path, *runs)
    assert [[run["run"] for run in table["runs"]] for table in tables] == [["a", "c"], ["b"]]


def test_a_run_whose_protocol_was_changed_counts_by_the_last(tmp_path, capsys):
    first, later = a_run(tmp_path / "a", [0.1, 0.2], protocol="random features"), a_run(tmp_path / "b", [9.0, 8.0, 7.0])
    with (tmp_path / "a" / "stats.jsonl").open("a") as stats:
        stats.write("\n" + (tmp_path / "b" / "stats.jsonl").read_text().split("\n", 5)[5])
    (table,) = compared(capsys, tmp_path, first, later)
    assert [(run["frechet"], run["minutes"]) for run in table["runs"]] == [(7.0, 6.0), (7.0, 6.0)]


def test_the_table_for_people(tmp_path, capsys):
    runs = a_run(tmp_path / "001-slow", [9.0, 4.0]), a_run(tmp_path / "002-fast", [5.0])
    assert compare.main([*runs, "--plot", str(tmp_path / "plot.svg")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["the", "best", "checkpoint", "of", "each", "run,", "by", "classifier", "features"]
    assert lines[2] == ["run", "pictures", "minutes", "of", "frechet", "precision", "recall", "minutes", "to", "frechet", "4"]
    assert lines[3] == ["001-slow", "2,000", "4.0", "4.0", "4", "0.2", "0.1", "4.0"]
    assert lines[4] == ["002-fast", "1,000", "2.0", "2.0", "5", "0.1", "0.05", "not", "reached"]
    assert lines[5] == ["(real", "images)", "0.5", "0.9", "0.8"]
    assert lines[-1] == ["plot:", str(tmp_path / "plot.svg")]


def test_what_cannot_be_compared_is_named(tmp_path, capsys):
    run = a_run(tmp_path / "run", [1.0])
    (tmp_path / "empty").mkdir()
    a_run(tmp_path / "young", [])
    old = a_run(tmp_path / "old", [])
    (tmp_path / "old" / "stats.jsonl").write_text('{"pictures": 10, "seconds": 1, "frechet": 2.0}\n')
    for arguments, message in [
        ([str(tmp_path / "empty")], "empty is no run"),
        ([str(tmp_path / "young")], "young has no measured checkpoint yet"),
        ([old], "old was measured by an older version"),
        ([run, "--minutes", "1"], "in its first 1 minutes: give more --minutes"),
        ([run, "--plot", "plot.gif"], "--plot plot.gif: give a file that ends in .png, .svg, .pdf"),
        ([run, "--plot", str(tmp_path / "nowhere" / "plot.png")], "plot.png: cannot be written"),
        ([run, "--minutes", "0"], "--minutes: Input should be greater than 0"),
    ]:
        assert compare.main(arguments) == 2
        assert message in capsys.readouterr().err


def test_a_run_of_the_training_command_can_be_compared(trained, tmp_path, capsys):
    (table,) = compared(capsys, tmp_path, str(trained.run))
    (run,) = table["runs"]
    assert (run["run"], run["pictures"]) == ("001-fashion-mnist-dcgan", 2048)
    assert run["minutes_to_the_first_runs_best"] == run["minutes"] > 0


def test_a_precision_that_was_not_measured_is_left_empty(tmp_path, capsys):
    run = a_run(tmp_path / "001-run", [9.0, 4.0])
    stats = tmp_path / "001-run" / "stats.jsonl"
    rows = [json.loads(line) for line in stats.read_text().splitlines()[:-1]]
    kept = [{name: value for name, value in row.items() if not name.startswith("precision")} for row in rows]
    stats.write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert compare.main([run, "--plot", str(tmp_path / "plot.png"), "--json"]) == 0
    out = capsys.readouterr().out
    assert "NaN" not in out
    assert json.loads(out)[0]["runs"][0]["precision"] is None
    assert compare.main([run, "--plot", str(tmp_path / "plot.png")]) == 0
    assert "nan" not in capsys.readouterr().out
