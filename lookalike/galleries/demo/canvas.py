"""What the drawings are made on: a colour image beside a map of which object each pixel shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from lookalike.galleries.demo.curves import Point, Tube, arc, smooth
from lookalike.galleries.demo.palette import Colour, darker

OVERSAMPLING = 2
NOTHING = 0


class Canvas:
    """A background with shapes on it.

    ``colours`` is RGB at OVERSAMPLING times the size of the picture. ``owners`` is at the picture's own size
    and says for every pixel which object was painted there last, NOTHING where none was: what an object still
    shows after others were painted over it.
    """

    def __init__(self, background: Image.Image) -> None:
        width, height = background.size
        self.colours = background.resize((width * OVERSAMPLING, height * OVERSAMPLING), Image.Resampling.BILINEAR)
        self.owners = Image.new("L", background.size, NOTHING)
        self._paint = ImageDraw.Draw(self.colours)
        self._claim = ImageDraw.Draw(self.owners)

    def fill(self, points: Sequence[Point], colour: Colour, owner: int) -> None:
        """Fills the polygon ``points``, in pixels of the picture."""
        if len(points) >= 3:
            self._paint.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points], fill=colour)
            self._claim.polygon(points, fill=owner)

    def trace(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """A thin line that belongs to what is already there; ``width`` in pixels of the picture."""
        scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
        self._paint.line(scaled, fill=colour, width=max(round(width * OVERSAMPLING), 1), joint="curve")

    def picture(self) -> Image.Image:
        """The colours at the picture's own size."""
        return self.colours.reduce(OVERSAMPLING)


@dataclass(frozen=True)
class Frame:
    """An affine map from a drawing's units to pixels: x' = xx x + xy y + x0, y' = yx x + yy y + y0."""

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float

    def apply(self, points: Sequence[Point]) -> list[Point]:
        xx, xy, x0, yx, yy, y0 = self.xx, self.xy, self.x0, self.yx, self.yy, self.y0
        return [(xx * x + xy * y + x0, yx * x + yy * y + y0) for x, y in points]

    def within(self, x: float, y: float, angle: float, width: float, height: float) -> "Frame":
        """The frame of a part at (x, y), turned by ``angle`` and stretched; a negative width mirrors it."""
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        ((origin_x, origin_y),) = self.apply([(x, y)])
        return Frame(
            (self.xx * cos + self.xy * sin) * width,
            (self.xy * cos - self.xx * sin) * height,
            origin_x,
            (self.yx * cos + self.yy * sin) * width,
            (self.yy * cos - self.yx * sin) * height,
            origin_y,
        )

    @property
    def scale(self) -> float:
        """Pixels a unit, the geometric mean of the directions."""
        return math.sqrt(abs(self.xx * self.yy - self.xy * self.yx))


@dataclass(frozen=True)
class Pen:
    """Draws in the units of one object, or of a part of it, and marks what it paints as that object's.

    ``outline`` is the width of the dark edge around every shape in units of the object; 0 for none.
    """

    canvas: Canvas
    frame: Frame
    owner: int = NOTHING
    outline: float = 0.0

    def at(self, x: float, y: float, angle: float = 0.0, width: float = 1.0, height: float | None = None) -> "Pen":
        """A pen for a part at (x, y), turned by ``angle`` degrees, ``width`` by ``height`` times as large."""
        height = abs(width) if height is None else height
        outline = self.outline / max(math.sqrt(abs(width * height)), 1e-6)
        return replace(self, frame=self.frame.within(x, y, angle, width, height), outline=outline)

    def plain(self) -> "Pen":
        """The same pen without outlines, for markings on a shape."""
        return replace(self, outline=0.0)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        pixels = self.frame.apply(points)
        self.canvas.fill(pixels, colour, self.owner)
        if self.outline > 0:
            self.canvas.trace([*pixels, pixels[0]], darker(colour, 0.5), self.outline * self.frame.scale)

    def blob(self, points: Sequence[Point], colour: Colour) -> None:
        """The smooth closed shape through ``points``."""
        self.polygon(smooth(points, closed=True), colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, *, tilt: float = 0.0) -> None:
        self.polygon(arc(x, y, rx, ry, tilt=tilt), colour)

    def ring(self, x: float, y: float, rx: float, ry: float, hole: float, colour: Colour) -> None:
        """An ellipse with a hole of ``hole`` times its size, through which what is behind stays visible."""
        self.plain().polygon(arc(x, y, rx, ry) + arc(x, y, rx * hole, ry * hole, 360, 0), colour)
        if self.outline > 0:
            for size in (1.0, hole):
                edge = self.frame.apply(arc(x, y, rx * size, ry * size))
                self.canvas.trace(edge, darker(colour, 0.5), self.outline * self.frame.scale)

    def tube(self, tube: Tube, colour: Colour) -> None:
        self.polygon(tube.outline(), colour)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A smooth line ``width`` units wide with round ends."""
        self.plain().tube(Tube.through(points, [width / 2] * len(points), steps=4), colour)
