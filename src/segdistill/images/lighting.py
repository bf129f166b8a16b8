"""Simulated changes of light: exposure and colour temperature."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GAMMA = 2.2
"""Approximate gamma of sRGB; light is scaled in linear values."""


@dataclass(frozen=True)
class Lighting:
    """A change of light.

    Attributes:
        exposure: factor on linear light; 1 for no change.
        warmth: factor on red and divisor of blue; 1 for no change.

    Example:
        >>> import numpy as np
        >>> grey = np.full((1, 1, 3), 128, np.uint8)
        >>> Lighting(warmth=1.3).apply(grey).tolist(), Lighting().apply(grey).tolist()
        ([[[144, 128, 114]]], [[[128, 128, 128]]])
    """

    exposure: float = 1.0
    warmth: float = 1.0

    @property
    def key(self) -> str:
        """A text that identifies this change, for the feature store."""
        return f"light {self.exposure:g} {self.warmth:g}"

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the image (height, width, 3) under this light."""
        factors = self.exposure * np.array([self.warmth, 1.0, 1 / self.warmth])
        levels = (np.arange(256) / 255) ** GAMMA
        tables = (levels[:, None] * factors).clip(0, 1) ** (1 / GAMMA) * 255  # (256, 3)
        relit = np.empty_like(image)
        for channel, table in enumerate((tables + 0.5).astype(np.uint8).T):
            relit[..., channel] = table[image[..., channel]]
        return relit


LIGHTINGS = (
    Lighting(exposure=0.4),
    Lighting(exposure=2.2),
    Lighting(warmth=1.35),
    Lighting(warmth=0.75),
)
"""Dusk, glare, evening sun and shade: the range of light of one scene over a day."""
