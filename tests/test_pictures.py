"""One decoder: `Capture.load` and `Strips` give the same pixels for whatever is listed as readable, and refuse the same files."""
import io
import numpy as np, pytest, pyvips, tifffile
from PIL import Image, ImageCms
from illuminet.learner import Capture, InputError, dome, read_image, to_float, write_lp, write_png
from illuminet.images import _FORMATS, _suffixes
from illuminet.stream import Strips

h,w = 20,26
y,x = np.mgrid[0:1:h*1j, 0:1:w*1j]
colour = np.round(255*np.stack([x, y, .5+.5*np.sin(5*x-3*y)], -1)).astype(np.uint8)
grey = colour[..., 1]

def pil(image, form, **kw):
    f = io.BytesIO(); image.save(f, form, **kw); return f.getvalue()

def vips(a, kind, interpretation=None, **kw):
    im = pyvips.Image.new_from_array(a)
    if interpretation: im = im.copy(interpretation=interpretation)
    return im.write_to_buffer(f'.{kind}', **kw)

def profile(name): return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()

rgb,deep = Image.fromarray(colour), colour.astype(np.uint16)*257
alpha = Image.fromarray(np.dstack([colour, grey]))
turned = Image.Exif(); turned[274] = 6
three = np.repeat(grey[..., None], 3, axis=2)
upright = np.rot90(colour, -1)

# name -> bytes of a file, its suffix, what is in it (None: what the decoder makes of it), by how much it may differ, of 255
FILES = {
    'JPEG': (pil(rgb, 'jpeg', quality=100, subsampling=0), 'jpg', colour, 4),
    'JPEG, subsampled': (pil(rgb, 'jpeg', quality=95, subsampling=2), 'jpg', colour, 40),
    'JPEG, progressive': (pil(rgb, 'jpeg', quality=100, subsampling=0, progressive=True), 'jpg', colour, 4),
    'JPEG, grey': (pil(Image.fromarray(grey), 'jpeg', quality=100), 'jpg', three, 4),
    'JPEG, CMYK': (pil(rgb.convert('CMYK'), 'jpeg', quality=100, subsampling=0), 'jpg', None, 0),
    'JPEG, sRGB profile': (pil(rgb, 'jpeg', quality=100, subsampling=0, icc_profile=profile('sRGB')), 'jpg', colour, 4),
    'JPEG, turned': (pil(rgb, 'jpeg', quality=100, subsampling=0, exif=turned), 'jpg', upright, 4),
    'PNG': (pil(rgb, 'png'), 'png', colour, 0),
    'PNG, interlaced': (vips(colour, 'png', interlace=True), 'png', colour, 0),
    'PNG, alpha': (pil(alpha, 'png'), 'png', colour, 0),
    'PNG, palette': (pil(rgb.quantize(64), 'png'), 'png', np.asarray(rgb.quantize(64).convert('RGB')), 0),
    'PNG, grey': (pil(Image.fromarray(grey), 'png'), 'png', three, 0),
    'PNG, grey and alpha': (pil(Image.fromarray(np.dstack([grey, grey]), 'LA'), 'png'), 'png', three, 0),
    'PNG, 1 bit': (pil(Image.fromarray(grey).convert('1'), 'png'), 'png', np.asarray(Image.fromarray(grey).convert('1').convert('RGB')), 0),
    'PNG, 16 bits': (vips(deep, 'png', 'rgb16'), 'png', deep, 0),
    'PNG, 16 bits, alpha': (vips(np.dstack([deep, deep[..., 0]]), 'png', 'rgb16'), 'png', deep, 0),
    'PNG, 16 bits, grey': (vips(deep[..., 1], 'png', 'grey16'), 'png', three.astype(np.uint16)*257, 0),
    'PNG, sRGB profile': (pil(rgb, 'png', icc_profile=profile('sRGB')), 'png', colour, 0),
    'PNG, turned': (pil(rgb, 'png', exif=turned), 'png', upright, 0),
    'TIFF': (pil(rgb, 'tiff'), 'tif', colour, 0),
    'TIFF, LZW': (pil(rgb, 'tiff', compression='tiff_lzw'), 'tif', colour, 0),
    'TIFF, deflate': (pil(rgb, 'tiff', compression='tiff_adobe_deflate'), 'tif', colour, 0),
    'TIFF, tiles': (vips(colour, 'tif', 'srgb', tile=True, tile_width=16, tile_height=16), 'tif', colour, 0),
    'TIFF, alpha': (pil(alpha, 'tiff'), 'tif', colour, 0),
    'TIFF, grey': (pil(Image.fromarray(grey), 'tiff'), 'tif', three, 0),
    'TIFF, 1 bit': (pil(Image.fromarray(grey).convert('1'), 'tiff'), 'tif', np.asarray(Image.fromarray(grey).convert('1').convert('RGB')), 0),
    'TIFF, palette': (pil(rgb.quantize(64), 'tiff'), 'tif', np.asarray(rgb.quantize(64).convert('RGB')), 0),
    'TIFF, CMYK': (pil(rgb.convert('CMYK'), 'tiff'), 'tif', None, 0),
    'TIFF, YCbCr': (pil(rgb.convert('YCbCr'), 'tiff'), 'tif', colour, 3),
    'TIFF, YCbCr, LZW': (pil(rgb.convert('YCbCr'), 'tiff', compression='tiff_lzw'), 'tif', colour, 3),
    'TIFF, YCbCr, JPEG': (pil(rgb.convert('YCbCr'), 'tiff', compression='jpeg', quality=100), 'tif', colour, 45),
    'TIFF, 16 bits': (vips(deep, 'tif', 'rgb16'), 'tif', deep, 0),
    'TIFF, 16 bits, grey': (vips(deep[..., 1], 'tif', 'grey16'), 'tif', three.astype(np.uint16)*257, 0),
    'TIFF, floats': (vips(to_float(colour), 'tif', 'scrgb'), 'tif', to_float(colour), 0),
    'TIFF, floats, grey': (pil(Image.fromarray(to_float(grey)), 'tiff'), 'tif', to_float(three), 0),
    'TIFF, sRGB profile': (pil(rgb, 'tiff', icc_profile=profile('sRGB')), 'tif', colour, 0),
    'TIFF, turned': (pil(rgb, 'tiff', exif=turned), 'tif', upright, 0),
    'WebP': (pil(rgb, 'webp', quality=100), 'webp', colour, 60),
    'WebP, lossless': (pil(rgb, 'webp', lossless=True), 'webp', colour, 0),
    'WebP, alpha': (pil(alpha, 'webp', lossless=True, exact=True), 'webp', colour, 0),
    'BMP': (pil(rgb, 'bmp'), 'bmp', colour, 0),
    'BMP, grey': (pil(Image.fromarray(grey), 'bmp'), 'bmp', three, 0),
    'BMP, palette': (pil(rgb.quantize(64), 'bmp'), 'bmp', np.asarray(rgb.quantize(64).convert('RGB')), 0),
    'BMP, 1 bit': (pil(Image.fromarray(grey).convert('1'), 'bmp'), 'bmp', np.asarray(Image.fromarray(grey).convert('1').convert('RGB')), 0),
}

def capture(folder, data, suffix, n=3):
    "A capture of one file, n times"
    for i in range(n): (folder/f'{i}.{suffix}').write_bytes(data)
    write_lp(folder/'lights.lp', [f'{i}.{suffix}' for i in range(n)], dome(n))
    return folder

def strips(folder):
    "The photos of a capture by way of strips"
    s = Strips(folder, values=1)
    return s, np.concatenate([o.copy() for _,o in s], 1)

@pytest.mark.parametrize('name', FILES)
def test_same_pixels(tmp_path, name):
    "Whole and in strips; as they are in the file"
    data,suffix,want,most = FILES[name]
    cap = Capture.load(capture(tmp_path, data, suffix))
    s,a = strips(tmp_path)
    assert s.shape == cap.shape and a.dtype == cap.images.dtype == s.dtype
    assert np.array_equal(a, cap.images)
    if want is None: want,most = colour,140                     # inks are no lamps: their colours are near, no more
    assert want.dtype == a.dtype and np.abs(to_float(want)-to_float(a[0])).max() <= (most+.01)/255

def test_table_is_tried():
    "Every format of the table, every suffix"
    tried = {o[1] for o in FILES.values()}
    assert all(any(s[1:] in tried for s in f.suffixes) for f in _FORMATS.values()), tried
    assert len(_suffixes) == len(set(_suffixes))

def tiff(a, photometric):
    f = io.BytesIO(); tifffile.imwrite(f, a, photometric=photometric); return f.getvalue()

def lab(): return pyvips.Image.new_from_array(colour).copy(interpretation='srgb').colourspace('lab').write_to_buffer('.tif')

REFUSED = {
    'TIFF of 32-bit integers': (vips(colour.astype(np.uint32), 'tif'), 'pixels of type uint: export it with 8 or 16 bits'),
    'TIFF of 64-bit floats': (vips(to_float(colour).astype(np.float64), 'tif'), 'export it with 8 or 16 bits'),
    'TIFF in L*a*b*': (lab(), 'export it in grey or RGB'), 'TIFF of a sensor': (tiff(grey, 32803), 'export it in grey or RGB'), 'TIFF in ICC L*a*b*': (tiff(colour, 9), 'export it in grey or RGB'),
    'GIF': (pil(rgb, 'gif'), 'export it as JPEG'), 'TGA': (pil(rgb, 'tga'), 'export it as JPEG'), 'SVG': (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'export it as JPEG'),
    'RIFF that is no WebP': (b'RIFF\x10\0\0\0WAVEfmt ', 'export it as JPEG'), 'empty': (b'', 'export it as JPEG'),
    **{f'{form} cut off': (pil(rgb, form)[:-60], 'cannot be read') for form in ('png', 'tiff', 'bmp', 'webp')},
    'JPEG cut off': (pil(rgb, 'jpeg')[:-100], 'cannot be read')}

@pytest.mark.parametrize('name', REFUSED)
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_same_refusals(tmp_path, name, suffix):
    "Whole and in strips, whatever the file is called"
    data,says = REFUSED[name]
    capture(tmp_path, data, suffix)
    for read in (Capture.load, strips):
        with pytest.raises(InputError, match='0.'+suffix) as e: read(tmp_path)
        assert says in str(e.value)

@pytest.mark.parametrize('form', ['png', 'webp', 'tiff'])
def test_animations_are_told(tmp_path, form):
    "The first picture of several is taken, and that is said once"
    capture(tmp_path, pil(rgb, form, save_all=True, append_images=[rgb.transpose(0)], **(dict(lossless=True) if form == 'webp' else {})), form)
    for read in (Capture.load, strips, lambda o: read_image(o/f'0.{form}')):
        with pytest.warns(UserWarning, match='several pictures: took the first') as told: got = read(tmp_path)
        assert len(told) == 1
    assert np.array_equal(got, colour)

def test_sizes(tmp_path):
    "Smaller, from a JPEG that is decoded smaller, upright"
    big = Image.fromarray(colour).resize((520, 400), Image.Resampling.BICUBIC)
    (tmp_path/'a.jpg').write_bytes(pil(big, 'jpeg', quality=95, exif=turned))
    a = read_image(tmp_path/'a.jpg', size=52)
    assert a.shape == (52, 40, 3) and np.abs(a.astype(int)-np.rot90(np.asarray(big.resize((52, 40))), -1)).max() < 30

def test_replaced(tmp_path):
    "Another photo under the same name is read anew"
    for image in (rgb, rgb.transpose(0), rgb.transpose(1)):
        capture(tmp_path, pil(image, 'png', exif=turned), 'png')
        for read in (lambda o: Capture.load(o).images, lambda o: strips(o)[1]): assert np.array_equal(read(tmp_path)[0], np.rot90(np.asarray(image), -1))

def test_bmp_and_strange_names(tmp_path):
    "Names that libvips or a glob could misread"
    for name in ('a[1].png', 'b%d.png', 'c*.png', 'd\ne.png', b'caf\xe9.png'.decode('utf-8', 'surrogateescape')):
        write_png(tmp_path/name, colour)
        assert np.array_equal(read_image(tmp_path/name), colour)

@pytest.mark.parametrize('suffix', ['heic', 'avif', 'jp2', 'NEF'])
def test_files_that_lie_there(tmp_path, suffix):
    "A photo of a kind that is not read is not said to be missing"
    for names in ([f'{i}.{suffix}' for i in range(3)], [f'{i}.jpg' for i in range(3)]):
        for i in range(3): (tmp_path/f'{i}.{suffix}').write_bytes(b'ftypheic')
        write_lp(tmp_path/'lights.lp', names, dome(3))
        with pytest.raises(InputError) as e: Capture.load(tmp_path)
        assert f'of a kind that cannot be read: 0.{suffix}' in str(e.value) and 'not found' not in str(e.value) and 'export them' in str(e.value)

def test_floats_are_checked(tmp_path):
    "NaN, and values that are not 0..1"
    for bad in (np.nan, np.inf, 7):
        a = to_float(colour).copy(); a[3, 4] = bad
        capture(tmp_path, vips(a, 'tif', 'scrgb'), 'tif')
        for read in (Capture.load, strips):
            with pytest.raises(InputError, match='image 0 has'): read(tmp_path)

def test_bomb(tmp_path, monkeypatch):
    "More pixels than is safe, both ways"
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 200)
    for form,suffix in (('png', 'png'), ('jpeg', 'jpg'), ('tiff', 'tif'), ('webp', 'webp'), ('bmp', 'bmp')):
        folder = tmp_path/suffix; folder.mkdir()
        capture(folder, pil(rgb, form), suffix)
        for read in (Capture.load, strips):
            with pytest.raises(InputError, match='more pixels than is safe'): read(folder)
