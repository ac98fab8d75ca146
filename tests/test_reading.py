"""Readers open regular files only, and what they take is bounded: time and memory in proportion to the file."""
import ast, contextlib, json, os, signal, socket, struct, time, tracemalloc
from pathlib import Path
import numpy as np, pytest
from safetensors.numpy import save
import illuminet
from illuminet.learner import *
from illuminet.relightable import FORMAT
from illuminet.kriging import light_kernels
from illuminet.stream import Strips
from illuminet.learner import fit
from illuminet.assets import Assets, read_hdr, read_mesh
from illuminet.benchmark import evaluate_all
from illuminet.many import fit_many
from illuminet.relightable import map_tensors
from illuminet.viz import plot_losses

@contextlib.contextmanager
def within(seconds):
    "An error for a block that takes more time of the processor, or twenty times as long by the clock"
    def late(*_): raise AssertionError(f'over {seconds} s')
    timers = (signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 20*seconds)
    old = [signal.signal(o, late) for o,_,_ in timers]
    for _,timer,s in timers: signal.setitimer(timer, s)
    try: yield
    finally:
        for (o,timer,_),handler in zip(timers, old): signal.setitimer(timer, 0); signal.signal(o, handler)

@contextlib.contextmanager
def at_most(megabytes):
    "An error for a block that allocates more, in NumPy and Python"
    tracemalloc.start()
    try: yield
    finally: peak = tracemalloc.get_traced_memory()[1]; tracemalloc.stop()
    assert peak < 1e6*megabytes, f'{peak/1e6:.0f} MB'

def small(n=13, h=12, w=14): return Capture(np.random.default_rng(0).integers(0, 256, (n, h, w, 3), np.uint8), dome(n))

# --- what is opened

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A file of every kind that the package reads"
    d = tmp_path_factory.mktemp('all')
    cap = small(); cap.save(d/'cap'); write_png(d/'cap/mask.png', np.ones((12, 14), bool))
    r = fit(cap, 'ptm'); r.save(d/'model'); write_ptm(d/'a.ptm', r); write_rti(d/'a.rti', fit(cap, 'hsh'))
    r.to_web(d/'web'); r.to_web(d/'deep', 'deepzoom'); write_normals(d/'n.png', np.tile(np.float32([0, 0, 1]), (12, 14, 1)))
    (d/'history.csv').write_text('epoch,train_loss,valid_loss\n0,1,1\n1,.5,.6\n')
    (d/'mesh.obj').write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n'); (d/'a.hdr').write_bytes(b'#?RADIANCE\n\n-Y 1 +X 1\n\1\1\1\200')
    np.save(d/'depths.npy', np.zeros((1, 4, 4)))
    SurfaceNet.from_pretrained().save_pretrained(d/'net')
    return d

def load(d): return Capture.load(d/'cap')
def strips(d): return [None for _ in Strips(d/'cap')]
READERS = {   # what is replaced, what reads it
    'cap/lights.lp': [load, strips, lambda d: read_lp(d/'cap/lights.lp')], 'cap/image003.png': [load, strips, lambda d: read_image(d/'cap/image003.png')], 'cap/mask.png': [load],
    'model/config.json': [lambda d: Relightable.load(d/'model'), lambda d: Relightable.load(d/'model', lazy=True)],
    'model/model.safetensors': [lambda d: Relightable.load(d/'model'), lambda d: Relightable.load(d/'model', lazy=True), lambda d: map_tensors(d/'model/model.safetensors')],
    'a.ptm': [lambda d: read_ptm(d/'a.ptm')], 'a.rti': [lambda d: read_rti(d/'a.rti')],
    'web/info.json': [lambda d: read_web(d/'web')], 'web/plane_1.jpg': [lambda d: read_web(d/'web')],
    'deep/plane_0.dzi': [lambda d: read_web(d/'deep')], 'deep/plane_0_files/0/0_0.jpg': [lambda d: read_web(d/'deep')],
    'n.png': [lambda d: read_normals(d/'n.png')], 'history.csv': [lambda d: plot_losses(d/'history.csv')],
    'mesh.obj': [lambda d: read_mesh(d/'mesh.obj')], 'a.hdr': [lambda d: read_hdr(d/'a.hdr')], 'depths.npy': [lambda d: Assets(d, d/'depths.npy')],
    'net/config.json': [lambda d: SurfaceNet.from_pretrained(d/'net')], 'net/model.safetensors': [lambda d: SurfaceNet.from_pretrained(d/'net')],
    'report.json': [lambda d: fit_many([d/'cap'], d, 'ptm', echo=lambda _: None)], 'table.json': [lambda d: evaluate_all([d/'cap'], d/'table.json', ['ptm'], echo=lambda _: None)]}

def fifo(p): os.mkfifo(p)
def link_to_fifo(p): os.mkfifo(p.with_name('.pipe')); p.symlink_to('.pipe')
def endless(p): p.symlink_to('/dev/zero')
def device(p): p.symlink_to('/dev/tty')
def a_socket(p):
    with contextlib.chdir(p.parent): socket.socket(socket.AF_UNIX).bind(p.name)       # such a path must be short
def a_folder(p): p.mkdir()

@pytest.mark.parametrize('name', READERS)
@pytest.mark.parametrize('put', [fifo, link_to_fifo, endless, device, a_socket, a_folder], ids=lambda f: f.__name__)
def test_regular_files_only(folder, name, put, monkeypatch):
    "Whatever lies in the place of a file, its reader answers at once, and says which"
    monkeypatch.setenv('ILLUMINET_FOLLOW_LINKS', '1')
    p = folder/name; kept = p.with_name(p.name+'.kept')
    there = p.exists()
    if there: p.rename(kept)
    put(p)
    try:
        for read in READERS[name]:
            if put is a_folder and name in ('cap/mask.png', 'cap/lights.lp') and read is not READERS[name][-1] or (put is a_folder and name == 'cap/mask.png'): continue   # folders are no photos
            with within(10), at_most(60), pytest.raises(InputError) as e: read(folder)
            assert p.name in str(e.value) or p.parent.name in str(e.value)
    finally:
        if p.is_dir() and not p.is_symlink(): p.rmdir()
        else: p.unlink()
        p.with_name('.pipe').unlink(missing_ok=True)
        if there: kept.rename(p)

OPENS = {'open', 'os.open', 'Image.open', 'PIL.Image.open', 'np.load', 'np.fromfile', 'np.genfromtxt', 'np.loadtxt', 'np.memmap', 'pd.read_csv', 'pd.read_json', 'torch.load', 'safe_open', 'load_file', 'exr.File'}
FREE = {'_without_waiting': 'part of it', '_lock_stamp': 'tells a lock that has gone from one that is in the way', 'static_text': 'files of the package', '_jpeg': 'bytes that it made itself', 'TensorWriter': 'writes', '_make_lock': 'writes', '_make_signed': 'writes', '_sign': 'writes', '_write_strips': 'writes', '_close_streams': 'null device', '_open_streams': 'null device'}

def test_every_opening():
    "No module opens a file to read but by `_open_file`"
    asks = {'_open_file', '_read_bytes', '_tensor_header', '_read_json'}
    for path in sorted(Path(illuminet.__file__).parent.glob('*.py')):
        for node in ast.parse(path.read_text('utf-8')).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name in FREE or node.name in asks: continue
            calls = [o for o in ast.walk(node) if isinstance(o, ast.Call)]
            if asks & {ast.unparse(o.func) for o in calls}: continue
            for o in calls:
                name = ast.unparse(o.func)
                writes = len(o.args) > 1 and (isinstance(o.args[1], ast.Constant) and 'w' in str(o.args[1].value) or name == 'exr.File')
                inner = o.args and (ast.unparse(o.args[0]).startswith('io.BytesIO') or ast.unparse(o.args[0]) == 'f')       # what is open already
                assert not (name in OPENS or name.endswith(('.read_text', '.read_bytes'))) or writes or inner, f'{path.name}:{o.lineno}: {ast.unparse(o)}'

# --- how much is read

def refused(f, part, seconds=5, megabytes=60):
    with within(seconds), at_most(megabytes), pytest.raises(InputError, match=part): f()

def test_light_files(tmp_path):
    "10 MB, 200,000 lights, 10,000 characters a line; a long line takes no longer than its length"
    p = tmp_path/'a.lp'
    def lp(text): p.write_text(text); return lambda: read_lp(p)
    for number in ('9'*60_000, '1.'*30_000, '0,'*30_000, '1e'*30_000, '9'*60_000+'x', '.'*60_000): refused(lp(f'a.jpg {number} 0 1\n'), 'line 1')
    for number in ('9'*9_000+'x', '1.'*4_900, '9'*4_900+'.'+'9'*4_900+'e'): refused(lp(f'a.jpg {number} 0 1\n'), 'not a number', seconds=1)
    refused(lp(' '.join('0'*30_000)), 'line 1')
    refused(lp('0 0 1\n'*200_001), 'at most 200000', megabytes=200)
    with open(p, 'wb') as f: f.truncate(1 << 40)                              # a hole, not a byte of it on disk
    refused(lambda: read_lp(p), 'too large')

def test_settings(tmp_path):
    "config.json 1 MB, info.json 10 MB, a header of tensors 10 MB"
    fit(small(), 'ptm').save(tmp_path/'m'); fit(small(), 'ptm').to_web(tmp_path/'web')
    config,tensors = tmp_path/'m/config.json', tmp_path/'m/model.safetensors'
    text,data = config.read_text(), tensors.read_bytes()
    load = lambda: Relightable.load(tmp_path/'m')
    for bad in ('['*900_000, '{"a":'*190_000, '['+'0,'*600_000, '{'+','.join(f'"{i}":{{}}' for i in range(60_000))+'}', '"'+'a'*2_000_000):
        config.write_text(bad); refused(load, 'config.json', megabytes=100)
    config.write_text(text)
    for n in (1 << 62, 1 << 33, 50_000_000, 11_000_000):
        tensors.write_bytes(struct.pack('<Q', n)+b'{'+b' '*100)
        for lazy in (False, True): refused(lambda: Relightable.load(tmp_path/'m', lazy=lazy), 'model.safetensors')
    with open(tensors, 'wb') as f: f.write(struct.pack('<Q', 12_000_000)); f.truncate(1 << 40)
    refused(load, 'a header of 12 MB')
    (tmp_path/'web/info.json').write_text('['*10_000_001); refused(lambda: read_web(tmp_path/'web'), 'too large')
    (tmp_path/'web/info.json').write_text('['*9_000_000); refused(lambda: read_web(tmp_path/'web'), 'cannot be read', megabytes=300)

def model(folder, tensors, **config):
    "A saved model, made by hand"
    folder.mkdir(exist_ok=True)
    text = json.dumps(dict(format=FORMAT, **config))
    (folder/'config.json').write_text(text); (folder/'model.safetensors').write_bytes(save(tensors, dict(config=text)))
    return sum(o.stat().st_size for o in folder.iterdir())

def test_models(tmp_path):
    "A model of 300 kB takes no gigabytes, whatever it claims"
    n = 20_000
    lights,photos = dome(n), np.zeros((n, 1, 1, 3), np.uint8)
    kernel = {k: .1 for k in light_kernels(lights[:1], lights[:1])}
    many = dict(lights=lights, photos=photos)
    baked = dict(planes=np.zeros((1, 1, 1), np.uint8), low=np.zeros((1, 1), np.float32), high=np.ones((1, 1), np.float32), basis=np.zeros((1, n, 2, 3), np.float16), lights=lights)
    one = fit(Capture(small().images[:1], None), 'photo').tensors
    for name,(tensors,config) in dict(
        rbf=(many, dict(coordinates='stereographic', kernel='thin-plate', smoothing=0.)), kriging=(many, dict(kernel=kernel, blend=.5)),
        shadows=(many | dict(trust=np.ones((1, 1), np.float16), other=photos, distance=np.zeros((n, 1, 1), np.int8)), dict(coordinates='sphere', kernel='power', smoothing=0.)),
        baked=(baked, dict(halves=0, planes=1, clusters=1, of='rbf', settings={}, interpolation=dict(coordinates='sphere', kernel='power', smoothing=0.))),
        photo=(one, dict(top=0, of=1 << 30)), trained=(dict(image=small().images[0], lights=lights[:5]), dict(net=dict(widths=[1 << 16]*4), base=None)),
        unet=(dict(image=small().images[0], lights=lights[:5]), dict(net=dict(widths=[8]*100_000), base=None))).items():
        assert model(tmp_path/name, tensors, method=name, **config) < 900_000
        for lazy in (False, True): refused(lambda: Relightable.load(tmp_path/name, lazy=lazy), name, megabytes=100)

@pytest.mark.parametrize('suffix', ['heic', 'txt', 'png'])
def test_thousands_of_names_that_match_nothing(tmp_path, suffix):
    "A light file of 20,000 other names is refused within seconds"
    for i in range(20_000): (tmp_path/f'b{i}.{suffix}').touch()
    (tmp_path/'lights.lp').write_text('20001\n' + '\n'.join(f'a{i}.png 0 0 1' for i in range(20_001)))
    refused(lambda: Capture.load(tmp_path), '20001 lights', seconds=20)

def test_thousands_of_photos(tmp_path):
    "2,000 tiny photos are fitted in seconds; 20,000 are refused by what solves for all at once"
    cap = small(2000, 6, 7)
    for method in ('kriging', 'rbf', 'ptm'):
        with within(20), at_most(600): r = fit(cap, method)
        assert len(r.config) < 4
    cap.save(tmp_path/'many')
    with within(30): assert Capture.load(tmp_path/'many').shape == cap.shape
    with within(30): assert sum(x.shape[1] for _,x in Strips(tmp_path/'many')) == 6
    more = Capture(np.zeros((20_000, 1, 1, 3), np.uint8), dome(20_000))
    for method in ('kriging', 'rbf', 'shadows', 'baked'): refused(lambda: fit(more, method), '20000 photos: .* ptm, hsh or pixelnet')
