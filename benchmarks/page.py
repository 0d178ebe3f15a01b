"""How soon the playground shows pictures, and how many a second it draws while one moves through the plane of "Morph".

`make serve`, and then `python -m benchmarks.page`. It needs Playwright and Chromium, as `make test-page` does.

The first pictures are timed by the page itself, from the start of the navigation, each round in a browser without a cache. The
pictures of a morph are those that the page has drawn, each of them another place of the plane, asked for by a request of its own.
"""

import argparse
import os
from statistics import median

from playwright.sync_api import Browser, sync_playwright

_FIRST = "performance.getEntriesByName('first-pictures')"


def main() -> None:
    """Print both figures for every model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:3000", help="of the service (default: %(default)s)")
    parser.add_argument("--models", nargs="+", default=["avatars", "fashion-mnist"], help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5, help="of moving through the plane (default: %(default)s)")
    chosen = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        for model in chosen.models:
            rounds = sorted(_first_pictures(browser, f"{chosen.address}/#wall?model={model}") for _ in range(chosen.rounds))
            rate = _morph(browser, f"{chosen.address}/#morph?model={model}", chosen.seconds)
            first = f"first pictures after {median(rounds):.0f} ms ({rounds[0]:.0f} to {rounds[-1]:.0f})"
            print(f"{model}: {first}, morph {rate:.0f} pictures/s")
        browser.close()


def _first_pictures(browser: Browser, address: str) -> float:
    """Milliseconds until the first row of the wall was drawn."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_function(f"() => {_FIRST}.length")
    milliseconds = float(page.evaluate(f"{_FIRST}[0].startTime"))
    page.close()
    return milliseconds


def _morph(browser: Browser, address: str, seconds: float) -> float:
    """Pictures a second while the page wanders through the plane by itself."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_selector(".field-of[data-drawn]")
    page.get_by_role("button", name="Wander").click()
    drawn = "+document.getElementById('morph-picture').dataset.total"
    before = page.evaluate(drawn)
    page.wait_for_timeout(1000 * seconds)
    after = page.evaluate(drawn)
    page.close()
    return float(after - before) / seconds


if __name__ == "__main__":
    main()
