#!/usr/bin/env python3
"""Rebuilds report.pdf and archive.zip next to this script, byte for byte.

Nothing in either file is compressed, so the bytes depend on this script alone
and on no version of zlib. Neither the build nor the tests run it.
"""

import io
import pathlib
import random
import struct
import zipfile

HERE = pathlib.Path(__file__).parent

REPORT = """\
Quarterly report: content inspection at the gateway

Between January and March the gateway inspected 1,204,318 responses and
86,502 requests. 99.2 percent of them were decided on within the preview,
so that the body beyond the first 4 KB never left the proxy.

Fourteen downloads were blocked. Eleven came from a single mirror that has
since been taken down; the remaining three were test files sent by the
operations team to confirm that the alarm still rings.

One upload was stopped because it held a list of payment card numbers. It
was a training document, and the author has been shown how to mask them.

The longest inspection took 1.9 seconds, for a disk image of 4.7 GB. The
median over all transactions was 3 milliseconds, unchanged from the
previous quarter.

Next quarter the second gateway goes into service. Both will answer for the
same service, and either can carry the full load alone.
"""


def pdf() -> bytes:
    """One A4 page of text in the standard fonts, PDF 1.4."""
    title, _, body = REPORT.partition("\n\n")

    def literal(line: str) -> str:
        return "(" + line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") + ")"

    lines = "".join(f"{literal(line)} Tj T*\n" for line in body.splitlines())
    content = (
        f"BT\n/F2 15 Tf\n72 760 Td\n{literal(title)} Tj\nET\n"
        f"BT\n/F1 11 Tf\n15 TL\n72 728 Td\n{lines}ET\n"
    )
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 6 0 R\n"
        "   /Resources << /Font << /F1 4 0 R /F2 5 0 R >> >> >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        f"<< /Length {len(content)} >>\nstream\n{content}endstream",
        f"<< /Title {literal(title)} >>",
    ]
    # The comment of high bytes marks the file as binary for transfer programs.
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    xref = len(out)
    size = len(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n".encode("ascii")
    for offset in offsets:
        out += f"{offset:010} 00000 n \n".encode("ascii")
    out += (
        f"trailer\n<< /Size {size} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
        f"startxref\n{xref}\n%%EOF\n"
    ).encode("ascii")
    return bytes(out)


def bmp(width: int, height: int, seed: int) -> bytes:
    """A 24-bit picture of coloured noise: opens in any viewer, does not compress."""
    assert width % 4 == 0, "rows of a multiple of four bytes need no padding"
    pixels = random.Random(seed).randbytes(width * height * 3)
    header = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    return header + info + pixels


def archive() -> bytes:
    """About 2.5 MB in three members, all with the same fixed time stamp."""
    members = [
        ("README.txt", b"Calibration pictures: coloured noise, 24 bits per pixel.\n"),
        ("noise/left.bmp", bmp(720, 576, seed=3507)),
        ("noise/right.bmp", bmp(720, 576, seed=1344)),
    ]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for name, data in members:
            entry = zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            target.writestr(entry, data)
    return out.getvalue()


if __name__ == "__main__":
    (HERE / "report.pdf").write_bytes(pdf())
    (HERE / "archive.zip").write_bytes(archive())
