"""Bad input of every kind: readers answer any bytes with `InputError` or a result.

A reader runs nothing, opens nothing outside the folder that it was given, and takes memory in proportion to the input.
`test_fuzz.py` and `guided_fuzz.py` give the targets below bytes."""
import codecs, contextlib, functools, importlib, io, json, os, re, sys, tempfile, tracemalloc
from pathlib import Path
from unittest import mock
import numpy as np, pyvips, scipy.io, tifffile
from PIL import Image
from safetensors.numpy import save
from illuminet.learner import *
from illuminet.near_lamps import _as_stored
from illuminet.relightable import FORMAT
from illuminet.stream import Strips
from helpers import contents, noise_capture

LIGHTS = [(0, 0, 1), (.5, 0, .8)]
TARGETS = {}  # name -> function of bytes and a folder, bytes of memory for each byte of input, function of valid inputs


def target(factor, seeds):
    "Register a target"
    def add(function):
        TARGETS[function.__name__] = function, factor, seeds
        return function
    return add


def small(): return noise_capture(13, 6, 7)


def written(write, suffix):
    "Return the bytes of what a function writes to a path"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/f'a{suffix}'
        write(path)
        return path.read_bytes()


def relit(relightable):
    "Relight, and check the pictures"
    pictures = relightable.relight(LIGHTS)
    assert pictures.shape == (2, *relightable.shape) and pictures.dtype == np.float32, pictures.shape


# --- light files

LIGHT_FILES = [
    b'2\na.jpg 0.1 0.2 0.9\nb.jpg -0.1 0.2 0.9\n',
    b'0,1 0,2 0,9\n0 0 0\n\r0.5 0 .8\n',
    '\ufeff1\nä b.png 1e-3 2 3'.encode('utf-16'),
    b'2\n../out.png 0 0 1\n/etc/b.png 0 1 1\n',
    rb'1 "C:\x\a.jpg" 0 0 1',
]


@target(400, lambda: LIGHT_FILES)
def lp(data, folder):
    (folder/'a.lp').write_bytes(data)
    if not (folder/'a.png').exists():
        for name in 'ab': Image.new('RGB', (2, 2)).save(folder/f'{name}.png')
    with contextlib.suppress(InputError):
        names, lights = read_lp(folder/'a.lp')
        assert len(names) == len(lights) and np.allclose(np.linalg.norm(lights, axis=1), 1, atol=1e-3)
    files, _ = capture_files(folder)
    assert all(file.parent == folder for file in files), files


# --- files of other programs

def jpeg_ptm():
    "Return a JPEG `.ptm` of one grey plane nine times"
    file = io.BytesIO()
    Image.new('L', (5, 4), 99).save(file, 'jpeg')
    plane = file.getvalue()
    scales, biases, order, reference = '1 1 1 1 1 1', '0 0 0 0 0 0', '0 1 2 3 4 5 6 7 8', '-1 0 -1 -1 -1 -1 -1 -1 -1'
    rows = ['PTM_1.2', 'PTM_FORMAT_JPEG_LRGB', '5', '4', scales, biases, '90', *['0 '*9]*3, order, reference,
            f'{len(plane)} '*9, '5 ' + '0 '*8, '']
    return '\n'.join(rows).encode() + plane + b'\0\0\0\3\7' + plane*8


def ptm_files():
    plain = [fit(small(), 'ptm', form=form) for form in ('rgb', 'lrgb')]
    return [written(lambda path: write_ptm(path, r), '.ptm') for r in plain] + [jpeg_ptm()]


@target(6000, ptm_files)  # a JPEG packs a thousand pixels into a byte, each of which is a float; a plain file takes 16
def ptm(data, folder):
    (folder/'a.ptm').write_bytes(data)
    relit(read_ptm(folder/'a.ptm'))


def rti_files():
    plain = [fit(small(), 'hsh', terms=terms) for terms in (4, 9)]
    odd = b'#HSH1.2\n3\n1 1 3\n1 2 4\n' + bytes(80)
    return [written(lambda path: write_rti(path, r), '.rti') for r in plain] + [odd]


@target(40, rti_files)
def rti(data, folder):
    (folder/'a.rti').write_bytes(data)
    relit(read_rti(folder/'a.rti'))


# --- pictures

def picture_files():
    rgb = Image.fromarray(small().images[0])
    exif = Image.Exif()
    exif[274] = 6  # turned
    several = dict(save_all=True, append_images=[rgb.transpose(0)])
    kinds = [('CMYK', 'jpeg', {}), ('YCbCr', 'tiff', {}), ('RGB', 'tiff', dict(compression='jpeg')),
             ('RGB', 'jpeg', dict(exif=exif)), ('RGBA', 'png', dict(exif=exif)),
             ('RGB', 'webp', dict(lossless=True) | several), ('RGB', 'png', several),
             ('P', 'bmp', {}), ('LA', 'tiff', {}), ('RGB', 'png', {}), ('P', 'png', {}),
             ('I;16', 'png', {}), ('L', 'jpeg', {}), ('CMYK', 'tiff', {}), ('F', 'tiff', {}), ('RGB', 'webp', {}),
             ('1', 'bmp', {}), ('RGB', 'bmp', {})]
    files = []
    for mode, form, options in kinds:
        image = rgb.convert('L') if mode in ('LA', 'I;16') else rgb  # which Pillow makes of grey alone
        file = io.BytesIO()
        image.convert(mode).save(file, form, **options)
        files.append(file.getvalue())
    deep = written(lambda path: write_png(path, small().images[0].astype(np.uint16)*257), '.png')
    wide = pyvips.Image.profile_load('p3')
    for form in ('jpeg', 'tiff', 'png'):
        file = io.BytesIO()
        rgb.save(file, form, icc_profile=wide)
        files.append(file.getvalue())
    return [*files, deep, b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>']


def read_whole(folder):
    "Return the photos of a capture as strips give them, display-coded"
    cap = Capture.load(folder)
    return _as_stored(cap.float(linear=False), cap.images.dtype) if cap.linear else cap.images


def read_in_strips(folder): return np.concatenate([strip.copy() for _, strip in Strips(folder, threads=1)], 1)


@target(100, picture_files)
def picture(data, folder):
    (folder/'a.png').write_bytes(data)
    (folder/'a.lp').write_text('a.png 0 0 1')
    images = []
    for read in (read_whole, read_in_strips):
        try: images.append(read(folder))
        except InputError: images.append(None)
    whole, strips = images
    assert (whole is None) == (strips is None), images
    if whole is not None: assert whole.dtype == strips.dtype and np.array_equal(whole, strips)


def rarer_pictures():
    "Return pictures that other libraries decode, where they are installed"
    rgb, files = Image.fromarray(small().images[0]), []
    def add(write):
        with contextlib.suppress(Exception):  # a library is missing
            file = io.BytesIO()
            write(file)
            files.append(file.getvalue())
    add(lambda file: rgb.save(file, 'avif'))
    add(lambda file: importlib.import_module('pillow_heif').from_pillow(rgb).save(file))
    for packed in ('zstd', 'lzma', 'lerc'): add(lambda file: tifffile.imwrite(file, np.asarray(rgb), compression=packed))
    def exr(path):
        library = importlib.import_module('OpenEXR')
        header = dict(compression=library.ZIP_COMPRESSION, type=library.scanlineimage)
        library.File(header, {'RGB': small().images[0]/np.float32(255)}).write(str(path))
    add(lambda file: file.write(written(exr, '.exr')))
    return files


@target(2000, rarer_pictures)
def rarer_picture(data, folder):
    (folder/'a.png').write_bytes(data)
    (folder/'a.lp').write_text('a.png 0 0 1')
    for read in (read_whole, read_in_strips):
        with contextlib.suppress(InputError): read(folder)


# --- light files of other kinds

TABLES = {'txt': [b'0 0 1\n.5 0 .8\n', b'a.png 0 0 1 7\nb.png .5 0 .8 7\n', b'file x y z\na.png 0 0 1\n'],
          'csv': [b'file,x,y,z\na.png,0,0,1\nb.png,.5,0,.8\n', b'a.png;0;0;1\nb.png;0,5;0;0,8\n'],
          'json': [b'[{"file": "a.png", "x": 0, "y": 0, "z": 1}]', b'{"a.png": [0, 0, 1]}', b'{"lights": [[0, 0, 1]], "names": ["a.png"]}']}


def tables():
    files = [suffix.encode() + b'|' + data for suffix, kinds in TABLES.items() for data in kinds]
    for form, packed in (('4', False), ('5', False), ('5', True)):
        file = io.BytesIO()
        scipy.io.savemat(file, dict(L=np.float64(LIGHTS)), format=form, do_compression=packed)
        files.append(b'mat|' + file.getvalue())
    return files


@target(4000, tables)
def table(data, folder):
    suffix, _, text = data.partition(b'|')
    path = folder/f"lights.{suffix.decode() if suffix.decode('latin-1') in ('csv', 'json', 'mat') else 'txt'}"
    path.write_bytes(text)
    for name in 'ab': Image.new('RGB', (2, 2)).save(folder/f'{name}.png')
    files, lights = capture_files(path)
    assert all(file.parent == folder for file in files), files
    assert np.allclose(np.linalg.norm(lights, axis=1), 1, atol=1e-3)


# --- folders

def kinds_of_planes():
    cap = small()
    return [fit(cap, 'ptm'), fit(cap, 'hsh', terms=4), bake(fit(cap, 'rbf'), 3, clusters=1),
            fit(cap, 'pixelnet', steps=2, hidden=4)]


PLANES = []  # the files of each bundle, but `info.json` and the first `.dzi`


def bundles():
    "Return the `info.json` of bundles, each after a number that says which planes lie beside it, and a `.dzi`"
    inputs = []
    for i, r in enumerate(kinds_of_planes()):
        with tempfile.TemporaryDirectory() as folder:
            r.to_web(Path(folder)/'w', 'image' if i else 'deepzoom')
            files = contents(Path(folder))
        inputs.append(bytes([i]) + files.pop('w/info.json') + b'\n\n' + files.pop('w/plane_0.dzi', b''))
        PLANES.append(files)
    return inputs


@target(3000, bundles)
def web(data, folder):
    if not PLANES: bundles()
    if not data: return
    info, _, dzi = data[1:].partition(b'\n\n')
    which = data[0] % len(PLANES)
    bundle = folder/str(which)/'w'
    if not bundle.exists():
        for name, plane in PLANES[which].items():
            (bundle.parent/name).parent.mkdir(parents=True, exist_ok=True)
            (bundle.parent/name).write_bytes(plane)
    (bundle/'info.json').write_bytes(info)
    (bundle/'plane_0.dzi').write_bytes(dzi)
    if not dzi: (bundle/'plane_0.dzi').unlink()
    relit(read_web(bundle))


TYPES = dict(F32=np.float32, F16=np.float16, F64=np.float64, U8=np.uint8, I8=np.int8, U16=np.uint16, I64=np.int64,
             BOOL=bool)
ONCE_FAULTY = [  # models on which a reader failed before
    dict(config=dict(format=FORMAT, method='bilinear'),
         tensors=dict(planes=['U8', 3, 6, 7], low=['F32', 1, 3], high=['F32', 1, 3], basis=['F32', 16, 1, 4, 6],
                      lights=['F32', 16, 3])),
    dict(config=dict(format=FORMAT, method='ptm', form='lrgb'),
         tensors=dict(luminance=['F32', 6, 6, 7], colour=['F64', 6, 7, 3])),
]


def models():
    "Return the settings of models and the types and shapes of their tensors, as JSON"
    cap, large = small(), noise_capture(13, 12, 13)  # SSIM needs 11 pixels
    quick = dict(epochs=1, steps=1, widths=(4, 4), every=None, progress=False)
    rbf = fit(cap, 'rbf')
    relightables = [*kinds_of_planes(), rbf, fit(cap, 'kriging'), fit(cap, 'shadows'), bake(rbf, 4, clusters=2),
                    bake(rbf, 3, clusters=1).gridded(4), fit(cap, 'ptm', form='lrgb'), fit(large, 'trained', **quick),
                    fit(large, 'unet', **quick), fit(cap[:1], 'photo'), fit(Capture(large.images[:1], None), 'photo'),
                    fit(cap[:2], 'two')]
    names = {np.dtype(kind): name for name, kind in TYPES.items()}
    inputs = [dict(config=dict(format=FORMAT, method=r.method, **r.config),
                   tensors={key: [names[a.dtype], *a.shape] for key, a in r.tensors.items()}) for r in relightables]
    return [json.dumps(one).encode() for one in inputs + ONCE_FAULTY]


def tensor(name, kind, *shape):
    "Return noise; lights have unit length"
    size = int(np.prod(shape))
    assert 0 <= size < 20_000  # others are not for this target
    a = np.random.default_rng(size).normal(0, .5, shape)
    if name.split('.')[-1].startswith('lights') and size: a /= np.linalg.norm(a, axis=-1, keepdims=True)
    with np.errstate(all='ignore'): return a.astype(TYPES[kind])


@target(3000, models)
def model(data, folder):
    try:
        read = json.loads(data)
        settings = json.dumps(read['config'])
        tensors = save({key: tensor(key, *value) for key, value in read['tensors'].items()})
    except Exception: return  # `header` tries what is no such file
    if len(read['tensors']) > 200: return
    (folder/'config.json').write_text(settings)
    (folder/'model.safetensors').write_bytes(tensors)
    for lazy in (False, True): relit(Relightable.load(folder, lazy=lazy))


def headers():
    tensors = save(dict(coefficients=tensor('', 'F32', 6, 2, 3, 3)))
    return [b'{"format": %d, "method": "ptm", "form": "rgb"}\n\n' % FORMAT + tensors, b'['*3000, b'\n\n']


@target(3000, headers)
def header(data, folder):
    settings, _, tensors = data.partition(b'\n\n')
    (folder/'config.json').write_bytes(settings)
    (folder/'model.safetensors').write_bytes(tensors)
    for lazy in (False, True):
        with contextlib.suppress(InputError): relit(Relightable.load(folder, lazy=lazy))


# --- what must never happen

FORBIDDEN = ('exec', 'compile', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen',
             'pickle.find_class', 'marshal.loads', 'socket.connect', 'ctypes.dlopen')
MOST = 20_000_000  # bytes that any input may take: buffers of decoders, pictures up to Pillow's limit
watched = [None]   # the folder whose files alone may be opened

for encoding in ('utf-8-sig', *(f'utf-{bits}{end}' for bits in (16, 32) for end in ('', '-le', '-be'))):
    codecs.lookup(encoding)  # is imported now, not while an input is read


def watch(event, args):
    "Raise an error, as an audit hook, if a reader runs something or opens a file outside its folder"
    folder = watched[0]
    if not folder or event not in (*FORBIDDEN, 'open'): return
    if event == 'open' and isinstance(args[0], int): return
    if event == 'open' and os.path.realpath(os.fsdecode(args[0])).startswith(folder): return
    watched[0] = None  # once: the report itself opens files
    raise AssertionError(f'{event} {args!r:.200}')


def check(name, data, folder, memory=False):
    "Give an input to a target; any error but `InputError` is a fault"
    function, factor, _ = TARGETS[name]
    if memory: tracemalloc.start()
    watched[0] = f'{folder}{os.sep}'
    try: function(data, folder)
    except InputError as e: assert len(str(e)) < 2000 and ': ' in str(e), e
    finally:
        watched[0] = None
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
        tracemalloc.stop()
    assert peak < factor*len(data) + MOST, f'{peak/1e6:.0f} MB for {len(data)} bytes'


@functools.cache  # a hook cannot be removed
def add_hook(): sys.addaudithook(watch)


@contextlib.contextmanager
def prepared(name):
    "Give a folder and the valid inputs of a target, each tried, so that all that is imported on first use is there"
    function, _, seeds = TARGETS[name]
    add_hook()
    small_bombs = mock.patch.object(Image, 'MAX_IMAGE_PIXELS', 1_000_000)  # a decompression bomb has twice as many
    with tempfile.TemporaryDirectory() as folder, small_bombs:
        folder, inputs = Path(folder).resolve(), seeds()
        for data in inputs:
            with contextlib.suppress(InputError): function(data, folder)
        yield folder, inputs


# --- how inputs are changed

WORDS = [b'0', b'-1', b'1', b'2', b'255', b'65537', b'4294967296', b'9'*19, b'1e308', b'nan', b'-Infinity', b'null',
         b'""', b'"x"', b'[]', b'{}', b'true', b'../x', b'/etc/passwd', b'[[[[']
KINDS = ['word', 'word', 'word', 'set', 'put', 'cut', 'double']


def edited(data, edit):
    "Change a word or some bytes, cut off or double a part; an edit is its kind, a place, and what comes there"
    kind, at, new = edit
    words = list(re.finditer(rb'"[^"]*"|[\w.+-]+', data[:4000]))
    if kind == 'word' and words: start, end = words[at % len(words)].span()
    else:
        start = at % (len(data) + 1)
        end = dict(put=start, cut=len(data)).get(kind, start + len(new))
    return data[:start] + (b'' if kind == 'cut' else new) + data[start if kind == 'double' else end:]
