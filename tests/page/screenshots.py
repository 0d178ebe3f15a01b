"""Screenshots of the playground for docs/: `make serve`, and then `python -m tests.page.screenshots`.

Look at each of them: on a phone, a tablet and a wide screen, light and dark.
"""

import argparse
import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

# Name: (width, height, light or dark, state), side by side
_SHOTS = {
    "playground": [(1440, 900, "light", "#wall")],
    "playground-detail": [(1440, 900, "dark", "#wall?model=fashion-mnist&open=3")],
    "playground-morph": [(1440, 900, "dark", "#morph?corners=2;13;33;51&label=open-peeps&at=0.700,0.450")],
    "playground-edit": [(1440, 900, "light", "#edit?seed=10&move=glasses:2.5;background-light:-2.5")],
    "playground-tablet": [
        (834, 1112, "light", "#morph?corners=2;13;33&label=pixel-art&at=0.500,0.700"),
        (834, 1112, "dark", "#score?model=fashion-mnist&seed=12"),
    ],
    "playground-phone": [
        (390, 844, "light", "#wall"),
        (390, 844, "dark", "#morph?label=open-peeps&corners=2;13;33;51"),
        (390, 844, "light", "#edit?model=fashion-mnist&seed=3&move=height:2"),
        (390, 844, "dark", "#wall?open=10"),
    ],
}
_GAP = 24  # pixels between screens


def main() -> None:
    """Write them all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:3000", help="of the service (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="default: %(default)s")
    chosen = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        for name, screens in _SHOTS.items():
            images = []
            for width, height, scheme, state in screens:
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.goto(f"{chosen.address}/{state}")
                page.wait_for_selector("canvas[data-drawn]:visible")
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(500)  # for what fades in
                images.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
                page.close()
            sheet = Image.new("RGB", (sum(one.width + _GAP for one in images) - _GAP, images[0].height), "#8a8a8a")
            left = 0
            for image in images:
                sheet.paste(image, (left, 0))
                left += image.width + _GAP
            sheet.save(chosen.out / f"{name}.webp", quality=85, method=6)
        browser.close()


if __name__ == "__main__":
    main()
