"""That nobody is kept out: by a small screen, by colours, or by what a screen reader is told."""

import pytest


def test_the_theme_follows_the_system_or_the_button(open_tab, service):
    tab = open_tab(str(service.base_url).rstrip("/"), color_scheme="dark")
    page = tab.go()
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(colour) != dark
    page.reload()
    assert page.evaluate(colour) != dark


@pytest.mark.parametrize("width", [390, 834, 1440])
def test_nothing_stands_out_of_the_window(open_tab, service, width):
    tab = open_tab(str(service.base_url).rstrip("/"), viewport={"width": width, "height": 844}, reduced_motion="reduce")
    for state in ("#wall?open=3", "#morph", "#edit?model=avatars", "#score"):
        page = tab.go(state if "model" in state else f"{state}{'&' if '?' in state else '?'}model=fashion-mnist")
        page.wait_for_selector("canvas[data-drawn]:visible")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state
        assert page.get_by_role("link", name="Morph").is_visible() or "open" in state
        assert page.evaluate("document.getAnimations().filter(one => one.playState === 'running').length") == 0


@pytest.mark.parametrize(
    ("scheme", "states"),
    [
        ("light", ["#wall", "#wall?open=3", "#morph?model=fashion-mnist", "#edit?move=glasses:1", "#score?model=fashion-mnist"]),
        ("dark", ["#wall?model=fashion-mnist&open=3", "#morph", "#edit?model=fashion-mnist", "#score?model=fashion-mnist-dcgan"]),
    ],
)
def test_axe_finds_nothing_serious(open_tab, service, scheme, states):
    tab = open_tab(str(service.base_url).rstrip("/"), color_scheme=scheme, reduced_motion="reduce")
    for state in states:
        page = tab.go(state)
        page.wait_for_selector("canvas[data-drawn]:visible, .missing:visible")
        assert not tab.serious(), state
