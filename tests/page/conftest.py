"""The shipped models, served, and Chromium to look at them. A page that complains, or asks another host, fails its test."""

import base64
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import torch
from axe_playwright_python.base import AXE_FILE_PATH
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from gan.latents import Code, InputSpec
from gan.networks import dcgan, stylegan2
from tests.test_service import ROOT, running
from training.convert import folder as convert
from training.convert.kinds.base import Recognised

KEY = "schlüssel of this test"
EXPECTED = "401"  # Chromium reports every refused request, and without a key the first one is

# The canvases that are seen and drawn
_DRAWN = (
    "selector => [...document.querySelectorAll(selector)].filter(one => one.checkVisibility() && one.dataset.drawn !== undefined)"
)
_PIXELS = f"selector => ({_DRAWN})(selector).map(canvas => canvas.toDataURL())"


def write_untrained(folder: Path) -> None:
    """Two models of kinds that none of the shipped ones has: a StyleGAN2, and one with codes."""
    torch.manual_seed(0)
    inputs = InputSpec(12, codes=(Code("kind", 4), Code("slant")))
    styles = {"w_dim": 16, "layers": 2, "widths": [8, 8, 8], "clamp": 256.0}
    for name, made, family, arguments, generator, size in (
        ("styled", "StyleGAN2", "stylegan2", styles, stylegan2.Generator(InputSpec(12), 3, (16, 16), **styles), 16),
        ("coded", "InfoGAN", "dcgan", {"width": 8}, dcgan.Generator(inputs, 3, (32, 32), 8), 32),
    ):
        for layer in generator.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.data.normal_(0, 1.5 * layer.in_features**-0.5)
        found = Recognised(made, family, arguments, generator.eval().requires_grad_(False), 3, (size, size), {})
        convert.write(found, "a test", "0" * 64, folder / name, name, "none", None)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """The models in models/ and two others, open to all."""
    folder = tmp_path_factory.mktemp("models")
    for shipped in (ROOT / "models").iterdir():
        (folder / shipped.name).symlink_to(shipped)
    write_untrained(folder)
    with running(GAN_MODELS=str(folder)) as client:
        yield client


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; CHROMIUM names another one."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])


class Visit:
    """A tab, on the playground."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base

    def go(self, fields: str = "") -> Page:
        """Open the page at a state, anew even if it is open already."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/{fields}")
        return self.page

    def pixels(self, selector: str, n: int = 1) -> list[str]:
        """What at least n canvases show, as data URLs of PNG."""
        self.page.wait_for_function(f"selector => ({_DRAWN})(selector).length >= {n}", arg=selector)
        return self.page.evaluate(_PIXELS, selector)

    def picture(self, selector: str) -> Image.Image:
        """What one canvas shows."""
        return Image.open(io.BytesIO(base64.b64decode(self.pixels(selector)[0].partition(",")[2]))).convert("RGB")

    def until_changed(self, selector: str, before: list[str]) -> list[str]:
        """What canvases show once it is something else."""
        self.page.wait_for_function(
            f"([selector, before]) => ({_PIXELS})(selector).join() !== before.join()", arg=[selector, before]
        )
        return self.pixels(selector)

    def until_shown(self, selector: str, expected: list[str]) -> None:
        """Until canvases show this."""
        self.page.wait_for_function(
            f"([selector, wanted]) => ({_PIXELS})(selector).join() === wanted.join()", arg=[selector, expected]
        )

    def loaded(self, selector: str) -> list[str]:
        """What canvases show once the page that was opened has loaded all that it wants."""
        self.page.wait_for_load_state("networkidle")
        return self.pixels(selector)

    def wait(self, condition: str) -> None:
        """Until an expression of JavaScript is true; in a function, since the page's policy forbids to evaluate a string."""
        self.page.wait_for_function(f"() => {condition}")

    def serious(self) -> list[tuple[str, list[str]]]:
        """What axe finds that keeps people out, and where."""
        self.page.evaluate(AXE_FILE_PATH.read_text())
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        return [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in bad]

    def drop(self, name: str, content: bytes) -> None:
        """Drop a picture onto the page."""
        make = """([name, text]) => {
            const transfer = new DataTransfer(), bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, {type: "image/png"}));
            return transfer;
        }"""
        transfer = self.page.evaluate_handle(make, [name, base64.b64encode(content).decode()])
        for event in ("dragover", "drop"):
            self.page.dispatch_event("body", event, {"dataTransfer": transfer})


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens a tab of its own on a service: `open_tab(base, **options of the context)`."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_tab(base: str, **options: object) -> Visit:
        contexts.append(browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if _own(request.url, base) else faults.append(f"asked {request.url}"))
        return Visit(page, base)

    yield open_tab
    for context in contexts:
        context.close()
    assert not [fault for fault in faults if EXPECTED not in fault and not fault.startswith("Failed to load resource")]


def _own(url: str, base: str) -> bool:
    return url.startswith((base, "blob:", "about:", "data:image"))


@pytest.fixture
def tab(open_tab: Callable[..., Visit], service: httpx2.Client) -> Visit:
    """A tab on the open service."""
    return open_tab(str(service.base_url).rstrip("/"))
