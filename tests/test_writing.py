"""Every writer locks its output, writes it whole, leaves nothing behind, and removes only what the package wrote."""
import os, shutil, signal, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np, pytest
from illuminet import cli, core
from illuminet.benchmark import evaluate_all
from illuminet.core import _stage, atomic_path, lock_output
from illuminet.learner import *
from illuminet.many import fit_many
from illuminet.batches import make_scenes
from helpers import Run, become_nobody, contents, good, paths, photo_folder, refused

cap = sample_capture(16)
ptm, hsh = fit(cap, 'ptm'), fit(cap, 'hsh')
net = IllumiNet(widths=(4, 8), light_features=8)
flat = np.dstack([np.zeros((4, 4, 2)), np.ones((4, 4))]).astype(np.float32)


def silent(line): pass


WRITERS = {  # name of the output -> function of its path and of a capture on disk
    'model': lambda out, coin: ptm.save(out),
    'streamed': lambda out, coin: fit_large(coin, out, 'ptm'),
    'lit.png': lambda out, coin: relight_large(ptm, (0, 0, 1), out),
    'normals.png': lambda out, coin: normals_large(coin, out),
    'true.png': lambda out, coin: write_normals(out, flat),
    'photo.png': lambda out, coin: write_png(out, cap.images[0]),
    'a.lp': lambda out, coin: write_lp(out, ['a'], dome(1)),
    'a.ptm': lambda out, coin: write_ptm(out, ptm),
    'a.rti': lambda out, coin: write_rti(out, hsh),
    'bundle': lambda out, coin: ptm.to_web(out, page=True),
    'tiles': lambda out, coin: ptm.to_web(out, 'deepzoom'),
    'page.html': lambda out, coin: ptm.to_html(out),
    'film.gif': lambda out, coin: animate(ptm, dome(2), out),
    'captures.json': lambda out, coin: evaluate_all([coin], out, dict(ptm=lambda c: fit(c, 'ptm')), echo=silent),
    'capture': lambda out, coin: cap[:2].save(out, overwrite=True),
    'net': lambda out, coin: net.save_pretrained(out),
    'scenes': lambda out, coin: make_scenes(out, 1, 16, 2, echo=silent),
}
writers = pytest.mark.parametrize('name', WRITERS)


# --- every writer

@writers
def test_refused_while_another_thread_writes(name, tmp_path, coin):
    "A second writer is refused, and nothing is left"
    out = tmp_path/'new'/name
    with lock_output(out), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(WRITERS[name], out, coin)
        with pytest.raises(InputError, match='another run is writing it'): writing.result()
    assert paths(tmp_path) == []


@writers
def test_failed_write_leaves_nothing(name, tmp_path, coin, monkeypatch):
    "The disk is full at the last moment: nothing is left, no new folder either"
    def full(*args, **options): raise OSError(28, 'No space left on device')
    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', full)
        with pytest.raises(InputError, match='No space left'): WRITERS[name](tmp_path/'a'/'b'/name, coin)
    assert paths(tmp_path) == []


class Killed(BaseException): pass


def kill(monkeypatch, write, *args):
    "Call a writer as if its process was killed at the first renaming: nothing is cleared up"
    def die(*args): raise Killed
    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', die)
        patch.setattr(os, 'unlink', lambda *args, **options: None)
        patch.setattr(core, '_unstage', lambda stage: None)
        with pytest.raises(Killed): write(*args)


@writers
def test_killed_write_is_cleared_up(name, tmp_path, coin, monkeypatch):
    "What a killed run left is removed by the next run"
    out = tmp_path/name
    kill(monkeypatch, WRITERS[name], out, coin)
    assert any('.illuminet' in path for path in paths(tmp_path)) and not out.is_file()
    WRITERS[name](out, coin)
    assert not [path for path in paths(tmp_path) if path.startswith('.') or '/.' in path]
    WRITERS[name](out, coin)  # and again, over what is there


HIDDEN = ['.backup-20241115', '.notes-20250101.txt', '.{}-20241115', '.{}-0123abcd.raw', '.{}-abcdefgh.illuminet',
          '.{}.lock.txt']
FORGED = dict(marked01='my list', marked02='', signed01='illuminet          1\n')  # the last is signed, but not ours


@writers
def test_hidden_files_of_the_user_stay(name, tmp_path, coin):
    "Names like those of a run, folders with a mark of another, an empty folder"
    for hidden in HIDDEN:
        folder = tmp_path/hidden.format(name)
        folder.mkdir()
        (folder/'thesis.txt').write_text('mine')
    for token, mark in FORGED.items():
        folder = tmp_path/f'.{name}-{token}.illuminet'
        (folder/'new').mkdir(parents=True)
        (folder/'mark').write_text(mark)
        (folder/'new/thesis.txt').write_text('mine')
        if mark.startswith('illuminet'): (folder/'thesis.txt').write_text('mine')
    empty = tmp_path/f'.{name}-emptied1.illuminet'
    empty.mkdir()
    before = contents(tmp_path)
    WRITERS[name](tmp_path/name, coin)
    assert before.items() <= contents(tmp_path).items() and empty.is_dir()


# --- files of others

def write_texts(folder, texts):
    "Write text files by their relative paths"
    for name, text in texts.items():
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_text(text)


def test_files_in_the_output_stay(tmp_path):
    "Files of the user in a folder where a model is saved"
    out, names = tmp_path/'model', ('.backup-20241115/thesis.txt', '.notes-20250101.txt', 'sub/.plan-deadbeef/a.txt')
    write_texts(out, dict.fromkeys(names, 'mine'))
    before = contents(out)
    ptm.save(out)
    assert before.items() <= contents(out).items() and Relightable.load(out).method == 'ptm'


def test_dated_files_stay_when_a_command_is_refused(tmp_path, model):
    "Hidden files of the user beside and in the output"
    names = 'work/.backup-20241115/thesis.txt', 'work/sub/.notes-20250101.txt', '.model-20241115/thesis.txt'
    write_texts(tmp_path, dict.fromkeys(names, 'mine'))
    before = contents(tmp_path)
    refused('export', model, '--to', 'web', '--out', tmp_path/'work', says='would be lost')
    refused('fit', tmp_path/'nowhere', '--out', tmp_path/'model')
    assert contents(tmp_path) == before


def test_lock_of_another_program_stays(tmp_path):
    "A file with the name of a lock stands in the way; an empty one does not"
    lock = tmp_path/'.model.lock'
    lock.write_text('pid 1')
    with pytest.raises(InputError, match='.model.lock: is in the way'): ptm.save(tmp_path/'model')
    assert lock.read_text() == 'pid 1'
    lock.write_text('')
    ptm.save(tmp_path/'model')
    assert lock.exists()


def test_device_is_not_replaced(tmp_path):
    "A pipe in the place of the output"
    os.mkfifo(tmp_path/'a.lp')
    with pytest.raises(InputError, match='device or a pipe'): write_lp(tmp_path/'a.lp', ['a'], dome(1))
    assert (tmp_path/'a.lp').is_fifo()


OTHERS = [  # writers, and what another program has put in their place
    ('bundle', {'index.html': '<p>my site'}), ('bundle', {'info.json': '{"type": "ptm"}', 'plane_0.jpg': 'x'}),
    ('bundle', {'plane_0_files/thesis.txt': 'x'}), ('bundle', {'plane_0.jpg/thesis.txt': 'x'}),
    ('model', {'config.json': '{"architectures": []}', 'model.safetensors': 'x'}),
    ('model', {'model.safetensors': 'x'}),
    ('streamed', {'config.json': '{}'}), ('streamed', {'notes.txt': 'x'}),
    ('net', {'config.json': '{"architectures": []}'}), ('net', {'model.safetensors': 'x'}),
    ('capture', {'notes.png': 'x'}), ('capture', {'old.png/thesis.txt': 'x'}), ('scenes', {'photos.npy': 'x'}),
]


@pytest.mark.parametrize('name,held', OTHERS)
def test_files_of_another_program_are_not_replaced(name, held, tmp_path, coin):
    "The writer is refused, and the files stay"
    write_texts(tmp_path/name, held)
    with pytest.raises(InputError, match='would be lost'): WRITERS[name](tmp_path/name, coin)
    assert contents(tmp_path/name) == {key: text.encode() for key, text in held.items()}


@pytest.mark.parametrize('file', ['checkpoint/state.pt', 'checkpoint/notes.txt', 'history.csv', 'viewer.html',
                                  'config.json'])
def test_training_does_not_replace_files_of_another_program(file, tmp_path):
    "Training is refused, and the file stays"
    write_texts(tmp_path, {file: 'mine'})
    options = dict(epochs=1, steps=1, size=16, widths=(4, 8), progress=False)
    with pytest.raises(InputError, match='would be lost'): train(cap.lights, cap.images, out=tmp_path, **options)
    assert contents(tmp_path) == {file: b'mine'}


def test_file_put_into_a_folder_while_it_is_replaced_stays(tmp_path):
    "A folder is looked at again before it is replaced"
    def foreign(folder): return next((path.name for path in folder.iterdir()), None)
    with atomic_path(tmp_path/'a', lambda folder: None) as path: path.mkdir()
    with pytest.raises(InputError, match='holds thesis.txt'), atomic_path(tmp_path/'a', foreign) as path:
        path.mkdir()
        (tmp_path/'a/thesis.txt').write_text('mine')
    assert contents(tmp_path) == {'a/thesis.txt': b'mine'}


# --- commands

def test_refused_command_changes_nothing(tmp_path, coin):
    "What a killed run left is removed by the next run that writes there, not by one that is refused"
    left = _stage(tmp_path/'model')
    refused('fit', tmp_path/'nowhere', '--out', tmp_path/'model')
    assert left.exists()
    refused('fit', tmp_path/'nowhere', '--out', tmp_path/'x/y/model')
    assert not (tmp_path/'x').exists()
    good('fit', coin, '--method', 'ptm', '--out', tmp_path/'model')
    assert paths(tmp_path) == ['model', 'model/config.json', 'model/model.safetensors']


def test_models_stay_in_their_folder(tmp_path):
    "A model is named after its capture, but never leaves the output"
    coin, out = photo_folder(tmp_path/'coin'), tmp_path/'outer'/'models'
    (coin/'notes').mkdir()
    shutil.copytree(coin, tmp_path/'b')
    (tmp_path/'b/...lp').write_text('')
    ptm.save(out/'coin')
    assert list(fit_many([coin/'notes'/'..'], out, 'ptm', echo=silent).capture) == ['coin']
    (out/'b').symlink_to(tmp_path)
    for name in ('b', 'b/...lp', '.hidden', 'report.json'):
        with pytest.raises(InputError, match='cannot name a model|leads out of'):
            fit_many([tmp_path/name], out, 'ptm', echo=silent)
    assert os.listdir(tmp_path/'outer') == ['models'] and not (tmp_path/'config.json').exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_lock_of_another_user_is_named(open_folder):
    "A folder that all may write, a lock that belongs to another"
    (open_folder/'shared').mkdir()
    (open_folder/'shared').chmod(0o1777)
    lock = open_folder/'shared/.model.lock'
    lock.write_text('illuminet 1\n')
    lock.chmod(0o600)
    said = refused(lambda: ptm.save(open_folder/'shared/model'), before=become_nobody)
    assert '.model.lock belongs to root' in said and 'ask them to remove it' in said


@pytest.mark.parametrize('sign', [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_signal_ends_a_command_cleanly(sign, tmp_path):
    "A signal while a folder is half written: exit code 143 or 129, nothing is left"
    def app(**_):
        with atomic_path(tmp_path/'a'/'model') as path:
            path.mkdir()
            (path/'half').touch()
            while True: signal.pause()
    def replace_app(): cli.app = app
    command = Run('fit', before=replace_app)
    command.until(lambda: any(path.endswith('half') for path in paths(tmp_path)))
    assert command.stop(sign).code == 128 + sign
    assert paths(tmp_path) == []


def test_ignored_hangup_stays_ignored():
    "A command under nohup goes on when the terminal is closed"
    def app(**_): sys.exit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)
    def as_nohup():
        cli.app = app
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    good('fit', before=as_nohup)
