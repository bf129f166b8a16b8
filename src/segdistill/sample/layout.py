"""Random layout of a scene of the toy world: positions and materials of its objects."""

import itertools
import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.sample import textures
from segdistill.sample.geometry import Camera, Floats, Frame, Solid, Triple, block, rotate
from segdistill.sample.light import draw_light
from segdistill.sample.textures import FLOOR_HEIGHT, Label, Paint, Street, colour

# Occupancy grid of the ground: cell size in metres, and number of cells per side.
_CELL = 0.5
_MAP_SIZE = 720

_GRASSES = (("54752f", "98965a"), ("607f3a", "aea468"), ("4f6d38", "8f9058"), ("70843f", "b8a468"))
_PLASTERS = ("e6d3ac", "d9a67c", "e9e4d8", "b9c7c9", "d8b9b0", "c7675a", "e3c878", "b5c0a0")
_BRICKS = ("9c4f3c", "a8644a", "8a4a3e", "b5794f", "c4986c", "c9c4b8")
_TILES = ("a2452f", "8d3b2e", "b35a3a", "5b5f66", "4c4f57", "6e4a3c")
_CARS = ("b3261e", "1f4e8c", "e8e8e4", "2b2d30", "8d949b", "d9a521", "2f6b4f", "c65d21", "c7ccd1")
_LEAVES = ("4f7a2c", "5d8a34", "3f6e2e", "6b8f3a", "7c9440", "c98a2b")
_NEEDLES = ("2c5335", "34603a", "3d6848", "2a4a3c")
_BARKS = ("6a5240", "5a4636", "d8d4ca")

Part = tuple[Solid, Paint]


class Layout:
    """A scene before rendering: camera, light, street and painted solids, generated from a seed.

    >>> Layout(3).camera == Layout(3).camera
    True
    """

    def __init__(self, seed: int) -> None:
        generator = self._generator = np.random.default_rng(seed)
        self._density = generator.random()  # 0 for the countryside, 1 for a city
        self.street = Street(
            half_width=generator.uniform(2.9, 3.5) + 1.8 * self._density,
            pavement=generator.uniform(1.5, 2 + self._density) if self._density > 0.3 else 0.0,
            bend=float(generator.choice([-1.0, 0.0, 1.0])) * generator.uniform(0.001, 0.004),
            grass=_GRASSES[int(generator.integers(len(_GRASSES)))],
            shift=generator.uniform(0, 99),
        )
        self.camera = self._camera()
        self.parts: list[Part] = []
        centres = (np.arange(_MAP_SIZE) - (_MAP_SIZE - 1) / 2) * _CELL
        self._paved = self.street.paved(*np.meshgrid(centres, centres, indexing="ij"))
        self._occupied = np.zeros_like(self._paved)
        for side in (-1.0, 1.0):
            self._add_cars(side)
            self._add_buildings(side)
        self._add_trees()
        self.light = draw_light(generator, self.camera.frame)

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """Corners of the bounding boxes of the parts, shape (parts, 8, 3)."""
        return np.array([solid.corners() for solid, _ in self.parts]).reshape(-1, 8, 3)

    def open_sky(self, x: Floats, y: Floats) -> Floats:
        """Return how much sky nearby objects leave visible from ground points (n,), 0..1."""
        crowded = ndimage.gaussian_filter(self._occupied.astype(np.float32), 1.6)
        cells = np.stack([x, y]) / _CELL + (_MAP_SIZE - 1) / 2
        shade: Floats = 0.7 * ndimage.map_coordinates(crowded, cells, order=1)
        return 1 - shade

    def _camera(self) -> Camera:
        """Draw a camera that looks along the street or, sometimes, across it."""
        generator, street = self._generator, self.street
        low = generator.random() < 0.5
        height = generator.uniform(1.5, 2.4) if low else generator.uniform(2.8, 6.5)
        pitch = math.radians(generator.uniform(-1.5, 3) + 1.5 * (height - 1.5))
        side = float(generator.choice([-1.0, 1.0]))
        edge = street.half_width + street.pavement
        # In a lane, on the pavement or on the grass.
        x = float(generator.choice([street.half_width / 2, edge - street.pavement / 2, edge + 4]))
        yaw = generator.uniform(-8, 20)
        if generator.random() < 0.25:
            x, yaw = edge + generator.uniform(7, 13), generator.uniform(50, 120)
        frame = Frame(side * x, 0.0, height, side * math.radians(yaw))
        return Camera(frame, pitch, generator.uniform(52, 78))

    def _add_cars(self, side: float) -> None:
        """Add cars in a lane and, on wide streets, cars parked at the kerb."""
        half = self.street.half_width
        for across in (min(half / 2, 1.75), half - 1.05) if half > 4.3 else (half / 2,):
            for along in self._stations(6.0, 24.0 - 8 * self._density):
                # Traffic drives on the right.
                frame = self.street.place(along, side * across, math.pi if side > 0 else 0.0)
                if self._claim(frame, 2.6, 1.1, on_street=True):
                    self._add_car(frame)

    def _add_car(self, frame: Frame) -> None:
        """Add a car that faces along the frame's x axis: body, cabin and four wheels."""
        length, height = self._generator.uniform(3.8, 4.8), self._generator.uniform(1.4, 1.8)
        width, waist, radius = 0.3 * length + 0.5, 0.6 * height, 0.17 + 0.1 * height
        size = (length, width, height)
        paint = Paint(Label.CAR, textures.car_paint, frame, size, self._pick(_CARS))
        boot = float(self._generator.choice([0.05, 0.13])) * length
        cabin = 0.76 * length - boot
        top = frame.at(boot + (cabin - length) / 2, 0, waist)
        solids = [
            block(frame.at(0, 0, 0.22), (length, width, waist - 0.22), (0.97, 0.94)),
            block(top, (cabin, 0.93 * width, height - waist), (0.68, 0.82)),
        ]
        for x, y in itertools.product((-0.3 * length, 0.3 * length), (-width / 2, width / 2)):
            solids.append(Solid(frame.at(x, 0.93 * y, radius), (radius, 0.12, radius)))
        self.parts += [(solid, paint) for solid in solids]

    def _add_buildings(self, side: float) -> None:
        """Line a side of the street with buildings that face it; fronts are at negative y."""
        generator, edge = self._generator, self.street.half_width + self.street.pavement
        kind = int(generator.integers(3))
        for along in self._stations(4.0, 33.0 - 25 * self._density):
            town = generator.random() < 1.2 * self._density - 0.2
            floors = int(generator.integers(2, 7) if town else generator.integers(1, 3))
            width, depth = generator.uniform(7.5, 12, 2).tolist()
            size = (width + 2 * max(floors - 2, 0), depth, floors * FLOOR_HEIGHT + 0.35)
            across = edge + generator.uniform(2, 4) + 5 * (1 - self._density) + depth / 2
            frame = self.street.place(along, side * across, 0.0 if side > 0 else math.pi)
            if generator.random() < self._density:
                kerb = self.street.place(along, side * (self.street.half_width + 0.8))
                self._add_tree(Frame(kerb.x, kerb.y), 6.0, kind, on_street=True)
            if self._claim(frame, size[0] / 2 + 0.6, depth / 2 + 0.6):
                self._add_building(frame, size)

    def _add_building(self, frame: Frame, size: Triple) -> None:
        """Add a house with a pitched roof or, if it is tall, a block with a flat roof."""
        generator, (width, depth, height), variant = self._generator, size, self._generator.random()
        top, rise = frame.at(0, 0, height - 0.2), depth * generator.uniform(0.2, 0.4)
        tone = self._pick(_BRICKS if variant > 0.6 else _PLASTERS)
        plaster = Paint(Label.BUILDING, textures.walls, frame, size, tone, variant)
        stone = Paint(Label.BUILDING, textures.plain, frame, size, colour("a39c92"))
        self.parts.append((block(frame, size), plaster))
        if height > 3.5 * FLOOR_HEIGHT:
            self.parts.append((block(top, (width + 0.4, depth + 0.4, 0.5)), stone))
            self.parts.append((block(top.at(0.2 * width, 0), (3.4, 3.0, 2.6)), stone))
            return
        ridge = 0.45 if generator.random() < 0.3 else 1.0  # hipped or gabled roof
        tiles = Paint(Label.BUILDING, textures.roof, top, size, self._pick(_TILES))
        chimney = block(top.at(0.2 * width, 0.1 * depth), (0.75, 0.75, rise + 0.6))
        roof = block(top, (width + 0.6, depth + 0.8, rise), (ridge, 0.0))
        self.parts += [(roof, tiles), (chimney, stone)]

    def _add_trees(self) -> None:
        """Scatter trees and bushes over the visible grass."""
        generator = self._generator
        kinds = generator.permutation(3).tolist()
        for _ in range(int(generator.integers(20, 70) - 15 * self._density)):
            ahead = 8 + 120 * generator.random() ** 1.5
            spot = self.camera.frame.at(generator.uniform(-0.7, 0.7) * ahead, ahead)
            kind = int(generator.choice([*kinds, 3], p=[0.5, 0.2, 0.1, 0.2]))
            height = 1.2 if kind == 3 else generator.uniform(4.5, 11)
            self._add_tree(Frame(spot.x, spot.y), height, kind)

    def _add_tree(self, frame: Frame, height: float, kind: int, *, on_street: bool = False) -> None:
        """Add a tree if there is room: round (kind 0), slender (1), spruce (2) or bush (3)."""
        generator = self._generator
        height *= generator.uniform(0.8, 1.2)
        wide = height * (0.39, 0.17, 0.23, 0.8)[kind] * generator.uniform(0.85, 1.15)
        room = 0.5 if on_street else 0.7 * wide
        if not self._claim(frame, room, room, on_street=on_street):
            return
        tall = height * (0.37, 0.43, 0.46, 0.6)[kind]
        middle, crown = frame.at(0, 0, height - tall), (wide, wide, tall)
        tone = self._pick(_NEEDLES if kind == 2 else _LEAVES)
        leaves = Paint(Label.TREE, textures.leaves, middle, crown, tone)
        girth = 0.02 * height + 0.04
        bark = Paint(Label.TREE, textures.plain, frame, crown, self._pick(_BARKS))
        # Half of the trunk is below ground.
        self.parts.append((Solid(frame, (girth, girth, height - tall)), bark))
        blobs = 9 if frame.y < 60 else 5
        for index in range(blobs):
            # On a spiral around the crown, from the bottom up.
            rise = -0.8 + 1.6 * index / (blobs - 1)
            reach = 0.55 * wide * math.sqrt(1 - rise**2) * generator.uniform(0.8, 1.2)
            radius = wide * generator.uniform(0.38, 0.55)
            thickness = radius * tall / wide
            if kind == 2:
                reach, radius, thickness = 0.1 * wide, 0.5 * wide * (1 - rise), 1.4 * tall / blobs
            angle = 2.4 * index + generator.uniform(-0.4, 0.4)
            spot = middle.at(reach * math.cos(angle), reach * math.sin(angle), 0.7 * tall * rise)
            self.parts.append((Solid(spot, (radius, radius, thickness)), leaves))

    def _pick(self, codes: tuple[str, ...]) -> NDArray[np.float32]:
        """Pick one of several colours."""
        return colour(codes[int(self._generator.integers(len(codes)))])

    def _stations(self, shortest: float, longest: float) -> list[float]:
        """Return positions along the street, in metres, with random spacing."""
        places = np.cumsum(self._generator.uniform(shortest, longest, 50)) - 80
        return [float(place) for place in places if place < 130]

    def _claim(
        self, frame: Frame, half_length: float, half_width: float, *, on_street: bool = False
    ) -> bool:
        """Reserve a rectangle of ground, and return whether it was free and in view."""
        aside, ahead, _ = self.camera.frame.to_local(frame.origin).ravel().tolist()
        if ahead < 0.75 * abs(aside) or math.hypot(aside, ahead) < 6 + 1.5 * half_length:
            return False
        steps = [np.arange(-half, half + 0.4, 0.4) for half in (half_length, half_width)]
        along, across = np.meshgrid(*steps)
        grid = np.stack([along.ravel(), across.ravel(), np.zeros(along.size)])
        spots = rotate(grid, frame.yaw) + frame.origin
        cells = tuple((spots[:2] / _CELL + _MAP_SIZE / 2).astype(int))
        if self._occupied[cells].any() or (not on_street and self._paved[cells].any()):
            return False
        self._occupied[cells] = True
        return True
