import subprocess
import sys

import pytest

from gan.networks import families
from gan.networks.layers.base_grid import BaseGrid, base_grid
from gan.networks.layers.norms import check_norm


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((16, 16), BaseGrid(4, 4, 2)),
        ((20, 20), BaseGrid(5, 5, 2)),
        ((28, 28), BaseGrid(7, 7, 2)),
        ((32, 32), BaseGrid(4, 4, 3)),
        ((64, 48), BaseGrid(8, 6, 3)),
        ((64, 128), BaseGrid(4, 8, 4)),
        ((60, 60), BaseGrid(15, 15, 2)),
        ((256, 256), BaseGrid(4, 4, 6)),
    ],
)
def test_a_size_has_the_smallest_grid_of_four_or_more(size, grid):
    assert base_grid(size) == grid
    assert size == (grid.rows * 2**grid.doublings, grid.columns * 2**grid.doublings)


@pytest.mark.parametrize(
    ("size", "remedy"),
    [
        ((30, 30), "30x30 images .* take 28 or 32$"),
        ((33, 33), "take 32 or 36$"),
        ((68, 68), "take 64 or 72$"),
        ((1000, 1000), "take 960 or 1024$"),
        ((8, 8), "take 16$"),
        ((0, 0), "take 16$"),
        ((50, 64), "64x50 images .* take 64x48 or 64x52$"),
        ((256, 32), "32x256 images .* take 32x128 or 64x256$"),
        ((12, 32), "take 32x16$"),
    ],
)
def test_other_sizes_are_refused_with_those_near_them_that_will_do(size, remedy):
    with pytest.raises(ValueError, match=remedy):
        base_grid(size)


def test_every_size_that_is_offered_will_do():
    for height in range(1, 70):
        for width in range(1, 70):
            try:
                base_grid((height, width))
            except ValueError as error:
                offered = str(error).split("take ")[1].split(" or ")
                for text in offered:
                    columns, _, rows = text.partition("x")
                    base_grid((int(rows or columns), int(columns)))


def test_a_family_takes_its_own_normalisations_only():
    for family, norms in ((name, families.get(name).norms) for name in families.names()):
        for norm in ("none", "batch", "spectral"):
            if norm in norms:
                check_norm(family, norm, norms)
            else:
                with pytest.raises(ValueError, match=f"{family} discriminator does not take {norm} .* use {' or '.join(norms)}$"):
                    check_norm(family, norm, norms)


def test_settings_can_be_checked_without_torch():
    code = "import sys, gan.networks.families, training.config.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
