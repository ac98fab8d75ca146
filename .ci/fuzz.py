"""Bad input, by the thousand: whatever is in a file, the package answers with `InputError` or with a result; it runs nothing,
opens nothing outside the folder that it was given, and takes memory in proportion to the input.

`python .ci/fuzz.py [TARGET ...]` tries every target by hypothesis, some seconds each, always the same examples.
`python .ci/fuzz.py --guided TARGET --runs N` tries one of them guided by coverage: inputs that reach new lines of Python, here or in Pillow, are kept and changed further."""
import argparse, codecs, contextlib, functools, io, json, os, random, re, sys, tempfile, time, tracemalloc, warnings
from pathlib import Path

os.environ |= dict(HF_HUB_OFFLINE='1', CUDA_VISIBLE_DEVICES='', HYPOTHESIS_STORAGE_DIRECTORY=f'{tempfile.gettempdir()}/hypothesis')
warnings.simplefilter('ignore')
import numpy as np
from PIL import Image
from illuminet.learner import *
from illuminet.relightable import FORMAT
from illuminet.stream import Strips
from illuminet.relightable import map_tensors
from safetensors.numpy import save

LIGHTS = [(0, 0, 1), (.5, 0, .8)]
Image.MAX_IMAGE_PIXELS = 1_000_000          # so that a bomb, twice that, is small
TARGETS = {}

def target(factor, # bytes of memory a byte of input may take
           seeds, # function giving valid inputs
           ):
    "Register a function of bytes and a folder of its own"
    def add(f): TARGETS[f.__name__] = f,factor,seeds; return f
    return add

def small():
    "A capture of 13 tiny photos"
    images = np.random.default_rng(0).integers(0, 256, (13, 6, 7, 3), np.uint8)
    return Capture(images, dome(13))

def written(write, suffix):
    "The bytes of what a function writes to a path"
    with tempfile.TemporaryDirectory() as d:
        write(p := Path(d)/f'a{suffix}')
        return p.read_bytes()

# --- light files

@target(400, lambda: [b'2\na.jpg 0.1 0.2 0.9\nb.jpg -0.1 0.2 0.9\n', b'0,1 0,2 0,9\n0 0 0\n\r0.5 0 .8\n', '\ufeff1\nä b.png 1e-3 2 3'.encode('utf-16'),
                      b'2\n../out.png 0 0 1\n/etc/b.png 0 1 1\n', rb'1 "C:\x\a.jpg" 0 0 1'])
def lp(data, folder):
    (folder/'a.lp').write_bytes(data)
    if not (folder/'a.png').exists():
        for name in 'ab': Image.new('RGB', (2, 2)).save(folder/f'{name}.png')
    try: names,lights = read_lp(folder/'a.lp')
    except InputError: names = None
    if names: assert len(names) == len(lights) and np.allclose(np.linalg.norm(lights, axis=1), 1, atol=1e-3)
    files,_ = capture_files(folder)
    assert all(o.parent == folder for o in files), files

# --- files of other programs

def relit(r):
    "Its pictures, which must be pictures"
    a = r.relight(LIGHTS)
    assert a.shape == (2, *r.shape) and a.dtype == np.float32, (a.shape, r.shape)

def jpeg_ptm():
    "A JPEG .ptm of one grey plane nine times"
    f = io.BytesIO(); Image.new('L', (5, 4), 99).save(f, 'jpeg'); plane = f.getvalue()
    rows = ['PTM_1.2', 'PTM_FORMAT_JPEG_LRGB', '5', '4', '1 1 1 1 1 1', '0 0 0 0 0 0', '90', *['0 '*9]*3, '0 1 2 3 4 5 6 7 8', '-1 0 -1 -1 -1 -1 -1 -1 -1', f'{len(plane)} '*9, '5 '+'0 '*8]
    return '\n'.join(rows+['']).encode()+(plane+b'\0\0\0\3\7')+plane*8

def ptms(): return [written(lambda p, form=form: write_ptm(p, fit(small(), 'ptm', form=form)), '.ptm') for form in ('rgb', 'lrgb')] + [jpeg_ptm()]

@target(6000, ptms)         # a JPEG packs a thousand pixels into a byte, each of which is a float; a plain file takes 16
def ptm(data, folder):
    (folder/'a.ptm').write_bytes(data)
    relit(read_ptm(folder/'a.ptm'))

@target(40, lambda: [written(lambda p: write_rti(p, fit(small(), 'hsh', terms=k)), '.rti') for k in (4, 9)] + [b'#HSH1.2\n3\n1 1 3\n1 2 4\n'+bytes(80)])
def rti(data, folder):
    (folder/'a.rti').write_bytes(data)
    relit(read_rti(folder/'a.rti'))

# --- pictures

def pictures():
    res,rgb = [],Image.fromarray(small().images[0])
    exif = Image.Exif(); exif[274] = 6
    for mode,form,kw in [('CMYK', 'jpeg', {}), ('YCbCr', 'tiff', {}), ('RGB', 'tiff', dict(compression='jpeg')), ('RGB', 'jpeg', dict(exif=exif)), ('RGBA', 'png', dict(exif=exif)), ('RGB', 'webp', dict(lossless=True, save_all=True, append_images=[rgb.transpose(0)])),
                         ('RGB', 'png', dict(save_all=True, append_images=[rgb.transpose(0)])), ('P', 'bmp', {}), ('LA', 'tiff', {})]:
        f = io.BytesIO(); rgb.convert('L').convert(mode).save(f, form, **kw) if mode == 'LA' else rgb.convert(mode).save(f, form, **kw); res.append(f.getvalue())
    for mode,form in [('RGB', 'png'), ('P', 'png'), ('I;16', 'png'), ('L', 'jpeg'), ('CMYK', 'tiff'), ('F', 'tiff'), ('RGB', 'webp'), ('1', 'bmp'), ('RGB', 'bmp')]:
        f = io.BytesIO(); (rgb.convert('L').convert(mode) if mode == 'I;16' else rgb.convert(mode)).save(f, form); res.append(f.getvalue())
    return res + [written(lambda p: write_png(p, small().images[0].astype(np.uint16)*257), '.png'), b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>']

@target(100, pictures)
def picture(data, folder):
    (folder/'a.png').write_bytes(data); (folder/'a.lp').write_text('a.png 0 0 1')
    got = []
    for read in (lambda: Capture.load(folder).images, lambda: np.concatenate([x.copy() for _,x in Strips(folder, threads=1)], 1)):
        try: got.append(read())
        except InputError: got.append(None)
    assert (got[0] is None) == (got[1] is None), got
    if got[0] is not None: assert got[0].dtype == got[1].dtype and np.array_equal(*got)

# --- folders

def bundles():
    "Their `info.json`, and a number that says which planes lie beside it"
    res = []
    for i,r in enumerate(kinds()):
        with tempfile.TemporaryDirectory() as d:
            PLANES.append({o.relative_to(d).as_posix(): o.read_bytes() for o in Path(r.to_web(Path(d)/'w', 'image' if i else 'deepzoom')).parent.rglob('*') if o.is_file()})
            files = PLANES[-1]
            res.append(bytes([i])+files.pop('w/info.json')+b'\n\n'+files.pop('w/plane_0.dzi', b''))
    return res

PLANES = []
def kinds(): return [fit(small(), 'ptm'), fit(small(), 'hsh', terms=4), bake(fit(small(), 'rbf'), 3, clusters=1), fit(small(), 'pixelnet', steps=2, hidden=4)]

@target(3000, bundles)
def web(data, folder):
    if not PLANES: bundles()
    if not data: return
    info,_,dzi = data[1:].partition(b'\n\n')
    folder = folder/str(i := data[0]%len(PLANES))
    if not folder.exists():
        for k,v in PLANES[i].items(): (folder/k).parent.mkdir(parents=True, exist_ok=True); (folder/k).write_bytes(v)
    (folder/'w/info.json').write_bytes(info); (folder/'w/plane_0.dzi').write_bytes(dzi)
    if not dzi: (folder/'w/plane_0.dzi').unlink()
    relit(read_web(folder/'w'))

def models():
    "Settings and the types and shapes of tensors, as JSON"
    cap = small()
    net = dict(epochs=1, steps=1, widths=(4, 4), every=None, progress=False)
    wide = Capture(np.random.default_rng(0).integers(0, 256, (13, 12, 13, 3), np.uint8), dome(13))      # SSIM needs 11 pixels
    rs = [*kinds(), fit(cap, 'rbf'), fit(cap, 'kriging'), fit(cap, 'shadows'), bake(fit(cap, 'rbf'), 4, clusters=2), bake(fit(cap, 'rbf'), 3, clusters=1).gridded(4), fit(cap, 'ptm', form='lrgb'),
          fit(wide, 'trained', **net), fit(wide, 'unet', **net), fit(cap[:1], 'photo'), fit(Capture(wide.images[:1], None), 'photo'), fit(cap[:2], 'two')]
    named = {np.dtype(v): k for k,v in DTYPES.items()}
    return [json.dumps(dict(config=dict(format=FORMAT, method=r.method, **r.config), tensors={k: [named[v.dtype], *v.shape] for k,v in r.tensors.items()})).encode() for r in rs] + FOUND

FOUND = [b'{"config": {"format": %d, "method": "bilinear"}, "tensors": {"planes": ["U8", 3, 6, 7], "low": ["F32", 1, 3], "high": ["F32", 1, 3], "basis": ["F32", 16, 1, 4, 6], "lights": ["F32", 16, 3]}}' % FORMAT,
         b'{"config": {"format": %d, "method": "ptm", "form": "lrgb"}, "tensors": {"luminance": ["F32", 6, 6, 7], "colour": ["F64", 6, 7, 3]}}' % FORMAT]     # what was a fault once

DTYPES = dict(F32=np.float32, F16=np.float16, F64=np.float64, U8=np.uint8, I8=np.int8, U16=np.uint16, I64=np.int64, BOOL=bool)

def tensor(name, kind, *shape):
    "Noise; directions of unit length"
    n = int(np.prod(shape))
    assert 0 <= n < 20_000      # not for this target
    a = np.random.default_rng(n).normal(0, .5, shape)
    if name.split('.')[-1].startswith('lights') and n: a /= np.linalg.norm(a, axis=-1, keepdims=True)
    with np.errstate(all='ignore'): return a.astype(DTYPES[kind])

@target(3000, models)
def model(data, folder):
    try: o = json.loads(data); files = json.dumps(o['config']), save({k: tensor(k, *v) for k,v in o['tensors'].items()})
    except Exception: return                       # not for this target: `header` tries what is no file
    if len(o['tensors']) > 200: return
    (folder/'config.json').write_text(files[0]); (folder/'model.safetensors').write_bytes(files[1])
    for lazy in (False, True): relit(Relightable.load(folder, lazy=lazy))

@target(3000, lambda: [b'{"format": %d, "method": "ptm", "form": "rgb"}\n\n' % FORMAT+save(dict(coefficients=tensor('', 'F32', 6, 2, 3, 3))), b'['*3000, b'\n\n'])
def header(data, folder):
    config,_,tensors = data.partition(b'\n\n')
    (folder/'config.json').write_bytes(config); (folder/'model.safetensors').write_bytes(tensors)
    for lazy in (False, True):
        with contextlib.suppress(InputError): relit(Relightable.load(folder, lazy=lazy))

# --- what must never happen

watched = [None]
RUNS = ('exec', 'compile', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen', 'pickle.find_class', 'marshal.loads', 'socket.connect', 'ctypes.dlopen')

for o in ('utf-8-sig', *(f'utf-{n}{end}' for n in (16, 32) for end in ('', '-le', '-be'))): codecs.lookup(o)   # Python loads them when JSON first asks for them

def watch(event, args):
    "An audit hook: while an input is read, nothing is run, and no file opened but those of the folder"
    if not (folder := watched[0]) or event not in (*RUNS, 'open'): return
    if event == 'open' and (isinstance(args[0], int) or os.path.realpath(os.fsdecode(args[0])).startswith(folder)): return
    watched[0] = None                                # once: the report itself opens files
    raise AssertionError(f'{event} {args!r:.200}')

def once(name, data, folder, memory=False):
    "Give one input to a target; any error but `InputError` is a fault"
    f,factor,_ = TARGETS[name]
    if memory: tracemalloc.start()
    watched[0] = f'{folder}{os.sep}'
    try: f(data, folder)
    except InputError as e: assert len(str(e)) < 2000 and ': ' in str(e), e
    finally: watched[0] = None; peak = tracemalloc.get_traced_memory()[1] if memory else 0; tracemalloc.stop()
    assert peak < factor*len(data)+MOST, f'{peak/1e6:.0f} MB for {len(data)} bytes'

MOST = 20_000_000    # bytes that any input may take: buffers of decoders, pictures up to Pillow's limit

@contextlib.contextmanager
def warm(name): # a folder, seeds
    "The seeds of a target, each tried: what is imported on first use is there"
    with tempfile.TemporaryDirectory() as d:
        folder,seeds = Path(d).resolve(), TARGETS[name][2]()
        for data in seeds:
            with contextlib.suppress(InputError): TARGETS[name][0](data, folder)
        yield folder, seeds

WORDS = [b'0', b'-1', b'1', b'2', b'255', b'65537', b'4294967296', b'9'*19, b'1e308', b'nan', b'-Infinity', b'null', b'""', b'"x"', b'[]', b'{}', b'true', b'../x', b'/etc/passwd', b'[[[[']

def edited(data, how):
    "Bytes with a word or some bytes changed, cut off or doubled"
    kind,at,what = how
    words = [*re.finditer(rb'"[^"]*"|[\w.+-]+', data[:4000])]
    if kind == 'word' and words: i,j = words[at%len(words)].span()
    else: i = at%(len(data)+1); j = dict(put=i, cut=len(data)).get(kind, i+len(what))
    return data[:i]+(what if kind != 'cut' else b'')+(data[i:] if kind == 'double' else data[j:])

KINDS = ['word', 'word', 'word', 'set', 'put', 'cut', 'double']

def inputs(seeds): # -> a hypothesis strategy of bytes
    "Seeds, each with a few edits"
    from hypothesis import strategies as st
    how = st.tuples(st.sampled_from(KINDS), st.integers(0, 1<<16), st.sampled_from(WORDS) | st.binary(max_size=6))
    return st.tuples(st.sampled_from(seeds), st.lists(how, max_size=4)).map(lambda o: functools.reduce(edited, o[1], o[0])) | st.binary(max_size=60)

def by_hypothesis(name, examples):
    import hypothesis
    settings = hypothesis.settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck))
    with warm(name) as (folder,seeds): settings(hypothesis.given(inputs(seeds))(lambda data: once(name, data, folder, memory=True)))()

def lines_reached(f): # a function -> whether it reached lines that none did before
    "Run a function, watching the lines of this package and of Pillow"
    news = []
    def at_line(frame, event, arg):
        if event == 'line' and (frame.f_code, frame.f_lineno) not in REACHED: REACHED.add((frame.f_code, frame.f_lineno)); news.append(1)
        return at_line
    def at_call(frame, event, arg):
        code = frame.f_code
        if code not in WATCHED: WATCHED[code] = re.search(r'/(illuminet|PIL)/', code.co_filename) is not None
        return at_line if WATCHED[code] else None
    sys.settrace(at_call)
    try: f()
    finally: sys.settrace(None)
    return bool(news)

REACHED,WATCHED = set(), {}

def by_coverage(name, runs, seed):
    "Change inputs at random; those that reach new lines are changed in turn, the newest most"
    rng,start = random.Random(f'{name}{seed}'), time.perf_counter()
    def changed(data):
        for _ in range(rng.randint(1, 4)):
            if rng.random() < .1: other = rng.choice(kept); i,j = rng.randrange(len(data)+1), rng.randrange(len(other)+1); data = data[:i]+other[j:]
            else: data = edited(data, (rng.choice(KINDS), rng.randrange(1 << 16), rng.choice(WORDS) if rng.random() < .4 else rng.randbytes(rng.randint(1, 4))))
        return data[:most]
    with warm(name) as (folder,seeds):
        kept,most = list(seeds), 2*max(map(len, seeds))
        for i in range(runs):
            data = kept[i] if i < len(seeds) else changed(kept[-rng.randint(1, min(20, len(kept)))] if rng.random() < .3 else rng.choice(kept))
            try:
                if lines_reached(lambda: once(name, data, folder)) and i >= len(seeds): kept.append(data)
            except Exception:
                (found := Path(tempfile.gettempdir())/f'fuzz-{name}-{seed}-{i}').write_bytes(data)
                print(f'{name}: run {i}, see {found}', flush=True); raise
            if i % 5000 == 4999: print(f'{name}: {i+1} inputs, {len(REACHED)} lines, {len(kept)} kept, {time.perf_counter()-start:.0f} s', flush=True)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('targets', nargs='*', help=', '.join(TARGETS))
    parser.add_argument('--examples', type=int, default=300, help='of each target, for hypothesis')
    parser.add_argument('--guided', metavar='TARGET'); parser.add_argument('--runs', type=int, default=100_000); parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    sys.addaudithook(watch)
    if args.guided: by_coverage(args.guided, args.runs, args.seed)
    for name in [] if args.guided else args.targets or TARGETS:
        by_hypothesis(name, args.examples)
        print(f'{name}: {args.examples} inputs')
