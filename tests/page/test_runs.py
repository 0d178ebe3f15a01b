"""report.html and the page of training.watch: from the disk, from the server, and while a run goes on."""

import json
import shutil
import threading
from contextlib import contextmanager

import pytest

from tests.training.tracking.test_report import a_run
from training.run import main
from training.tracking import report, run_dir
from training.tracking.watch_server import WatchServer

WIDTHS = (390, 1440)
WAIT = 4000  # milliseconds, after which the pages have asked for news


@contextmanager
def serving(runs):
    """The server of a folder of runs."""
    with WatchServer(runs, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """A run on points, too short to learn anything."""
    folder = tmp_path_factory.mktemp("ring")
    quick = ["--recipe", "gan", "--width", "16", "--batch-size", "64", "--measure", "200", "--threads", "1"]
    lengths = ["--images", "3k", "--sample-every", "1k"]
    assert main(["--data", "ring", *quick, *lengths, "--out", str(folder / "runs"), "--models", str(folder / "models")]) == 0
    return next((folder / "runs").iterdir())


@pytest.fixture
def runs(ring, tmp_path):
    """A folder with that run, and one on images."""
    folder = tmp_path / "runs"
    shutil.copytree(ring, folder / "001-ring")
    report.write(a_run(folder / "002-shirts", ["loss_d", "loss_g", "d_real", "d_fake"]))
    return folder


@pytest.fixture
def watched(runs):
    """The address of a server of these runs."""
    with serving(runs) as server:
        yield server.address.rstrip("/")


def goes_on(run, pictures):
    """What a run writes as it goes on: more statistics, and its report anew."""
    with (run / "stats.jsonl").open("a") as stats:
        stats.write(json.dumps({"pictures": pictures, "seconds": 60.0, "loss_d": 0.5, "loss_g": 0.75}) + "\n")
    report.write(run, training=True)


def fits_at_every_width(tab, *shown):
    for width in WIDTHS:
        tab.page.set_viewport_size({"width": width, "height": 844})
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        for selector in shown:
            box = tab.page.locator(selector).first.bounding_box()
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width, selector


@pytest.mark.parametrize(("name", "scheme", "moving"), [("001-ring", "dark", "canvas"), ("002-shirts", "light", ".grids")])
def test_a_report_is_a_file_that_plays_and_compares(open_tab, runs, name, scheme, moving):
    tab = open_tab(runs.as_uri(), color_scheme=scheme)
    page = tab.go(f"{name}/report.html")
    samples = page.locator("#samples")
    picture = samples.locator(moving).first
    last, shown = picture.screenshot(), samples.locator("output").inner_text()
    samples.get_by_role("button", name="Play").click()
    samples.get_by_role("button", name="Pause").wait_for()
    samples.get_by_role("button", name="Play").wait_for()
    assert (picture.screenshot(), samples.locator("output").inner_text()) == (last, shown)  # it ends where it was
    page.locator("h1").click()
    page.keyboard.press("ArrowLeft")
    assert samples.locator("output").inner_text() != shown
    assert picture.screenshot() != last
    page.locator(".plot").first.hover()
    assert "The numbers are those after" in page.locator(".at").inner_text()
    page.set_input_files(".choose input", runs / "002-shirts" / "stats.jsonl")
    page.wait_for_selector("path.other", state="attached")
    assert "stats.jsonl" in page.locator(".compared").inner_text()
    assert not tab.serious()
    fits_at_every_width(tab, "#samples", ".chart", ".choose input")


def test_with_less_motion_a_report_shows_one_grid_after_the_other(open_tab, runs):
    page = open_tab(runs.as_uri(), reduced_motion="reduce").go("002-shirts/report.html")
    page.evaluate("""() => {
        window.seen = new Set();
        const note = () => document.querySelectorAll("#samples img").forEach(one => seen.add(one.style.opacity));
        new MutationObserver(note).observe(document.querySelector("#samples"), {subtree: true, attributes: true});
    }""")
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert set(page.evaluate("[...seen]")) <= {"", "0", "1"}


def test_the_watch_page_shows_what_runs_do(open_tab, runs, watched):
    tab = open_tab(watched)
    tab.page.clock.install()
    page = tab.go()
    article = page.locator("article", has_text="002-shirts")
    article.get_by_text("3,000 images").wait_for()
    assert page.get_by_role("status").inner_text() == "2 runs, 0 running"
    with run_dir.locked(runs / "002-shirts"):
        goes_on(runs / "002-shirts", 4000)
        page.clock.fast_forward(WAIT)
        article.get_by_text("4,000 images").wait_for()
        assert article.locator(".state").inner_text() == "running"
        assert article.get_by_role("progressbar").get_attribute("value") == "0.4"
    shutil.copytree(runs / "001-ring", runs / "003-ring")
    page.clock.fast_forward(WAIT)
    page.get_by_role("link", name="003-ring").wait_for()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert not tab.serious()
    fits_at_every_width(tab, "article", "article canvas:visible", "article img:visible")
    page.get_by_role("link", name="003-ring").click()
    page.wait_for_selector("#samples canvas")


def test_a_served_report_renews_itself_and_leaves_the_view_as_it_is(open_tab, runs, watched):
    tab = open_tab(watched)
    tab.page.clock.install()
    page = tab.go("runs/002-shirts/")
    page.locator("#samples input").fill("0")
    page.locator("summary").click()
    page.select_option(".choose select", "001-ring")
    page.wait_for_selector("path.other", state="attached")
    goes_on(runs / "002-shirts", 5000)
    page.clock.fast_forward(WAIT)
    page.locator(".facts", has_text="5,000").wait_for()
    assert page.locator("#samples output").inner_text() == "0"
    assert page.locator("details").get_attribute("open") is not None
    assert page.locator("path.other").count() > 0
    assert "001-ring" in page.locator(".compared").inner_text()


def test_the_watch_page_waits_for_runs_and_for_the_server(open_tab, tmp_path):
    runs = tmp_path / "later"
    with serving(runs) as server:
        page = open_tab(server.address.rstrip("/")).page
        page.clock.install()
        page.goto(server.address)
        page.get_by_text(f"no runs yet in {runs}").wait_for()
        a_run(runs / "001-hats")
        page.clock.fast_forward(WAIT)
        page.get_by_role("link", name="001-hats").wait_for()
        page.route("**/runs.json", lambda route: route.abort())
        page.clock.fast_forward(WAIT)
        page.get_by_text("the server does not answer").wait_for()
        page.unroute("**/runs.json")
        page.clock.fast_forward(WAIT)
        page.get_by_text("1 run, 0 running").wait_for()
