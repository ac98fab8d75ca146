"""Whatever happens, a command ends in a message that is safe to print and a right exit code, and leaves nothing half written."""
import json, os, shutil, signal, sys, tempfile, time, webbrowser
from pathlib import Path
from unittest import mock
import numpy as np, pytest, torch
from PIL import Image
from safetensors.numpy import save
from illuminet import cli
import illuminet.learner, illuminet.many, illuminet.benchmark, illuminet.onnx, rich.console, rich.progress       # before the fork
from illuminet.learner import Capture, InputError, Relightable, dome, fit, read_lp, write_lp, write_ptm
from illuminet.core import _printable

FORGED = '\x1b]0;OWNED\x07\x1b[2Jnew\nline \r\x9b31m\u202e\u2028\x7f'        # title, clear, line breaks, colour, direction of writing

class Ended:
    "Exit code and what was said; `err` leaves out that work goes on, which `lines` has"
    def __init__(self, code, out, err, lines): self.code,self.out,self.err,self.lines = code, out, err, lines
    def __repr__(self): return f'exit {self.code}\n{self.out!r}\n{self.err!r}'

def run(*args, before=lambda: None, out=None, err=None, seconds=60):
    "A command in a process of its own; `out` and `err` may be paths, or 'closed'"
    with tempfile.TemporaryFile() as o, tempfile.TemporaryFile() as e:
        pid = os.fork()
        if not pid:
            code = 70
            try:
                signal.alarm(seconds)
                for n,where,own in ((1, out, o), (2, err, e)):
                    if where == 'closed': os.close(n)
                    else: os.dup2(os.open(where, os.O_WRONLY) if where else own.fileno(), n)
                sys.stdout = None if out == 'closed' else open(1, 'w', encoding='utf-8', closefd=False)
                sys.stderr = None if err == 'closed' else open(2, 'w', encoding='utf-8', closefd=False)
                torch.set_num_threads(1)
                before()
                sys.argv = ['illuminet', *map(str, args)]
                cli.main()
            except SystemExit as x: code = x.code or 0
            finally: os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        o.seek(0); e.seek(0)
        lines = [line for line in e]
        return Ended(code, o.read(), b''.join(line for line in lines if not line.endswith(' …\n'.encode())), [*lines])

def plain(said):
    "Is it text that can be printed, with no traceback?"
    text = (said.out+said.err).decode('utf-8')
    assert text.replace('\n', '').isprintable() and 'Traceback' not in text, said
    return text

def good(*args, **kw):
    said = run(*args, **kw); assert said.code == 0, said
    return plain(said)

def refused(*args, code=2, **kw):
    said = run(*args, **kw); assert said.code == code, said
    return plain(said)

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "A capture and a model of it"
    d = tmp_path_factory.mktemp('made')
    cap = Capture(np.random.default_rng(0).integers(0, 256, (13, 16, 18, 3), np.uint8), dome(13))
    cap.save(d/'coin'); fit(cap, 'ptm').save(d/'ptm')
    return d

def forged_model(folder, **config):
    "A model whose settings say more than they should"
    r = fit(Capture(np.zeros((13, 4, 5, 3), np.uint8), dome(13)), 'ptm')
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(format=2, method='ptm', form='rgb') | config)
    (folder/'config.json').write_text(text); (folder/'model.safetensors').write_bytes(save(r.tensors, dict(config=text)))
    return folder

# --- what is printed

def test_messages_are_printable():
    "Errors escape what they quote"
    e = str(InputError(f'{FORGED}: bad'))
    assert e.isprintable() and '\\x1b]0;OWNED' in e
    assert _printable('Münze × 3 – 日本.jpg') == 'Münze × 3 – 日本.jpg'

def test_names_in_light_files(made, tmp_path):
    shutil.copytree(made/'coin', tmp_path/'coin')
    lp = tmp_path/'coin/lights.lp'; lines = lp.read_text().split('\n')
    for name in (FORGED.replace('\n', '').replace('\r', ''), '\x1b[2J', '\x9b31mred', 'a\u202egnp.'):
        lp.write_text('\n'.join([lines[0], f'{name} 0 0 1', *lines[2:]]))
        for args in (['info'], ['info', '--json'], ['fit', '--method', 'ptm', '-o', tmp_path/'m'], ['evaluate', '--methods', 'ptm']):
            refused(args[0], tmp_path/'coin', *args[1:])
    lp.write_text('\n'.join(['1', '\x1b[2J.png 0 0 -1']))
    good('info', lp)

def test_names_of_files(made, tmp_path):
    "Captures, models, photos and outputs whose names steer a terminal"
    evil = tmp_path/FORGED
    shutil.copytree(made/'coin', evil)
    assert 'kind            capture' in good('info', evil)
    good('info', evil, '--json')
    good('fit', evil, '--method', 'ptm', '-o', tmp_path/f'm{FORGED}'); good('info', tmp_path/f'm{FORGED}')
    good('relight', tmp_path/f'm{FORGED}', '--light', '0,0,1', '-o', tmp_path/f'{FORGED}.png')
    good('export', made/'ptm', '--to', 'html', '-o', tmp_path/f'{FORGED}.html'); good('export', made/'ptm', '--to', 'web', '-o', tmp_path/f'w{FORGED}')
    good('evaluate', evil, '--methods', 'ptm', '--size', 16)
    (tmp_path/'all').mkdir(); shutil.copytree(evil, tmp_path/'all'/FORGED)
    good('evaluate', '--all', tmp_path/'all', '--methods', 'ptm', '--size', 16, '-o', tmp_path/'t.json')
    (evil/'image003.png').write_bytes(b'no'); refused('fit', evil, '--method', 'ptm', '-o', tmp_path/'n')
    refused('info', tmp_path/f'gone{FORGED}'); refused('fit', made/'coin', '-o', evil)
    (tmp_path/f'{FORGED}.ptm').write_bytes(b'PTM_1.2\n'+FORGED.encode()+b'\n'); refused('info', tmp_path/f'{FORGED}.ptm')
    (tmp_path/'a.rti').write_bytes(b'#\n'+FORGED.encode()+b'\n'); refused('info', tmp_path/'a.rti')

def test_settings_and_arguments(made, tmp_path):
    "Settings of models, of the command, and arguments that are none"
    assert 'PTM' in repr(Relightable.load(forged_model(tmp_path/'m', extra=FORGED))) and repr(Relightable.load(tmp_path/'m')).isprintable()
    assert len(good('info', tmp_path/'m').splitlines()) < 12
    for k in ('method', 'form', 'format', FORGED):
        said = run('info', forged_model(tmp_path/f'n{len(k)}', **{k: FORGED})); assert said.code in (0, 2); plain(said)
    for args in (['--set', f'a={FORGED}'], ['--set', f'{FORGED}=1'], ['--set', FORGED], ['--set', 'terms='+'['*5000], ['--method', FORGED], [f'--{FORGED}'], ['--size', FORGED], [FORGED]):
        refused('fit', made/'coin', '--method', 'hsh', '-o', tmp_path/'o', *args)
    refused(FORGED); refused('relight', made/'ptm', '--light', FORGED); refused('export', made/'ptm', '--to', FORGED, '-o', tmp_path/'a')
    refused('evaluate', made/'coin', '--methods', FORGED)

def test_no_line_is_forged(made, tmp_path):
    "A line break in a key, or in the name of a capture or an output, begins no line of its own"
    name = 'a\nforged   99 dB'
    shutil.copytree(made/'coin', tmp_path/'all'/name)
    lines = good('info', forged_model(tmp_path/'m', **{'x\nforged': 'v'})).splitlines()
    lines += good('evaluate', tmp_path/'all'/name, '--methods', 'ptm').splitlines()
    lines += good('evaluate', '--all', tmp_path/'all', '--methods', 'ptm', '-o', tmp_path/'t.json').splitlines()
    lines += good('fit', tmp_path/'all'/name, '--method', 'ptm', '-o', tmp_path/'o\nforged').splitlines()
    assert not [line for line in lines if line.lstrip().startswith('forged')]

def test_settings_of_other_functions(made, tmp_path):
    "A setting of `--set` is one of the method, a seed a number that fits, a path not empty"
    for key in ('out', 'method', 'jobs', 'echo', 'captures', 'dask', 'size', 'stream'):
        assert 'no setting of ptm' in refused('fit', made/'coin', '--method', 'ptm', '--set', f'{key}=1', '-o', tmp_path/'o')
        refused('fit', made/'coin', '--jobs', 1, '--method', 'ptm', '--set', f'{key}=1', '-o', tmp_path/'o')
    for command in (['render', '--size', '16', '--out', tmp_path/'r'], ['train', made/'coin', '-o', tmp_path/'t']): refused(*command, '--seed', 10**30)
    assert 'empty path' in refused('info', '')
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('key', ['size', 'kind', 'warnings', 'path', 'bytes', 'lights', 'method_', 'self', 'tensors', 'seconds', 'photos', 'nan'])
def test_extra_keys(tmp_path, key):
    "What a model's settings are called is up to who saved it"
    m = forged_model(tmp_path/'m', **{key: float('nan') if key == 'nan' else 'x'})
    said = run('info', m, '--json'); assert said.code in (0, 2); plain(said)
    if said.code == 0: res = json.loads(said.out); assert res['kind'] == 'model' and res['size'] == '5x4' and res['warnings'] == [] and res['path'].endswith('m')

def test_names_that_are_no_text(made, tmp_path):
    "Bytes that are no UTF-8, of old disks"
    old = Path(os.fsdecode(os.fsencode(tmp_path)+b'/caf\xe9'))
    shutil.copytree(made/'coin', old)
    for args in (['info', old], ['info', old, '--json'], ['fit', old, '--method', 'ptm', '-o', f'{old}-m'], ['fit', old, '--method', 'rbf', '--stream', '-o', f'{old}-s'], ['info', f'{old}-m'],
                 ['relight', f'{old}-m', '--light', '0,0,1', '-o', f'{old}.png'], ['relight', f'{old}-m', '-o', f'{old}.gif', '--size', 16], ['info', f'{old}.png'],
                 ['export', made/'ptm', '--to', 'html', '-o', f'{old}.html'], ['export', made/'ptm', '--to', 'web', '-o', f'{old}-web'], ['export', old, '--to', 'ptm', '-o', f'{old}.ptm'],
                 ['info', f'{old}.ptm'], ['info', f'{old}-web'], ['export', old, '--to', 'rti', '-o', f'{old}.rti'], ['bake', f'{old}-m', '-o', f'{old}-b', '--planes', 3],
                 ['render', '-o', f'{old}-r', '--size', 16, '--lights', 3], ['evaluate', old, '--methods', 'ptm', '--size', 16]):
        good(*args)
    refused('info', f'{old}-gone')

def test_photos_whose_names_are_no_text(tmp_path):
    "Photos and light file of the same old disk; saved again, all is UTF-8"
    cap = Capture(np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), np.uint8), dome(3))
    names = [os.fsdecode(b'M\xfcnze %d.png' % i) for i in range(3)]
    for n,im in zip(names, cap.images): Image.fromarray(im).save(os.fsencode(tmp_path)+b'/'+os.fsencode(n))
    lights = b''.join(b'%s %f %f %f\n' % (os.fsencode(n), *l) for n,l in zip(names, cap.lights))
    (tmp_path/'lights.lp').write_bytes(lights)
    back = Capture.load(tmp_path)
    assert back.names == ['Münze 0.png', 'Münze 1.png', 'Münze 2.png'] and np.array_equal(back.images, cap.images)
    back.save(tmp_path/'new'); assert Capture.load(tmp_path/'new').names == back.names

# --- where it is printed

@pytest.mark.parametrize('closed', [dict(out='closed'), dict(err='closed'), dict(out='closed', err='closed')], ids=str)
def test_closed_streams(made, tmp_path, closed):
    "Who closed a stream does not want to hear; the work is done"
    assert run('fit', made/'coin', '--method', 'ptm', '-o', tmp_path/'m', **closed).code == 0
    Relightable.load(tmp_path/'m')
    assert run('info', tmp_path/'m', **closed).code == 0
    assert run('info', tmp_path/'gone', **closed).code == 2 and run('info', '--nonsense', **closed).code == 2
    assert run('evaluate', made/'coin', '--methods', 'ptm', '--size', 16, **closed).code == 0

def test_full_output(made, tmp_path):
    "The report cannot be written: that is said, and what was fitted is whole"
    for args in (['info', made/'ptm'], ['info', made/'ptm', '--json'], ['fit', made/'coin', '--method', 'ptm', '-o', tmp_path/'m'], ['--help'], ['train', made/'coin', '--epochs', 1, '--crop', 16, '-o', tmp_path/'t']):
        said = run(*args, out='/dev/full'); assert said.code == 2, said
        assert 'standard output: No space left on device' in plain(said) and said.err.count(b'\n') == 1, said
    Relightable.load(tmp_path/'m')
    assert run('fit', made/'coin', '--method', 'ptm', '-o', tmp_path/'n', err='/dev/full').code == 0 and run('info', tmp_path/'gone', err='/dev/full').code == 2
    assert not [*tmp_path.glob('.*')]

def test_reader_gone(made, tmp_path):
    "A pipe whose end is closed"
    def gone():
        r,w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w); signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    said = run('info', made/'ptm', before=gone); assert said.code == 141 and not said.err, said

def test_narrow_encoding(made, tmp_path):
    "A terminal that knows ASCII alone"
    def narrow():
        sys.stdout,sys.stderr = (open(n, 'w', encoding='ascii', closefd=False) for n in (1, 2))
    shutil.copytree(made/'coin', tmp_path/'Münze')
    good('info', tmp_path/'Münze', before=narrow); refused('info', tmp_path/'Münzen', before=narrow)

# --- what is there

def test_paths(made, tmp_path):
    "No such user, names that are too long, folders where files should be"
    for p in ('~nouser', '~nouser/a.png'): assert 'no such user' in refused('info', p) and 'no such user' in refused('relight', made/'ptm', '--light', '0,0,1', '-o', p)
    long = 'a'*300
    for args in (['info', long], ['info', f'{long}.ptm'], ['fit', long, '-o', tmp_path/'m'], ['fit', made/'coin', '-o', tmp_path/long], ['export', made/'ptm', '--to', 'html', '-o', tmp_path/f'{long}.html'],
                 ['fit', made/'coin', '--method', 'ptm', '-o', tmp_path/('b'*252)], ['info', '/'.join(['b'*200]*30)], ['evaluate', long], ['view', long, '--no-browser'], ['fit', made/'coin', '--jobs', 1, '-o', tmp_path/long]):
        assert 'too long' in refused(*args)
    assert not [*tmp_path.iterdir()]
    loop = tmp_path/'loop'; loop.symlink_to('loop')
    refused('info', loop)

def test_working_folder_gone(made, tmp_path):
    def gone(): (tmp_path/'here').mkdir(); os.chdir(tmp_path/'here'); os.rmdir(tmp_path/'here')
    refused('fit', made/'coin', '--method', 'ptm', '-o', 'm', before=gone)

@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become someone else')
def test_unreadable(made, tmp_path):
    "Folders and files of someone else"
    def nobody(): os.setgroups([]); os.setgid(65534); os.setuid(65534)
    for o in (tmp_path, *tmp_path.parents):
        if o.owner() == 'root' and o != Path('/'): o.chmod(o.stat().st_mode | 0o055)
    free = tmp_path/'free'; free.mkdir(); free.chmod(0o777)
    for name,kind,mode in (('closed', 'coin', 0o700), ('listed', 'coin', 0o744), ('model', 'ptm', 0o700), ('half', 'ptm', 0o744)):
        shutil.copytree(made/kind, tmp_path/name); (tmp_path/name).chmod(mode)
        for args in (['info', tmp_path/name], ['info', tmp_path/name/'lights.lp'], ['fit', tmp_path/name, '-o', free/'model'], ['evaluate', tmp_path/name], ['view', tmp_path/name, '--no-browser'],
                     ['evaluate', '--all', tmp_path/name, '-o', free/'table.json'], ['fit', made/'coin', '-o', tmp_path/name/'out']):
            assert name in refused(*args, before=nobody)
    assert [*free.iterdir()] == []

# --- what nobody thought of

def test_our_own_faults(made, tmp_path):
    "One line, exit code 1, and nothing left"
    def broken(): mock.patch('illuminet.ptm.PTM._basis', side_effect=KeyError(FORGED)).start()
    said = run('fit', made/'coin', '--method', 'ptm', '-o', tmp_path/'m', before=broken)
    assert said.code == 1 and said.err.count(b'\n') == 1 and 'KeyError' in plain(said) and 'report it' in plain(said), said
    assert not [*tmp_path.iterdir()]
    with mock.patch.dict(os.environ, ILLUMINET_DEBUG='1'): said = run('fit', made/'coin', '--method', 'ptm', '-o', tmp_path/'m', before=broken)
    assert b'Traceback' in said.err and b'\x1b' not in said.err

def test_memory(made, tmp_path):
    for e in (MemoryError(), RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate')):
        assert 'does not fit into memory' in refused('fit', made/'coin', '--method', 'ptm', '-o', tmp_path/'m', before=lambda: mock.patch('illuminet.ptm.PTM._basis', side_effect=e).start())

def test_long_work_is_told(made):
    "In a log, one line"
    def slow():
        cli._PATIENCE = .1
        mock.patch('illuminet.cli._about_lights_of', side_effect=lambda r: (time.sleep(1), ({}, []))[1]).start()
    said = run('info', made/'ptm', before=slow)
    assert said.code == 0 and said.lines == ['illuminet: reading …\n'.encode()], said.lines
    said = run('info', made/'ptm', before=lambda: (slow(), signal.setitimer(signal.ITIMER_REAL, .5), signal.signal(signal.SIGALRM, signal.default_int_handler)))
    assert said.code == 130 and not said.err, said                           # and can be stopped
