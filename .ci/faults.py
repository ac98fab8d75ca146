"""Faults survived. Each function below is a fault; the first line of its docstring says which, the second what happens. They run
the commands in processes of their own, forked so that torch is imported once.

`python .ci/faults.py [NAME ...] [--kills N]`: all, or those named; N random moments for each command that is killed."""
import argparse, contextlib, io, json, os, random, shutil, signal, subprocess, sys, tempfile, time, warnings
from pathlib import Path
from unittest import mock

os.environ |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', HF_HUB_OFFLINE='1')
warnings.simplefilter('ignore')
import numpy as np, pyvips, torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from illuminet import cli
from illuminet.learner import *
from illuminet.callbacks import Callback

torch.set_num_threads(1)
ALL,KILLS = [], 3

def fault(f):
    "Register a fault"
    ALL.append(f)
    return f

# --- runs

class Run:
    "A command, or a function, in a process of its own"
    def __init__(self, *args, before=lambda: None):
        self.log = tempfile.TemporaryFile()
        self.pid = os.fork()
        if self.pid: return
        code = 70
        try:
            os.dup2(self.log.fileno(), 1); os.dup2(self.log.fileno(), 2)
            before()
            if callable(args[0]): args[0](); code = 0
            else: sys.argv = ['illuminet', *map(str, args)]; cli.main()
        except SystemExit as e: code = e.code or 0
        except BaseException: import traceback; traceback.print_exc()
        finally: sys.stdout.flush(); sys.stderr.flush(); os._exit(code)

    def end(self):
        "Exit code (minus the signal) and what was said"
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.log.seek(0)
        return code, self.log.read().decode()

    def kill(self, after, sig=signal.SIGKILL):
        time.sleep(after)
        os.kill(self.pid, sig)
        return self.end()

def good(*args, **kw):
    code,said = Run(*args, **kw).end()
    assert not code, said

def refused(*args, says, **kw):
    "It ends with exit code 2 and one message that says so"
    code,said = Run(*args, **kw).end()
    assert code == 2 and says in said and 'Traceback' not in said, (code, said)

def files(folder):
    "All that is in a folder: path -> bytes"
    return {o.relative_to(folder).as_posix(): o.read_bytes() for o in sorted(folder.rglob('*')) if o.is_file()}

def capture(folder, size=32, n=20):
    cap = sample_capture(size)[:n]
    folder.mkdir()
    for i,im in enumerate(cap.images): Image.fromarray(im).save(folder/f'{i:02}.png')
    write_lp(folder/'lights.lp', [f'{i:02}.png' for i in range(n)], cap.lights)
    return folder

# --- what is killed

def same_training(a, b):
    "Do two outputs of `train` hold the same network and the same curve?"
    x,y = (load_file(o/'model.safetensors') for o in (a, b))
    assert x.keys() == y.keys() and all(np.allclose(x[k], y[k], rtol=1e-3, atol=1e-4) for k in x), 'another network'
    x,y = (np.genfromtxt(o/'history.csv', delimiter=',', skip_header=1, usecols=(0, 1, 2)) for o in (a, b))
    assert np.allclose(x, y, rtol=1e-3), 'another curve'
    assert {o.name for o in a.iterdir()} == {o.name for o in b.iterdir()}

def whole(out, ref):
    "Is every file under its final name a whole one?"
    for o in out.iterdir() if out.is_dir() else []:
        if o.name.startswith('.') or o.is_dir(): continue
        if o.suffix == '.json': json.loads(o.read_text())
        if o.suffix == '.png': Image.open(o).load()
        if o.suffix == '.safetensors': load_file(o)
        if o.suffix == '.html': assert o.read_text().rstrip().endswith('</html>')

def same_bytes(a, b): assert (files(a) if a.is_dir() else a.read_bytes()) == (files(b) if b.is_dir() else b.read_bytes()), 'other bytes'

def whole_bytes(out, ref):
    if out.is_file(): same_bytes(out, ref)
    else: assert all(v == files(ref)[k] for k,v in (files(out) if out.is_dir() else {}).items() if not k.startswith('.')), 'half a file'

def killed(root, name, *args, whole=whole_bytes, same=same_bytes):
    "Kill a command at random moments; run it again"
    ref,out = root/'ref'/name, root/'out'/name
    for o in (ref, out): o.parent.mkdir(exist_ok=True)
    good(*args, '-o', ref)
    start = time.perf_counter(); good(*args, '-o', ref); seconds = time.perf_counter()-start       # all is in the disk's cache now
    rng,hit = random.Random(name), 0
    for i in range(KILLS):
        if i%2 == 0: shutil.rmtree(out.parent); out.parent.mkdir()            # else there is an output already
        hit += Run(*args, '-o', out).kill(rng.uniform(0, seconds))[0] == -signal.SIGKILL
        if out.exists(): whole(out, ref)
        good(*args, '-o', out)
        same(out, ref)
        assert not [o for o in out.parent.rglob('.*')], f'left behind: {[*out.parent.rglob(".*")]}'
    return f'{hit} of {KILLS} killed'

@fault
def kill_fit(root):
    """`kill -9` at random moments of `fit`
    run again: the same bytes; no half file under a final name, no temporary file left"""
    return killed(root, 'model', 'fit', root/'coin', '--method', 'hsh')

@fault
def kill_fit_stream(root):
    """`kill -9` of `fit --stream`, out of core
    the same"""
    return killed(root, 'model', 'fit', root/'coin', '--method', 'rbf', '--stream')

@fault
def kill_bake(root):
    """`kill -9` of `bake`
    the same"""
    good('fit', root/'coin', '--method', 'rbf', '-o', root/'rbf')
    return killed(root, 'baked', 'bake', root/'rbf')

@fault
def kill_export(root):
    """`kill -9` of `export`, to a folder and to a file
    the same"""
    return ', '.join([killed(root, 'web', 'export', root/'coin', '--to', 'web', '--method', 'hsh'), killed(root, 'a.ptm', 'export', root/'coin', '--to', 'ptm')])

@fault
def kill_train(root):
    """`kill -9` of `train`
    run again: it goes on after the last whole epoch; the same curve (to 0.1 %) and the same network (weights to 0.1 %), no checkpoint left"""
    return killed(root, 'relit', 'train', root/'coin', '--size', 32, '--epochs', 2, '--crop', 16, whole=whole, same=same_training)

@fault
def interrupt_train(root):
    """Ctrl-C during `train`
    exit code 130; run again, it goes on"""
    args = 'train', root/'coin', '--size', 32, '--epochs', 50, '--crop', 16, '-o', root/'relit'
    run = Run(*args)
    while not (root/'relit/checkpoint/state.pt').exists() and time.sleep(.05) is None: pass
    code,said = run.kill(0, signal.SIGINT)
    assert code == 130 and (root/'relit/checkpoint/state.pt').exists() and 'Traceback' not in said, (code, said)

@fault
def interrupt_notebook(root):
    """the stop button in a notebook, during `fit_one_cycle`
    the learner is as it was after the last step: it relights, and trains again"""
    def work():
        class Stop(Callback):
            def after_batch(self):
                if self.training and self.iter == 2: raise KeyboardInterrupt
        cap = sample_capture(32)
        learn = relight_learner(RelightDataLoaders.from_capture(cap, size=16, steps=4), widths=(8, 8))
        with learn.no_bar(), learn.no_logging():
            cbs = len(learn.cbs)
            try: learn.fit_one_cycle(1, 1e-3, cbs=Stop()); raise AssertionError('not stopped')
            except KeyboardInterrupt: pass
            assert np.isfinite(learn.relight((0, 0, 1))).all() and len(learn.cbs) == cbs, learn.cbs
            learn.fit_one_cycle(1, 1e-3)
        assert len(learn.recorder.values) == 1 and np.isfinite(learn.recorder.values[0]).all()
    good(work)

# --- where it is written

@contextlib.contextmanager
def mounted(folder, options):
    "A small file system; None where that is not allowed"
    folder.mkdir()
    ok = not subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder], capture_output=True).returncode
    try: yield folder if ok else None
    finally:
        if ok: subprocess.run(['umount', folder], check=True)

def writers(root, out):
    "Commands that write, without their output, and its name"
    coin = root/'coin'
    return [(('fit', coin, '--method', 'hsh'), 'model'), (('fit', coin, '--method', 'rbf', '--stream'), 'streamed'), (('export', coin, '--to', 'ptm'), 'a.ptm'),
            (('export', coin, '--to', 'web', '--method', 'hsh'), 'web'), (('export', coin, '--to', 'html', '--method', 'ptm'), 'a.html'),
            (('relight', coin, '--light', '0,0,1', '--method', 'rbf'), 'a.tif'), (('train', coin, '--size', 32, '--epochs', 1, '--crop', 16), 'relit')]

@fault
def disk_full(root):
    """the disk is full
    exit code 2, a message that names the output; what stood there still stands, nothing else is left"""
    with mounted(root/'small', 'size=400k') as disk:
        if not disk: return 'skipped: this user may not mount'
        good('export', root/'coin', '--size', 8, '--to', 'ptm', '-o', disk/'a.ptm'); good('fit', root/'coin', '--size', 8, '--method', 'ptm', '-o', disk/'model')
        (disk/'rest').write_bytes(bytes(shutil.disk_usage(disk).free))
        before = files(disk)
        for args,name in writers(root, disk):
            refused(*args, '-o', disk/name, says='No space left')
            left = {k: v for k,v in files(disk).items() if not k.startswith('relit/checkpoint')}
            assert left == before, (name, left.keys() ^ before.keys())
            shutil.rmtree(disk/'relit', ignore_errors=True)
        os.unlink(disk/'rest')

@fault
def read_only(root):
    """the folder is on a read-only file system
    exit code 2, a message that names it"""
    with mounted(root/'fixed', 'size=400k') as disk:
        if not disk: return 'skipped: this user may not mount'
        subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
        for args,name in writers(root, disk): refused(*args, '-o', disk/name, says='may not be written')

def quiet(f):
    with contextlib.suppress(SystemExit): f()

def nobody(root):
    "Someone else; what is imported on first use is there by then"
    for more in ((), ('--stream',)): sys.argv = ['illuminet', 'fit', f"{root/'coin'}", '--method', 'ptm', *more, '-o', f"{root/'own'}"]; quiet(cli.main)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)

@fault
def no_permission(root):
    """the folder may not be written, a photo not be read
    exit code 2, a message that names it"""
    if os.geteuid(): return 'skipped: only root can become someone else'
    root.chmod(0o755); (root/'mine').mkdir(mode=0o755)
    for args,name in writers(root, root/'mine'): refused(*args, '-o', root/'mine'/name, says='may not be written', before=lambda: nobody(root))
    secret = capture(root/'secret'); (secret/'03.png').chmod(0)
    (root/'any').mkdir(); (root/'any').chmod(0o777)
    for more in ((), ('--stream',)): refused('fit', secret, '--method', 'ptm', *more, '-o', root/'any/model', says='03.png', before=lambda: nobody(root))
    assert not files(root/'any')

# --- what is read

def meanwhile(what, owner, name, at):
    "Before the `at`-th call of a function, something happens"
    calls,f = [], getattr(owner, name)
    def g(*args, **kw):
        calls.append(1)
        if len(calls) == at: what()
        return f(*args, **kw)
    return lambda: mock.patch.object(owner, name, g).start()

def broken_photos(root, change, says):
    "A photo changes while the photos are being read, whole or in strips"
    for owner,name,at,more in ((Image, 'open', 4, ()), (pyvips.Region, 'new', 1, ('--stream',))):
        coin = capture(root/f'coin{len(more)}', 512 if more else 32)                      # larger than what libvips reads ahead
        good('fit', root/'coin', '--method', 'ptm', '-o', root/'model'); before = files(root/'model')
        refused('fit', coin, '--method', 'ptm', *more, '-o', root/'model', says=says, before=meanwhile(lambda: change(coin/'15.png'), owner, name, at))
        assert files(root/'model') == before and not [*root.glob('.*')]

@fault
def photo_vanishes(root):
    """a photo vanishes while photos are read
    exit code 2, a message that names it; in strips it stays open, and is read to its end"""
    coin = capture(root/'coin0')
    refused('fit', coin, '--method', 'ptm', '-o', root/'model', says='15.png', before=meanwhile((coin/'15.png').unlink, Image, 'open', 4))
    assert not [*root.glob('.*')] and not (root/'model').exists()

@fault
def photo_cut_off(root):
    """a photo is cut off while photos are read, whole or in strips
    exit code 2, a message that names it; what stood in the output still stands"""
    broken_photos(root, lambda o: os.truncate(o, o.stat().st_size//2), '15.png')

@fault
def photo_replaced(root):
    """a photo is replaced by one of another size
    exit code 2, a message that names it. One of the same size cannot be told from the first"""
    coin = capture(root/'coin0')
    refused('fit', coin, '--method', 'ptm', '-o', root/'model', says='15.png', before=meanwhile(lambda: Image.new('RGB', (9, 9)).save(coin/'15.png'), Image, 'open', 4))

@fault
def two_runs(root):
    """two runs into one folder
    the second is refused with exit code 2 while the first is alive; the first ends as if alone"""
    args = 'train', root/'coin', '--size', 32, '--epochs', 3, '--crop', 16, '-o', root/'relit'
    first = Run(*args)
    while not (root/'relit/checkpoint/state.pt').exists() and time.sleep(.05) is None: pass
    for other in (args, ('fit', root/'coin', '--method', 'ptm', '-o', root/'relit')): refused(*other, says='another run')
    assert first.end()[0] == 0 and not [*root.rglob('.*')]

# --- models

def edited(folder, **changes):
    config = json.loads((folder/'config.json').read_text())
    (folder/'config.json').write_text(json.dumps({k: v for k,v in (config | changes).items() if v is not None}))

def retensored(folder, f): save_file({k: np.ascontiguousarray(f(k, v)) for k,v in load_file(folder/'model.safetensors').items()}, folder/'model.safetensors')

@fault
def wrong_model(root):
    """`config.json` or weights of another version, cut off, NaN, of another architecture, of two runs
    exit code 2, a message that says which; an older format is brought up to date"""
    def models():
        cap = sample_capture(32)
        for m in ('hsh', 'ptm'): fit(cap, m).save(root/m)
        relight_learner(RelightDataLoaders.from_capture(cap, size=16), widths=(8, 8)).relightable.save(root/'net')
    good(models)
    net = json.loads((root/'net/config.json').read_text())['net']
    def spoilt(model, change, says):
        shutil.rmtree(root/'m', ignore_errors=True); shutil.copytree(root/model, root/'m')
        change(root/'m')
        refused('relight', root/'m', '--light', '0,0,1', '-o', root/'a.png', says=says)
    for v in (99, '1', None): spoilt('hsh', lambda m: (edited(m, format=v), retensored(m, lambda k, a: a)), f'format {v!r}')
    for model in ('hsh', 'net'):
        spoilt(model, lambda m: os.truncate(m/'model.safetensors', 5000), 'cannot be read')
        spoilt(model, lambda m: retensored(m, lambda k, a: np.where(np.arange(a.size).reshape(a.shape) == 1, np.nan, a).astype(a.dtype) if a.dtype == np.float32 and k != 'lights' else a), 'NaN')
        spoilt(model, lambda m: shutil.copy(root/'ptm/config.json', m), 'two runs')
        spoilt(model, lambda m: (m/'config.json').write_text('{"format": 1,'), 'not JSON')
        spoilt(model, lambda m: os.unlink(m/'model.safetensors'), 'model.safetensors')
    for other in (dict(widths=[8, 16]), dict(widths=[8, 8, 8]), dict(attention='none'), dict(light='no'), dict(hints=2)):
        spoilt('net', lambda m: (edited(m, net=net | other), retensored(m, lambda k, a: a)), 'net' if 'light' not in other else 'no')
    spoilt('hsh', lambda m: (edited(m, terms=4), retensored(m, lambda k, a: a)), 'make no relightable')

def run(f):
    with tempfile.TemporaryDirectory(prefix='illuminet-faults-') as d:
        capture(Path(d)/'coin')
        start = time.perf_counter(); said = f(Path(d))
        return f"{f.__name__}: {f.__doc__.splitlines()[0]}: {said or 'survived'}, {time.perf_counter()-start:.0f} s"

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*'); parser.add_argument('--kills', type=int, default=KILLS)
    args = parser.parse_args(); KILLS = args.kills
    for f in ALL:
        if not args.names or f.__name__ in args.names: print(run(f), flush=True)
