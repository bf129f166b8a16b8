"""Builds up a neighbourhood of the toy world: one thing after another, none in another's way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from segdistill.sample import trees
from segdistill.sample.camera import Camera
from segdistill.sample.cars import car
from segdistill.sample.ground import Road
from segdistill.sample.parts import Footprint, Part
from segdistill.sample.shapes import Frame

Builder = Callable[[Frame, float, float, np.random.Generator], list[Part]]
"""Makes the parts of a building from its frame, width, depth and a generator."""
# The farthest that anything stands: beyond it the haze has swallowed it anyway.
_FARTHEST = 165.0


@dataclass(frozen=True)
class Kind:
    """A kind of building and the sizes it comes in, in metres."""

    build: Builder
    widths: tuple[float, float]
    depths: tuple[float, float]


@dataclass(frozen=True)
class Theme:
    """A kind of neighbourhood: ranges to draw from (metres) and chances (0 to 1)."""

    kinds: tuple[tuple[Kind, float], ...]
    """Buildings, each with its share."""
    pavement: tuple[float, float]
    """Width of the pavement on each side; 0 for none."""
    half_width: tuple[float, float]
    """Half the width of the asphalt; cars park at the kerb where it is above 4.3."""
    setback: tuple[float, float]
    """From the pavement to the front walls."""
    gap: tuple[float, float]
    """Between neighbouring buildings."""
    parked: float
    """Chance of a car at each place by the kerb."""
    avenue: float
    """Chance of a row of trees, for each side of the road."""
    scattered: tuple[int, int]
    """Number of loose groups of trees and bushes."""
    woods: float
    """How likely and how dense a belt of trees stands on the horizon."""
    fields: bool
    """Whether crops may grow away from the roads."""


@dataclass
class Site:
    """The ground being built on: what stands already, and the rules for adding to it."""

    camera: Camera
    roads: tuple[Road, ...]
    generator: np.random.Generator
    autumn: bool
    parts: list[Part] = field(default_factory=list)
    shades: list[tuple[Footprint, float]] = field(default_factory=list)
    _taken: list[Footprint] = field(default_factory=list)
    _walls: list[Footprint] = field(default_factory=list)

    def add_buildings(self, road: Road, theme: Theme) -> None:
        """Line both sides of a road with buildings that face it."""
        generator = self.generator
        weights = np.array([share for _, share in theme.kinds])
        for side in (-1.0, 1.0):
            along = -40.0 + generator.uniform(0, 10)
            while along < 125.0:
                choice = int(generator.choice(len(weights), p=weights / weights.sum()))
                kind, _ = theme.kinds[choice]
                width, depth = generator.uniform(*kind.widths), generator.uniform(*kind.depths)
                setback = generator.uniform(*theme.setback)
                across = side * (road.half_width + road.pavement + setback + depth / 2)
                spot = road.place(along + width / 2, across)
                # The front (negative y) turns to the road, whichever side it is on.
                frame = Frame(spot.x, spot.y, 0.0, spot.yaw + (0.0 if side > 0 else math.pi))
                if self._take_plot(frame, width, depth):
                    self.parts += kind.build(frame, width, depth, generator)
                    if setback > 3 and generator.random() < 0.5:
                        self._add_hedges(frame, width, depth / 2 + setback - 1.0)
                along += width + generator.uniform(*theme.gap)

    def _take_plot(self, frame: Frame, width: float, depth: float) -> bool:
        """Claim the ground for a building if it is free."""
        # Porches, bays and balconies stand out in front by up to a metre and a half.
        x, y, _ = frame.to_world((0.0, -0.6, 0.0))
        plot = Footprint(Frame(x, y, 0.0, frame.yaw), width / 2 + 0.4, depth / 2 + 1.0)
        if not self._fits_building(plot):
            return False
        self._take(plot)
        self._walls.append(plot)
        self.shades.append((Footprint(frame, width / 2, depth / 2), 1.6))
        return True

    def _add_hedges(self, house: Frame, width: float, forward: float) -> None:
        """A hedge along the front of a plot, open before the door."""
        for side in (-1.0, 1.0):
            place = house.to_world((side * (width / 4 + 0.9), -forward, 0.0))
            spot = Frame(place[0], place[1], 0.0, house.yaw)
            footprint = Footprint(spot, width / 4 - 0.3, 0.4)
            ends = [spot.to_world((end * width / 4, 0.0, 0.0)) for end in (-1, 0, 1)]
            off_road = all(road.clearance(x, y) > 0.5 for road in self.roads for x, y, _ in ends)
            if off_road and self._free(footprint, 0.2) and math.hypot(spot.x, spot.y) > 6:
                self._take(footprint)
                self.shades.append((footprint, 0.5))
                self.parts += trees.hedge(spot, width / 2 - 0.6, self.generator)

    def add_cars(self, road: Road, theme: Theme) -> None:
        """Cars in both lanes, facing the way they drive, and parked ones at the kerbs."""
        generator = self.generator
        parking = road.half_width > 4.3
        for side in (-1.0, 1.0):  # traffic keeps to the right: heading forwards at negative across
            lane = side * min(road.half_width / 2, 1.75)
            along = -60.0 + generator.uniform(0, 12)
            while along < 90.0:
                self._add_car(road, along, lane + generator.uniform(-0.15, 0.15), side)
                along += generator.uniform(9, 32)
            along = -60.0
            while parking and along < 70.0:
                if generator.random() < theme.parked:
                    kerb = side * (road.half_width - 1.05)
                    self._add_car(road, along, kerb, side)
                along += generator.uniform(5.6, 7.5)

    def _add_car(self, road: Road, along: float, across: float, side: float) -> None:
        """Put a car on the road unless something is in its way."""
        spot = road.place(along, across)
        frame = Frame(spot.x, spot.y, 0.0, spot.yaw + (math.pi if side > 0 else 0.0))
        footprint = Footprint(frame, 2.5, 0.98)
        distance = math.hypot(frame.x, frame.y)
        crossing = any(
            other is not road and other.clearance(frame.x, frame.y) < 2.5 for other in self.roads
        )
        if distance < 7.5 or crossing or not self._free(footprint, 0.25):
            return
        if distance < 100 and self.camera.sees(frame.x, frame.y, 4.0):
            self._take(footprint)
            self.shades.append((footprint, 0.55))
            self.parts += car(frame, self.generator)

    def add_avenue(self, road: Road, theme: Theme) -> None:
        """A row of like trees along each side of the road, where the theme has them."""
        generator = self.generator
        for side in (-1.0, 1.0):
            if generator.random() > theme.avenue:
                continue
            spacing = generator.uniform(8.0, 13.0)
            tall = generator.uniform(5.0, 8.5)
            kind = int(generator.integers(3))
            # By the kerb where the pavement is wide, else on the grass beyond it.
            wide = road.pavement > 2
            edge = road.half_width + (0.75 if wide else road.pavement + 1.2)
            along = -20.0 + generator.uniform(0, spacing)
            while along < 110.0:
                spot = road.place(along, side * edge)
                height = tall * generator.uniform(0.88, 1.12)
                off_others = all(
                    other is road or other.clearance(spot.x, spot.y) > 0.5 for other in self.roads
                )
                if off_others and not self._add_tree(spot, height, kind, street=True):
                    self._add_tree(spot, 0.62 * height, kind, street=True)  # a young one
                along += spacing * generator.uniform(0.9, 1.1)

    def add_trees(self, theme: Theme) -> None:
        """Trees and bushes strewn over the grass that the camera sees, in loose groups."""
        generator = self.generator
        for _ in range(int(generator.integers(*theme.scattered))):
            distance = 9.0 + 65.0 * generator.random() ** 1.4
            x, y = self._in_view(distance)
            kind = int(generator.integers(3))
            for _ in range(int(generator.integers(1, 4))):
                spread = 4.5
                spot = Frame(
                    x + generator.uniform(-spread, spread),
                    y + generator.uniform(-spread, spread),
                    0.0,
                    generator.uniform(0, math.pi),
                )
                if generator.random() < 0.3:
                    self._add_bush(spot)
                else:
                    self._add_tree(spot, generator.uniform(4.5, 11.0), kind)

    def add_woods(self, theme: Theme) -> None:
        """A belt of trees on the horizon."""
        generator = self.generator
        if generator.random() > theme.woods + 0.4:
            return
        kind = int(generator.integers(3))
        half = math.radians(self.camera.field_of_view / 2 + 4)
        angle = -half
        near = generator.uniform(85, 125)
        while angle < half:
            distance = min(
                near + 25 * math.sin(3 * angle + near) + generator.uniform(-8, 18), _FARTHEST
            )
            heading = self.camera.yaw + angle
            spot = Frame(distance * math.sin(heading), distance * math.cos(heading))
            mixed = kind if generator.random() < 0.7 else int(generator.integers(3))
            self._add_tree(spot, generator.uniform(7.0, 14.0), mixed)
            angle += generator.uniform(0.010, 0.04) * (1.0 if theme.woods > 0.5 else 1.6)

    def _add_tree(self, spot: Frame, height: float, kind: int, *, street: bool = False) -> bool:
        """Plant a tree of one of three species where there is room for it; say whether."""
        distance = math.hypot(spot.x, spot.y)
        crown = height * (0.42, 0.22, 0.27)[kind]
        reach = Footprint(spot, 0.85 * crown, 0.85 * crown)
        if street:  # the crown may hang over road and cars, not into a house
            room = Footprint(spot, 0.5, 0.5)
            fits = not any(reach.overlaps(wall) for wall in self._walls)
        else:
            room = reach
            nearest = min(road.clearance(spot.x, spot.y) for road in self.roads)
            fits = nearest > 0.35 * crown + 0.6
        if not fits or not self._free(room, 0.1):
            return False
        if distance < 6.5 + 1.3 * crown or not self.camera.sees(spot.x, spot.y, 3 * crown + 6):
            return False
        far = distance > 60
        if kind == 0:
            self.parts += trees.broadleaf(
                spot, height, self.generator, autumn=self.autumn, blobs=5 if far else 15
            )
        elif kind == 1:
            self.parts += trees.slender(
                spot, height * 1.15, self.generator, autumn=self.autumn, blobs=6 if far else 14
            )
        else:
            self.parts += trees.conifer(spot, height * 1.2, self.generator, layers=5 if far else 9)
        # Crowns may mingle a little: only the inner part of one is out of bounds for the next.
        inner = Footprint(spot, 0.6 * crown, 0.6 * crown)
        self._take(inner)
        self.shades.append((inner, 0.8 * crown))
        return True

    def _add_bush(self, spot: Frame) -> None:
        """Plant a bush where there is room for it."""
        height = self.generator.uniform(0.7, 1.6)
        footprint = Footprint(spot, height, height)
        off_road = all(road.clearance(spot.x, spot.y) > height + 0.3 for road in self.roads)
        if off_road and self._free(footprint, 0.2) and math.hypot(spot.x, spot.y) > 7:
            self._take(footprint)
            self.shades.append((footprint, 0.6))
            self.parts += trees.bush(spot, height, self.generator)

    def _fits_building(self, footprint: Footprint) -> bool:
        """Whether a building can stand there: off the roads, clear of the camera, in sight."""
        frame, length, width = footprint.frame, footprint.half_length, footprint.half_width
        size = math.hypot(length, width)
        if math.hypot(frame.x, frame.y) > _FARTHEST - size:
            return False
        if not self.camera.sees(frame.x, frame.y, size + 10):
            return False
        steps = np.linspace(-1, 1, 7)
        for road in self.roads:
            for step in steps:
                for side in (-1.0, 1.0):
                    for local in ((step * length, side * width), (side * length, step * width)):
                        x, y, _ = frame.to_world((float(local[0]), float(local[1]), 0.0))
                        if road.clearance(x, y) < 0.2:
                            return False
        camera_room = Footprint(Frame(0.0, 0.0), 10.0, 10.0)
        return not footprint.overlaps(camera_room) and self._free(footprint, 0.4)

    def _in_view(self, distance: float) -> tuple[float, float]:
        """A random spot so far away that the camera sees."""
        half = math.radians(self.camera.field_of_view / 2)
        heading = self.camera.yaw + self.generator.uniform(-half, half)
        return distance * math.sin(heading), distance * math.cos(heading)

    def _free(self, footprint: Footprint, margin: float) -> bool:
        """Whether nothing stands within the margin of a footprint."""
        return not any(footprint.overlaps(other, margin) for other in self._taken)

    def _take(self, footprint: Footprint) -> None:
        """Note that a footprint is taken."""
        self._taken.append(footprint)
