"""Light and camera: exposure, tint, a light from one side, softness, noise."""

from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageFilter


@dataclass(frozen=True)
class Lighting:
    """How one picture was taken.

    ``exposure`` multiplies all levels and ``tint`` each channel's; ``contrast`` stretches them about mid-grey;
    ``slope`` is how much brighter one side is than the other, in the direction ``angle`` (radians). ``blur_px``
    is the radius of a Gaussian, ``noise`` its standard deviation in levels of 255, ``jpeg_quality`` Pillow's.
    """

    exposure: float
    contrast: float
    tint: tuple[float, float, float]
    slope: float
    angle: float
    blur_px: float
    noise: float
    noise_seed: int
    jpeg_quality: int


def choose_lighting(rng: Random) -> Lighting:
    return Lighting(
        exposure=rng.uniform(0.82, 1.12),
        contrast=rng.uniform(0.88, 1.08),
        tint=(rng.uniform(0.95, 1.04), rng.uniform(0.97, 1.02), rng.uniform(0.94, 1.05)),
        slope=rng.uniform(0.0, 0.35),
        angle=rng.uniform(0.0, 6.283),
        blur_px=rng.choice((0.0, 0.0, rng.uniform(0.3, 1.1))),
        noise=rng.choice((0.0, rng.uniform(1.0, 6.0))),
        noise_seed=rng.getrandbits(64),
        jpeg_quality=rng.randint(45, 92),
    )


def light(picture: Image.Image, lighting: Lighting) -> Image.Image:
    """``picture`` (RGB) as it looks in that light."""
    if lighting.blur_px > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(lighting.blur_px))
    width, height = picture.size
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(np.cos(lighting.angle))
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(np.sin(lighting.angle))
    gain_HW = lighting.exposure * (1 + lighting.slope * (down[:, None] + across[None, :]))
    levels = np.asarray(picture, dtype=np.float32)
    levels = (levels - 128) * np.float32(lighting.contrast) + 128
    levels *= gain_HW[:, :, None] * np.asarray(lighting.tint, dtype=np.float32)
    if lighting.noise > 0:
        generator = np.random.Generator(np.random.PCG64(lighting.noise_seed))
        # Grain that is equal in all channels costs a third and looks alike.
        levels += generator.standard_normal((height, width, 1), dtype=np.float32) * np.float32(lighting.noise)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
