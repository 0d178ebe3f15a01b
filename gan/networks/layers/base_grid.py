"""How often an image of a given size can be halved: the shape that the convolutional families share. Needs no torch."""

from dataclasses import dataclass

Size = tuple[int, int]  # height and width of an image, in pixels

_SMALLEST, _LARGEST = 4, 16  # points on a side of the base grid; 4 is what the papers use for 32x32 and 64x64 images
_FEWEST_DOUBLINGS = 2


@dataclass(frozen=True)
class BaseGrid:
    """What a generator's first layer makes and a discriminator's last one sees, and how far it is from the image."""

    rows: int  # 4 to 16
    columns: int  # 4 to 16
    doublings: int  # from the grid to the image, 2 or more


def base_grid(size: Size) -> BaseGrid:
    """The smallest grid, of at least 4 points on its shorter side, that doubles to an image of this size.

    32x32 -> 4x4 in three doublings, 28x28 -> 7x7 in two, 64 high and 48 wide -> 8x6 in three.

    Raises ValueError, naming sizes near it that would do, where there is none with two doublings and 4 to 16 points on a side.
    """
    height, width = size
    doublings = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) // 2 >= _SMALLEST:
        height, width, doublings = height // 2, width // 2, doublings + 1
    if doublings < _FEWEST_DOUBLINGS or min(height, width) < _SMALLEST or max(height, width) > _LARGEST:
        near = " or ".join(_text(one, size) for one in _near(size))
        raise ValueError(
            f"{size[1]}x{size[0]} images do not halve evenly, twice or more, to {_SMALLEST} to {_LARGEST} points on a side: "
            f"take {near}"
        )
    return BaseGrid(height, width, doublings)


def _near(size: Size) -> list[Size]:
    """The nearest sizes that will do, one with no longer side and one with no shorter side; squares for a square."""
    height, width = size
    sides = range(_SMALLEST, _LARGEST + 1)
    possible = {
        (rows << doublings, columns << doublings)
        for doublings in range(_FEWEST_DOUBLINGS, max(height, width, _LARGEST).bit_length() + 1)
        for rows in sides
        for columns in sides
        if height != width or rows == columns
    }
    smaller = [one for one in possible if one[0] <= height and one[1] <= width]
    larger = [one for one in possible if one[0] >= height and one[1] >= width]
    return [min(sorted(some), key=lambda one: abs(one[0] - height) + abs(one[1] - width)) for some in (smaller, larger) if some]


def _text(near: Size, wanted: Size) -> str:
    """One number for a square that stands for a square, else width x height, as sizes of images are written."""
    return str(near[0]) if near[0] == near[1] and wanted[0] == wanted[1] else f"{near[1]}x{near[0]}"
