"""The structures our kernels take, as ext/tile_kernel.h and ext/head_kernel.h declare them."""

from __future__ import annotations

import ctypes

ROW = 8
"""Floats of a candidate's row: x0 y0 x1 y1 score class anchor, and one of padding."""
SCORE, LABEL, ANCHOR = 4, 5, 6
TILE_INTS = 6
"""Integers of a tile: x0 y0 x1 y1 of its rectangle, width and height of its fitted part."""


class TilePlane(ctypes.Structure):
    """One 8-bit plane; steps in bytes."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("row", ctypes.c_longlong),
        ("pixel", ctypes.c_longlong),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
    )


class TileColour(ctypes.Structure):
    """A frame's colours, as native.pixels.colour_terms."""

    _fields_ = tuple((name, ctypes.c_int) for name in ("black", "luma", "red_v", "green_u", "green_v", "blue_u"))


class TileInput(ctypes.Structure):
    """How the engine wants its input."""

    _fields_ = (
        ("table", ctypes.c_void_p),
        ("size", ctypes.c_int),
        ("half", ctypes.c_int),
        ("bgr", ctypes.c_int),
    )


class TileJob(ctypes.Structure):
    """Tiles of one frame to be cut."""

    _fields_ = (
        ("y", TilePlane),
        ("u", TilePlane),
        ("v", TilePlane),
        ("colour", TileColour),
        ("input", TileInput),
        ("tiles", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
    )


class HeadFilter(ctypes.Structure):
    """A batch's raw output, and where its candidates go."""

    _fields_ = (
        ("output", ctypes.c_void_p),
        ("grid", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("tile_step", ctypes.c_longlong),
        ("anchor_step", ctypes.c_longlong),
        ("value_step", ctypes.c_longlong),
        ("anchors", ctypes.c_int),
        ("classes", ctypes.c_int),
        ("objectness", ctypes.c_int),
        ("room", ctypes.c_int),
        ("threshold", ctypes.c_float),
    )
