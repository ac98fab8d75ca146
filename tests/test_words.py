"""Whatever happens, a command ends in a message that is safe to print and the right exit code."""
import functools, json, os, shutil, signal, sys, time
from pathlib import Path
from unittest import mock
import numpy as np, pytest
from PIL import Image
from safetensors.numpy import save
from illuminet import terminal
from illuminet.core import _printable
from illuminet.learner import Capture, InputError, Relightable, dome, fit
from illuminet.relightable import FORMAT
from helpers import become_nobody, good, noise_capture, refused, run

# title of the window, clear the screen, line breaks, colour, direction of writing
FORGED = '\x1b]0;OWNED\x07\x1b[2Jnew\nline \r\x9b31m\u202e\u2028\x7f'
PTM = '--method', 'ptm'


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "A folder with a capture, `coin`, and a model of it, `ptm`"
    folder, cap = tmp_path_factory.mktemp('made'), noise_capture(13, 16, 18)
    cap.save(folder/'coin')
    fit(cap, 'ptm').save(folder/'ptm')
    return folder


def forged_model(folder, **config):
    "Save a model with settings that it should not have"
    r = fit(Capture(np.zeros((13, 4, 5, 3), np.uint8), dome(13)), 'ptm')
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(format=FORMAT, method='ptm', form='rgb') | config)
    (folder/'config.json').write_text(text)
    (folder/'model.safetensors').write_bytes(save(r.tensors, dict(config=text)))
    return folder


def filled(command, **paths):
    "Return the words of a command, in which paths replace names in capitals"
    def fill(word): return functools.reduce(lambda text, name: text.replace(name, str(paths[name])), paths, word)
    return [fill(word) for word in command.split()]


def answered(*args, **options):
    "Run a command that may be refused; return how it ended"
    ended = run(*args, **options)
    assert ended.code in (0, 2) and ended.text is not None, ended
    return ended


# --- what is printed

def test_messages_are_printable():
    "Errors escape what they quote"
    text = str(InputError(f'{FORGED}: bad'))
    assert text.isprintable() and '\\x1b]0;OWNED' in text
    assert _printable('Münze × 3 – 日本.jpg') == 'Münze × 3 – 日本.jpg'


@pytest.mark.parametrize('name', [FORGED.replace('\n', '').replace('\r', ''), '\x1b[2J', '\x9b31mred', 'a\u202egnp.'])
def test_names_in_light_files(name, made, tmp_path):
    "A light file names a photo that steers the terminal"
    coin = shutil.copytree(made/'coin', tmp_path/'coin')
    first, _, *others = (coin/'lights.lp').read_text().split('\n')
    (coin/'lights.lp').write_text('\n'.join([first, f'{name} 0 0 1', *others]))
    refused('info', coin)
    refused('info', coin, '--json')
    refused('fit', coin, *PTM, '-o', tmp_path/'m')
    refused('evaluate', coin, '--methods', 'ptm')


def test_warnings_about_light_files(tmp_path):
    "A light file alone, whose light is below the horizon"
    (tmp_path/'lights.lp').write_text('1\n\x1b[2J.png 0 0 -1')
    good('info', tmp_path/'lights.lp')


@pytest.fixture(scope='module')
def evil(made, tmp_path_factory):
    "A capture whose name steers the terminal"
    return shutil.copytree(made/'coin', tmp_path_factory.mktemp('evil')/FORGED)


def test_names_of_captures(evil, tmp_path):
    assert 'kind            capture' in good('info', evil)
    good('info', evil, '--json')
    good('evaluate', evil, '--methods', 'ptm', '--size', 16)
    good('evaluate', '--all', evil.parent, '--methods', 'ptm', '--size', 16, '-o', tmp_path/'t.json')
    shutil.copytree(evil, tmp_path/'broken')
    (tmp_path/'broken/image003.png').write_bytes(b'no')
    refused('fit', tmp_path/'broken', *PTM, '-o', tmp_path/'n')
    refused('info', tmp_path/f'gone{FORGED}')


def test_names_of_outputs(made, evil, tmp_path):
    good('fit', evil, *PTM, '-o', tmp_path/f'm{FORGED}')
    good('info', tmp_path/f'm{FORGED}')
    good('relight', tmp_path/f'm{FORGED}', '--light', '0,0,1', '-o', tmp_path/f'{FORGED}.png')
    good('export', made/'ptm', '--to', 'html', '-o', tmp_path/f'{FORGED}.html')
    good('export', made/'ptm', '--to', 'web', '-o', tmp_path/f'w{FORGED}')
    refused('fit', made/'coin', '-o', evil)


def test_broken_photo_in_a_capture_with_such_a_name(made, tmp_path):
    broken = shutil.copytree(made/'coin', tmp_path/FORGED)
    (broken/'image003.png').write_bytes(b'no')
    refused('fit', broken, *PTM, '-o', tmp_path/'n')


@pytest.mark.parametrize('name,data', [(f'{FORGED}.ptm', b'PTM_1.2\n%s\n'), ('a.rti', b'#\n%s\n')])
def test_files_of_other_programs(name, data, tmp_path):
    (tmp_path/name).write_bytes(data % FORGED.encode())
    refused('info', tmp_path/name)


def test_settings_of_models(tmp_path):
    "A setting of a model steers the terminal"
    model = forged_model(tmp_path/'m', extra=FORGED)
    text = repr(Relightable.load(model))
    assert 'PTM' in text and text.isprintable()
    assert len(good('info', model).splitlines()) < 12


@pytest.mark.parametrize('key', ['method', 'form', 'format', FORGED])
def test_settings_that_are_read(key, tmp_path): answered('info', forged_model(tmp_path/'m', **{key: FORGED}))


@pytest.mark.parametrize('arguments', [
    ['--set', f'a={FORGED}'], ['--set', f'{FORGED}=1'], ['--set', FORGED], ['--set', 'terms=' + '['*5000],
    ['--method', FORGED], [f'--{FORGED}'], ['--size', FORGED], [FORGED]], ids=range(8))
def test_arguments_of_fit(arguments, made, tmp_path):
    "Options, values and settings that are none"
    refused('fit', made/'coin', '--method', 'hsh', '-o', tmp_path/'o', *arguments)


def test_arguments_of_commands(made, tmp_path):
    "A command, a light, a format and a method that are none"
    refused(FORGED)
    refused('relight', made/'ptm', '--light', FORGED)
    refused('export', made/'ptm', '--to', FORGED, '-o', tmp_path/'a')
    refused('evaluate', made/'coin', '--methods', FORGED)


def test_no_line_is_forged(made, tmp_path):
    "A line break in a key, or in the name of a capture or an output, does not begin a line"
    coin = shutil.copytree(made/'coin', tmp_path/'all'/'a\nforged   99 dB')
    text = good('info', forged_model(tmp_path/'m', **{'x\nforged': 'v'}))
    text += good('evaluate', coin, '--methods', 'ptm')
    text += good('evaluate', '--all', coin.parent, '--methods', 'ptm', '-o', tmp_path/'t.json')
    text += good('fit', coin, *PTM, '-o', tmp_path/'o\nforged')
    assert not [line for line in text.splitlines() if line.lstrip().startswith('forged')]


@pytest.mark.parametrize('key', ['out', 'method', 'jobs', 'echo', 'captures', 'dask', 'size', 'stream'])
def test_settings_of_other_functions(key, made, tmp_path):
    "A setting of `--set` is one of the method"
    setting = '--set', f'{key}=1', '-o', tmp_path/'o'
    refused('fit', made/'coin', *PTM, *setting, says='no setting of ptm')
    refused('fit', made/'coin', *PTM, '--jobs', 1, *setting)
    assert not list(tmp_path.iterdir())


def test_seeds_and_empty_paths(made, tmp_path):
    "A seed is a number that fits, a path is not empty"
    refused('render', '--size', '16', '--out', tmp_path/'r', '--seed', 10**30)
    refused('train', made/'coin', '-o', tmp_path/'t', '--seed', 10**30)
    refused('info', '', says='empty path')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('key', ['size', 'kind', 'warnings', 'path', 'bytes', 'lights', 'method_', 'self', 'tensors',
                                 'seconds', 'photos', 'nan'])
def test_extra_keys(key, tmp_path):
    "A setting that has the name of a line of the report does not replace it"
    value = float('nan') if key == 'nan' else 'x'
    ended = answered('info', forged_model(tmp_path/'m', **{key: value}), '--json')
    if ended.code: return
    report = json.loads(ended.out)
    assert report['kind'] == 'model' and report['size'] == '5x4'
    assert report['warnings'] == [] and report['path'].endswith('m')


# --- names that are no text: bytes that are no UTF-8, of old disks

@pytest.fixture(scope='module')
def old(made, tmp_path_factory):
    "A capture whose name is Latin-1, with a model of it"
    path = Path(os.fsdecode(os.fsencode(tmp_path_factory.mktemp('old')) + b'/caf\xe9'))
    shutil.copytree(made/'coin', path)
    good('fit', path, *PTM, '-o', f'{path}-m')
    return path


@pytest.mark.parametrize('command', [
    'info OLD', 'info OLD --json', 'fit OLD --method rbf --stream -o OLD-s', 'info OLD-m',
    'evaluate OLD --methods ptm --size 16', 'bake OLD-m -o OLD-b --planes 3', 'render -o OLD-r --size 16 --lights 3',
    'relight OLD-m -o OLD.gif --size 16', 'export OLD --to rti -o OLD.rti', 'export MODEL --to html -o OLD.html'])
def test_names_that_are_no_text(command, made, old): good(*filled(command, OLD=old, MODEL=made/'ptm'))


@pytest.mark.parametrize('command', [
    'relight OLD-m --light 0,0,1 -o OLD.png', 'export MODEL --to web -o OLD-web', 'export OLD --to ptm -o OLD.ptm'])
def test_outputs_whose_names_are_no_text(command, made, old):
    "Written, and read again"
    words = filled(command, OLD=old, MODEL=made/'ptm')
    good(*words)
    good('info', words[-1])


def test_missing_names_that_are_no_text(old): refused('info', f'{old}-gone')


def test_photos_whose_names_are_no_text(tmp_path):
    "Photos and light file of the same old disk; saved again, all names are UTF-8"
    cap, folder = noise_capture(3, 8, 9), os.fsencode(tmp_path)
    names = [b'M\xfcnze %d.png' % i for i in range(3)]
    for name, image in zip(names, cap.images): Image.fromarray(image).save(folder + b'/' + name)
    lights = b''.join(b'%s %f %f %f\n' % (name, *light) for name, light in zip(names, cap.lights))
    (tmp_path/'lights.lp').write_bytes(lights)
    read = Capture.load(tmp_path)
    assert read.names == ['Münze 0.png', 'Münze 1.png', 'Münze 2.png'] and np.array_equal(read.images, cap.images)
    read.save(tmp_path/'new')
    assert Capture.load(tmp_path/'new').names == read.names


@pytest.mark.parametrize('suffix', ['bmp', 'jpg', 'tif', 'webp'])
def test_commands_read_every_kind_of_photo(suffix, made, tmp_path):
    "What `Capture.load` reads, a command reads"
    (tmp_path/'coin').mkdir()
    for photo in (made/'coin').glob('*.png'): Image.open(photo).save(tmp_path/'coin'/f'{photo.stem}.{suffix}')
    (tmp_path/'coin/lights.lp').write_text((made/'coin/lights.lp').read_text().replace('.png', f'.{suffix}'))
    good('fit', tmp_path/'coin', *PTM, '-o', tmp_path/'m')


# --- where it is printed

@pytest.mark.parametrize('streams', ['out', 'err', 'out err'])
def test_closed_streams(streams, made, tmp_path):
    "Nobody reads what is printed; the work is done"
    closed = dict.fromkeys(streams.split(), 'closed')
    assert run('fit', made/'coin', *PTM, '-o', tmp_path/'m', **closed).code == 0
    Relightable.load(tmp_path/'m')
    assert run('info', tmp_path/'m', **closed).code == 0
    assert run('info', tmp_path/'gone', **closed).code == 2
    assert run('info', '--nonsense', **closed).code == 2
    assert run('evaluate', made/'coin', '--methods', 'ptm', '--size', 16, **closed).code == 0


@pytest.mark.parametrize('command', ['info MODEL', 'info MODEL --json', 'fit COIN --method ptm -o OUT', '--help',
                                     'train COIN --epochs 1 --crop 16 -o OUT'])
def test_full_output(command, made, tmp_path):
    "The report cannot be written: one message; what was fitted is whole"
    words = filled(command, MODEL=made/'ptm', COIN=made/'coin', OUT=tmp_path/'m')
    said = refused(*words, out='/dev/full', says='standard output: No space left on device')
    assert said.count('\n') == 1
    if words[0] == 'fit': Relightable.load(tmp_path/'m')
    assert not [*tmp_path.glob('.*')]


def test_full_error_output(made, tmp_path):
    "Messages cannot be written: the exit code is right"
    assert run('fit', made/'coin', *PTM, '-o', tmp_path/'n', err='/dev/full').code == 0
    assert run('info', tmp_path/'gone', err='/dev/full').code == 2


def test_reader_gone(made):
    "A pipe whose end is closed"
    def gone():
        reading, writing = os.pipe()
        os.dup2(writing, 1)
        os.close(reading)
        os.close(writing)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    ended = run('info', made/'ptm', before=gone)
    assert ended.code == 141 and not ended.err, ended


def test_narrow_encoding(made, tmp_path):
    "A terminal that has ASCII alone"
    def narrow(): sys.stdout, sys.stderr = (open(n, 'w', encoding='ascii', closefd=False) for n in (1, 2))
    shutil.copytree(made/'coin', tmp_path/'Münze')
    good('info', tmp_path/'Münze', before=narrow)
    refused('info', tmp_path/'Münzen', before=narrow)


# --- what is there

def test_unknown_users(made):
    for path in ('~nouser', '~nouser/a.png'):
        refused('info', path, says='no such user')
        refused('relight', made/'ptm', '--light', '0,0,1', '-o', path, says='no such user')


@pytest.mark.parametrize('command', [
    'info LONG', 'info LONG.ptm', 'fit LONG -o OUT/m', 'fit COIN -o OUT/LONG',
    'export MODEL --to html -o OUT/LONG.html',
    'fit COIN --method ptm -o OUT/LESS', 'info DEEP', 'evaluate LONG', 'view LONG --no-browser',
    'fit COIN --jobs 1 -o OUT/LONG'])
def test_names_that_are_too_long(command, made, tmp_path):
    names = dict(LONG='a'*300, LESS='b'*252, DEEP='/'.join(['b'*200]*30))
    refused(*filled(command, MODEL=made/'ptm', COIN=made/'coin', OUT=tmp_path, **names), says='too long')
    assert not [*tmp_path.iterdir()]


def test_link_to_itself(tmp_path):
    (tmp_path/'loop').symlink_to('loop')
    refused('info', tmp_path/'loop')


def test_working_folder_gone(made, tmp_path):
    "The folder in which a command runs was removed"
    def gone():
        (tmp_path/'here').mkdir()
        os.chdir(tmp_path/'here')
        os.rmdir(tmp_path/'here')
    refused('fit', made/'coin', *PTM, '-o', 'm', before=gone)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
@pytest.mark.parametrize('kind,mode', [('coin', 0o700), ('coin', 0o744), ('ptm', 0o700), ('ptm', 0o744)])
def test_folders_of_another_user(kind, mode, made, open_folder):
    "Folders that may not be entered, or only listed"
    coin, closed = shutil.copytree(made/'coin', open_folder/'coin'), shutil.copytree(made/kind, open_folder/'closed')
    closed.chmod(mode)
    (open_folder/'free').mkdir()
    (open_folder/'free').chmod(0o777)
    for command in ('info CLOSED', 'info CLOSED/lights.lp', 'fit CLOSED -o FREE/model', 'evaluate CLOSED',
                    'view CLOSED --no-browser', 'evaluate --all CLOSED -o FREE/table.json', 'fit COIN -o CLOSED/out'):
        words = filled(command, CLOSED=closed, FREE=open_folder/'free', COIN=coin)
        refused(*words, says='closed', before=become_nobody)
    assert not list((open_folder/'free').iterdir())


# --- what nobody thought of

def test_our_own_faults(made, tmp_path):
    "One line, exit code 1, and nothing left; a traceback on demand"
    def broken(): mock.patch('illuminet.ptm.PTM._basis', side_effect=KeyError(FORGED)).start()
    command = 'fit', made/'coin', *PTM, '-o', tmp_path/'m'
    said = refused(*command, code=1, says='report it', before=broken)
    assert said.count('\n') == 1 and 'KeyError' in said
    assert not list(tmp_path.iterdir())
    with mock.patch.dict(os.environ, ILLUMINET_DEBUG='1'): ended = run(*command, before=broken)
    assert b'Traceback' in ended.err and b'\x1b' not in ended.err


@pytest.mark.parametrize('error', [
    MemoryError(), RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate')], ids=str)
def test_memory(error, made, tmp_path):
    "Too little memory is no fault of ours"
    def broken(): mock.patch('illuminet.ptm.PTM._basis', side_effect=error).start()
    refused('fit', made/'coin', *PTM, '-o', tmp_path/'m', says='does not fit into memory', before=broken)


def slow():
    "Let `info` take a second, and call that long"
    def late(r):
        time.sleep(1)
        return {}, []
    terminal._PATIENCE = .1
    mock.patch('illuminet.capture_commands._about_lights_of', side_effect=late).start()


def test_long_work_is_announced(made):
    "In a log, by one line"
    ended = run('info', made/'ptm', before=slow)
    assert ended.code == 0 and ended.lines == ['illuminet: reading …\n'.encode()], ended.lines


def test_long_work_is_interrupted(made):
    "Ctrl-C ends it without a message"
    def interrupted():
        slow()
        signal.setitimer(signal.ITIMER_REAL, .5)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
    ended = run('info', made/'ptm', before=interrupted)
    assert ended.code == 130 and not ended.err, ended
