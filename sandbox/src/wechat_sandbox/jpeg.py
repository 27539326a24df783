"""JPEG pictures of black and white squares."""

import struct
from collections.abc import Iterable, Iterator, Sequence

SQUARE = 8
"""The pixels of the side of a square, which is one block of a JPEG."""

CODES = {0: "00", 4: "01", 5: "10"}
"""The code of a difference in grey from the block before, by the number of its bits: 0, 8 or 16."""

END = "0"
"""The code of a block without more coefficients."""


def write_jpeg(squares: Sequence[Sequence[bool]]) -> bytes:
    """Return a picture of rows of squares, black where true.

    It is a baseline JPEG (ITU-T T.81) of one grey for each block: 8 for white and -8 for black, times 128.
    """
    height, width = len(squares) * SQUARE, len(squares[0]) * SQUARE
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xDB, b"\0" + b"\x80" * 64),
            _segment(0xC0, struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0)),
            _segment(0xC4, b"\0" + bytes([0, 3, *[0] * 14]) + bytes(CODES)),
            _segment(0xC4, b"\x10" + bytes([1, *[0] * 15]) + b"\0"),
            _segment(0xDA, b"\x01\x01\0\0\x3f\0"),
            _packed(_bits(square for row in squares for square in row)),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _bits(squares: Iterable[bool]) -> Iterator[str]:
    before = 0
    for black in squares:
        grey = -8 if black else 8
        step, before = grey - before, grey
        size = abs(step).bit_length()
        number = step if step > 0 else step + (1 << size) - 1  # a negative one: in ones' complement
        yield CODES[size] + (f"{number:0{size}b}" if size else "") + END


def _packed(bits: Iterable[str]) -> bytes:
    """Return the bits as bytes, filled up with ones. No byte is 0xFF, a marker: four ones in a row are the most."""
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")
