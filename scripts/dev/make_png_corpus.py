#!/usr/bin/env python3
"""Writes tests/fuzz/corpus/png (development only; the files are kept in the repository). Readable ones
are called good-*, damaged ones bad-*, and tests/unit/test_png.c reads them too: it says which value
pixel (x, y) of the good ones has."""
import os
import struct
import zlib

here = os.path.dirname(os.path.abspath(__file__))
corpus = os.path.join(here, "..", "..", "tests", "fuzz", "corpus", "png")
W, H = 5, 3
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data, crc=None):
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def ihdr(depth, colour, interlace=0, w=W, h=H):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, interlace))


def bits(values, depth):
    text = "".join(format(v, "0%db" % depth) for v in values)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def rows(depth, pixel, xs=range(W), ys=range(H)):
    """Filter byte 0 and the samples of each row; nothing for an empty pass."""
    out = b""
    for y in ys:
        line = [s for x in xs for s in pixel(x, y)]
        if line:
            out += b"\0" + bits(line, depth)
    return out


def adam7(depth, pixel):
    passes = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
    return b"".join(rows(depth, pixel, range(x, W, dx), range(y, H, dy)) for x, dx, y, dy in passes)


def png(header, data, before=b"", after=b"", end=chunk(b"IEND", b"")):
    return SIGNATURE + header + before + chunk(b"IDAT", zlib.compress(data, 9)) + after + end


def rgb(x, y):
    return (40 * x, 80 * y, 200)


text = chunk(b"tEXt", b"Title\0caf\xe9")
itxt = chunk(b"iTXt", b"Prompt\0\0\0\0\0" + "猫 \u00e9".encode())
ztxt = chunk(b"zTXt", b"Long\0\0" + zlib.compress(b"abc" * 1000))
plte = chunk(b"PLTE", bytes(v for i in range(4) for v in (60 * i, 255 - 60 * i, i)))

good = {
    "rgb8": png(ihdr(8, 2), rows(8, rgb)),
    "rgb16": png(ihdr(16, 2), rows(16, lambda x, y: tuple(v * 256 + 255 for v in rgb(x, y)))),
    "rgba8": png(ihdr(8, 6), rows(8, lambda x, y: rgb(x, y) + (17 * x,))),
    "rgba16": png(ihdr(16, 6), rows(16, lambda x, y: tuple(v * 256 + 7 for v in rgb(x, y)) + (99,))),
    "rgb8-key": png(ihdr(8, 2), rows(8, rgb), chunk(b"tRNS", struct.pack(">HHH", 40, 80, 200))),
    "rgb8-adam7": png(ihdr(8, 2, 1), adam7(8, rgb)),
    "grey1": png(ihdr(1, 0), rows(1, lambda x, y: ((x + y) % 2,))),
    "grey1-adam7": png(ihdr(1, 0, 1), adam7(1, lambda x, y: ((x + y) % 2,))),
    "grey4": png(ihdr(4, 0), rows(4, lambda x, y: (3 * x + y,))),
    "grey8": png(ihdr(8, 0), rows(8, lambda x, y: (50 * x + y,))),
    "grey16": png(ihdr(16, 0), rows(16, lambda x, y: ((50 * x + y) * 256 + 200,))),
    "greya8": png(ihdr(8, 4), rows(8, lambda x, y: (50 * x + y, 9))),
    "palette2": png(ihdr(2, 3), rows(2, lambda x, y: ((x + y) % 4,)), plte),
    "palette8-alpha": png(ihdr(8, 3), rows(8, lambda x, y: ((x + y) % 4,)), plte + chunk(b"tRNS", b"\0\x80")),
    "texts": png(ihdr(8, 2), rows(8, rgb), text + itxt, ztxt + chunk(b"iTXt", b"Bad\0\0\0\0\0\xff\xe9")),
}
whole = good["rgb8"]
flipped = bytearray(whole)
flipped[-20] ^= 1
bomb = zlib.compress(bytes(8 << 20), 9)
bad = {
    "empty": b"",
    "signature": SIGNATURE,
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "no-header": SIGNATURE + chunk(b"IDAT", zlib.compress(rows(8, rgb))) + chunk(b"IEND", b""),
    "no-data": SIGNATURE + ihdr(8, 2) + chunk(b"IEND", b""),
    "no-palette": png(ihdr(2, 3), rows(2, lambda x, y: (0,))),
    "cut-header": whole[:20],
    "cut-data": whole[: len(whole) - 25],
    "cut-end": whole[:-4],
    "flipped": bytes(flipped),
    "crc": SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 0), 1) + whole[33:],
    "filter": png(ihdr(8, 2), b"\x09" + rows(8, rgb)[1:]),
    "depth": png(ihdr(3, 2), rows(8, rgb)),
    "colour": png(ihdr(8, 5), rows(8, rgb)),
    "zero-width": png(ihdr(8, 2, 0, 0, 3), b""),
    "too-wide": png(ihdr(8, 2, 0, 16385, 1), bytes(3 * 16385 + 1)),
    "giant": png(ihdr(8, 2, 0, 16384, 16384), rows(8, rgb)),
    "short-rows": png(ihdr(8, 2), rows(8, rgb)[:-5]),
    "huge-chunk": SIGNATURE + ihdr(8, 2) + struct.pack(">I", 0x7FFFFFFF) + b"tEXtx",
}
odd = {  # damaged where it does not matter
    "long-index": png(ihdr(2, 3), rows(2, lambda x, y: (3,)), plte[:-10]),
    "text-bombs": png(ihdr(8, 2), rows(8, rgb), b"".join(chunk(b"zTXt", b"k\0\0" + bomb) for _ in range(3))),
    "text-no-key": png(ihdr(8, 2), rows(8, rgb), chunk(b"tEXt", b"") + chunk(b"iTXt", b"k\0\1\0")),
    "extra-rows": png(ihdr(8, 2), rows(8, rgb) * 2),
    "behind-end": whole + b"more",
}

os.makedirs(corpus, exist_ok=True)
for prefix, files in (("good-", good), ("good-", odd), ("bad-", bad)):
    for name, data in files.items():
        with open(os.path.join(corpus, prefix + name), "wb") as f:
            f.write(data)
