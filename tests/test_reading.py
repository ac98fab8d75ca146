"""Readers open regular files only, and what they take is bounded: time and memory in proportion to the file."""
import ast, contextlib, json, os, signal, socket, struct, tracemalloc
from pathlib import Path
import numpy as np, pytest
from safetensors.numpy import save
import illuminet
from illuminet.assets import Assets, read_hdr, read_mesh
from illuminet.benchmark import evaluate_all
from illuminet.kriging import light_kernels
from illuminet.learner import *
from illuminet.many import fit_many
from illuminet.relightable import FORMAT, map_tensors
from illuminet.stream import Strips
from helpers import noise_capture


@contextlib.contextmanager
def within(seconds):
    "Fail if the block takes more time of the processor, or twenty times as long by the clock"
    def late(*_): raise AssertionError(f'over {seconds} s')
    timers = [(signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 20*seconds)]
    before = [(signal.signal(number, late), signal.setitimer(timer, limit)) for number, timer, limit in timers]
    try: yield
    finally:
        for (number, timer, _), (handler, limit) in zip(timers, before):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
            signal.setitimer(timer, *limit)


@contextlib.contextmanager
def at_most(megabytes):
    "Fail if the block allocates more, in NumPy and Python"
    tracemalloc.start()
    try: yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e6*megabytes, f'{peak/1e6:.0f} MB'


def refused(read, part, seconds=5, megabytes=60):
    "Check that a reader raises `InputError` with these words, within time and memory"
    with within(seconds), at_most(megabytes), pytest.raises(InputError, match=part): read()


def silent(line): pass


# --- what is opened

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A file of every kind that the package reads"
    folder, cap = tmp_path_factory.mktemp('all'), noise_capture()
    cap.save(folder/'cap')
    write_png(folder/'cap/mask.png', np.ones((12, 14), bool))
    r = fit(cap, 'ptm')
    r.save(folder/'model')
    write_ptm(folder/'a.ptm', r)
    write_rti(folder/'a.rti', fit(cap, 'hsh'))
    r.to_web(folder/'web')
    r.to_web(folder/'deep', 'deepzoom')
    write_normals(folder/'n.png', np.tile(np.float32([0, 0, 1]), (12, 14, 1)))
    (folder/'history.csv').write_text('epoch,train_loss,valid_loss\n0,1,1\n1,.5,.6\n')
    (folder/'mesh.obj').write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n')
    (folder/'a.hdr').write_bytes(b'#?RADIANCE\n\n-Y 1 +X 1\n\1\1\1\200')
    np.save(folder/'depths.npy', np.zeros((1, 4, 4)))
    SurfaceNet.from_pretrained().save_pretrained(folder/'net')
    return folder


def load_capture(d): return Capture.load(d/'cap')
def load_strips(d): return [None for _ in Strips(d/'cap')]
def load_model(d): return Relightable.load(d/'model')
def load_lazily(d): return Relightable.load(d/'model', lazy=True)
def load_web(d): return read_web(d/'web')
def load_tiles(d): return read_web(d/'deep')
def load_network(d): return SurfaceNet.from_pretrained(d/'net')
def load_report(d): return fit_many([d/'cap'], d, 'ptm', echo=silent)
def load_table(d): return evaluate_all([d/'cap'], d/'table.json', ['ptm'], echo=silent)


READERS = {  # the file that is replaced, and what reads it
    'cap/lights.lp': [load_capture, load_strips, lambda d: read_lp(d/'cap/lights.lp')],
    'cap/image003.png': [load_capture, load_strips, lambda d: read_image(d/'cap/image003.png')],
    'cap/mask.png': [load_capture],
    'model/config.json': [load_model, load_lazily],
    'model/model.safetensors': [load_model, load_lazily, lambda d: map_tensors(d/'model/model.safetensors')],
    'a.ptm': [lambda d: read_ptm(d/'a.ptm')],
    'a.rti': [lambda d: read_rti(d/'a.rti')],
    'web/info.json': [load_web],
    'web/plane_1.jpg': [load_web],
    'deep/plane_0.dzi': [load_tiles],
    'deep/plane_0_files/0/0_0.jpg': [load_tiles],
    'n.png': [lambda d: read_normals(d/'n.png')],
    'history.csv': [lambda d: plot_losses(d/'history.csv')],
    'mesh.obj': [lambda d: read_mesh(d/'mesh.obj')],
    'a.hdr': [lambda d: read_hdr(d/'a.hdr')],
    'depths.npy': [lambda d: Assets(d, d/'depths.npy')],
    'net/config.json': [load_network],
    'net/model.safetensors': [load_network],
    'report.json': [load_report],
    'table.json': [load_table],
}


def fifo(path): os.mkfifo(path)


def link_to_fifo(path):
    os.mkfifo(path.with_name('.pipe'))
    path.symlink_to('.pipe')


def endless(path): path.symlink_to('/dev/zero')


def device(path): path.symlink_to('/dev/tty')


def a_socket(path):
    with contextlib.chdir(path.parent): socket.socket(socket.AF_UNIX).bind(path.name)  # such a path must be short


def a_folder(path): path.mkdir()


@contextlib.contextmanager
def replaced(path, put):
    "Put something in the place of a file for a while"
    kept = path.with_name(f'{path.name}.kept')
    is_there = path.exists()
    if is_there: path.rename(kept)
    put(path)
    try: yield
    finally:
        if path.is_dir() and not path.is_symlink(): path.rmdir()
        else: path.unlink()
        path.with_name('.pipe').unlink(missing_ok=True)
        if is_there: kept.rename(path)


@pytest.mark.parametrize('name', READERS)
@pytest.mark.parametrize('put', [fifo, link_to_fifo, endless, device, a_socket, a_folder], ids=lambda put: put.__name__)
def test_regular_files_only(folder, name, put, monkeypatch):
    "Whatever lies in the place of a file, its reader answers at once, and names it"
    monkeypatch.setenv('ILLUMINET_FOLLOW_LINKS', '1')
    path, readers = folder/name, READERS[name]
    if put is a_folder:  # in a capture, folders are no photos, and no light file or mask either
        if name == 'cap/lights.lp': readers = readers[-1:]
        if name == 'cap/mask.png': readers = []
    with replaced(path, put):
        for read in readers:
            with within(10), at_most(60), pytest.raises(InputError) as e: read(folder)
            assert path.name in str(e.value) or path.parent.name in str(e.value)


OPENERS = {'open', 'os.open', 'Image.open', 'PIL.Image.open', 'np.load', 'np.fromfile', 'np.genfromtxt', 'np.loadtxt',
           'np.memmap', 'pd.read_csv', 'pd.read_json', 'torch.load', 'safe_open', 'load_file', 'exr.File'}
CHECKED = {'_open_file', '_read_bytes', '_tensor_header', '_read_json'}  # functions that look before they open
FREE = {  # functions that may open a file themselves, and why
    '_without_waiting': 'part of `_open_file`',
    '_lock_stamp': 'distinguishes a lock that has gone from one that is in the way',
    'static_text': 'files of the package',
    '_jpeg': 'bytes that it made itself',
    '_close_streams': 'null device',
    '_open_streams': 'null device',
    **dict.fromkeys(['TensorWriter', '_make_lock', '_make_signed', '_sign', '_write_strips'], 'writes'),
}


def opens_a_file(call):
    "Whether a call opens a file to read, other than one that is open already"
    name = ast.unparse(call.func)
    first, second = (*map(ast.unparse, call.args[:2]), '', '')[:2]
    if name == 'exr.File' and second or second.startswith("'") and 'w' in second: return False
    if first.startswith('io.BytesIO') or first == 'f': return False
    return name in OPENERS or name.endswith(('.read_text', '.read_bytes'))


@pytest.mark.parametrize('path', sorted(Path(illuminet.__file__).parent.glob('*.py')), ids=lambda path: path.stem)
def test_files_are_opened_by_one_function(path):
    "No module opens a file to read but by `_open_file`"
    for node in ast.parse(path.read_text('utf-8')).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name in FREE or node.name in CHECKED: continue
        calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
        if CHECKED & {ast.unparse(call.func) for call in calls}: continue
        wrong = [f'{path.name}:{call.lineno}: {ast.unparse(call)}' for call in calls if opens_a_file(call)]
        assert not wrong


# --- how much is read: light files have at most 10 MB, 200,000 lights, 10,000 characters a line

@pytest.fixture
def read_lights(tmp_path):
    "A function of the text of a light file that returns a reader"
    def reader(text):
        (tmp_path/'a.lp').write_text(text)
        return lambda: read_lp(tmp_path/'a.lp')
    return reader


@pytest.mark.parametrize('number', ['9'*60_000, '1.'*30_000, '0,'*30_000, '1e'*30_000, '9'*60_000 + 'x', '.'*60_000],
                         ids=lambda number: f'{number[:3]}…{number[-1]}')
def test_long_lines_of_light_files(number, read_lights): refused(read_lights(f'a.jpg {number} 0 1\n'), 'line 1')


@pytest.mark.parametrize('number', ['9'*9_000 + 'x', '1.'*4_900, '9'*4_900 + '.' + '9'*4_900 + 'e'],
                         ids=lambda number: f'{number[:3]}…{number[-1]}')
def test_long_numbers_of_light_files(number, read_lights):
    "A long number takes no longer than its length"
    refused(read_lights(f'a.jpg {number} 0 1\n'), 'not a number', seconds=1)


def test_many_numbers_of_light_files(read_lights): refused(read_lights(' '.join('0'*30_000)), 'line 1')


def test_many_lights(read_lights): refused(read_lights('0 0 1\n'*200_001), 'at most 200000', megabytes=200)


def test_large_light_files(tmp_path):
    "A file with a hole, no byte of which is on the disk"
    with open(tmp_path/'a.lp', 'wb') as file: file.truncate(1 << 40)
    refused(lambda: read_lp(tmp_path/'a.lp'), 'too large')


# --- config.json has at most 1 MB, info.json 10 MB, a header of tensors 10 MB

@pytest.fixture
def saved(tmp_path):
    "A saved model"
    return fit(noise_capture(), 'ptm').save(tmp_path/'m')


@pytest.mark.parametrize('text', [
    '['*900_000, '{"a":'*190_000, '[' + '0,'*600_000, '{' + ','.join(f'"{i}":{{}}' for i in range(60_000)) + '}',
    '"' + 'a'*2_000_000], ids=lambda text: text[:6])
def test_large_settings(text, saved):
    (saved/'config.json').write_text(text)
    refused(lambda: Relightable.load(saved), 'config.json', megabytes=100)


@pytest.mark.parametrize('size', [1 << 62, 1 << 33, 50_000_000, 11_000_000])
@pytest.mark.parametrize('lazy', [False, True])
def test_claimed_headers(size, lazy, saved):
    "The header claims to be larger than the file"
    (saved/'model.safetensors').write_bytes(struct.pack('<Q', size) + b'{' + b' '*100)
    refused(lambda: Relightable.load(saved, lazy=lazy), 'model.safetensors')


def test_large_headers(saved):
    with open(saved/'model.safetensors', 'wb') as file:
        file.write(struct.pack('<Q', 12_000_000))
        file.truncate(1 << 40)
    refused(lambda: Relightable.load(saved), 'a header of 12 MB')


@pytest.mark.parametrize('size,says,megabytes', [(10_000_001, 'too large', 60), (9_000_000, 'cannot be read', 300)])
def test_large_bundles(size, says, megabytes, tmp_path):
    fit(noise_capture(), 'ptm').to_web(tmp_path/'web')
    (tmp_path/'web/info.json').write_text('['*size)
    refused(lambda: read_web(tmp_path/'web'), says, megabytes=megabytes)


# --- models that claim to be large

MANY = 20_000
lights, photos = dome(MANY), np.zeros((MANY, 1, 1, 3), np.uint8)
many = dict(lights=lights, photos=photos)
few = dict(image=noise_capture().images[0], lights=lights[:5])
sphere = dict(coordinates='sphere', kernel='power', smoothing=0.)
mixed = dict(trust=np.ones((1, 1), np.float16), other=photos, distance=np.zeros((MANY, 1, 1), np.int8))
planes = dict(planes=np.zeros((1, 1, 1), np.uint8), low=np.zeros((1, 1), np.float32), high=np.ones((1, 1), np.float32),
              basis=np.zeros((1, MANY, 2, 3), np.float16), lights=lights)
CLAIMS = {  # tensors and settings
    'rbf': (many, dict(coordinates='stereographic', kernel='thin-plate', smoothing=0.)),
    'kriging': (many, dict(kernel=dict.fromkeys(light_kernels(lights[:1], lights[:1]), .1), blend=.5)),
    'shadows': (many | mixed, sphere),
    'baked': (planes, dict(halves=0, planes=1, clusters=1, of='rbf', settings={}, interpolation=sphere)),
    'photo': (None, dict(top=0, of=1 << 30)),
    'trained': (few, dict(net=dict(widths=[1 << 16]*4), base=None)),
    'unet': (few, dict(net=dict(widths=[8]*100_000), base=None)),
}


@pytest.mark.parametrize('method', CLAIMS)
@pytest.mark.parametrize('lazy', [False, True])
def test_models_that_claim_to_be_large(method, lazy, tmp_path):
    "A model of some hundred kB takes no gigabytes, whatever it claims"
    tensors, settings = CLAIMS[method]
    if tensors is None: tensors = fit(Capture(noise_capture().images[:1], None), 'photo').tensors
    folder, text = tmp_path/method, json.dumps(dict(format=FORMAT, method=method, **settings))
    folder.mkdir()
    (folder/'config.json').write_text(text)
    (folder/'model.safetensors').write_bytes(save(tensors, dict(config=text)))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 900_000
    refused(lambda: Relightable.load(folder, lazy=lazy), method, megabytes=100)


# --- captures of many photos

@pytest.mark.parametrize('suffix', ['heic', 'txt', 'png'])
def test_thousands_of_names_that_match_nothing(tmp_path, suffix):
    "A light file of 20,000 other names is refused within seconds"
    for i in range(20_000): os.close(os.open(f'{tmp_path}/b{i}.{suffix}', os.O_CREAT))
    (tmp_path/'lights.lp').write_text('20001\n' + '\n'.join(f'a{i}.png 0 0 1' for i in range(20_001)))
    refused(lambda: Capture.load(tmp_path), '20001 lights', seconds=20)


@pytest.fixture(scope='module')
def two_thousand(): return noise_capture(2000, 6, 7)


@pytest.mark.parametrize('method', ['kriging', 'rbf', 'ptm'])
def test_thousands_of_photos_are_fitted(method, two_thousand):
    "2,000 tiny photos take seconds"
    with within(20), at_most(600): r = fit(two_thousand, method)
    assert len(r.config) < 4


def test_thousands_of_photos_are_loaded(two_thousand, tmp_path):
    "2,000 tiny photos, whole and in strips"
    two_thousand.save(tmp_path/'many')
    with within(30): assert Capture.load(tmp_path/'many').shape == two_thousand.shape
    with within(30): assert sum(strip.shape[1] for _, strip in Strips(tmp_path/'many')) == 6


@pytest.mark.parametrize('method', ['kriging', 'rbf', 'shadows', 'baked'])
def test_too_many_photos(method):
    "20,000 photos are refused by what solves for all at once, with the methods that take them"
    refused(lambda: fit(Capture(photos, lights), method), '20000 photos: .* ptm, hsh or pixelnet')
