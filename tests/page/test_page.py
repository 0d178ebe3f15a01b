"""The playground, as people use it."""

import io
import subprocess
import sys
from urllib.parse import unquote

import pytest
from PIL import Image

STATES = [
    "#wall?model=fashion-mnist&seed=40&label=Coat&at=96&zoom=192",
    "#wall?seed=3&truncation=0.5&zoom=192&open=12",
    "#wall?model=fashion-mnist&like=8&seed=1&zoom=224",
    "#morph?corners=1;2;3;5:1,9:0.4&at=0.250,0.600&label=pixel-art",
    "#morph?model=fashion-mnist&corners=4;5;6&at=0.500,0.700",
    "#edit?seed=9&label=open-peeps&move=skin-color-light:2;glasses:-1",
    "#edit?model=fashion-mnist&seed=3&label=Bag&truncation=0.6",
    "#score?model=fashion-mnist&seed=5",
]
CELLS = ".batch canvas"


def as_image(content):
    return Image.open(io.BytesIO(content)).convert("RGB")


def fetch(service, **query):
    return as_image(service.get("/generate", params={"format": "png", **query}).raise_for_status().content)


def test_a_wall_of_pictures_fills_the_window_and_goes_on(tab, service, record_property):
    page = tab.go()
    tab.wait("performance.getEntriesByName('first-pictures').length")
    first = page.evaluate("performance.getEntriesByName('first-pictures')[0].startTime")
    record_property("first pictures, ms", first)
    print(f"first pictures after {first:.0f} ms")
    assert first < 15_000
    tab.pixels(CELLS, 30)
    assert page.evaluate("document.elementFromPoint(innerWidth / 2, innerHeight - 20).closest('.batch') !== null")
    assert tab.picture(".batch .cell:first-child canvas").tobytes() == fetch(service, seed=0).tobytes()
    sides = page.evaluate(
        "[...document.querySelectorAll('.batch canvas')].map(one => one.getBoundingClientRect().width * devicePixelRatio / 64)"
    )
    assert set(sides) == {2}
    assert "Seed 7, " in page.locator('[data-name="7"]').get_attribute("aria-label")
    last = page.evaluate("document.documentElement.scrollHeight")
    for _ in range(3):
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        tab.wait(f"document.documentElement.scrollHeight > {last}")
        last = page.evaluate("document.documentElement.scrollHeight")
    tab.wait("new URLSearchParams(location.hash.split('?')[1]).get('at') > 100")
    assert page.locator(CELLS).count() < 400  # those that were passed are given back
    page.get_by_role("button", name="Larger pictures").click()
    tab.wait("document.querySelector('.batch canvas')?.getBoundingClientRect().width === 192")


def test_a_picture_is_enlarged_and_its_lines_draw_it_again(tab, service, tmp_path):
    page = tab.go("#wall?label=open-peeps")
    page.locator('[data-name="7"]').click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading").first.inner_text() == "Seed 7"
    expected = fetch(service, seed=7, label="open-peeps")
    assert tab.picture("#detail-picture").tobytes() == expected.tobytes()
    assert len(set(tab.pixels("#neighbours canvas", 8))) == 8
    address, curl, python = dialog.locator("code").all_inner_texts()
    assert as_image(service.get(address).content).tobytes() == expected.tobytes()
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True)
    assert as_image((tmp_path / "picture.png").read_bytes()).tobytes() == expected.tobytes()
    assert curl == f"curl -OJ '{address}'"
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Save PNG").click()
    assert download.value.suggested_filename == "avatars-seed0000000007-open-peeps.png"
    assert as_image(download.value.path().read_bytes()).tobytes() == expected.tobytes()
    page.keyboard.press("ArrowRight")
    tab.wait("document.getElementById('detail-title').textContent === 'Seed 8'")
    dialog.get_by_role("button", name="More like this").click()
    tab.wait("document.getElementById('wall-like').checkVisibility()")
    assert len(set(tab.pixels(CELLS, 12))) >= 12
    assert "seed=9&like=8" in page.url  # and not seed 8 once more


def test_the_keyboard_goes_through_the_wall(tab):
    page = tab.go()
    tab.pixels(CELLS, 20)
    page.locator('[data-name="0"]').focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    name = page.evaluate("document.activeElement.dataset.name")
    assert name == str(
        1 + page.evaluate("getComputedStyle(document.querySelector('.batch')).gridTemplateColumns.split(' ').length")
    )
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#detail", state="hidden")
    assert page.evaluate("document.activeElement.dataset.name") == name
    page.go_back()


@pytest.mark.parametrize("model", ["avatars", "fashion-mnist"])
def test_dragging_moves_through_the_plane_between_pictures(tab, service, model, record_property):
    page = tab.go(f"#morph?model={model}&corners=4;5;6;7&at=0,0")
    corner = tab.pixels("#morph-picture")
    assert tab.picture("#morph-picture").tobytes() == fetch(service, model=model, seed=4).tobytes()
    page.wait_for_selector(".field-of[data-drawn]")
    box = page.locator("#plane").bounding_box()
    page.get_by_role("button", name="Record").click()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    rates = []
    for step in range(40):
        page.mouse.move(box["x"] + 40 + 9 * step, box["y"] + 40 + 7 * step)
        page.wait_for_timeout(16)
        rates.append(float(page.locator("#morph-picture").get_attribute("data-rate") or 0))
    page.mouse.up()
    record_property(f"{model}: pictures a second", max(rates))
    print(f"{model}: {max(rates)} pictures a second")
    assert int(page.locator("#morph-picture").get_attribute("data-total")) > 5
    assert tab.until_changed("#morph-picture", corner) != corner
    page.get_by_role("button", name="Stop recording").click()
    page.wait_for_selector("#recorded:not([hidden])")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save it").click()
    with Image.open(download.value.path()) as animation:
        assert (animation.format, animation.width) == ("WEBP", 256)
        assert animation.n_frames > 5


def test_an_edit_is_seen_at_once_and_undone(tab):
    page = tab.go("#edit?seed=9")
    after = "#edit-compare .over"
    plain = tab.loaded(after)
    assert tab.pixels("#edit-compare canvas:first-child") == plain
    slider = page.get_by_role("slider", name="Background light")
    slider.focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    moved = tab.until_changed(after, plain)
    tab.wait("location.hash.includes('move=background-light:')")
    page.locator("#edit-classes").get_by_text("pixel-art").click()
    tab.until_changed(after, moved)
    page.get_by_role("button", name="Undo").click()
    tab.wait("!location.hash.includes('label')")
    assert "label" not in unquote(page.url)
    while page.get_by_role("button", name="Undo").is_enabled():
        page.keyboard.press("Control+z")
    tab.until_shown(after, plain)
    page.keyboard.press("Control+Shift+z")
    assert tab.until_changed(after, plain) != plain
    page.get_by_role("slider", name="Divider").focus()
    page.keyboard.press("Home")
    assert page.locator(".compare:visible").evaluate("one => getComputedStyle(one).getPropertyValue('--at')") == "0%"
    assert '"move":{"background-light":' in page.locator("#edit-curl").text_content()


def test_a_dropped_picture_is_found_edited_and_linked(tab, open_tab, service):
    page = tab.go("#wall?model=fashion-mnist")
    tab.pixels(CELLS, 20)
    tab.drop(
        "boot.png", service.get("/generate", params={"model": "fashion-mnist", "seed": 3, "scale": 4, "format": "png"}).content
    )
    page.wait_for_selector("#edit-progress", state="visible")
    page.wait_for_selector("#edit-progress", state="hidden")
    assert "dB, class" in page.locator("#edit-note").inner_text()
    page.locator("#edit-classes").get_by_text("Bag").click()
    tab.wait("location.hash.includes('label=Bag')")
    again = open_tab(tab.base)
    again.go(page.url.removeprefix(tab.base + "/"))
    tab.until_shown("#edit-compare .over", again.loaded("#edit-compare .over"))


def test_a_picture_is_scored_where_the_model_can(tab, open_tab, service):
    page = tab.go("#score?model=fashion-mnist")
    page.wait_for_selector("#score-result", state="visible")
    assert "are at least as unusual as seed 3" in page.locator("#score-words").inner_text()
    before = tab.pixels("#score canvas", 2)
    content = io.BytesIO()
    Image.radial_gradient("L").save(content, "PNG")
    tab.drop("circle.png", content.getvalue())
    tab.until_changed("#score canvas", before)
    tab.wait("location.hash.includes('picture=')")
    assert "circle.png. It is" in page.locator("#score-words").inner_text()
    shown, share = tab.pixels("#score canvas", 2), page.locator("#score-share").inner_text()
    again = open_tab(tab.base)
    there = again.go(page.url.removeprefix(tab.base + "/"))
    there.wait_for_selector("#score-result", state="visible")
    assert (again.pixels("#score canvas", 2), there.locator("#score-share").inner_text()) == (shown, share)


def test_a_model_that_lacks_something_says_what_makes_it(tab):
    page = tab.go("#score?model=fashion-mnist-dcgan")
    assert "python -m training.encoder models/fashion-mnist-dcgan" in page.locator("#score .missing").inner_text()
    page = tab.go("#edit?model=fashion-mnist-dcgan")
    assert "python -m training.directions models/fashion-mnist-dcgan" in page.locator("#edit .missing").inner_text()
    assert not page.locator("#edit-classes").is_visible()


@pytest.mark.parametrize("state", STATES)
def test_a_link_shows_the_same_pictures(open_tab, service, state):
    seen = []
    for _ in range(2):
        tab = open_tab(str(service.base_url).rstrip("/"))
        page = tab.go(state)
        page.wait_for_selector("canvas[data-drawn]:visible")
        seen.append(tab.loaded("main canvas, dialog canvas"))
        assert page.locator("#problem").is_hidden()
    assert seen[0] == seen[1]
    assert len(seen[0]) > 1


def test_problems_are_told_in_words(tab):
    page = tab.go("#wall?label=Nobody")
    page.wait_for_selector("#problem", state="visible")
    assert "label" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Close the message").click()
    assert page.get_by_role("alert").is_hidden()
    assert "There is no model other here" in tab.go("#wall?model=other").get_by_role("alert").inner_text()
    assert "the model now is avatars@" in tab.go("#wall?model=avatars@0123").get_by_role("alert").inner_text()
    for broken in ("#edit?noise=AAAAA", "#edit?noise=%21", "#score?model=fashion-mnist&picture=A"):
        tab.go(broken)
        page.wait_for_selector("#problem", state="visible")
        assert "This link is damaged" in page.get_by_role("alert").inner_text(), broken
    tab.go("#wall?zoom=0.001")
    tab.pixels(CELLS, 60)
    assert page.get_by_role("alert").is_hidden()
    page.route("**/edit", lambda route: route.abort())
    tab.go("#edit?seed=1")
    page.wait_for_selector("#problem", state="visible")
    assert "The service does not answer" in page.get_by_role("alert").inner_text()
    page.unroute("**/edit")
    page.get_by_role("button", name="Another").click()
    page.wait_for_selector("#problem", state="hidden")
    gone = {"detail": "model: there is no model 'avatars@1'; there is avatars@2"}
    page.route("**/generate?*", lambda route: route.fulfill(status=404, json=gone))
    tab.go("#wall")
    page.get_by_text("there is avatars@2. Load this page again.").wait_for()


def test_what_the_service_does_and_the_model_are_told(tab):
    page = tab.go("#wall?model=fashion-mnist")
    tab.wait("document.getElementById('live-text').textContent.includes('pictures/s')")
    page.get_by_role("button", name="About").click()
    text = page.get_by_role("dialog").inner_text()
    assert "of 10 classes: T-shirt/top, Trouser" in text
    assert "of its pictures look like real ones" in text
    page.wait_for_selector("#about-live dd")
    assert "Pictures in a batch" in page.locator("#about-live").inner_text()
