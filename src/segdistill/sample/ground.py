"""The ground of the toy world: grass, fields, and roads with their markings and pavements."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.noise import Noise, column, linear, mix, smoothstep
from segdistill.sample.shapes import Floats, Frame

_PAINT = (0.62, 0.61, 0.57)
_KERB = 0.16


@dataclass(frozen=True)
class Road:
    """A two-lane road that swings to and fro about a straight line (not at all if ``bend`` is 0).

    Its line runs through (x, y) at ``heading`` (radians anticlockwise from x).
    ``zebra`` is where along it a crossing for walkers begins, not a number for none.
    """

    x: float
    y: float
    heading: float
    half_width: float
    pavement: float = 0.0
    bend: float = 0.0
    bend_rate: float = 0.0
    bend_phase: float = 0.0
    zebra: float = math.nan

    def coordinates(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Metres along the road and to the left of its middle, for points of the ground."""
        cosine, sine = math.cos(self.heading), math.sin(self.heading)
        along = (x - self.x) * cosine + (y - self.y) * sine
        across = (y - self.y) * cosine - (x - self.x) * sine
        if self.bend == 0:
            return along, across
        angle = self.bend_rate * along + self.bend_phase
        across = across - self.bend * (np.sin(angle) - math.sin(self.bend_phase))
        # Measured square to the line of the road, not square to the straight it swings about.
        slope = self.bend * self.bend_rate * np.cos(angle)
        return along, across / np.sqrt(1 + slope**2)

    def place(self, along: float, across: float) -> Frame:
        """A frame at a spot on or beside the road, its x along the road."""
        angle = self.bend_rate * along + self.bend_phase
        swing = self.bend * (math.sin(angle) - math.sin(self.bend_phase))
        turn = math.atan(self.bend * self.bend_rate * math.cos(angle))
        cosine, sine = math.cos(self.heading), math.sin(self.heading)
        aside = swing + across * math.cos(turn)
        ahead = along - across * math.sin(turn)
        return Frame(
            self.x + ahead * cosine - aside * sine,
            self.y + ahead * sine + aside * cosine,
            0.0,
            self.heading + turn,
        )

    def clearance(self, x: float, y: float) -> float:
        """Metres from the outer edge of the road or its pavement; negative on them."""
        _, across = self.coordinates(np.array([x]), np.array([y]))
        return abs(float(across[0])) - self.half_width - self.pavement


@dataclass(frozen=True)
class Ground:
    """Everything that lies flat."""

    roads: tuple[Road, ...]
    grass: tuple[str, str, str]
    fields: bool
    lined: bool
    noise: Noise
    wear: float

    def paved(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Which points belong to a road or its pavement."""
        covered = np.zeros(x.shape, dtype=np.bool_)
        for road in self.roads:
            _, across = road.coordinates(x, y)
            covered |= np.abs(across) < road.half_width + road.pavement
        return covered

    def albedo(self, x: Floats, y: Floats, blur: Floats) -> Floats:
        """Linear colours (3, n) of points of the ground (n,); a pixel covers ``blur`` metres."""
        spans = [road.coordinates(x, y) for road in self.roads]
        colours = np.empty((3, x.size), dtype=x.dtype)
        covered = self.paved(x, y)
        grass = np.flatnonzero(~covered)
        edge = np.full(grass.size, np.inf, dtype=x.dtype)
        for road, (_, across) in zip(self.roads, spans, strict=True):
            outer = road.half_width + road.pavement
            edge = np.minimum(edge, np.abs(across[grass]) - outer)
        colours[:, grass] = self._grass(x[grass], y[grass], blur[grass], edge)
        paved = np.flatnonzero(covered)
        if paved.size:
            near = [(along[paved], across[paved]) for along, across in spans]
            colours[:, paved] = self._pavement(x[paved], y[paved], blur[paved], near)
        return colours

    def _grass(self, x: Floats, y: Floats, blur: Floats, edge: Floats) -> Floats:
        """Grass in patches, fields further off, worn earth along the roads."""
        noise = self.noise
        lush, common, dry = (column(linear(code)) for code in self.grass)
        wide = noise.fractal(x / 17, y / 17, 3)
        colours = mix(common, lush, smoothstep(0.38, 0.66, wide))
        patches = noise.fractal(x / 5.2 + 31, y / 5.2, 2)
        colours = mix(colours, dry, 0.75 * smoothstep(0.55, 0.80, patches))
        if self.fields:
            colours = self._fields(x, y, blur, edge, colours)
        tone = 0.45 * noise.detail(x, y, 1.1, blur) + 0.55 * noise.detail(x, y + 7, 0.31, blur)
        tone += 0.75 * noise.detail(x + 3, y, 0.105, blur) + 0.6 * noise.detail(x, y, 0.043, blur)
        colours = colours * np.clip(1 + 0.85 * tone, 0.25, 2)
        seeds = noise.plane(x / 0.052 + 11, y / 0.052)
        bloom = (seeds > 0.91) & (noise.plane(x / 2.9, y / 2.9 + 50) > 0.60) & (blur < 0.06)
        colours = np.where(bloom, column(linear("e8dc96")), colours)
        ragged = edge + 0.9 * (noise.plane(x / 0.7, y / 0.7) - 0.5)
        worn = (0.75 * self.wear) * smoothstep(0.75, 0.0, ragged)
        return mix(colours, column(linear("8f7f5f")), worn)

    def _fields(self, x: Floats, y: Floats, blur: Floats, edge: Floats, colours: Floats) -> Floats:
        """Crops in large plots, ploughed or sown in rows, away from the roads."""
        turn_x, turn_y = 0.94 * x + 0.34 * y, 0.94 * y - 0.34 * x
        plot_x, plot_y = np.floor(turn_x / 52 + 0.3), np.floor(turn_y / 38 + 0.4)
        kind = self.noise.plane(plot_x * 3.7 + 0.5, plot_y * 5.3 + 0.5)
        crops = np.where(
            kind > 0.62,
            column(linear("c2a65a")),
            np.where(
                kind > 0.5,
                column(linear("8fa04a")),
                np.where(kind > 0.34, colours, column(linear("5f7a35"))),
            ),
        )
        rows = np.sin(turn_x * (2 * math.pi / 1.3)) * np.clip(1.3 - blur / 0.6, 0, 1)
        crops = crops * (1 + 0.16 * rows * (np.abs(kind - 0.42) > 0.08))
        return mix(colours, crops, smoothstep(9.0, 10.5, edge))

    def _pavement(
        self, x: Floats, y: Floats, blur: Floats, spans: list[tuple[Floats, Floats]]
    ) -> Floats:
        """Asphalt where any road runs, slabs and a kerb beside it, paint on top."""
        noise = self.noise
        tone = 0.5 * noise.detail(x, y, 2.3, blur) + 0.45 * noise.detail(x, y, 0.055, blur)
        tone += 0.4 * noise.detail(x + 5, y, 0.16, blur)
        colours: Floats = column(linear("6d6c6c")) * (1 + 0.42 * tone)
        asphalt = np.zeros(x.shape, dtype=np.bool_)
        for road, (_, across) in zip(self.roads, spans, strict=True):
            asphalt |= np.abs(across) < road.half_width
        slabs: Floats = column(linear("a8a296")) * (1 + 0.25 * tone)
        for index, (road, (along, across)) in enumerate(zip(self.roads, spans, strict=True)):
            outside = np.abs(across) - road.half_width
            here = ~asphalt & (outside < road.pavement)
            joint = np.minimum(_to_line(along, 0.9), _to_line(outside, 0.6))
            seen = np.clip(1.2 - blur / 0.10, 0, 1)
            paving = slabs * (1 - 0.35 * seen * (joint < 0.03))
            shade = noise.plane(np.floor(along / 0.9) + 0.5, np.floor(outside / 0.6) * 1.3 + 0.5)
            paving = paving * (0.93 + 0.14 * shade)
            paving = np.where(outside < _KERB, column(linear("b9b5ab")), paving)
            colours = np.where(here, paving, colours)
            on_road = np.abs(across) < road.half_width
            crossing = np.zeros(x.shape, dtype=np.bool_)
            for other, (_, beyond) in zip(
                self.roads[:index] + self.roads[index + 1 :],
                spans[:index] + spans[index + 1 :],
                strict=True,
            ):
                crossing |= np.abs(beyond) < other.half_width + 0.6
            colours = self._worn_asphalt(colours, road, along, across, on_road & ~crossing)
            painted = self._markings(road, along, across) & on_road & ~crossing
            chipped = 0.86 - 0.5 * self.wear * noise.plane(x / 0.12, y / 0.12)
            colours = mix(colours, column(_PAINT), painted * chipped)
        return colours

    def _worn_asphalt(
        self, colours: Floats, road: Road, along: Floats, across: Floats, here: NDArray[np.bool_]
    ) -> Floats:
        """Tyre tracks, oil between them, patches of newer asphalt."""
        lane = np.abs(np.abs(across) - min(road.half_width / 2, 1.8))
        tracks = 0.10 * np.exp(-(((lane - 0.75) / 0.28) ** 2)) - 0.09 * np.exp(-((lane / 0.3) ** 2))
        patch = self.noise.plane(np.floor(along / 6.5) * 1.7 + 0.5, np.sign(across) * 2.3 + 0.5)
        inset = (np.abs(along / 6.5 - np.floor(along / 6.5) - 0.5) < 0.36) & (lane < 1.1)
        darker = 1 + tracks - 0.26 * ((patch > 0.80) & inset)
        gutter = 1 - 0.18 * smoothstep(0.5, 0.0, road.half_width - np.abs(across))
        return np.where(here, colours * darker * gutter, colours)

    def _markings(self, road: Road, along: Floats, across: Floats) -> NDArray[np.bool_]:
        """Dashed line in the middle, solid lines at the edges where the road is lined."""
        dashes = (np.abs(across) < 0.075) & (np.mod(along, 6.0) < 3.2)
        if not math.isnan(road.zebra):
            walk = np.abs(along - road.zebra - 1.3)
            stripes = (walk < 1.3) & (np.mod(across, 1.0) < 0.5)
            dashes = np.where(walk < 3.0, stripes, dashes)
        if self.lined:
            dashes |= np.abs(road.half_width - 0.30 - np.abs(across)) < 0.065
        return dashes


def _to_line(values: Floats, spacing: float) -> Floats:
    """Distance to the nearest of evenly spaced lines."""
    parts = values / spacing
    distance: Floats = np.abs(parts - np.round(parts)) * spacing
    return distance
