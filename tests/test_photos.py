"""Photos as cameras, telephones and editors store them: raw, HEIC, OpenEXR, packed TIFF, profiles, few bits, alpha."""
import importlib, io
import numpy as np, pytest, pyvips, tifffile
from PIL import Image, ImageCms
from illuminet import images
from illuminet.learner import (
    Capture, InputError, dome, fit, linear_to_srgb, read_image, srgb_to_linear, to_float, write_lp, write_png)
from illuminet.stream import Strips

HEIGHT, WIDTH = 20, 26
y, x = np.mgrid[0:1:HEIGHT*1j, 0:1:WIDTH*1j]
colour = np.round(255*np.stack([x, y, .5 + .5*np.sin(5*x - 3*y)], -1)).astype(np.uint8)
grey = np.round(255*(.2 + .6*x*y)).astype(np.uint8)
three = np.repeat(grey[..., None], 3, axis=2)
deep = colour.astype(np.uint16)*257


def capture(folder, photos, suffix, write=None):
    "Write photos, as bytes or by a function, and a light file; return the folder"
    folder.mkdir(exist_ok=True)
    names = [f'{i}.{suffix}' for i in range(len(photos))]
    for name, photo in zip(names, photos):
        if write: write(folder/name, photo)
        else: (folder/name).write_bytes(photo)
    write_lp(folder/'lights.lp', names, dome(len(photos)))
    return folder


def pil(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def strips(folder, **options): return np.concatenate([strip.copy() for _, strip in Strips(folder, values=1, **options)], 1)


def display(cap): return to_float(cap.float(linear=False))


def warned(folder, *words, read=None):
    "Read a capture, whole and in strips; check that one warning has these words; return the capture and the strips"
    with pytest.warns(UserWarning, match=words[0]) as seen: cap = Capture.load(folder)
    with pytest.warns(UserWarning, match=words[0]): rows = strips(folder)
    told = [str(o.message) for o in seen if words[0] in str(o.message)]
    assert len(told) == 1 and all(word in told[0] for word in words), told
    return cap, rows


# --- TIFF, packed in every way

def tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric='rgb' if pixels.ndim == 3 else 'minisblack', **options)
    return file.getvalue()


@pytest.mark.parametrize('pixels', [deep, deep[..., 1], to_float(deep), to_float(deep).astype(np.float16)],
                         ids=['16 bits', 'grey', 'floats', 'half floats'])
@pytest.mark.parametrize('options', [
    {}, dict(compression='lzw'), dict(compression='lzw', predictor=True), dict(compression='zlib', predictor=True),
    dict(compression='packbits'), dict(compression='zstd'), dict(compression='lzma'), dict(compression='lerc'),
    dict(compression='lzw', tile=(16, 16)), dict(compression='zstd', tile=(16, 16), bigtiff=True),
    dict(compression='zlib', byteorder='>'), dict(compression='lzw', rowsperstrip=3)], ids=str)
def test_tiff(tmp_path, pixels, options):
    "16-bit and float TIFF of every compression, whole and in strips"
    pytest.importorskip('imagecodecs')
    if pixels.dtype == np.float16 and options.get('compression') == 'lerc': pytest.skip('LERC has no half floats')
    folder = capture(tmp_path/'a', [tiff(pixels, **options)]*3, 'tif')
    want = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    if want.dtype == np.float16:
        want = want.astype(np.float32)
    got = Capture.load(folder, linear=False).images
    assert got.dtype == want.dtype and np.allclose(got[1], want, atol=1e-6)
    assert np.array_equal(strips(folder, linear=False), got)


def test_tiff_planes(tmp_path):
    "Planes one after the other, packed in a rare way"
    pytest.importorskip('imagecodecs')
    data = tiff(np.ascontiguousarray(deep.transpose(2, 0, 1)), planarconfig='separate', compression='zstd')
    assert np.array_equal(Capture.load(capture(tmp_path/'a', [data]*2, 'tif')).images[1], deep)


@pytest.mark.parametrize('library, file, data', [
    ('imagecodecs', 'a.tif', lambda: tiff(deep, compression='lzma')), ('rawpy', 'a.nef', lambda: b'II*\0'),
    ('pillow_heif', 'a.heic', lambda: b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'), ('OpenEXR', 'a.exr', lambda: b'\x76\x2f\x31\x01')])
def test_missing_library(tmp_path, monkeypatch, library, file, data):
    "A missing library is named, with what to install"
    (tmp_path/file).write_bytes(data())
    real = importlib.import_module
    def without(name):
        if name == library: raise ImportError(name)
        return real(name)
    monkeypatch.setattr(images.importlib, 'import_module', without)
    with pytest.raises(InputError, match=f"{file}: .*pip install {library.replace('_', '-')}"): read_image(tmp_path/file)


# --- raw files, HEIC, OpenEXR

def rational(values): return [n for v in values for n in (int(round(v*10_000)), 10_000)]


XYZ_TO_SRGB = [3.2406, -1.5372, -.4986, -.9689, 1.8758, .0415, .0557, -.2040, 1.0570]


def dng(level=.25, white=(.5, 1, 1/3), turn=1, size=(64, 96)):
    "Return a raw file of a grey scene under a light that makes the sensor see red and blue differently"
    rows, columns = np.mgrid[:size[0], :size[1]]
    channel = np.where(rows % 2 == columns % 2, 2*(rows % 2), 1)      # RGGB
    sensor = np.round(16383*level*np.array(white)[channel]).astype(np.uint16)
    tags = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True), (50706, 1, 4, bytes([1, 4, 0, 0]), True),
            (50708, 2, 0, 'Test Camera', True), (50721, 10, 9, rational(XYZ_TO_SRGB), True), (271, 2, 0, 'Test', True),
            (50728, 5, 3, rational(white), True), (50717, 4, 1, 16383, True), (50778, 3, 1, 21, True),
            (272, 2, 0, 'Camera', True), (274, 3, 1, turn, True)]
    file = io.BytesIO()
    tifffile.imwrite(file, sensor, photometric=32803, extratags=tags)
    return file.getvalue()


def test_raw(tmp_path):
    "Raw files are linear, in proportion to light, and grey where white balance says so"
    pytest.importorskip('rawpy')
    folder = capture(tmp_path/'a', [dng(level) for level in (.2, .4, .1)], 'dng')
    cap = Capture.load(folder)
    assert cap.linear and cap.images.dtype == np.uint16 and cap.shape == (3, 64, 96, 3)
    middle = cap.images[:, 20:40, 20:40].astype(float).mean((1, 2))
    assert np.allclose(middle/middle[:1], [[1]*3, [2]*3, [.5]*3], rtol=.01)
    assert np.ptp(middle[0]) < .01*middle[0].max()
    assert np.abs(strips(folder).astype(int) - 65535*display(cap)).max() < 2
    one = read_image(folder/'0.dng')                                  # a picture is coded
    assert np.allclose(to_float(one)[30, 30], linear_to_srgb(to_float(cap.images[0, 30, 30])), atol=1e-4)


def test_raw_smaller(tmp_path):
    "A raw file is developed at half its size"
    pytest.importorskip('rawpy')
    folder = capture(tmp_path/'a', [dng()]*2, 'dng')
    assert Capture.load(folder, size=48).shape == (2, 32, 48, 3)
    assert Capture.load(folder, size=30).shape == (2, 20, 30, 3)


def test_raw_white_balance(tmp_path):
    "The white balance of the first photo goes for all, with a warning"
    pytest.importorskip('rawpy')
    folder = capture(tmp_path/'a', [dng(white=(.5, 1, .33)), dng(white=(.25, 1, .66))], 'dng')
    cap, _ = warned(folder, 'its white balance is used for all')
    red, _, blue = cap.images[1, 30, 30].astype(float)/cap.images[0, 30, 30]
    assert red < .7 and blue > 1.6


def test_raw_turned(tmp_path):
    "Raw files are turned as cameras note"
    pytest.importorskip('rawpy')
    folder = capture(tmp_path/'a', [dng(turn=6)]*2, 'dng')
    assert Capture.load(folder).shape == strips(folder).shape == (2, 96, 64, 3)


@pytest.mark.parametrize('kind', ['RGB', 'L', 'RGBA'])
def test_heic(tmp_path, kind):
    heif = pytest.importorskip('pillow_heif')
    picture = Image.fromarray(three).convert(kind)
    file = io.BytesIO()
    heif.from_pillow(picture).save(file, quality=100)
    folder = capture(tmp_path/'a', [file.getvalue()]*2, 'heic')
    got = Capture.load(folder).images
    assert np.abs(got[1].astype(int) - three).max() < 5 and np.array_equal(strips(folder), got)


def test_heic_named_jpg(tmp_path):
    "Telephones may call a HEIC .jpg"
    heif = pytest.importorskip('pillow_heif')
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(three)).save(file, quality=100)
    assert Capture.load(capture(tmp_path/'a', [file.getvalue()]*2, 'jpg')).shape == (2, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize('bits', [10, 12])
def test_avif_deep(tmp_path, bits):
    image = pyvips.Image.new_from_array(deep[..., 1]).copy(interpretation='grey16')
    try: data = image.heifsave_buffer(bitdepth=bits, compression='av1', lossless=True)
    except pyvips.Error: pytest.skip('this libvips writes no AVIF')
    got = Capture.load(capture(tmp_path/'a', [data]*2, 'avif')).images
    assert got.dtype == np.uint16 and np.abs(got[1, ..., 1].astype(int) - deep[..., 1]).max() < 65535/2**bits*2


def exr(path, channels):
    library = pytest.importorskip('OpenEXR')
    library.File(dict(compression=library.ZIP_COMPRESSION, type=library.scanlineimage), channels).write(str(path))


@pytest.mark.parametrize('names', [['RGB'], ['R', 'G', 'B', 'Z'], ['beauty.R', 'beauty.G', 'beauty.B']])
@pytest.mark.parametrize('kind', [np.float32, np.float16])
def test_exr(tmp_path, names, kind):
    "Linear floats, as one channel of colours or three"
    light = srgb_to_linear(colour).astype(kind)
    def write(path, factor):
        planes = {name: np.ascontiguousarray(light[..., i % 3]*kind(factor)) for i, name in enumerate(names)}
        exr(path, dict(RGB=light*kind(factor)) if names == ['RGB'] else planes)
    folder = capture(tmp_path/'a', [1, .5, .25], 'exr', write)
    cap = Capture.load(folder)
    assert cap.linear and cap.images.dtype == np.float32
    assert np.allclose(cap.images, light.astype(np.float32)*np.float32([1, .5, .25])[:, None, None, None], atol=1e-3)
    assert np.allclose(strips(folder), display(cap), atol=1e-5)
    assert np.allclose(read_image(folder/'0.exr'), to_float(colour), atol=2e-3)


def test_exr_above_one(tmp_path):
    "Values above 1 are divided by the largest of all photos"
    light = srgb_to_linear(colour)
    folder = capture(tmp_path/'a', [1, 4], 'exr', lambda path, factor: exr(path, dict(RGB=light*np.float32(factor))))
    cap, rows = warned(folder, 'linear values up to 4', 'are divided by it')
    assert np.allclose(cap.images[1], light, atol=1e-6) and np.allclose(cap.images[0], light/4, atol=1e-6)
    assert np.allclose(rows, display(cap), atol=1e-5)


@pytest.mark.parametrize('channels, says', [
    (dict(Z=np.zeros((4, 5), np.float32)), 'has the channels Z'),
    ({o: np.zeros((4, 5), np.uint32) for o in 'RGB'}, 'of whole numbers'),
    (dict(RGB=np.full((4, 5, 3), np.nan, np.float32)), 'NaN')])
def test_exr_refused(tmp_path, channels, says):
    folder = capture(tmp_path/'a', [1], 'exr', lambda path, _: exr(path, channels))
    for read in (Capture.load, strips):
        with pytest.raises(InputError, match=says): read(folder)


def big_exr():
    "Return an OpenEXR file that claims 100,000 x 100,000 pixels"
    file = io.BytesIO()
    def attribute(name, kind, data): return name.encode() + b'\0' + kind.encode() + b'\0' + len(data).to_bytes(4, 'little') + data
    window = np.int32([0, 0, 99_999, 99_999]).tobytes()
    channel = b'R\0' + np.int32([2, 0, 1, 1]).tobytes()
    channels = b''.join(o + channel[1:] for o in (b'B', b'G', b'R')) + b'\0'
    file.write(b'\x76\x2f\x31\x01\2\0\0\0' + attribute('channels', 'chlist', channels)
               + attribute('compression', 'compression', b'\0') + attribute('dataWindow', 'box2i', window)
               + attribute('displayWindow', 'box2i', window) + attribute('lineOrder', 'lineOrder', b'\0')
               + attribute('pixelAspectRatio', 'float', np.float32([1]).tobytes())
               + attribute('screenWindowCenter', 'v2f', bytes(8))
               + attribute('screenWindowWidth', 'float', np.float32([1]).tobytes()) + b'\0')
    return file.getvalue()


def claim(data):
    "Make a TIFF claim 60,000 x 60,000 pixels"
    for tag, side in ((256, 96), (257, 64)):
        for kind, code in ((3, 'H'), (4, 'I')):
            old = tag.to_bytes(2, 'little') + kind.to_bytes(2, 'little') + (1).to_bytes(4, 'little')
            data = data.replace(old + side.to_bytes(4, 'little'), old + (60_000).to_bytes(4, 'little'))
    return data


@pytest.mark.parametrize('name, data', [
    ('a.exr', big_exr), ('a.dng', lambda: claim(dng())),
    ('a.tif', lambda: claim(tiff(np.zeros((64, 96, 3), np.uint16), compression='lzma')))])
def test_claims(tmp_path, name, data):
    "A small file that claims to be huge takes no time and no memory"
    pytest.importorskip(dict(exr='OpenEXR', dng='rawpy', tif='imagecodecs')[name[2:]])
    (tmp_path/name).write_bytes(data())
    with pytest.raises(InputError, match=name): read_image(tmp_path/name)


@pytest.mark.parametrize('kind', ['dng', 'heic', 'exr', 'avif', 'tif'])
@pytest.mark.parametrize('part', [.02, .3, .9])
def test_cut_off(tmp_path, kind, part):
    "What is cut off is refused"
    if kind == 'dng': pytest.importorskip('rawpy')
    if kind == 'exr': exr(tmp_path/'b.exr', dict(RGB=np.random.default_rng(0).random((60, 60, 3), np.float32)))
    if kind == 'heic':
        heif = pytest.importorskip('pillow_heif')
        file = io.BytesIO()
        heif.from_pillow(Image.fromarray(colour)).save(file)
    if kind == 'tif': pytest.importorskip('imagecodecs')
    data = dict(dng=lambda: dng(), heic=lambda: file.getvalue(), exr=lambda: (tmp_path/'b.exr').read_bytes(),
                avif=lambda: pil(Image.fromarray(colour), 'avif'), tif=lambda: tiff(deep, compression='zstd'))[kind]()
    (tmp_path/f'a.{kind}').write_bytes(data[:int(part*len(data))])
    with pytest.raises(InputError, match=f'a.{kind}'): read_image(tmp_path/f'a.{kind}')


# --- what values mean

@pytest.mark.parametrize('bits', [8, 10, 12, 14])
@pytest.mark.parametrize('form', ['png', 'tif'])
def test_few_bits(tmp_path, bits, form):
    "10, 12 or 14 bits in files of 16 are found over the whole capture"
    top = 2**bits - 1
    photos = [np.round(to_float(colour)*top*factor).astype(np.uint16) for factor in (.05, 1, .3)]
    write = write_png if form == 'png' else lambda path, a: path.write_bytes(tiff(a, compression='lzw'))
    cap, rows = warned(capture(tmp_path/'a', photos, form, write), f'values of {bits} bits', f'{top} is taken as white')
    assert cap.images.max() == 65535
    assert np.abs(to_float(cap.images[1]) - to_float(colour)).max() < 1/top
    assert np.array_equal(rows, cap.images)


def test_sixteen_bits_stay(tmp_path):
    "Photos that use 16 bits are left alone, even if some are dark"
    folder = capture(tmp_path/'a', [deep//20, deep, deep//9], 'png', write_png)
    assert np.array_equal(Capture.load(folder).images[0], deep//20) and np.array_equal(strips(folder)[0], deep//20)


def test_black_photos(tmp_path):
    folder = capture(tmp_path/'a', [deep*0]*2, 'png', write_png)
    assert Capture.load(folder).images.max() == strips(folder).max() == 0


def test_few_bits_of_one_photo(tmp_path):
    write_png(tmp_path/'a.png', deep >> 4)
    with pytest.warns(UserWarning, match='12 bits'): assert Capture.load(tmp_path/'a.png').images.max() == 65535


@pytest.mark.parametrize('linear', [True, False])
def test_linear(tmp_path, linear):
    "Whole and in strips, as the argument says"
    folder = capture(tmp_path/'a', [deep]*3, 'png', write_png)
    cap = Capture.load(folder, linear=linear)
    assert cap.linear == linear and np.array_equal(cap.images[0], deep)
    want = linear_to_srgb(to_float(deep)) if linear else to_float(deep)
    assert np.abs(to_float(strips(folder, linear=linear)[0]) - want).max() < 1e-4


# --- colour profiles

def profile(name): return pyvips.Image.profile_load(name)


WIDE = profile('p3')
ADOBE = Image.Exif()
ADOBE.get_ifd(0x8769)[0xa005] = {1: 'R03'}
soft = np.uint8(60 + .5*colour)                                       # within sRGB after conversion


def to_profile(a):
    "The values that a picture in sRGB has in the wide profile"
    image = Image.fromarray(a)
    wide = ImageCms.ImageCmsProfile(io.BytesIO(WIDE))
    return ImageCms.profileToProfile(image, ImageCms.createProfile('sRGB'), wide)


@pytest.mark.parametrize('form', ['png', 'tiff', 'jpeg', 'webp'])
def test_wide_profile(tmp_path, form):
    "Photos in Display P3 come out in sRGB, whole and in strips, with one warning"
    options = dict(jpeg=dict(quality=100, subsampling=0), webp=dict(lossless=True)).get(form, {})
    data = pil(to_profile(soft), form, icc_profile=WIDE, **options)
    cap, rows = warned(capture(tmp_path/'a', [data]*3, dict(jpeg='jpg', tiff='tif').get(form, form)),
                       'colour profile', '2 more', 'converted to sRGB')
    assert np.abs(cap.images[2].astype(int) - soft).max() < 5
    assert np.array_equal(rows, cap.images)


def test_wide_profile_of_16_bits(tmp_path):
    "16 bits stay 16 bits"
    values = np.asarray(to_profile(soft)).astype(np.uint16)*257
    data = tiff(values, iccprofile=WIDE, compression='lzw')
    cap, rows = warned(capture(tmp_path/'a', [data]*2, 'tif'), 'converted to sRGB')
    assert cap.images.dtype == np.uint16 and np.abs(to_float(cap.images[1]) - to_float(soft)).max() < 5/255
    assert len(np.unique(cap.images)) > 256 and np.array_equal(rows, cap.images)


def test_adobe_rgb_by_exif(tmp_path):
    "Cameras note Adobe RGB in their EXIF data, without a profile"
    data = pil(Image.fromarray(soft), 'jpeg', exif=ADOBE, quality=100, subsampling=0)
    cap, rows = warned(capture(tmp_path/'a', [data]*2, 'jpg'), 'Adobe RGB', 'converted to sRGB')
    assert np.abs(cap.images[0].astype(int) - soft).max() > 5 and np.array_equal(rows, cap.images)
    plain = np.full_like(soft, 99)
    data = pil(Image.fromarray(plain), 'jpeg', exif=ADOBE, quality=100)
    with pytest.warns(UserWarning): got = Capture.load(capture(tmp_path/'b', [data]*2, 'jpg')).images
    assert np.abs(got.astype(int) - 99).max() < 2                     # grey stays grey


@pytest.mark.parametrize('linear', [None, True])
def test_plain_profiles(tmp_path, linear, recwarn):
    "sRGB under any name is left alone, without a word"
    data = [pil(Image.fromarray(colour), 'png', icc_profile=icc) for icc in
            (profile('srgb'), ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())]
    assert np.array_equal(Capture.load(capture(tmp_path/'a', data, 'png'), linear=linear).images, [colour]*2)
    assert not [o for o in recwarn if 'profile' in str(o.message)]


def test_profile_of_linear_values(tmp_path):
    "A profile does not apply to linear values, which is said"
    folder = capture(tmp_path/'a', [pil(Image.fromarray(colour), 'png', icc_profile=WIDE)]*2, 'png')
    with pytest.warns(UserWarning, match='left out'): cap = Capture.load(folder, linear=True)
    assert np.array_equal(cap.images[0], colour)


@pytest.mark.parametrize('icc', [b'no profile', WIDE[:200], bytes(2000), WIDE[:128] + bytes(400)])
def test_broken_profile(tmp_path, icc):
    "A broken profile is named, and the photo read"
    data = pil(Image.fromarray(colour), 'tiff', icc_profile=icc)
    cap, _ = warned(capture(tmp_path/'a', [data]*2, 'tif'), 'colour profile')
    assert np.array_equal(cap.images[0], colour)


def test_lost_profile(tmp_path):
    "A profile that the decoder of PNG leaves out is named as well"
    data = pil(Image.fromarray(colour), 'png', icc_profile=b'no profile')
    cap, _ = warned(capture(tmp_path/'a', [data]*2, 'png'), 'colour profile', 'cannot be read')
    assert np.array_equal(cap.images[0], colour)


def test_inks(tmp_path):
    data = pil(Image.fromarray(colour).convert('CMYK'), 'jpeg')
    warned(capture(tmp_path/'a', [data]*2, 'jpg'), 'CMYK', 'converted to sRGB')


@pytest.mark.parametrize('dtype', [np.float32, np.float16])
@pytest.mark.parametrize('big', [False, True])
def test_floats_in_tiff(tmp_path, dtype, big):
    "Floats without a profile are linear, which is said; with one, or on request, they are not"
    values = to_float(deep).astype(dtype)
    folder = capture(tmp_path/'a', [tiff(values, bigtiff=big)]*2, 'tif')
    cap, rows = warned(folder, 'taken as linear', '--no-linear')
    assert cap.linear and np.abs(rows[0] - linear_to_srgb(cap.images[0])).max() < 1e-4
    assert not Capture.load(folder, linear=False).linear
    assert not Capture.load(capture(tmp_path/'b', [tiff(values, bigtiff=big, iccprofile=profile('srgb'))]*2, 'tif')).linear


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_profile_of_other_values(tmp_path):
    "A profile of inks in a picture of colours changes nothing"
    folder = capture(tmp_path/'a', [pil(Image.fromarray(colour), 'tiff', icc_profile=profile('cmyk'))]*2, 'tif')
    assert np.array_equal(Capture.load(folder).images[0], colour)


# --- alpha, orientation, size

def test_alpha_becomes_the_mask(tmp_path):
    alpha = np.where(x > .5, 255, 0).astype(np.uint8)
    data = pil(Image.fromarray(np.dstack([colour, alpha])), 'png')
    with pytest.warns(UserWarning, match='transparent pixels: they do not count'): cap = Capture.load(capture(tmp_path/'a', [data]*3, 'png'))
    assert np.array_equal(cap.mask, alpha > 0) and np.array_equal(cap.images[0], colour)
    with pytest.warns(UserWarning): assert Capture.load(tmp_path/'a', size=13).mask.shape == (10, 13)
    write_png(tmp_path/'a'/'mask.png', x < .3)                        # a mask of its own goes first
    with pytest.warns(UserWarning): assert np.array_equal(Capture.load(tmp_path/'a').mask, x < .3)


def turned(turn):
    exif = Image.Exif()
    exif[274] = turn
    return dict(exif=exif)


@pytest.mark.parametrize('turns', [(6, 1, 1), (1, 8, 3), (3, 3, 1), (6, 8, 6)])
@pytest.mark.parametrize('form', ['jpeg', 'png', 'tiff'])
def test_mixed_orientation(tmp_path, turns, form):
    "Photos that disagree are taken as stored"
    options = dict(quality=100, subsampling=0) if form == 'jpeg' else {}
    photos = [pil(Image.fromarray(colour), form, **options, **turned(turn)) for turn in turns]
    cap, rows = warned(capture(tmp_path/'a', photos, dict(jpeg='jpg', tiff='tif').get(form, form)), 'taken as stored', 'unlike')
    assert cap.shape == (3, HEIGHT, WIDTH, 3) and np.abs(cap.images[1].astype(int) - colour).max() < 5
    assert np.array_equal(rows, cap.images)


def test_same_orientation(tmp_path, recwarn):
    "Photos that agree are turned"
    folder = capture(tmp_path/'a', [pil(Image.fromarray(colour), 'png', **turned(6))]*3, 'png')
    assert np.array_equal(Capture.load(folder).images[2], np.rot90(colour, -1))
    assert not recwarn.list


@pytest.mark.parametrize('form', ['png', 'jpeg', 'tiff', 'webp', 'bmp'])
def test_large_on_request(tmp_path, monkeypatch, form):
    "More pixels than is safe are read on request, by argument, environment or command"
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 200)
    folder = capture(tmp_path/'a', [pil(Image.fromarray(three), form)]*3, dict(jpeg='jpg', tiff='tif').get(form, form))
    for read in (Capture.load, strips):
        with pytest.raises(InputError, match='more pixels than is safe.*--allow-large'): read(folder)
    whole = Capture.load(folder, allow_large=True).images
    assert np.array_equal(strips(folder, allow_large=True), whole)
    small = Capture.load(folder, size=13, allow_large=True).images
    assert small.shape == (3, 10, 13, 3)
    assert np.abs(small[0].astype(int) - np.asarray(Image.fromarray(whole[0]).resize((13, 10), Image.Resampling.BOX))).max() < 12
    monkeypatch.setenv('ILLUMINET_ALLOW_LARGE', '1')
    assert np.array_equal(Capture.load(folder).images, whole)


# --- one photo

@pytest.mark.parametrize('form', ['png', 'jpg', 'tif'])
def test_one_photo(tmp_path, form):
    "A photo loads as a capture of one, by path or in a list"
    Image.fromarray(colour).save(tmp_path/f'a.{form}')
    cap = Capture.load(tmp_path/f'a.{form}')
    assert len(cap) == 1 and cap.lights is None and cap.names == [f'a.{form}']
    for other in (Capture([tmp_path/f'a.{form}']), Capture([tmp_path/f'a.{form}'], None)):
        assert np.array_equal(other.images, cap.images) and other.lights is None
    with pytest.raises(InputError, match='is one photo: give a folder'): Strips(tmp_path/f'a.{form}')
    with pytest.raises(InputError, match='without lights: ptm needs a direction'): fit(tmp_path/f'a.{form}', 'ptm')
