"""The pages behind a key, behind a path prefix, and the API's documentation."""

import pytest

from tests.page.conftest import KEY
from tests.test_service import ROOT, running


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "fashion-mnist").symlink_to(ROOT / "models" / "fashion-mnist")  # one starts sooner than three
    with running(GAN_API_KEYS=KEY, GAN_MODELS=str(folder)) as client:
        yield str(client.base_url).rstrip("/")


def test_with_keys_the_page_opens_and_asks_for_one(open_tab, locked):
    tab = open_tab(locked)
    page = tab.go("#wall?open=3")
    page.wait_for_selector("#unlock[open]")
    for _ in range(3):
        page.keyboard.press("Escape")
    page.wait_for_selector("#unlock[open]")
    page.get_by_role("textbox", name="Key").fill("another")
    page.get_by_role("button", name="Open").click()
    tab.wait("document.getElementById('unlock-why').textContent.includes('does not know this key')")
    page.get_by_role("textbox", name="Key").fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("#unlock", state="hidden")
    tab.pixels(".batch canvas", 11)
    tab.pixels("#detail-picture")
    assert "$GAN_KEY" in page.locator("#detail code").nth(1).inner_text()
    assert KEY not in page.content() + page.url + page.evaluate("JSON.stringify(localStorage) + document.cookie")
    page.reload()
    tab.pixels("#detail-picture")
    page.goto(f"{locked}/docs")
    page.wait_for_selector(".authorize.locked")
    other = open_tab(locked).go()
    other.wait_for_selector("#unlock[open]")


def test_the_documentation_needs_no_inline_code(tab):
    page = tab.go("docs")
    page.wait_for_selector("#operations-default-generate")
    assert page.locator(".opblock").count() >= 9


def test_the_page_works_behind_a_path_prefix(open_tab, service):
    base = str(service.base_url).rstrip("/")
    tab = open_tab(f"{base}/images/gan")
    tab.page.route(
        "**/images/gan/**", lambda route: route.fulfill(response=route.fetch(url=route.request.url.replace("/images/gan/", "/")))
    )
    for state, canvas in (
        ("#wall?open=4", "#detail-picture"),
        ("#morph", "#morph-picture"),
        ("#edit?seed=2", "#edit-compare .over"),
    ):
        tab.go(state)
        tab.pixels(canvas)
