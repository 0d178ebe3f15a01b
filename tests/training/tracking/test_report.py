import base64
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from gan.images import encoding
from training.tracking import charts, plots, report

KEYS = [key for chart in charts.CHARTS for key in chart.labels]


def a_run(folder: Path, keys=("loss_d", "loss_g"), rows=3, grids=3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("data: images\nrecipe: dcgan\nname: null\nimages: 10000\nminutes: null\n")
    (folder / "environment.json").write_text('{"git_revision": null, "libraries": {"torch": "2.9"}, "hardware": "cpu"}')
    with (folder / "stats.jsonl").open("w") as stats:
        for row in range(rows):
            values = {key: row * 0.5 + index for index, key in enumerate(keys)}
            stats.write(json.dumps({"pictures": 1000 * (row + 1), "seconds": row + 1.0, **values}) + "\n")
    for number in range(grids):
        sheet = np.full((8, 8, 1), number % 256, np.uint8)
        (folder / f"samples-{1000 * number:09d}.png").write_bytes(encoding.encode(sheet, "png"))
    return folder


def page_of(folder: Path, **options) -> str:
    return report.write(folder, **options).read_text()


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def grids_of(page: str) -> dict[int, bytes]:
    found = re.findall(r'<img data-images="(\d+)"[^>]* src="data:image/png;base64,([^"]*)"', page)
    return {int(seen): base64.b64decode(content) for seen, content in found}


def titles_of(page: str) -> list[str]:
    return re.findall(r"<figcaption><h3>(.*?)</h3>", page)


def test_every_group_is_there_with_its_keys(tmp_path):
    page = page_of(a_run(tmp_path, KEYS))
    assert titles_of(page) == [chart.title for chart in charts.CHARTS]
    assert set(re.findall(r'data-key="(\w+)"', page)) == set(KEYS)
    assert "<h2>Other</h2>" not in page


@pytest.mark.parametrize("chart", charts.CHARTS, ids=lambda chart: chart.title)
def test_a_group_is_there_for_any_one_of_its_keys_and_alone(tmp_path, chart):
    for key in chart.labels:
        page = page_of(a_run(tmp_path, [key]))
        assert titles_of(page) == [chart.title]
        assert re.findall(r'data-key="(\w+)"', page) == [key]
        assert page.count('class="level" d=') == (chart.line is not None)


def test_unknown_statistics_come_last_each_in_a_chart_of_its_own(tmp_path):
    page = page_of(a_run(tmp_path, ["learning_rate", "loss_d", "beta"]))
    assert titles_of(page) == ["Losses", "learning_rate", "beta"]
    assert page.index("<h2>Other</h2>") > page.index("<h3>Losses</h3>")


def test_few_values_are_shown_as_they_are(tmp_path):
    curves = data_of(page_of(a_run(tmp_path)))
    assert curves["loss_g"] == {"pictures": [1000, 2000, 3000], "values": [1, 1.5, 2]}


def test_many_values_are_shown_by_their_means(tmp_path):
    curve = data_of(page_of(a_run(tmp_path, rows=6000)))["loss_d"]
    assert len(curve["values"]) == plots.MOST_POINTS
    # The second of 600 bins has rows 10 to 19, whose values are 5, 5.5, … 9.5.
    assert curve["values"][1] == pytest.approx(7.25)
    assert curve["pictures"][1] == 15_500


def test_no_value_is_lost_or_counted_twice_where_bins_are_unequal():
    values = np.random.default_rng(0).standard_normal(1499)
    thinned = plots.thin(plots.Curve(np.arange(1499.0), values))
    sizes = np.diff(np.arange(601) * 1499 // 600)
    assert (thinned.values * sizes).sum() == pytest.approx(values.sum())
    assert np.all(np.diff(thinned.images) > 0)


def test_the_distance_from_the_equilibrium_is_told(tmp_path):
    (tmp_path / "stats.jsonl").write_text('{"pictures": 1, "value": -1.0}')
    assert "\N{MINUS SIGN}1 (+0.3863 from -log 4)" in page_of(tmp_path)


def test_grids_are_embedded_byte_for_byte(tmp_path):
    run = a_run(tmp_path, grids=100)
    grids = grids_of(page_of(run))
    assert len(grids) == 40
    assert {0, 99_000} <= grids.keys()
    assert max(np.diff(sorted(grids))) <= 3000
    for seen, content in grids.items():
        assert content == (run / f"samples-{seen:09d}.png").read_bytes()


def test_every_nth_grid(tmp_path):
    assert list(grids_of(page_of(a_run(tmp_path, grids=6), grid_every=2))) == [0, 2000, 4000, 5000]


def test_large_grids_do_not_make_a_huge_page(tmp_path, monkeypatch):
    run = a_run(tmp_path, grids=30)
    size = (run / "samples-000029000.png").stat().st_size
    monkeypatch.setattr(report, "_MOST_GRID_BYTES", 5 * size)
    assert len(grids_of(page_of(run))) == 5
    monkeypatch.setattr(report, "_MOST_GRID_BYTES", 1)
    assert list(grids_of(page_of(run))) == [0, 29_000]


def test_nothing_that_users_name_becomes_markup(tmp_path):
    evil = "</script><script>alert(1)</script><!--title-->\"'&"
    run = a_run(tmp_path / "<img onerror=alert(1)>", [evil])
    (run / "config.yaml").write_text(json.dumps({"data": evil, "name": evil, "images": evil, evil: {evil: evil}}))
    (run / "environment.json").write_text(json.dumps({"hardware": evil}))
    (run / "warnings.jsonl").write_text(json.dumps({"pictures": 5, "message": evil}) + "\n")
    page = page_of(run)
    assert "<script>alert" not in page
    assert "<img onerror" not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert data_of(page)[evil]["values"] == [0, 0.5, 1]
    assert "&lt;script&gt;alert(1)" in page


def test_warnings_are_at_the_top_and_the_latest_win(tmp_path):
    run = a_run(tmp_path)
    assert 'class="warnings"' not in page_of(run)
    rows = [{"pictures": 1000 * number, "message": f"no. {number}."} for number in range(30)]
    (run / "warnings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(run)
    assert page.index("after 29,000 images: no. 29.") < page.index("<h2>Samples and curves</h2>")
    assert "no. 9." not in page
    assert "10 earlier ones" in page


def test_an_empty_folder_has_a_report(tmp_path):
    page = page_of(tmp_path)
    assert data_of(page) == {}
    assert titles_of(page) == []


@pytest.mark.parametrize("file", ["config.yaml", "environment.json", "stats.jsonl", "samples-000001000.png", "warnings.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"[" * 100_000, b"[1, 2]", b"{", b"null", b'{"pictures": "many"}'])
def test_a_damaged_file_is_passed_over(tmp_path, file, content):
    run = a_run(tmp_path)
    (run / file).write_bytes(content)
    assert report.write(run).is_file()
    (run / file).unlink()
    (run / file).mkdir()
    assert report.write(run).is_file()


def test_a_damaged_model_is_passed_over(tmp_path):
    run = a_run(tmp_path)
    (run / "model").mkdir()
    (run / "model" / "model.json").write_text("{}")
    assert "not finished" in page_of(run)


def test_odd_numbers_are_passed_over(tmp_path):
    huge = "9" * 400
    rows = [
        '{"pictures": 1, "seconds": NaN, "loss_d": NaN, "loss_g": 1}',
        '{"pictures": 2, "seconds": "x", "loss_d": 0.25, "loss_g": -Infinity, "r1": 1e308, "label": "text", "flag": true}',
        f'{{"pictures": 3, "seconds": {huge}, "pictures_per_second": NaN, "loss_d": {huge}, "loss_g": null}}',
        '{"pictures": NaN, "loss_d": 5}',
        f'{{"pictures": {huge}, "loss_d": 5}}',
        '{"pictures": 4, "loss_d": 0.',
    ]
    (tmp_path / "stats.jsonl").write_text("\n".join(rows))
    assert data_of(page_of(tmp_path)) == {
        "loss_d": {"pictures": [2], "values": [0.25]},
        "loss_g": {"pictures": [1], "values": [1]},
    }


@pytest.mark.parametrize("value", [0, 1e-300, -1e299, 1e-7, 123456789.125])
def test_a_constant_of_any_size_can_be_drawn(tmp_path, value):
    rows = [{"pictures": seen, "odd": value} for seen in (0, 10, 20)]
    (tmp_path / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "nan" not in re.search(r"<figure.*</figure>", page_of(tmp_path), re.S)[0]


def test_odd_settings_do_not_matter(tmp_path):
    run = a_run(tmp_path)
    for settings in ("images: -5\nminutes: .nan\n", "images: 1.0e+400\nminutes: x\n", "a: &a\n  b: *a\n", "1: {2: 3}\n"):
        (run / "config.yaml").write_text(settings)
        assert report.write(run).is_file()


def test_ticks_are_round_and_within():
    assert plots.ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert plots.ticks(-1.5, 0.2) == pytest.approx([-1.5, -1, -0.5, 0])
    assert plots.ticks(3, 4_100) == pytest.approx([1000, 2000, 3000, 4000])


def test_one_spike_does_not_flatten_the_rest(tmp_path):
    rows = [{"pictures": seen, "penalty": 1e6 if seen == 50 else seen % 7} for seen in range(200)]
    (tmp_path / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(tmp_path)
    low, high = (float(bound) for bound in re.search(r'data-values="([^,]*),([^"]*)"', page).groups())
    assert low <= 0
    assert 6 <= high < 20
    assert "A few values lie beyond the axis." in page


def test_a_finished_run_names_its_model_and_needs_nothing_from_elsewhere(trained):
    page = (trained.run / "report.html").read_text()
    version = json.loads((trained.model / "model.json").read_text())["version"]
    assert f'<a href="model/README.md"><b>fashion-mnist-dcgan@{version}</b></a>' in page
    assert "finished" in page
    assert titles_of(page) == [
        *("Losses", "Discriminator outputs", "Accuracy of the discriminator", "Value function"),
        *("Distance from the data", "Precision and recall", "Diversity", "Logits", "Speed"),
    ]
    assert list(grids_of(page).values())[-1] == (trained.run / "samples-000002048.png").read_bytes()
    without_grids = re.sub(r"base64,[^\"]*", "", page)
    assert re.findall(r"https?://[^\"'\s]*", without_grids) == []
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", without_grids.replace("data:image/png;", "data:,"))[0] == "data:,"
    assert not re.search(r"@import|url\(|XMLHttpRequest", without_grids)
    # What a report asks for where a server serves it is on that server, and no other can be asked.
    asked = re.findall(r"fetch\((.*?)[,)]", without_grids)
    assert asked == ["location.pathname", '"../../runs.json"', "`../${encodeURIComponent(select.value"]
    assert "default-src 'none'; connect-src 'self'; img-src data:;" in page


def test_the_exported_checkpoint_is_marked_and_the_curves_are_put_in_words(trained):
    page = (trained.run / "report.html").read_text()
    marked = re.findall(r'<div class="mark (\w+)" data-images="(\d+)"[^>]*style="left:([\d.]+)%;top:([\d.]+)%"', page)
    assert [(kind, images, left) for kind, images, left, _ in marked] == [("both", "2048", "100.00")]
    assert "nearest to the data, and exported: " in page
    assert "One network makes images from random numbers" in page


def text_of(page):
    return " ".join(re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_the_bar_of_a_run_by_the_clock_is_that_of_its_minutes(tmp_path):
    run = a_run(tmp_path)
    (run / "config.yaml").write_text("data: images\nimages: 1000000000\nminutes: 20\n")
    (run / "stats.jsonl").write_text('{"pictures": 5000, "seconds": 300.0, "loss_d": 1.0}\n')
    page = report.write(run).read_text()
    assert '<progress value="0.25" max="1">' in page
    assert "5,000 images · 5.0 of 20 minutes · not finished" in text_of(page)
    (run / "config.yaml").write_text("data: images\nimages: 6000\nminutes: 20\n")
    page = report.write(run).read_text()
    assert float(re.search(r'<progress value="([\d.]+)"', page)[1]) == pytest.approx(5 / 6)
    assert "5,000 of 6,000 images" in text_of(page)


def test_a_finished_run_that_goes_on_is_not_finished(trained, tmp_path):
    folder = shutil.copytree(trained.run, tmp_path / "run")
    finished, training = (report.write(folder, training=goes_on).read_text() for goes_on in (False, True))
    assert " · finished" in text_of(finished)
    assert "<progress" not in finished
    assert "not finished" in text_of(training)
    assert "<progress" in training
    assert "Fréchet distance" in re.search(r'<p class="verdict">(.*?)</p>', finished)[1]
    assert 'class="verdict"' not in training


def test_each_protocol_is_said_once_in_the_table_of_measures(trained):
    page = report.write(trained.run).read_text()
    metrics = json.loads((trained.run / "model" / "model.json").read_text())["metrics"]
    table = page[page.index('<section class="quality">') :]
    for protocol in {metric["protocol"] for metric in metrics}:
        assert html.unescape(table).count(f'colspan="3">{protocol}:') == 1
    rows = dict(re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', table))
    assert {metric["name"] for metric in metrics} <= {html.unescape(name) for name in rows}
