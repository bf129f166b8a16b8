"""What objects of the toy world are made of: labelled solids with a surface, and footprints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from segdistill.sample.shapes import Frame, Shape, Triple


class Label(IntEnum):
    """Class index of a pixel."""

    SKY = 0
    GROUND = 1
    ROAD = 2
    TREE = 3
    BUILDING = 4
    CAR = 5


class Material(Enum):
    """How a surface is painted; the numbers in ``Surface.details`` depend on it."""

    FOLIAGE = auto()  # details: none; size: the whole crown's radii, frame: the crown's centre
    HEDGE = auto()  # as FOLIAGE, but clipped: no gaps between the leaves
    BARK = auto()
    FACADE = auto()  # details: floor height, bays along x, bays along y, shop front (0 or 1)
    ROOF = auto()  # details: height of the eaves
    PLAIN = auto()
    CAR_BODY = auto()  # details: wheel radius, wheel distance from the middle
    CAR_CABIN = auto()  # details: rear and front x at the bottom, the same at the top, glass share
    WHEEL = auto()


@dataclass(frozen=True)
class Surface:
    """Paint of one part, in the frame of the object it belongs to."""

    label: Label
    material: Material
    colour: Triple
    accent: Triple
    frame: Frame
    size: Triple = (1.0, 1.0, 1.0)
    details: tuple[float, ...] = ()
    variant: float = 0.0


@dataclass(frozen=True)
class Part:
    """A solid and its surface."""

    shape: Shape
    surface: Surface


@dataclass(frozen=True)
class Footprint:
    """A rectangle on the ground that an object takes up, its sides given by their halves."""

    frame: Frame
    half_length: float
    half_width: float

    def overlaps(self, other: Footprint, margin: float = 0.0) -> bool:
        """Whether two footprints come closer than ``margin``.

        >>> here, there = Footprint(Frame(0, 0), 2, 1), Footprint(Frame(0, 3), 2, 1)
        >>> here.overlaps(there), here.overlaps(there, margin=1.5)
        (False, True)
        """
        offset = (other.frame.x - self.frame.x, other.frame.y - self.frame.y)
        far_apart = self.radius + other.radius + margin
        if offset[0] ** 2 + offset[1] ** 2 > far_apart**2:
            return False
        for yaw in (self.frame.yaw, other.frame.yaw):
            for axis in ((math.cos(yaw), math.sin(yaw)), (-math.sin(yaw), math.cos(yaw))):
                distance = abs(offset[0] * axis[0] + offset[1] * axis[1])
                if distance > self._reach(axis) + other._reach(axis) + margin:
                    return False
        return True

    @property
    def radius(self) -> float:
        """Of the circle through the corners."""
        return math.hypot(self.half_length, self.half_width)

    def _reach(self, axis: tuple[float, float]) -> float:
        """How far the footprint reaches from its centre along a unit axis."""
        cosine, sine = math.cos(self.frame.yaw), math.sin(self.frame.yaw)
        along = abs(cosine * axis[0] + sine * axis[1])
        across = abs(cosine * axis[1] - sine * axis[0])
        return self.half_length * along + self.half_width * across
