"""No pixel is destroyed on its way to the model: alpha, profiles, more than 8 bits, and shapes that do not fit."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from hardener.config.pixels import BEFORE, PixelRule, parse_color, parse_range
from hardener.data.decode import decode_image, open_image, to_input
from hardener.data.file_kind import kind_of
from hardener.data.levels import Deep, depth_of, is_deep
from hardener.errors import BadImage, HardenerError

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (12, 16, 3), dtype=np.uint8)
RED, FULL = PixelRule(background=(255, 0, 0)), (0.0, 65535.0)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png16(levels: NDArray[Any], color: int, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits, (H, W, C), written by hand: Pillow writes gray ones alone."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = levels.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    clear = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + clear + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def read(data: bytes, rule: PixelRule = RED, *, size: tuple[int, int] = (12, 16), channels: int = 3) -> NDArray[Any]:
    found: NDArray[Any] = decode_image(data, height=size[0], width=size[1], channels=channels, rule=rule)
    return found


def checkered(mode: str) -> Image.Image:
    """Opaque green at the left, and green hidden under alpha 0 at the right."""
    image = Image.new("RGBA", (16, 12), (0, 255, 0, 255))
    image.paste((0, 255, 0, 0), (8, 0, 16, 12))
    if mode == "P":
        flat = Image.new("P", (16, 12), 0)
        flat.putpalette([0, 255, 0, 0, 255, 1])
        flat.paste(1, (8, 0, 16, 12))
        flat.info["transparency"] = 1
        return flat
    if mode == "RGB":
        flat = Image.new("RGB", (16, 12), (0, 255, 0))
        flat.paste((0, 255, 1), (8, 0, 16, 12))
        flat.info["transparency"] = (0, 255, 1)
        return flat
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGB", "PNG")],
)
@pytest.mark.parametrize("size", [(12, 16), (6, 8), (24, 32)])
def test_what_is_transparent_shows_the_background_and_never_what_it_hides(
    mode: str, kind: str, size: tuple[int, int]
) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    image = checkered(mode)
    if "transparency" in image.info:
        options["transparency"] = image.info["transparency"]
    found = read(encode(image, kind, **options), size=size).astype(int)
    third = size[1] // 3
    assert (found[:, -third:] == (255, 0, 0)).all()
    left = (150, 150, 150) if mode == "LA" else (0, 255, 0)  # the luma of green
    assert np.abs(found[:, :third] - left).max() <= 1
    gray = read(encode(image, kind, **options), PixelRule(), size=size, channels=1)
    assert (gray[:, -third:] == 255).all()


def test_a_logo_whose_shape_is_in_its_alpha_is_not_flat() -> None:
    shape = Image.new("L", (16, 12), 0)
    shape.paste(255, (4, 3, 12, 9))
    logo = Image.new("RGBA", (16, 12), (0, 0, 0, 0))
    logo.putalpha(shape)
    found = read(encode(logo), PixelRule(), channels=1)[:, :, 0]
    assert np.array_equal(found, 255 - np.asarray(shape))
    assert np.ptp(read(encode(logo), BEFORE, channels=1)) == 0  # as version 0.1 saw it


@pytest.mark.parametrize("alpha", [0, 1, 51, 128, 255])
def test_half_transparent_colours_are_blended(alpha: int) -> None:
    image = Image.new("RGBA", (16, 12), (0, 200, 100, alpha))
    expected = (np.array([0, 200, 100]) * alpha + np.array([255, 0, 0]) * (255 - alpha)) / 255
    assert np.abs(read(encode(image)) - expected).max() <= 1


@pytest.mark.parametrize(("mode", "other"), [("RGBa", "RGBA"), ("La", "LA"), ("PA", "RGBA")])
def test_rare_modes_with_alpha_are_blended_as_their_common_kin(mode: str, other: str) -> None:
    common = Image.fromarray(RGB).convert(other)
    common.putalpha(Image.linear_gradient("L").resize((16, 12)))
    rare = common.quantize(16) if mode == "PA" else common
    rare = rare.convert(mode)
    found = to_input(rare, height=12, width=16, channels=3, rule=RED).astype(int)
    expected = to_input(rare.convert(other), height=12, width=16, channels=3, rule=RED)
    assert np.abs(found - expected).max() <= 1


def s15(*values: float) -> bytes:
    """ICC's fixed-point numbers."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc_profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"-\0",
        b"wtpt": b"XYZ " + bytes(4) + s15(0.9642, 1.0, 0.8249),
        **tags,
    }
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02100000, kind, space, connection)
    head += struct.pack(">6H", 2025, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def gamma_profile(space: bytes, gamma: float) -> bytes:
    """A profile of a pure gamma: gray, or RGB with the primaries of sRGB."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    if space == b"GRAY":
        return icc_profile(b"mntr", space, b"XYZ ", {b"kTRC": curve})
    columns = {b"r": (0.4361, 0.2225, 0.0139), b"g": (0.3851, 0.7169, 0.0971), b"b": (0.1431, 0.0606, 0.7141)}
    tags = {name + b"XYZ": b"XYZ " + bytes(4) + s15(*column) for name, column in columns.items()}
    return icc_profile(b"mntr", space, b"XYZ ", tags | {name + b"TRC": curve for name in columns})


def ink_profile() -> bytes:
    """A press whose inks are all gray: L* falls by 50 with the first ink, to 0 with black."""
    steps = bytes(range(256))
    nodes = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    lightness = [0 if k else 255 // (1 + c + m + y) for c, m, y, k in nodes]
    table = b"".join(bytes((level, 128, 128)) for level in lightness)
    unit = s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    shown = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unit + 4 * steps + table + 3 * steps
    return icc_profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": shown})


def linear_to_srgb(levels: NDArray[Any]) -> NDArray[Any]:
    """IEC 61966-2-1, from light in [0, 255] to levels."""
    light = levels / 255
    found: NDArray[Any] = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gray_profile_is_converted(channels: int) -> None:
    ramp = np.arange(192, dtype=np.uint8).reshape(12, 16) + 60
    data = encode(Image.fromarray(ramp), icc_profile=gamma_profile(b"GRAY", 1.0))
    expected = linear_to_srgb(ramp)[:, :, None]
    assert np.abs(read(data, channels=channels) - expected).max() <= 2
    assert np.array_equal(read(data, BEFORE, channels=1)[:, :, 0], ramp)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_profile_is_converted_whatever_the_mode(mode: str) -> None:
    image = Image.fromarray(RGB).quantize(64) if mode == "P" else Image.fromarray(RGB).convert(mode)
    expected = linear_to_srgb(np.asarray(image.convert("RGB")))
    found = read(encode(image, icc_profile=gamma_profile(b"RGB ", 1.0)))
    assert np.abs(found - expected).max() <= 3


@pytest.mark.parametrize("channels", [1, 3])
def test_inks_are_converted_by_the_profile_of_their_press(channels: int) -> None:
    image = Image.new("CMYK", (16, 12), (255, 0, 0, 0))  # without a profile, cyan
    image.paste((0, 0, 0, 255), (8, 0, 16, 12))
    found = read(encode(image, "TIFF", icc_profile=ink_profile()), PixelRule(), channels=channels).astype(int)
    assert np.abs(found[:, :8] - 118).max() <= 3  # L* 50
    assert found[:, 8:].max() <= 3
    plain = read(encode(image, "TIFF"), PixelRule())
    assert (plain[0, 0].tolist(), plain[0, 15].tolist()) == ([0, 255, 255], [0, 0, 0])


def test_sixteen_bits_with_a_profile_are_scaled_and_then_converted() -> None:
    deep = RANDOM.integers(20_000, 65536, (12, 16), dtype=np.uint16)
    data = encode(Image.fromarray(deep), icc_profile=gamma_profile(b"GRAY", 1.0))
    found = read(data, PixelRule(range=FULL), channels=1)[:, :, 0]
    assert np.abs(found - linear_to_srgb(deep / 257)).max() <= 2


def test_an_image_with_the_profile_of_srgb_is_not_touched() -> None:
    data = encode(Image.fromarray(RGB), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert np.array_equal(read(data), RGB)


@pytest.mark.parametrize(
    "profile", [b"no profile at all", gamma_profile(b"GRAY", 1.0), gamma_profile(b"RGB ", 1)[:200]]
)
def test_a_profile_that_is_broken_or_of_another_space_leaves_the_image_as_it_is(profile: bytes) -> None:
    assert np.array_equal(read(encode(Image.fromarray(RGB), icc_profile=profile)), RGB)


@pytest.mark.parametrize(("color", "count"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_png_of_sixteen_bits_is_read_without_loss(color: int, count: int) -> None:
    """Pillow alone gives the high bytes of colours: of 12 bits in 16, four would be left."""
    levels = RANDOM.integers(0, 4096, (12, 16, count))
    if count in {2, 4}:
        levels[..., -1] = 65535
    image = open_image(png16(levels, color))
    assert (depth_of(image), is_deep(image)) == ("16 bit", True)
    found = read(png16(levels, color), PixelRule(range=(0, 4095)))
    colors = levels[..., : 1 if count < 3 else 3]
    assert np.array_equal(found, np.broadcast_to(np.rint(colors / 4095 * 255), found.shape))


def test_the_alpha_of_sixteen_bits_is_no_level() -> None:
    levels = RANDOM.integers(0, 4096, (12, 16, 4))
    levels[..., 3] = 65535
    levels[:, 8:, 3] = 0
    deep = Deep(open_image(png16(levels, 6)))
    assert deep.ends() == (levels[..., :3].min(), levels[..., :3].max())
    found = read(png16(levels, 6), PixelRule(background=(255, 0, 0), range=(0, 4095)))
    assert (found[:, 8:] == (255, 0, 0)).all()
    assert np.array_equal(found[:, :8], np.rint(levels[:, :8, :3] / 4095 * 255))


def test_a_transparent_level_of_sixteen_bits_shows_the_background() -> None:
    gray, color = RANDOM.integers(0, 4096, (12, 16, 1)), RANDOM.integers(0, 4096, (12, 16, 3))
    clear = struct.pack(">H", gray[3, 5, 0])
    found = read(png16(gray, 0, clear), PixelRule(background=(255, 0, 0), range=(0, 4095)))
    assert np.array_equal((found == (255, 0, 0)).all(axis=2), gray[:, :, 0] == gray[3, 5, 0])
    clear = struct.pack(">HHH", *color[3, 5])
    assert (read(png16(color, 2, clear))[3, 5] == (255, 0, 0)).all()


@pytest.mark.parametrize("compression", [None, "tiff_deflate", "tiff_lzw"])
@pytest.mark.parametrize("low", [0, -1024])
def test_signed_levels_are_scaled_and_clipped(compression: str | None, low: int) -> None:
    levels = np.linspace(low - 500, 3571, 192).astype(np.int32).reshape(12, 16)
    options = {} if compression is None else {"compression": compression}
    found = read(encode(Image.fromarray(levels), "TIFF", **options), PixelRule(range=(low, 3071)), channels=1)
    assert np.array_equal(found[:, :, 0], np.rint(np.clip((levels - low) / (3071 - low), 0, 1) * 255))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("kind", "depth"),
    [("u2", "16 bit"), ("i2", "signed 16 bit"), ("i1", "signed 8 bit"), ("f4", "float"), ("u2 rgb", "16 bit")],
)
def test_tiffs_of_every_kind_are_read_as_another_library_wrote_them(
    order: str, compression: str | None, kind: str, depth: str
) -> None:
    """Pillow 13 gives compressed signed and float pixels of the other byte order back with their bytes swapped."""
    tifffile = pytest.importorskip("tifffile")
    dtype = np.dtype(kind[:2])
    shape = (12, 16, 3) if kind.endswith("rgb") else (12, 16)
    whole = dtype.kind != "f"
    levels = RANDOM.normal(size=shape).astype(dtype)
    if whole:
        levels = RANDOM.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype)
    file = io.BytesIO()
    photometric = "rgb" if kind.endswith("rgb") else "minisblack"
    tifffile.imwrite(file, levels, byteorder=order, compression=compression, photometric=photometric)
    image = open_image(file.getvalue())
    assert depth_of(image) == depth
    assert np.array_equal(np.concatenate([part for _, part in Deep(image).strips()]), levels)


def test_colours_of_sixteen_bits_whose_planes_lie_apart_are_refused_and_not_read_as_garbage() -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    planes = RANDOM.integers(0, 65536, (3, 12, 16), dtype=np.uint16)
    tifffile.imwrite(file, planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(BadImage, match="planes lie apart"):
        read(file.getvalue())


def twelve_bits(levels: NDArray[Any]) -> bytes:
    """A gray TIFF of 12 bits, two levels in three bytes."""
    first, second = levels[:, 0::2].astype(int), levels[:, 1::2].astype(int)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2).astype(np.uint8).tobytes()
    height, width = levels.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    table = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + table


def test_a_tiff_of_twelve_bits_keeps_its_contrast() -> None:
    levels = RANDOM.integers(0, 4096, (12, 16))
    image = open_image(twelve_bits(levels))
    assert depth_of(image) == "12 bit"
    found = read(twelve_bits(levels), PixelRule(range=(0, 4095)), channels=1)
    assert np.array_equal(found[:, :, 0], np.rint(levels / 4095 * 255))


def test_float_pixels_need_a_range_and_what_is_no_number_is_black() -> None:
    levels = np.linspace(-0.5, 1.5, 192, dtype=np.float32).reshape(12, 16)
    levels[0, :3] = (np.nan, np.inf, -np.inf)
    data = encode(Image.fromarray(levels), "TIFF")
    with pytest.raises(BadImage, match=r"from -0.468586 to 1.5, have no known range; training takes --range LO,HI"):
        read(data)
    found = read(data, PixelRule(range=(-0.5, 1.5)), channels=1)[:, :, 0]
    assert found[0, :3].tolist() == [0, 255, 0]
    assert np.array_equal(found[1:], np.rint((levels[1:].astype(float) + 0.5) / 2 * 255))


def test_a_long_strip_and_a_short_one_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png16(RANDOM.integers(0, 65536, (12, 16, 3)), 2)
    whole = read(data, PixelRule(range=(100, 60_000)))
    monkeypatch.setattr("hardener.data.levels._STRIP", 40)  # two rows at a time
    assert np.array_equal(read(data, PixelRule(range=(100, 60_000))), whole)


def test_a_turned_image_of_sixteen_bits_is_turned_back() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    levels = RANDOM.integers(0, 65536, (16, 12), dtype=np.uint16)
    data = encode(Image.fromarray(np.rot90(levels).copy()), exif=exif)
    found = read(data, PixelRule(range=FULL), size=(16, 12), channels=1)[:, :, 0]
    assert np.array_equal(found, np.rint(levels / 257))


@pytest.mark.parametrize("own", [(12, 16), (16, 12), (1, 400), (8, 8), (30, 7)])
def test_a_letterbox_keeps_all_of_the_image_between_bars(own: tuple[int, int]) -> None:
    height, width = 20, 20
    image = Image.new("RGB", own[::-1], (0, 0, 255))
    found = read(encode(image), PixelRule(fit="letterbox", background=(255, 0, 0)), size=(height, width))
    factor = min(height / own[0], width / own[1])
    inside = max(1, round(own[0] * factor)), max(1, round(own[1] * factor))
    top, left = (height - inside[0]) // 2, (width - inside[1]) // 2
    expected = np.full((height, width, 3), (255, 0, 0), np.uint8)
    expected[top : top + inside[0], left : left + inside[1]] = (0, 0, 255)
    assert np.array_equal(found, expected)


def test_stretch_keeps_the_corners_and_crop_does_not() -> None:
    image = Image.fromarray(RGB)
    stretched = read(encode(image), PixelRule(fit="stretch"), size=(12, 12))
    assert np.array_equal(stretched, np.asarray(image.resize((12, 12), Image.Resampling.BILINEAR)))
    assert np.array_equal(read(encode(image), PixelRule(), size=(12, 12)), RGB[:, 2:14])


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "CMYK", "LAB", "YCbCr", "HSV"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_without_alpha_and_profile_is_read_as_version_0_1_read_it(mode: str, channels: int) -> None:
    image = Image.fromarray(RGB)
    image = image.quantize(32) if mode == "P" else image.convert(mode)
    for size in ((12, 16), (7, 9)):
        now, then = (
            to_input(image.copy(), height=size[0], width=size[1], channels=channels, rule=rule)
            for rule in (PixelRule(), BEFORE)
        )
        assert np.array_equal(now, then)


def test_heads_of_tiffs_that_are_not_read_are_told_from_other_bytes() -> None:
    file = io.BytesIO()
    pytest.importorskip("tifffile").imwrite(file, np.zeros((8, 8)), photometric="minisblack")
    with pytest.raises(BadImage, match="a TIFF of a layout that is not read"):
        read(file.getvalue())


@pytest.mark.parametrize(
    ("text", "color"),
    [("white", (255, 255, 255)), ("#ff8000", (255, 128, 0)), ("1,2,3", (1, 2, 3)), ([4, 5, 6], (4, 5, 6))],
)
def test_colours_as_people_write_them(text: Any, color: tuple[int, int, int]) -> None:
    assert parse_color(text) == color


@pytest.mark.parametrize("text", ["whitish", "1,2", "1,2,300", "a,b,c", None, 7, [1, 2]])
def test_what_is_no_colour_is_refused(text: Any) -> None:
    with pytest.raises(HardenerError, match="a colour is a name such as white"):
        parse_color(text)


def test_ranges_as_people_write_them() -> None:
    assert parse_range("-1000,400") == parse_range([-1000, 400]) == (-1000.0, 400.0)
    for text in ("400,-1000", "1", "1,2,3", "0,inf", "a,b", None, 4):
        with pytest.raises(HardenerError, match="a range is LO,HI"):
            parse_range(text)


def test_avif_is_read() -> None:
    smooth = Image.linear_gradient("L").resize((16, 12)).convert("RGB")
    found = read(encode(smooth, "AVIF", quality=95)).astype(int)
    assert np.abs(found - np.asarray(smooth)).max() < 12


HEIC_HEAD = b"\0\0\0\x18ftypheic" + bytes(40)


def test_heic_without_what_reads_it_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardener.data.file_kind.reads_heic", lambda: False)
    monkeypatch.setattr("hardener.data.decode.reads_heic", lambda: False)
    with pytest.raises(BadImage, match=r"a HEIC image; pip install 'hardener\[heic\]' brings what reads it"):
        read(HEIC_HEAD)
    assert kind_of("a.heic", lambda: b"") == kind_of("a", lambda: HEIC_HEAD) == "HEIC images"


def test_a_damaged_heic_is_told_as_one_where_what_reads_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    with pytest.raises(BadImage, match="a HEIC image that is truncated or damaged"):
        open_image(HEIC_HEAD)


def test_heic_is_read_where_its_extra_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    smooth = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    file = io.BytesIO()
    heif.from_pillow(smooth).save(file, quality=95)
    found = read(file.getvalue(), size=(48, 64)).astype(int)
    assert np.abs(found - np.asarray(smooth)).max() < 12
    assert kind_of("photo.HEIC", lambda: b"") == "image"
