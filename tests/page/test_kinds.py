"""Models of kinds that do not ship: with codes, and with a StyleGAN's styles."""

import pytest
from PIL import Image

AFTER = "#edit-compare .over"


def test_codes_are_chosen_moved_and_given_back(tab, open_tab):
    page = tab.go("#edit?model=coded&seed=5")
    plain = tab.loaded(AFTER)
    page.locator("#edit-codes").get_by_text("2", exact=True).click()
    chosen = tab.until_changed(AFTER, plain)
    page.get_by_role("slider", name="slant").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    tab.wait("location.hash.includes('codes=kind:2;slant:0.5')")
    moved = tab.until_changed(AFTER, chosen)
    again = open_tab(tab.base)
    again.go(page.url.removeprefix(tab.base + "/"))
    again.until_shown(AFTER, moved)
    page.get_by_role("button", name="slant: back to its own").click()
    tab.until_shown(AFTER, chosen)
    page.get_by_role("group", name="kind").get_by_text("its own").click()
    tab.until_shown(AFTER, plain)
    assert "codes" not in page.url
    assert not tab.serious()


@pytest.mark.parametrize("model", ["styled", "coded"])
def test_a_picture_between_seeds_that_cannot_be_edited_is_told(tab, model):
    page = tab.go(f"#wall?model={model}&like=3&seed=4")
    tab.loaded(".batch canvas")
    page.locator('[data-index="0"]').click()
    page.wait_for_selector("#detail-picture[data-drawn]")
    assert page.get_by_role("heading", name="Between 3, 4").is_visible()
    page.get_by_role("button", name="Edit").click()
    tab.pixels(AFTER)
    assert page.locator("#edit-note").inner_text() == f"{model} can edit no picture between seeds: this is that of seed 3."
    page.get_by_role("button", name="Another").click()
    tab.wait("document.getElementById('edit-note').textContent === ''")


@pytest.mark.parametrize("model", ["styled", "coded"])
def test_a_path_is_recorded(tab, model):
    page = tab.go(f"#morph?model={model}")
    page.select_option("#record-format", "gif")
    page.get_by_role("button", name="Record").click()
    page.locator("#plane").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Stop recording").click()
    page.wait_for_selector("#recorded:not([hidden])")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save it").click()
    with Image.open(download.value.path()) as animation:
        assert animation.format == "GIF"
