"""Faults: killed runs, full disks, photos that vanish, broken models. What is left is whole, and a message says why.

Each docstring gives the fault and, after a colon, what happens; nbs/explanations/faults.ipynb shows them as a table.
`pytest tests/test_faults.py --kills 20` kills each run at twenty random moments instead of one."""
import contextlib, ctypes, json, os, random, shutil, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock
import huggingface_hub, numpy as np, pytest, pyvips, torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from illuminet import cli, images as images_module
from illuminet.benchmark import evaluate_all
from illuminet.callbacks import Callback
from illuminet.learner import *
from illuminet.many import fit_many
from illuminet.batches import make_scenes
from illuminet.pretrain import pretrain
from helpers import Run, become_nobody, contents, good, paths, photo_folder, refused

TRAIN = '--size', 32, '--crop', 16  # the quickest training
as_root = pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')


def silent(line): pass


# --- runs that are killed

@pytest.fixture
def kills(request):
    "How often a run is killed"
    return request.config.getoption('--kills')


def is_whole(out, reference):
    "Check every file under its final name by its format"
    for path in out.iterdir():
        if path.name.startswith('.') or path.is_dir(): continue
        if path.suffix == '.json': json.loads(path.read_text())
        if path.suffix == '.png': Image.open(path).load()
        if path.suffix == '.safetensors': load_file(path)
        if path.suffix == '.html': assert path.read_text().rstrip().endswith('</html>')


def bytes_of(path): return contents(path) if path.is_dir() else path.read_bytes()


def has_same_bytes(out, reference): assert bytes_of(out) == bytes_of(reference), 'other bytes'


def has_whole_bytes(out, reference):
    "Check that every file under its final name is as in the reference"
    if out.is_file(): return has_same_bytes(out, reference)
    whole = contents(reference)
    for name, data in contents(out).items(): assert name.startswith('.') or data == whole[name], f'half of {name}'


def kill_and_repeat(folder, name, kills, work, *, whole=has_whole_bytes, same=has_same_bytes, begun=None, hidden=None):
    """Kill a run at random moments, then run it again.

    `work` is a command without its output, or a function of the output. `whole` checks what a killed run left,
    `same` the end; `begun` is a folder to begin with, `hidden` a name that may stay."""
    reference, out = folder/'reference'/name, folder/'out'/name

    def arguments(path): return [lambda: work(path)] if callable(work) else [*work, '-o', path]

    def begin(path):
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        if begun: shutil.copytree(begun, path)

    def seconds():
        begin(reference)
        start = time.perf_counter()
        good(*arguments(reference))
        return time.perf_counter() - start

    longest = seconds()
    if longest < 1: longest = min(longest, seconds())  # the first run of a kind is slower
    moments, killed = random.Random(name), 0
    for _ in range(4*kills):  # a run may end before its moment
        if killed == kills: break
        if killed % 2 == 0 or begun: begin(out)  # otherwise an output is there already
        ended = Run(*arguments(out)).stop(signal.SIGKILL, moments.uniform(0, longest))
        killed += ended.code == -signal.SIGKILL
        if out.exists(): whole(out, reference)
        good(*arguments(out))
        same(out, reference)
        left = [path for path in out.parent.rglob('.*') if path.name != hidden]
        assert not left


COMMANDS = {
    'fit': ('model', ['fit', '--method', 'hsh']),
    'fit --stream': ('model', ['fit', '--method', 'rbf', '--stream']),
    'bake': ('baked', ['bake']),
    'export to a folder': ('web', ['export', '--to', 'web', '--method', 'hsh']),
    'export to a file': ('a.ptm', ['export', '--to', 'ptm']),
}


@pytest.mark.parametrize('command', COMMANDS)
def test_killed_command(command, coin, tmp_path, kills):
    "`kill -9` of `fit`, `fit --stream`, `bake`, `export`: a new run writes the same bytes; no half file, no leftovers"
    name, (verb, *options) = COMMANDS[command]
    source = coin
    if verb == 'bake':
        source = tmp_path/'rbf'
        good('fit', coin, '--method', 'rbf', '-o', source)
    kill_and_repeat(tmp_path, name, kills, [verb, source, *options])


@pytest.fixture(scope='module')
def fitted():
    "What the writers write: a capture, three relightables of it"
    cap = sample_capture(96)
    return dict(cap=cap, ptm=fit(cap, 'ptm'), hsh=fit(cap, 'hsh'), net=IllumiNet(widths=(4, 8), light_features=8))


WRITERS = {
    'lit.png': lambda f, coin, out: relight_large(f['ptm'], (0, 0, 1), out, rows=8),
    'normals.png': lambda f, coin, out: normals_large(coin, out),
    'page.html': lambda f, coin, out: f['ptm'].to_html(out),
    'bundle': lambda f, coin, out: f['ptm'].to_web(out, page=True),
    'tiles': lambda f, coin, out: f['ptm'].to_web(out, 'deepzoom'),
    'a.ptm': lambda f, coin, out: write_ptm(out, f['ptm']),
    'a.rti': lambda f, coin, out: write_rti(out, f['hsh']),
    'film.gif': lambda f, coin, out: animate(f['ptm'], dome(12), out),
    'capture': lambda f, coin, out: f['cap'].save(out, overwrite=True),
    'network': lambda f, coin, out: f['net'].save_pretrained(out),
}


@pytest.mark.parametrize('name', WRITERS)
def test_killed_writer(name, fitted, coin, tmp_path, kills):
    "`kill -9` of a writer called from Python: a new run writes the same bytes; no half file, no leftovers"
    kill_and_repeat(tmp_path, name, kills, lambda out: WRITERS[name](fitted, coin, out))


def test_killed_evaluation(coin, tmp_path, kills):
    "`kill -9` of `evaluate_all`: the table is intact; a new run completes it, without leftovers"
    def evaluation(out): evaluate_all([coin], out, dict(ptm=lambda cap: fit(cap, 'ptm')), echo=silent)
    def is_json(out, reference): return json.loads(out.read_text())
    kill_and_repeat(tmp_path, 'captures.json', kills, evaluation, whole=is_json, same=is_json)


def is_same_training(out, reference):
    "Check that two outputs of `train` hold the same network and the same curve"
    ours, theirs = (load_file(path/'model.safetensors') for path in (out, reference))
    assert ours.keys() == theirs.keys()
    for key in ours: np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-3, atol=1e-4)
    curves = [np.genfromtxt(path/'history.csv', delimiter=',', skip_header=1, usecols=(0, 1, 2))
              for path in (out, reference)]
    np.testing.assert_allclose(*curves, rtol=1e-3)
    assert paths(out) == paths(reference)


def test_killed_training(coin, tmp_path, kills):
    "`kill -9` of `train`: a new run continues after the last complete epoch; same curve and network, to 0.1 %"
    work = ['train', coin, *TRAIN, '--epochs', 2]
    kill_and_repeat(tmp_path, 'relit', kills, work, whole=is_whole, same=is_same_training)


TINY = dict(bs=2, size=32, m=2, net=dict(widths=(8, 12)), device='cpu', echo=silent)  # a run of `pretrain`


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    "Scenes to pretrain on"
    return make_scenes(tmp_path_factory.mktemp('scenes')/'scenes', 6, 48, 3, echo=silent)


def is_same_pretraining(out, reference):
    "Check that two outputs of `pretrain` hold the same weights, and no row of a lost step"
    ours, theirs = (load_file(path/'model.safetensors') for path in (out, reference))
    for key in ours: np.testing.assert_array_equal(ours[key], theirs[key])
    assert paths(out) == paths(reference)
    assert [line.split(',')[0] for line in (out/'history.csv').read_text().split()] == ['step', '1']


def test_killed_pretraining(scenes, tmp_path, kills):
    "`kill -9` of `pretrain`: a new run continues from the last state, with the same weights; later rows are removed"
    begun = tmp_path/'begun'
    good(lambda: pretrain('surface', begun, scenes, 6, minutes=1e-6, **TINY))
    (begun/'history.csv').write_text('step,loss\n1,.5\n50,.4\n')  # the second row is later than the last state
    def work(out): pretrain('surface', out, scenes, 6, **TINY)
    kill_and_repeat(tmp_path, 'run', kills, work, whole=is_whole, same=is_same_pretraining, begun=begun)


class Hub(BaseHTTPRequestHandler):
    "As much of the Hugging Face Hub as a download needs, slowly"
    served = Path(str(SurfaceNet.shipped))

    def do_GET(self):
        file = self.served/self.path.split('/')[-1]
        if not file.is_file() or '/resolve/' not in self.path:
            self.send_response(404)
            return self.end_headers()
        data = file.read_bytes()
        start = int(self.headers.get('Range', 'bytes=0-')[6:].split('-')[0])
        self.send_response(206 if 'Range' in self.headers else 200)
        headers = {'ETag': f'"{file.name}"', 'X-Repo-Commit': '0'*40, 'Content-Length': len(data) - start,
                   'Content-Range': f'bytes {start}-{len(data) - 1}/{len(data)}', 'Accept-Ranges': 'bytes'}
        for key, value in headers.items(): self.send_header(key, str(value))
        self.end_headers()
        if self.command == 'GET': self.send(data[start:])

    do_HEAD = do_GET

    def send(self, data, step=1 << 16):
        with contextlib.suppress(OSError):
            for i in range(0, len(data), step):
                self.wfile.write(data[i:i + step])
                time.sleep(.01)

    def log_message(self, *args): pass


def downloaded(cache): return list(cache.glob('*/snapshots/*/*'))


def is_intact(cache, reference):
    "Check that every file in the Hub's cache is whole"
    for path in downloaded(cache): assert path.read_bytes() == (Hub.served/path.name).read_bytes(), path.name


def is_complete(cache, reference):
    is_intact(cache, reference)
    assert {'config.json', 'model.safetensors'} <= {path.name for path in downloaded(cache)}


def test_killed_download(tmp_path, kills):
    "`kill -9` of `SurfaceNet.from_pretrained(id)`: no half file is left; a new run loads the same weights"
    with ThreadingHTTPServer(('127.0.0.1', 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        def load(cache):
            constants = huggingface_hub.constants
            constants.HF_HUB_OFFLINE, constants.ENDPOINT = False, url
            constants.HUGGINGFACE_CO_URL_TEMPLATE = url + '/{repo_id}/resolve/{revision}/{filename}'
            weights = SurfaceNet.from_pretrained('some/net', cache_dir=cache).state_dict()
            shipped = SurfaceNet.from_pretrained().state_dict()
            assert all(torch.equal(weights[key], shipped[key]) for key in shipped)
        kill_and_repeat(tmp_path, 'cache', kills, load, whole=is_intact, same=is_complete, hidden='.locks')
        server.shutdown()


# --- runs that are stopped

def slow_training():
    "Let each step of training take a moment more"
    backward = torch.Tensor.backward
    def late(*args, **options):
        time.sleep(.02)
        return backward(*args, **options)
    torch.Tensor.backward = late


def test_interrupted_training(coin, tmp_path):
    "Ctrl-C during `train`: exit code 130; the checkpoint stays for the next run"
    out, state = tmp_path/'relit', tmp_path/'relit/checkpoint/state.pt'
    training = Run('train', coin, *TRAIN, '--epochs', 50, '-o', out, before=slow_training)
    training.until(state.exists)
    ended = training.stop(signal.SIGINT)
    assert ended.code == 130 and state.exists() and ended.text


def renames_wait_for(path):
    "Let renames, with which every writer ends, wait until a file is there"
    replace = os.replace
    def late(*args):
        while not path.exists(): time.sleep(.02)
        return replace(*args)
    return lambda: mock.patch('os.replace', late).start()


@pytest.mark.parametrize('sign', [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_ended_by_a_signal(sign, coin, tmp_path):
    "SIGTERM, or SIGHUP of a closed terminal, during `fit`: exit code 143 or 129, nothing is left"
    out = tmp_path/'new/model'
    fitting = Run('fit', coin, '--method', 'ptm', '-o', out, before=renames_wait_for(tmp_path/'never'))
    fitting.until(lambda: list(tmp_path.glob('new/model/.*.illuminet')))
    ended = fitting.stop(sign)
    assert ended.code == 128 + sign and ended.text is not None
    assert not paths(tmp_path)


def stop_and_train_again():
    "Press the stop button during `fit_one_cycle`, then relight and train again"
    class Stop(Callback):
        def after_batch(self):
            if self.training and self.iter == 2: raise KeyboardInterrupt
    loaders = RelightDataLoaders.from_capture(sample_capture(32), size=16, steps=4)
    learn = relight_learner(loaders, widths=(8, 8))
    with learn.no_bar(), learn.no_logging():
        callbacks = len(learn.cbs)
        with pytest.raises(KeyboardInterrupt): learn.fit_one_cycle(1, 1e-3, cbs=Stop())
        assert np.isfinite(learn.relight((0, 0, 1))).all()
        assert len(learn.cbs) == callbacks, learn.cbs
        learn.fit_one_cycle(1, 1e-3)
    assert len(learn.recorder.values) == 1 and np.isfinite(learn.recorder.values[0]).all()


def test_stop_button_in_a_notebook():
    "The stop button of a notebook during `fit_one_cycle`: the learner still relights, and trains again"
    good(stop_and_train_again)


# --- outputs

@pytest.mark.parametrize('command', [
    ['fit', '--method', 'ptm'], ['fit', '--method', 'ptm', '--stream'], ['export', '--to', 'web', '--method', 'ptm'],
    ['train', *TRAIN, '--epochs', 1]], ids=lambda command: ' '.join(map(str, command)))
def test_files_of_others_are_kept(command, coin, tmp_path):
    "The output holds files of another program: exit code 2; a message names them, and they stay"
    out = tmp_path/'out'
    out.mkdir()
    (out/'index.html').write_text('mine')
    (out/'config.json').write_text('{}')
    before = contents(tmp_path)
    verb, *options = command
    refused(verb, coin, *options, '-o', out, says='would be lost')
    assert contents(tmp_path) == before


def test_hidden_files_of_the_user_are_kept(coin, tmp_path):
    "Hidden files with names like those of a run: they stay"
    out = tmp_path/'out'
    for folder in (out/'.backup-20241115', tmp_path/'.out-0123abcd'): folder.mkdir(parents=True)
    (out/'index.html').write_text('mine')
    (out/'config.json').write_text('{}')
    before = contents(tmp_path)
    good('fit', coin, '--method', 'ptm', '--jobs', 1, '-o', out)
    assert (out/'.backup-20241115').is_dir() and (tmp_path/'.out-0123abcd').is_dir()
    assert before.items() <= contents(tmp_path).items()


OUTPUTS = {
    'model': ['fit', '--method', 'hsh'],
    'streamed': ['fit', '--method', 'rbf', '--stream'],
    'a.ptm': ['export', '--to', 'ptm'],
    'web': ['export', '--to', 'web', '--method', 'hsh'],
    'a.html': ['export', '--to', 'html', '--method', 'ptm'],
    'a.tif': ['relight', '--light', '0,0,1', '--method', 'rbf'],
    'relit': ['train', *TRAIN, '--epochs', 1],
}


@contextlib.contextmanager
def mounted(folder):
    "Mount a small file system"
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', folder]
    if subprocess.run(command, capture_output=True).returncode: pytest.skip('this user may not mount a file system')
    try: yield folder
    finally: subprocess.run(['umount', folder], check=True)


@pytest.fixture(scope='module')
def small_disk(coin, tmp_path_factory):
    "A small disk that holds two outputs already"
    with mounted(tmp_path_factory.mktemp('small')/'disk') as disk:
        good('export', coin, '--size', 8, '--to', 'ptm', '-o', disk/'a.ptm')
        good('fit', coin, '--size', 8, '--method', 'ptm', '-o', disk/'model')
        yield disk


@pytest.mark.parametrize('room', [0, 4096], ids=['no room', 'room for the lock'])
@pytest.mark.parametrize('name', OUTPUTS)
def test_full_disk(name, room, coin, small_disk):
    "The disk is full: exit code 2; a message names the output, which stays as it was"
    verb, *options = OUTPUTS[name]
    rest = small_disk/'rest'
    rest.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
    try:
        before = contents(small_disk), paths(small_disk)
        refused(verb, coin, *options, '-o', small_disk/name, says='No space left')
        assert (contents(small_disk), paths(small_disk)) == before
    finally: rest.unlink()


@pytest.fixture(scope='module')
def read_only_disk(tmp_path_factory):
    with mounted(tmp_path_factory.mktemp('fixed')/'disk') as disk:
        subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
        yield disk


@pytest.mark.parametrize('name', OUTPUTS)
def test_read_only_disk(name, coin, read_only_disk):
    "The file system is read-only: exit code 2; a message names the folder"
    verb, *options = OUTPUTS[name]
    refused(verb, coin, *options, '-o', read_only_disk/name, says='may not be written')


def test_lock_of_another_program(coin, tmp_path):
    "A file of another program has the name of the lock: exit code 2; a message names it, and it stays"
    lock = tmp_path/'.model.lock'
    lock.write_text('mine')
    refused('fit', coin, '--method', 'ptm', '-o', tmp_path/'model', says='.model.lock: is in the way')
    assert lock.read_text() == 'mine'


@pytest.fixture
def other_user(open_folder):
    "A capture that every user may read, and a function by which a run becomes another user"
    coin = photo_folder(open_folder/'coin')
    def become():
        for more in ([], ['--stream']):  # imports what a run needs, which the other user may not read
            sys.argv = ['illuminet', 'fit', str(coin), '--method', 'ptm', *more, '-o', str(open_folder/'warm')]
            with contextlib.suppress(SystemExit): cli.main()
        sys.stdout.flush()
        become_nobody()
    return open_folder, coin, become


@as_root
def test_lock_of_another_user(other_user):
    "The lock belongs to another user: exit code 2; a message names the lock and its owner"
    folder, coin, become = other_user
    folder.chmod(0o777)
    (folder/'.model.lock').write_text('illuminet 1\n')
    (folder/'.model.lock').chmod(0o600)
    refused('fit', coin, '--method', 'ptm', '-o', folder/'model', says='.model.lock belongs to root', before=become)


@as_root
@pytest.mark.parametrize('name', OUTPUTS)
def test_folder_of_another_user(name, other_user):
    "The folder is not writable: exit code 2; a message names it"
    folder, coin, become = other_user
    verb, *options = OUTPUTS[name]
    (folder/'mine').mkdir(mode=0o755)
    refused(verb, coin, *options, '-o', folder/'mine'/name, says='may not be written', before=become)


@as_root
def test_only_the_output_may_be_written(other_user):
    "The output is writable, but the folder around it is not: the output is written"
    folder, coin, become = other_user
    (folder/'mine/own').mkdir(parents=True)
    (folder/'mine/own').chmod(0o777)
    good('fit', coin, '--method', 'ptm', '-o', folder/'mine/own', before=become)


@as_root
@pytest.mark.parametrize('more', [[], ['--stream']], ids=['whole', 'in strips'])
def test_photo_of_another_user(more, other_user):
    "A photo is not readable: exit code 2; a message names it"
    folder, coin, become = other_user
    (coin/'03.png').chmod(0)
    (folder/'any').mkdir()
    (folder/'any').chmod(0o777)
    refused('fit', coin, '--method', 'ptm', *more, '-o', folder/'any/model', says='03.png', before=become)
    assert not contents(folder/'any')


# --- photos that change while they are read

def meanwhile(change, owner, name, call):
    "Let something happen before a call of a function, counted from one"
    function, calls = getattr(owner, name), []
    def counted(*args, **options):
        calls.append(1)
        if len(calls) == call: change()
        return function(*args, **options)
    return lambda: mock.patch.object(owner, name, counted).start()


READ = {'whole': (32, [], images_module, '_open_file', 30),
        'in strips': (256, ['--stream'], pyvips.Region, 'new', 1)}  # larger than what libvips reads ahead


def test_photo_vanishes(tmp_path):
    "A photo is deleted while photos are read: exit code 2, and a message names it; in strips, it is read to its end"
    coin = photo_folder(tmp_path/'coin')
    before = meanwhile((coin/'15.png').unlink, images_module, '_open_file', 30)
    refused('fit', coin, '--method', 'ptm', '-o', tmp_path/'model', says='15.png', before=before)
    assert os.listdir(tmp_path) == ['coin']


def refuse_changed_photo(tmp_path, coin, how, change):
    "Change a photo while it is read; the message names it, and the output stays as it was"
    size, more, *function = READ[how]
    photos, out = photo_folder(tmp_path/'coin', size), tmp_path/'model'
    good('fit', coin, '--method', 'ptm', '-o', out)
    before = contents(out)
    changed = meanwhile(lambda: change(photos/'15.png'), *function)
    refused('fit', photos, '--method', 'ptm', *more, '-o', out, says='15.png', before=changed)
    assert contents(out) == before and not list(tmp_path.glob('.*'))


@pytest.mark.parametrize('how', READ)
def test_photo_cut_off(how, coin, tmp_path):
    "A photo is cut off while photos are read: exit code 2; a message names it, and the output stays as it was"
    refuse_changed_photo(tmp_path, coin, how, lambda photo: os.truncate(photo, photo.stat().st_size//2))


@pytest.mark.parametrize('how', READ)
def test_photo_replaced(how, coin, tmp_path):
    "A photo is replaced while photos are read: exit code 2; a message names it, and the output stays as it was"
    def black(photo): Image.new('RGB', Image.open(photo).size).save(photo)
    refuse_changed_photo(tmp_path, coin, how, black)


def test_photo_replaced_by_one_of_another_size(coin, tmp_path):
    "A photo is replaced by one of another size: exit code 2; a message names it, and the output stays as it was"
    refuse_changed_photo(tmp_path, coin, 'whole', lambda photo: Image.new('RGB', (9, 9)).save(photo))


# --- two runs

COMPETING = {
    'train': lambda coin, scenes, out: ['train', coin, *TRAIN, '--epochs', 1, '-o', out],
    'fit': lambda coin, scenes, out: ['fit', coin, '--method', 'ptm', '-o', out],
    'fit --stream': lambda coin, scenes, out: ['fit', coin, '--method', 'ptm', '--stream', '-o', out],
    'export': lambda coin, scenes, out: ['export', coin, '--to', 'web', '--method', 'hsh', '-o', out],
    'save': lambda coin, scenes, out: [lambda: fit(sample_capture(32), 'ptm').save(out)],
    'pretrain': lambda coin, scenes, out: [lambda: pretrain('surface', out, scenes, 1, **TINY)],
    'fit_many': lambda coin, scenes, out: [lambda: fit_many([coin], out, 'ptm', echo=silent)],
}


@pytest.mark.parametrize('name,other', zip(COMPETING, [*COMPETING][1:] + [*COMPETING][:1]))
def test_two_runs_into_one_folder(name, other, coin, scenes, tmp_path):
    "Two runs write to one folder: the second ends with exit code 2 or `InputError`; the first is not affected"
    out = tmp_path/'out/it'
    out.parent.mkdir()
    if name == 'fit_many': good('fit', coin, '--method', 'ptm', '-o', out/'coin')  # all but the report is done
    first = Run(*COMPETING[name](coin, scenes, out), before=renames_wait_for(tmp_path/'go'))
    first.until((out.parent/'.it.lock').exists)
    for second in (name, other): refused(*COMPETING[second](coin, scenes, out), says='another run')
    (tmp_path/'go').touch()
    ended = first.end()
    assert ended.code == 0 and ended.text is not None, ended
    assert not list(out.parent.rglob('.*'))


# --- memory

def memory(key):
    "A figure of this process, in bytes"
    return int(Path('/proc/self/status').read_text().split(f'{key}:')[1].split()[0])*1024


def extra_memory(function):
    "Return how many bytes a function takes at its peak, measured in a process of its own"
    if not os.access('/proc/self/clear_refs', os.W_OK): pytest.skip('this system does not tell')
    def measured():
        ctypes.CDLL(None).malloc_trim(0)  # gives back what is free, which would serve otherwise
        Path('/proc/self/clear_refs').write_text('5')
        before = memory('VmRSS')
        kept = function()
        print(memory('VmHWM') - before)
        del kept
    return int(good(measured).split()[-1])


HEIGHT, WIDTH = 1200, 1600
noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def write_picture(path, **options): Image.fromarray(noise).save(path, **options)


def write_relightable(path):
    "Write a `.ptm` or `.rti` file of half the width"
    planes = np.random.default_rng(0).normal(0, .1, (9, HEIGHT, WIDTH//2, 3)).astype(np.float32)
    if path.suffix == '.ptm': write_ptm(path, PTM(dict(coefficients=planes[:6]), form='rgb'))
    else: write_rti(path, HSH(dict(coefficients=planes), terms=9))


def write_many_lights(path): write_lp(path, [f'photo_{i:06}.jpg' for i in range(100_000)], dome(1000).repeat(100, 0))


LARGE = {  # how it is written and read, its bytes (None: of the file), how many times as much memory it may take
    'a.png': (write_picture, read_image, noise.nbytes, 5),
    'a.jpg': (lambda path: write_picture(path, quality=95), read_image, noise.nbytes, 5),
    'a.tif': (write_picture, read_image, noise.nbytes, 5),
    'deep.png': (lambda path: write_png(path, noise.astype(np.uint16)*257), read_image, 2*noise.nbytes, 5),
    'black.png': (lambda path: Image.new('RGB', (2*WIDTH, 2*HEIGHT)).save(path), read_image, 4*noise.nbytes, 5),
    'a.ptm': (write_relightable, read_ptm, None, 8),
    'a.rti': (write_relightable, read_rti, None, 8),
    'a.lp': (write_many_lights, read_lp, None, 20),
}


@pytest.mark.parametrize('name', LARGE)
def test_memory(name, tmp_path):
    "A large file is read: memory stays below 5 times the pixels, 8 times a `.ptm` or `.rti`, or 20 times a `.lp`"
    write, read, size, most = LARGE[name]
    path = tmp_path/name
    write(path)
    times = extra_memory(lambda: read(path))/(size or path.stat().st_size)
    assert times < most, f'{times:.1f} times'


# --- models

@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "Saved models: PTM, HSH and a network"
    folder = tmp_path_factory.mktemp('models')
    def save():
        cap = sample_capture(32)
        for method in ('ptm', 'hsh'): fit(cap, method).save(folder/method)
        learn = relight_learner(RelightDataLoaders.from_capture(cap, size=16), widths=(8, 8))
        learn.relightable.save(folder/'net')
    good(save)
    return folder


def edit_tensors(folder, change=lambda key, a: a):
    "Save each tensor again, changed, without the copy of the settings"
    tensors = load_file(folder/'model.safetensors')
    save_file({key: np.ascontiguousarray(change(key, a)) for key, a in tensors.items()}, folder/'model.safetensors')


def edit_settings(folder, **changes):
    "Change settings; None removes one"
    settings = json.loads((folder/'config.json').read_text()) | changes
    (folder/'config.json').write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))
    edit_tensors(folder)


def edit_network(folder, **changes):
    "Change settings of a network"
    edit_settings(folder, net=json.loads((folder/'config.json').read_text())['net'] | changes)


def put_nan(folder):
    "Make the second number of each tensor NaN, but for the lights"
    def change(key, a):
        if a.dtype != np.float32 or key == 'lights': return a
        a = a.copy()
        a.flat[1:2] = np.nan
        return a
    edit_tensors(folder, change)


BROKEN = {  # what is done to which models, the words of the message
    'format 99': (['hsh'], lambda m: edit_settings(m, format=99), 'format 99'),
    'format of text': (['hsh'], lambda m: edit_settings(m, format='1'), "format '1'"),
    'no format': (['hsh'], lambda m: edit_settings(m, format=None), 'format None'),
    'weights cut off': (['hsh', 'net'], lambda m: os.truncate(m/'model.safetensors', 5000), 'cannot be read'),
    'NaN': (['hsh', 'net'], put_nan, 'NaN'),
    'two runs': (['hsh', 'net'], lambda m: shutil.copy(m.parent/'ptm/config.json', m), 'two runs'),
    'no JSON': (['hsh', 'net'], lambda m: (m/'config.json').write_text('{"format": 1,'), 'not JSON'),
    'no weights': (['hsh', 'net'], lambda m: (m/'model.safetensors').unlink(), 'model.safetensors'),
    'other widths': (['net'], lambda m: edit_network(m, widths=[8, 16]), 'net'),
    'more levels': (['net'], lambda m: edit_network(m, widths=[8, 8, 8]), 'net'),
    'no attention': (['net'], lambda m: edit_network(m, attention='none'), 'net'),
    'unknown encoding': (['net'], lambda m: edit_network(m, light='no'), 'no'),
    'unknown setting': (['net'], lambda m: edit_network(m, other=2), 'net'),
    'other terms': (['hsh'], lambda m: edit_settings(m, terms=4), 'make no relightable'),
}


@pytest.mark.parametrize('kind,fault', [(kind, fault) for fault, (kinds, *_) in BROKEN.items() for kind in kinds])
def test_broken_model(kind, fault, models, tmp_path):
    "A model of another version or network, cut off, with NaN, or of two runs: exit code 2; a message gives the reason"
    _, change, says = BROKEN[fault]
    for name in (kind, 'ptm'): shutil.copytree(models/name, tmp_path/name)
    change(tmp_path/kind)
    refused('relight', tmp_path/kind, '--light', '0,0,1', '-o', tmp_path/'a.png', says=says)
