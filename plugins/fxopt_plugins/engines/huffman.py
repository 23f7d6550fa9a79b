"""Huffman coding of stored weights: integers of which few are frequent take fewer bits in the file than they have.

The last step of "Deep Compression" (Han, Mao and Dally, ICLR 2016). The code is deflate's without its search for repetitions
(zlib's `Z_HUFFMAN_ONLY`), a table of its own for every 32,000 bytes or so; it is undone when the model is loaded.
"""

from __future__ import annotations

import zlib
from pathlib import Path

_SUFFIX = ".huffman"
_PIECE = 1 << 24


def pack(file: Path) -> None:
    """Store a file coded, under its name with `.huffman` behind, in place of itself."""
    coder = zlib.compressobj(level=9, memLevel=9, strategy=zlib.Z_HUFFMAN_ONLY)
    with file.open("rb") as plain, _packed(file).open("wb") as coded:
        while piece := plain.read(_PIECE):
            coded.write(coder.compress(piece))
        coded.write(coder.flush())
    file.unlink()


def unpacked(file: Path) -> bytes | None:
    """The contents of a file that was packed; None where it is stored as it is."""
    packed = _packed(file)
    return zlib.decompress(packed.read_bytes()) if packed.exists() else None


def _packed(file: Path) -> Path:
    return file.with_name(file.name + _SUFFIX)
