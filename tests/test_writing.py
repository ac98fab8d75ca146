"""Every writer: locks its output, writes it whole, leaves nothing behind, and removes nothing that this package has not written."""
import contextlib, os, shutil, signal, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np, pytest, torch
from illuminet import cli
from illuminet.core import atomic_path, lock_output
from illuminet.learner import (InputError, Relightable, animate, dome, fit_large, normals_large, relight_large, sample_capture, train,
                               write_lp, write_normals, write_png, write_ptm, write_rti)
from illuminet.learner import fit
from illuminet.benchmark import evaluate_all
from illuminet.many import fit_many
from illuminet.model import IllumiNet
from illuminet.onnx import export_onnx
from illuminet.pretrain import make_scenes

torch.set_num_threads(1)
cap = sample_capture(16)
ptm,hsh = fit(cap, 'ptm'), fit(cap, 'hsh')
net = IllumiNet(widths=(4, 8), light_features=8)
flat = np.dstack([np.zeros((4, 4, 2)), np.ones((4, 4))]).astype(np.float32)
silent = lambda line: None

@pytest.fixture(scope='module')
def coin(): # a capture on disk, in a folder of its own
    with tempfile.TemporaryDirectory() as d: yield cap[::4].save(Path(d)/'coin')

# output -> function that writes it, given its path and a capture
WRITERS = {
    'model': lambda o, coin: ptm.save(o),
    'streamed': lambda o, coin: fit_large(coin, o, 'ptm'),
    'lit.png': lambda o, coin: relight_large(ptm, (0, 0, 1), o),
    'normals.png': lambda o, coin: normals_large(coin, o),
    'true.png': lambda o, coin: write_normals(o, flat),
    'photo.png': lambda o, coin: write_png(o, cap.images[0]),
    'a.lp': lambda o, coin: write_lp(o, ['a'], dome(1)),
    'a.ptm': lambda o, coin: write_ptm(o, ptm),
    'a.rti': lambda o, coin: write_rti(o, hsh),
    'bundle': lambda o, coin: ptm.to_web(o, page=True),
    'tiles': lambda o, coin: ptm.to_web(o, 'deepzoom'),
    'page.html': lambda o, coin: ptm.to_html(o),
    'film.gif': lambda o, coin: animate(ptm, dome(2), o),
    'captures.json': lambda o, coin: evaluate_all([coin], o, dict(ptm=lambda c: fit(c, 'ptm')), echo=silent),
    'capture': lambda o, coin: cap[:2].save(o, overwrite=True),
    'net': lambda o, coin: net.save_pretrained(o),
    'scenes': lambda o, coin: make_scenes(o, 1, 16, 2, echo=silent),
}
writers = pytest.mark.parametrize('name', WRITERS)

def there(folder): return sorted(str(o.relative_to(folder)) for o in folder.rglob('*'))

def content(folder): return {k: (folder/k).read_bytes() for k in there(folder) if (folder/k).is_file()}

class Killed(BaseException): pass

def killed(monkeypatch, f, *args):
    "Run a function as if its process was killed at the first renaming: what clears up does nothing"
    def die(*args): raise Killed
    with monkeypatch.context() as m:
        m.setattr(os, 'replace', die); m.setattr(os, 'unlink', lambda *args, **kw: None); m.setattr(lights, '_unstage', lambda stage: None)
        with pytest.raises(Killed): f(*args)

@writers
def test_refused_while_another_thread_writes(name, tmp_path, coin):
    out = tmp_path/'new'/name
    with lock_output(out), ThreadPoolExecutor(1) as pool:
        with pytest.raises(InputError, match='another run is writing it'): pool.submit(WRITERS[name], out, coin).result()
    assert there(tmp_path) == []

@writers
def test_failed_write_leaves_nothing(name, tmp_path, coin, monkeypatch):
    def full(*args, **kw): raise OSError(28, 'No space left on device')
    with monkeypatch.context() as m:
        m.setattr(os, 'replace', full)
        with pytest.raises(InputError, match='No space left'): WRITERS[name](tmp_path/'a'/'b'/name, coin)
    assert there(tmp_path) == []

@writers
def test_killed_write_is_cleared_up(name, tmp_path, coin, monkeypatch):
    out = tmp_path/name
    killed(monkeypatch, WRITERS[name], out, coin)
    left = there(tmp_path)
    assert any('.illuminet' in o for o in left) and not out.is_file()
    WRITERS[name](out, coin)
    assert not [o for o in there(tmp_path) if o.startswith('.') or '/.' in o]
    WRITERS[name](out, coin)                                       # and again, over what is there

MINE = '.backup-20241115', '.notes-20250101.txt', '.{}-20241115', '.{}-0123abcd.raw', '.{}-abcdefgh.illuminet', '.{}.lock.txt'

@writers
def test_hidden_files_of_the_user_stay(name, tmp_path, coin):
    mine = [tmp_path/o.format(name) for o in MINE]
    for o in mine: o.mkdir(); (o/'thesis.txt').write_text('mine')
    for token,mark in dict(marked01='my list', marked02='', signed01='illuminet          1\n').items():      # with a mark; signed, but not as we left it
        folder = tmp_path/f'.{name}-{token}.illuminet'
        (folder/'new').mkdir(parents=True); (folder/'mark').write_text(mark); (folder/'new/thesis.txt').write_text('mine')
        if mark.startswith('illuminet'): (folder/'thesis.txt').write_text('mine')
    (tmp_path/f'.{name}-emptied1.illuminet').mkdir()
    before = content(tmp_path)
    WRITERS[name](tmp_path/name, coin)
    assert before.items() <= content(tmp_path).items() and (tmp_path/f'.{name}-emptied1.illuminet').is_dir()

def test_files_in_the_output_stay(tmp_path):
    out = tmp_path/'model'
    for o in ('.backup-20241115/thesis.txt', '.notes-20250101.txt', 'sub/.plan-deadbeef/a.txt'): (out/o).parent.mkdir(parents=True, exist_ok=True); (out/o).write_text('mine')
    before = content(out)
    ptm.save(out)
    assert before.items() <= content(out).items() and Relightable.load(out).method == 'ptm'

def test_lock_of_another_program_stays(tmp_path):
    lock = tmp_path/'.model.lock'
    lock.write_text('pid 1')
    with pytest.raises(InputError, match='.model.lock: is in the way'): ptm.save(tmp_path/'model')
    assert lock.read_text() == 'pid 1'
    lock.write_text('')
    ptm.save(tmp_path/'model')
    assert lock.exists()

def test_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path/'a.lp')
    with pytest.raises(InputError, match='device or a pipe'): write_lp(tmp_path/'a.lp', ['a'], dome(1))
    assert (tmp_path/'a.lp').is_fifo()

# folders that another program has filled, under the names that a writer uses
OTHERS = [('bundle', {'index.html': '<p>my site'}), ('bundle', {'info.json': '{"type": "ptm"}', 'plane_0.jpg': 'x'}), ('bundle', {'plane_0_files/thesis.txt': 'x'}), ('bundle', {'plane_0.jpg/thesis.txt': 'x'}),
          ('model', {'config.json': '{"architectures": []}', 'model.safetensors': 'x'}), ('model', {'model.safetensors': 'x'}), ('streamed', {'config.json': '{}'}), ('streamed', {'notes.txt': 'x'}),
          ('net', {'config.json': '{"architectures": []}'}), ('net', {'model.safetensors': 'x'}), ('capture', {'notes.png': 'x'}), ('capture', {'old.png/thesis.txt': 'x'}), ('scenes', {'photos.npy': 'x'})]

@pytest.mark.parametrize('name,held', OTHERS)
def test_files_of_another_program_are_not_replaced(name, held, tmp_path, coin):
    for k,v in held.items(): (tmp_path/name/k).parent.mkdir(parents=True, exist_ok=True); (tmp_path/name/k).write_text(v)
    with pytest.raises(InputError, match='would be lost'): WRITERS[name](tmp_path/name, coin)
    assert content(tmp_path/name) == {k: v.encode() for k,v in held.items()}

@pytest.mark.parametrize('file', ['checkpoint/state.pt', 'checkpoint/notes.txt', 'history.csv', 'viewer.html', 'config.json'])
def test_training_does_not_replace_files_of_another_program(file, tmp_path):
    (tmp_path/file).parent.mkdir(exist_ok=True); (tmp_path/file).write_text('mine')
    with pytest.raises(InputError, match='would be lost'): train(cap.lights, cap.images, out=tmp_path, epochs=1, steps=1, size=16, widths=(4, 8), progress=False)
    assert content(tmp_path) == {file: b'mine'}

def test_file_put_into_a_folder_while_it_is_replaced_stays(tmp_path):
    with atomic_path(tmp_path/'a', lambda o: None) as p: p.mkdir()
    def foreign(folder): return next((o.name for o in folder.iterdir()), None)
    with pytest.raises(InputError, match='holds thesis.txt'), atomic_path(tmp_path/'a', foreign) as p:
        p.mkdir(); (tmp_path/'a/thesis.txt').write_text('mine')
    assert content(tmp_path) == {'a/thesis.txt': b'mine'}

def command(*args):
    "Exit code of a command in this process"
    old,sys.argv = sys.argv, ['illuminet', *map(str, args)]
    handlers = [(o, signal.getsignal(o)) for o in (signal.SIGTERM, signal.SIGHUP)]
    try: cli.main()
    except SystemExit as e: return e.code or 0
    finally:
        sys.argv = old
        for o,h in handlers: signal.signal(o, h)
    return 0

def test_refused_command_removes_nothing(tmp_path, coin):
    from illuminet.core import _stage
    left = _stage(tmp_path/'model')                                # of a killed run
    assert command('fit', tmp_path/'nowhere', '--out', tmp_path/'model') == 2 and left.exists()
    assert command('fit', tmp_path/'nowhere', '--out', tmp_path/'x/y/model') == 2 and not (tmp_path/'x').exists()
    assert command('fit', coin, '--method', 'ptm', '--out', tmp_path/'model') == 0 and there(tmp_path) == ['model', 'model/config.json', 'model/model.safetensors']

def test_models_stay_in_their_folder(tmp_path, coin):
    out = tmp_path/'outer'/'models'
    (coin/'notes').mkdir(exist_ok=True); shutil.copytree(coin, tmp_path/'b'); (tmp_path/'b/...lp').write_text('')
    fit(cap, 'ptm').save(out/'coin')
    assert list(fit_many([coin/'notes'/'..'], out, 'ptm', echo=silent).capture) == ['coin']
    (out/'b').symlink_to(tmp_path)
    for o in ('b', 'b/...lp', '.hidden', 'report.json'):
        with pytest.raises(InputError, match='cannot name a model|leads out of'): fit_many([tmp_path/o], out, 'ptm', echo=silent)
    assert [o.name for o in (tmp_path/'outer').iterdir()] == ['models'] and not (tmp_path/'config.json').exists()

@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become someone else')
def test_lock_of_another_user_is_named():
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)/'shared'; folder.mkdir(); os.chmod(d, 0o755); folder.chmod(0o1777)
        (folder/'.model.lock').write_text('illuminet 1\n'); (folder/'.model.lock').chmod(0o600)
        r,w = os.pipe()
        if not (pid := os.fork()):
            os.setgid(65534); os.setuid(65534)
            try: ptm.save(folder/'model')
            except BaseException as e: os.write(w, str(e).encode())
            os._exit(0)
        os.waitpid(pid, 0); os.close(w)
        said = os.read(r, 4000).decode()
    assert '.model.lock belongs to root' in said and 'ask them to remove it' in said

@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_command_cleanly(sig, tmp_path):
    r,w = os.pipe()
    if not (pid := os.fork()):
        def app(**_):
            with atomic_path(tmp_path/'a'/'model') as p:
                p.mkdir(); (p/'half').touch(); os.write(w, b'.')
                while True: signal.pause()
        cli.app = app
        signal.signal(sig, signal.SIG_DFL)                          # whatever this process was started by
        try: cli.main()
        except SystemExit as e: os._exit(e.code)
        os._exit(70)
    os.close(w); os.read(r, 1); os.kill(pid, sig)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128+sig and there(tmp_path) == []

def test_ignored_hangup_stays_ignored(tmp_path):
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)             # as nohup does
    try:
        if not (pid := os.fork()):
            cli.app = lambda **_: os._exit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)
            cli.main()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally: signal.signal(signal.SIGHUP, old)
