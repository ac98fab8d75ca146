"""One decoder: `Capture.load` and `Strips` give the same pixels of each kind of file, and refuse the same files."""
import io
import numpy as np, pytest, pyvips, tifffile
from PIL import Image, ImageCms
from illuminet.images import _FORMATS, _suffixes
from illuminet.learner import Capture, InputError, dome, read_image, to_float, write_lp, write_png
from illuminet.stream import Strips

HEIGHT, WIDTH = 20, 26
y, x = np.mgrid[0:1:HEIGHT*1j, 0:1:WIDTH*1j]
colour = np.round(255*np.stack([x, y, .5 + .5*np.sin(5*x - 3*y)], -1)).astype(np.uint8)
grey = colour[..., 1]
three = np.repeat(grey[..., None], 3, axis=2)  # grey as RGB
deep, deep_three = colour.astype(np.uint16)*257, three.astype(np.uint16)*257
upright = np.rot90(colour, -1)

rgb, one = Image.fromarray(colour), Image.fromarray(grey)
alpha, grey_alpha = Image.fromarray(np.dstack([colour, grey])), Image.fromarray(np.dstack([grey, grey]), 'LA')
palette, bits = rgb.quantize(64), one.convert('1')
turned = Image.Exif()
turned[274] = 6


def pil(image, form, **options):
    "Return the file that Pillow writes"
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def vips(pixels, kind, interpretation=None, **options):
    "Return the file that libvips writes"
    image = pyvips.Image.new_from_array(pixels)
    if interpretation: image = image.copy(interpretation=interpretation)
    return image.write_to_buffer(f'.{kind}', **options)


def as_rgb(image): return np.asarray(image.convert('RGB'))


srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
full = dict(quality=100, subsampling=0)

FILES = {  # its bytes, its suffix, its pixels (None: as the decoder reads them), by how much of 255 they may differ
    'JPEG': (pil(rgb, 'jpeg', **full), 'jpg', colour, 4),
    'JPEG, subsampled': (pil(rgb, 'jpeg', quality=95, subsampling=2), 'jpg', colour, 40),
    'JPEG, progressive': (pil(rgb, 'jpeg', progressive=True, **full), 'jpg', colour, 4),
    'JPEG, grey': (pil(one, 'jpeg', quality=100), 'jpg', three, 4),
    'JPEG, CMYK': (pil(rgb.convert('CMYK'), 'jpeg', **full), 'jpg', None, 0),
    'JPEG, sRGB profile': (pil(rgb, 'jpeg', icc_profile=srgb, **full), 'jpg', colour, 4),
    'JPEG, turned': (pil(rgb, 'jpeg', exif=turned, **full), 'jpg', upright, 4),
    'PNG': (pil(rgb, 'png'), 'png', colour, 0),
    'PNG, interlaced': (vips(colour, 'png', interlace=True), 'png', colour, 0),
    'PNG, alpha': (pil(alpha, 'png'), 'png', colour, 0),
    'PNG, palette': (pil(palette, 'png'), 'png', as_rgb(palette), 0),
    'PNG, grey': (pil(one, 'png'), 'png', three, 0),
    'PNG, grey and alpha': (pil(grey_alpha, 'png'), 'png', three, 0),
    'PNG, 1 bit': (pil(bits, 'png'), 'png', as_rgb(bits), 0),
    'PNG, 16 bits': (vips(deep, 'png', 'rgb16'), 'png', deep, 0),
    'PNG, 16 bits, alpha': (vips(np.dstack([deep, deep[..., 0]]), 'png', 'rgb16'), 'png', deep, 0),
    'PNG, 16 bits, grey': (vips(deep[..., 1], 'png', 'grey16'), 'png', deep_three, 0),
    'PNG, sRGB profile': (pil(rgb, 'png', icc_profile=srgb), 'png', colour, 0),
    'PNG, turned': (pil(rgb, 'png', exif=turned), 'png', upright, 0),
    'TIFF': (pil(rgb, 'tiff'), 'tif', colour, 0),
    'TIFF, LZW': (pil(rgb, 'tiff', compression='tiff_lzw'), 'tif', colour, 0),
    'TIFF, deflate': (pil(rgb, 'tiff', compression='tiff_adobe_deflate'), 'tif', colour, 0),
    'TIFF, tiles': (vips(colour, 'tif', 'srgb', tile=True, tile_width=16, tile_height=16), 'tif', colour, 0),
    'TIFF, alpha': (pil(alpha, 'tiff'), 'tif', colour, 0),
    'TIFF, grey': (pil(one, 'tiff'), 'tif', three, 0),
    'TIFF, 1 bit': (pil(bits, 'tiff'), 'tif', as_rgb(bits), 0),
    'TIFF, palette': (pil(palette, 'tiff'), 'tif', as_rgb(palette), 0),
    'TIFF, CMYK': (pil(rgb.convert('CMYK'), 'tiff'), 'tif', None, 0),
    'TIFF, YCbCr': (pil(rgb.convert('YCbCr'), 'tiff'), 'tif', colour, 3),
    'TIFF, YCbCr, LZW': (pil(rgb.convert('YCbCr'), 'tiff', compression='tiff_lzw'), 'tif', colour, 3),
    'TIFF, YCbCr, JPEG': (pil(rgb.convert('YCbCr'), 'tiff', compression='jpeg', quality=100), 'tif', colour, 45),
    'TIFF, 16 bits': (vips(deep, 'tif', 'rgb16'), 'tif', deep, 0),
    'TIFF, 16 bits, grey': (vips(deep[..., 1], 'tif', 'grey16'), 'tif', deep_three, 0),
    'TIFF, floats': (vips(to_float(colour), 'tif', 'scrgb'), 'tif', to_float(colour), 0),
    'TIFF, floats, grey': (pil(Image.fromarray(to_float(grey)), 'tiff'), 'tif', to_float(three), 0),
    'TIFF, sRGB profile': (pil(rgb, 'tiff', icc_profile=srgb), 'tif', colour, 0),
    'TIFF, turned': (pil(rgb, 'tiff', exif=turned), 'tif', upright, 0),
    'WebP': (pil(rgb, 'webp', quality=100), 'webp', colour, 60),
    'WebP, lossless': (pil(rgb, 'webp', lossless=True), 'webp', colour, 0),
    'WebP, alpha': (pil(alpha, 'webp', lossless=True, exact=True), 'webp', colour, 0),
    'AVIF, grey': (pil(one, 'avif', quality=100), 'avif', three, 3),
    'AVIF, turned': (pil(one, 'avif', quality=100, exif=turned.tobytes()), 'avif', np.rot90(three, -1), 3),
    'BMP': (pil(rgb, 'bmp'), 'bmp', colour, 0),
    'BMP, grey': (pil(one, 'bmp'), 'bmp', three, 0),
    'BMP, palette': (pil(palette, 'bmp'), 'bmp', as_rgb(palette), 0),
    'BMP, 1 bit': (pil(bits, 'bmp'), 'bmp', as_rgb(bits), 0),
}


def capture(folder, data, suffix, count=3):
    "Write a capture of one file several times; return its folder"
    names = [f'{i}.{suffix}' for i in range(count)]
    for name in names: (folder/name).write_bytes(data)
    write_lp(folder/'lights.lp', names, dome(count))
    return folder


def whole(folder): return Capture.load(folder, linear=False).images


def strips(folder): return np.concatenate([strip.copy() for _, strip in Strips(folder, values=1, linear=False)], 1)


READERS = whole, strips


@pytest.mark.parametrize('name', FILES)
def test_same_pixels(tmp_path, name):
    "Whole and in strips, as they are in the file"
    data, suffix, pixels, most = FILES[name]
    if pixels is None: pixels, most = colour, 140  # inks are no lamps: their colours are near, no more
    capture(tmp_path, data, suffix)
    images = whole(tmp_path)
    read = strips(tmp_path)
    assert Strips(tmp_path, values=1).shape == images.shape
    assert images.dtype == read.dtype == Strips(tmp_path, values=1).dtype == pixels.dtype
    assert np.array_equal(images, read)
    assert np.abs(to_float(pixels) - to_float(read[0])).max() <= (most + .01)/255


def test_every_format_is_tried():
    "Every format of the table has a file here or in test_photos.py, and no suffix stands there twice"
    tried = {suffix for _, suffix, _, _ in FILES.values()} | {'heic', 'exr', 'dng'}
    for form in _FORMATS.values(): assert any(suffix[1:] in tried for suffix in form.suffixes), form
    assert len(_suffixes) == len(set(_suffixes))


def tiff(pixels, photometric):
    "Return a TIFF file of any colours"
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric=photometric)
    return file.getvalue()


lab = pyvips.Image.new_from_array(colour).copy(interpretation='srgb').colourspace('lab').write_to_buffer('.tif')

REFUSED = {
    'TIFF of 32-bit integers': (vips(colour.astype(np.uint32), 'tif'), 'type uint: export it with 8 or 16 bits'),
    'TIFF of 64-bit floats': (vips(to_float(colour).astype(np.float64), 'tif'), 'export it with 8 or 16 bits'),
    'TIFF in L*a*b*': (lab, 'export it in grey or RGB'),
    'TIFF of a sensor': (tiff(grey, 32803), 'export it in grey or RGB'),
    'TIFF in ICC L*a*b*': (tiff(colour, 9), 'export it in grey or RGB'),
    'GIF': (pil(rgb, 'gif'), 'export it as JPEG'),
    'TGA': (pil(rgb, 'tga'), 'export it as JPEG'),
    'SVG': (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'export it as JPEG'),
    'RIFF that is no WebP': (b'RIFF\x10\0\0\0WAVEfmt ', 'export it as JPEG'),
    'empty': (b'', 'export it as JPEG'),
    **{f'{form} cut off': (pil(rgb, form)[:-60], 'cannot be read') for form in ('png', 'tiff', 'bmp', 'webp')},
    'JPEG cut off': (pil(rgb, 'jpeg')[:-100], 'cannot be read'),
}


@pytest.mark.parametrize('name', REFUSED)
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_same_refusals(tmp_path, name, suffix):
    "Whole and in strips, whatever the suffix of the file"
    data, says = REFUSED[name]
    capture(tmp_path, data, suffix)
    for read in READERS:
        with pytest.raises(InputError, match='0.'+suffix) as e: read(tmp_path)
        assert says in str(e.value)


@pytest.mark.parametrize('form', ['png', 'webp', 'tiff'])
def test_first_picture_of_several(tmp_path, form):
    "The first picture of an animation or a file of several pages is taken, with one warning"
    options = dict(save_all=True, append_images=[rgb.transpose(0)])
    if form == 'webp': options['lossless'] = True
    capture(tmp_path, pil(rgb, form, **options), form)
    for read in (*READERS, lambda folder: [read_image(folder/f'0.{form}')]):
        with pytest.warns(UserWarning, match='several pictures: took the first') as warned: images = read(tmp_path)
        assert len(warned) == 1 and np.array_equal(images[0], colour)


def test_smaller(tmp_path):
    "A JPEG is read smaller and upright"
    big = rgb.resize((520, 400), Image.Resampling.BICUBIC)
    (tmp_path/'a.jpg').write_bytes(pil(big, 'jpeg', quality=95, exif=turned))
    small = read_image(tmp_path/'a.jpg', size=52)
    assert small.shape == (52, 40, 3)
    assert np.abs(small.astype(int) - np.rot90(np.asarray(big.resize((52, 40))), -1)).max() < 30


@pytest.mark.parametrize('read', READERS)
def test_replaced_photo(tmp_path, read):
    "Another photo under the same name is read, not one that was kept"
    for image in (rgb, rgb.transpose(0), rgb.transpose(1)):
        capture(tmp_path, pil(image, 'png', exif=turned), 'png')
        assert np.array_equal(read(tmp_path)[0], np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize('name', ['a[1].png', 'b%d.png', 'c*.png', 'd\ne.png', b'caf\xe9.png'])
def test_strange_names(tmp_path, name):
    "Names that libvips or a glob could misread"
    if isinstance(name, bytes): name = name.decode('utf-8', 'surrogateescape')
    write_png(tmp_path/name, colour)
    assert np.array_equal(read_image(tmp_path/name), colour)


@pytest.mark.parametrize('suffix', ['jp2', 'jxl', 'PSD'])
@pytest.mark.parametrize('listed', ['the same', 'jpg'])
def test_photos_of_other_kinds(tmp_path, suffix, listed):
    "A photo that is there but of a kind that cannot be read is not called missing"
    for i in range(3): (tmp_path/f'{i}.{suffix}').write_bytes(b'ftypheic')
    write_lp(tmp_path/'lights.lp', [f'{i}.{suffix if listed == "the same" else listed}' for i in range(3)], dome(3))
    with pytest.raises(InputError) as e: Capture.load(tmp_path)
    message = str(e.value)
    assert f'of a kind that cannot be read: 0.{suffix}' in message and 'export them' in message
    assert 'not found' not in message


@pytest.mark.parametrize('bad', [np.nan, np.inf, 7])
@pytest.mark.parametrize('read', READERS)
def test_floats_are_checked(tmp_path, bad, read):
    "NaN, infinity, and values outside 0..1"
    pixels = to_float(colour).copy()
    pixels[3, 4] = bad
    capture(tmp_path, vips(pixels, 'tif', 'scrgb'), 'tif')
    with pytest.raises(InputError, match='image 0 has'): read(tmp_path)


@pytest.mark.parametrize('form', ['png', 'jpeg', 'tiff', 'webp', 'bmp'])
@pytest.mark.parametrize('read', READERS)
def test_decompression_bomb(tmp_path, monkeypatch, form, read):
    "More pixels than is safe"
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 200)
    capture(tmp_path, pil(rgb, form), dict(jpeg='jpg', tiff='tif').get(form, form))
    with pytest.raises(InputError, match='more pixels than is safe'): read(tmp_path)
