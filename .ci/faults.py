"""Faults survived. Each function below is a fault; the first line of its docstring says which, the second what happens. They run
the commands in processes of their own, forked so that torch is imported once.

`python .ci/faults.py [NAME ...] [--kills N]`: all, or those named; N random moments for each command that is killed."""
import argparse, contextlib, ctypes, io, json, os, random, shutil, signal, subprocess, sys, tempfile, threading, time, warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

os.environ |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', HF_HUB_OFFLINE='1')
warnings.simplefilter('ignore')
import huggingface_hub, numpy as np, pyvips, torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from illuminet import cli, images as images_module
from illuminet.learner import *
from illuminet.benchmark import evaluate_all
from illuminet.callbacks import Callback
from illuminet.many import fit_many
from illuminet.model import IllumiNet
from illuminet.pretrain import make_scenes, pretrain
from illuminet.surface import SurfaceNet

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
            signal.signal(signal.SIGINT, signal.default_int_handler)             # a job in the background ignores it
            signal.signal(signal.SIGHUP, signal.SIG_DFL)                         # and one under nohup this
            torch.set_num_threads(1)                                             # after a fork its pool is made anew: now, not by several threads at once
            before()
            if callable(args[0]): args[0](); code = 0
            else: sys.argv = ['illuminet', *map(str, args)]; cli.main()
        except SystemExit as e: code = e.code or 0
        except InputError as e: print(e); code = 2                                # of a function; a command tells it itself
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

def killed(root, name, *args, whole=whole_bytes, same=same_bytes, begun=None, hidden=None):
    "Kill a command, or a function of the output, at random moments; run it again"
    ref,out = root/'ref'/name, root/'out'/name
    def work(o): return [lambda: args[0](o)] if callable(args[0]) else [*args, '-o', o]
    def anew(o): # what is there before
        shutil.rmtree(o.parent, ignore_errors=True); o.parent.mkdir()
        if begun: shutil.copytree(begun, o)
    def timed(o): start = time.perf_counter(); good(*work(o)); return time.perf_counter()-start
    anew(ref); seconds = timed(ref); anew(ref); seconds = min(seconds, timed(ref))
    rng,hit,tries = random.Random(name), 0, 0
    while hit < KILLS and tries < 4*KILLS:                                    # a run may end before its moment
        if hit%2 == 0 or begun: anew(out)                                     # else there is an output already
        hit += Run(*work(out)).kill(rng.uniform(0, seconds))[0] == -signal.SIGKILL; tries += 1
        if out.exists(): whole(out, ref)
        good(*work(out))
        same(out, ref)
        assert not (left := [o for o in out.parent.rglob('.*') if o.name != hidden]), f'left behind: {left}'
    return f'killed at {hit} moments'

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
def kill_writers(root):
    """`kill -9` of a writer that is called from Python: a picture and normals in strips, page, bundle, tiles, `.ptm`, `.rti`, film, capture, network, evaluation
    run again: the same bytes; no half file under a final name, no temporary file or folder left"""
    cap,coin = sample_capture(96), root/'coin'
    ptm,hsh,net = fit(cap, 'ptm'), fit(cap, 'hsh'), IllumiNet(widths=(4, 8), light_features=8)
    writes = {'lit.png': lambda o: relight_large(ptm, (0, 0, 1), o, rows=8), 'normals.png': lambda o: normals_large(coin, o), 'page.html': ptm.to_html, 'bundle': lambda o: ptm.to_web(o, page=True),
              'tiles': lambda o: ptm.to_web(o, 'deepzoom'), 'a.ptm': lambda o: write_ptm(o, ptm), 'a.rti': lambda o: write_rti(o, hsh), 'film.gif': lambda o: animate(ptm, dome(12), o),
              'capture': lambda o: cap.save(o, overwrite=True), 'network': net.save_pretrained}
    hits = {k: int(killed(root, k, f).split()[2]) for k,f in writes.items()}
    table = killed(root, 'captures.json', lambda o: evaluate_all([coin], o, dict(ptm=lambda c: fit(c, 'ptm')), echo=SILENT), whole=lambda o, ref: json.loads(o.read_text()), same=lambda a, b: None)
    return f"killed at {sum(hits.values())+int(table.split()[2])} moments, at least {min(hits.values())} of each"

SILENT = lambda line: None
TINY = dict(bs=2, size=32, m=2, net=dict(widths=(8, 12)), device='cpu', echo=SILENT)    # a run of `pretrain`

@fault
def kill_pretrain(root):
    """`kill -9` of `python -m illuminet.pretrain`
    run again: it goes on after its last state; the same weights, to the bit, as of a run that was stopped there; rows that were logged after it are left out"""
    scenes = make_scenes(root/'scenes', 6, 48, 3, echo=SILENT)
    good(lambda: pretrain('surface', root/'begun', scenes, 6, minutes=1e-6, **TINY))
    (root/'begun/history.csv').write_text('step,loss\n1,.5\n50,.4\n')              # the second row: logged after the last state
    def same(a, b):
        x,y = (load_file(o/'model.safetensors') for o in (a, b))
        assert all(np.array_equal(x[k], y[k]) for k in x), 'other weights'
        assert {o.name for o in a.iterdir()} == {o.name for o in b.iterdir()}
        assert [line.split(',')[0] for line in (a/'history.csv').read_text().split()] == ['step', '1'], 'rows of a lost step'
    return killed(root, 'run', lambda o: pretrain('surface', o, scenes, 6, **TINY), whole=whole, same=same, begun=root/'begun')

class Hub(BaseHTTPRequestHandler):
    "As much of the Hugging Face Hub as a download needs, slowly"
    served = Path(str(SurfaceNet.shipped))
    def do_GET(self):
        f = self.served/self.path.split('/')[-1]
        if not f.is_file() or '/resolve/' not in self.path: self.send_response(404); self.end_headers(); return
        a = f.read_bytes(); start = int(self.headers.get('Range', 'bytes=0-')[6:].split('-')[0])
        self.send_response(206 if 'Range' in self.headers else 200)
        for o in {'ETag': f'"{f.name}"', 'X-Repo-Commit': '0'*40, 'Content-Length': len(a)-start, 'Content-Range': f'bytes {start}-{len(a)-1}/{len(a)}', 'Accept-Ranges': 'bytes'}.items(): self.send_header(o[0], str(o[1]))
        self.end_headers()
        with contextlib.suppress(OSError):
            for i in range(start, len(a) if self.command == 'GET' else 0, 1<<16): self.wfile.write(a[i:i+(1<<16)]); time.sleep(.01)
    do_HEAD = do_GET
    def log_message(self, *args): pass

@fault
def kill_download(root):
    """`kill -9` of a download, `SurfaceNet.from_pretrained(id)`
    no half file in the Hub's cache under its name; run again: the same weights. An unfinished part stays beside it, as `….incomplete`, which the cache's own tools remove"""
    with ThreadingHTTPServer(('127.0.0.1', 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        def load(cache):
            url,there = f'http://127.0.0.1:{server.server_port}', huggingface_hub.constants
            there.HF_HUB_OFFLINE,there.ENDPOINT,there.HUGGINGFACE_CO_URL_TEMPLATE = False, url, url+'/{repo_id}/resolve/{revision}/{filename}'
            a,b = SurfaceNet.from_pretrained('some/net', cache_dir=cache).state_dict(), SurfaceNet.from_pretrained().state_dict()
            assert all(torch.equal(a[k], b[k]) for k in b)
        def intact(cache, ref):
            for o in cache.glob('*/snapshots/*/*'): assert o.read_bytes() == (Hub.served/o.name).read_bytes(), f'half of {o.name}'
        def same(cache, ref):
            intact(cache, ref)
            assert {'config.json', 'model.safetensors'} <= {o.name for o in cache.glob('*/snapshots/*/*')}
        said = killed(root, 'cache', load, whole=intact, same=same, hidden='.locks')
        server.shutdown()
    return said

def slowly():
    "Each step of training takes a moment more"
    backward = torch.Tensor.backward
    def late(*args, **kw): time.sleep(.2); return backward(*args, **kw)
    torch.Tensor.backward = late

@fault
def interrupt_train(root):
    """Ctrl-C during `train`
    exit code 130; run again, it goes on"""
    args = 'train', root/'coin', '--size', 32, '--epochs', 50, '--crop', 16, '-o', root/'relit'
    run = Run(*args, before=slowly)
    while not (root/'relit/checkpoint/state.pt').exists() and time.sleep(.05) is None: pass
    code,said = run.kill(0, signal.SIGINT)
    assert code == 130 and (root/'relit/checkpoint/state.pt').exists() and 'Traceback' not in said, (code, said)

@fault
def ended(root):
    """SIGTERM, or SIGHUP because the terminal was closed, during `fit`
    exit code 143 or 129, nothing left"""
    before = files(root)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        run = Run('fit', root/'coin', '--method', 'ptm', '-o', root/'new/model', before=waits(root/'never'))
        while not [*root.glob('new/model/.*.illuminet')] and time.sleep(.05) is None: pass
        code,said = run.kill(0, sig)
        assert code == 128+sig and files(root) == before and not (root/'new').exists(), (code, said, sorted(root.rglob('*'))[-6:])

@fault
def files_of_others(root):
    """files of the user's under hidden names like those of a run, or in the output under names that a writer uses
    hidden ones stay; where others would be replaced, exit code 2 and a message that names the file"""
    (root/'out').mkdir(); (root/'out/.backup-20241115').mkdir(); (root/'.out-0123abcd').mkdir(); (root/'out/index.html').write_text('mine'); (root/'out/config.json').write_text('{}')
    before = files(root)
    for args in (('fit', root/'coin', '--method', 'ptm'), ('fit', root/'coin', '--method', 'ptm', '--stream'), ('export', root/'coin', '--to', 'web', '--method', 'ptm'), ('train', root/'coin', '--size', 32, '--epochs', 1)):
        refused(*args, '-o', root/'out', says='would be lost'); assert files(root) == before
    good('fit', root/'coin', '--method', 'ptm', '--jobs', 1, '-o', root/'out')
    assert (root/'out/.backup-20241115').is_dir() and (root/'.out-0123abcd').is_dir() and before.items() <= files(root).items()

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
    exit code 2, a message that names the output; what stood there still stands, nothing else is left, no empty folder either"""
    with mounted(root/'small', 'size=400k') as disk:
        if not disk: return 'skipped: this user may not mount'
        good('export', root/'coin', '--size', 8, '--to', 'ptm', '-o', disk/'a.ptm'); good('fit', root/'coin', '--size', 8, '--method', 'ptm', '-o', disk/'model')
        free = shutil.disk_usage(disk).free
        for room in (0, 4096):                                                   # none, or just enough for the lock
            (disk/'rest').write_bytes(bytes(free-room))
            before = files(disk), sorted(disk.rglob('*'))
            for args,name in writers(root, disk):
                refused(*args, '-o', disk/name, says='No space left')
                assert (files(disk), sorted(disk.rglob('*'))) == before, (name, room, sorted(disk.rglob('*')))
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
def lock_of_another(root):
    """a lock of another user, or a file of another program that has the name of a lock
    exit code 2, a message that names the file and its owner; the file stays as it is"""
    (root/'.model.lock').write_text('mine')
    refused('fit', root/'coin', '--method', 'ptm', '-o', root/'model', says='.model.lock: is in the way')
    assert (root/'.model.lock').read_text() == 'mine'
    if os.geteuid(): return 'in part: only root can become someone else'
    root.chmod(0o777); (root/'.model.lock').write_text('illuminet 1\n'); (root/'.model.lock').chmod(0o600)
    refused('fit', root/'coin', '--method', 'ptm', '-o', root/'model', says='.model.lock belongs to root', before=lambda: nobody(root))

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
    (root/'mine/own').mkdir(); (root/'mine/own').chmod(0o777)                   # a folder that may be written where nothing else may
    good('fit', root/'coin', '--method', 'ptm', '-o', root/'mine/own', before=lambda: nobody(root))

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
    for owner,name,at,more in ((images_module, '_open_file', 50, ()), (pyvips.Region, 'new', 1, ('--stream',))):
        coin = capture(root/f'coin{len(more)}', 256 if more else 32)                      # larger than what libvips reads ahead
        good('fit', root/'coin', '--method', 'ptm', '-o', root/'model'); before = files(root/'model')
        refused('fit', coin, '--method', 'ptm', *more, '-o', root/'model', says=says, before=meanwhile(lambda: change(coin/'15.png'), owner, name, at))
        assert files(root/'model') == before and not [*root.glob('.*')]

@fault
def photo_vanishes(root):
    """a photo vanishes while photos are read
    exit code 2, a message that names it; in strips it stays open, and is read to its end"""
    coin = capture(root/'coin0')
    refused('fit', coin, '--method', 'ptm', '-o', root/'model', says='15.png', before=meanwhile((coin/'15.png').unlink, images_module, '_open_file', 50))
    assert not [*root.glob('.*')] and not (root/'model').exists()

@fault
def photo_cut_off(root):
    """a photo is cut off while photos are read, whole or in strips
    exit code 2, a message that names it; what stood in the output still stands"""
    broken_photos(root, lambda o: os.truncate(o, o.stat().st_size//2), '15.png')

@fault
def photo_replaced(root):
    """a photo is replaced while photos are read, by one of another size or of the same
    exit code 2, a message that names it; what stood in the output still stands"""
    broken_photos(root, lambda o: Image.new('RGB', Image.open(o).size).save(o), '15.png')
    shutil.rmtree(root/'coin0'); coin = capture(root/'coin0')
    refused('fit', coin, '--method', 'ptm', '-o', root/'model', says='15.png', before=meanwhile(lambda: Image.new('RGB', (9, 9)).save(coin/'15.png'), images_module, '_open_file', 50))

def waits(path):
    "Renames, with which every writer ends, wait until a file is there"
    replace = os.replace
    def late(*args):
        while not path.exists(): time.sleep(.02)
        return replace(*args)
    return lambda: mock.patch('os.replace', late).start()

@fault
def two_runs(root):
    """two runs into one folder: `train`, `fit`, `fit --stream`, `export`, `r.save`, `fit_many` (`fit --jobs`), `pretrain`
    the second is refused with exit code 2, or `InputError`, while the first is alive; the first ends as if alone"""
    coin,out = root/'coin', root/'out'/'it'
    scenes = make_scenes(root/'scenes', 6, 48, 3, echo=SILENT)
    (root/'done').mkdir(); good('fit', coin, '--method', 'ptm', '-o', root/'done/coin')
    runs = [('train', coin, '--size', 32, '--epochs', 1, '--crop', 16, '-o', out), ('fit', coin, '--method', 'ptm', '-o', out), ('fit', coin, '--method', 'ptm', '--stream', '-o', out),
            ('export', coin, '--to', 'web', '--method', 'hsh', '-o', out), (lambda: fit(sample_capture(32), 'ptm').save(out),), (lambda: pretrain('surface', out, scenes, 1, **TINY),),
            (lambda: fit_many([coin], out, 'ptm', echo=lambda o: None),)]
    for i,args in enumerate(runs):
        shutil.rmtree(out.parent, ignore_errors=True); out.parent.mkdir()
        if i == len(runs)-1: shutil.copytree(root/'done', out)                   # nothing to do but the report
        first = Run(*args, before=waits(root/f'go{i}'))
        while not (out.parent/'.it.lock').exists() and time.sleep(.05) is None: pass
        for other in (args, runs[(i+1)%len(runs)]): refused(*other, says='another run')
        (root/f'go{i}').touch()
        code,said = first.end()
        assert not code and not [*out.parent.rglob('.*')], (args, said)

# --- how much memory it takes

def takes(f):
    "Bytes that a function takes more than there were, at its highest; None where the system does not tell"
    def look(key): return int(Path('/proc/self/status').read_text().split(f'{key}:')[1].split()[0])*1024
    def work():
        ctypes.CDLL(None).malloc_trim(0)                                         # gives back what is free, else it would serve
        Path('/proc/self/clear_refs').write_text('5'); before = look('VmRSS')
        kept = f()
        print('took', look('VmHWM')-before); del kept
    if not os.access('/proc/self/clear_refs', os.W_OK): return None
    code,said = Run(work).end()
    assert not code, said
    return int(said.split('took ')[1].split()[0])

@fault
def memory(root):
    """a large file is read
    memory stays below 5 times the pixels of a picture, 8 times a `.ptm` or `.rti` file, 20 times a `.lp` file"""
    rng,said = np.random.default_rng(0), []
    h,w = 1200, 1600
    noise = rng.integers(0, 256, (h, w, 3), np.uint8)
    planes = rng.normal(0, .1, (9, h, w//2, 3)).astype(np.float32)
    write_ptm(root/'a.ptm', PTM(dict(coefficients=planes[:6]), form='rgb')); write_rti(root/'a.rti', HSH(dict(coefficients=planes), terms=9))
    write_png(root/'deep.png', noise.astype(np.uint16)*257)
    write_lp(root/'a.lp', [f'photo_{i:06}.jpg' for i in range(100_000)], dome(1000).repeat(100, 0))
    flat = np.zeros((2*h, 2*w, 3), np.uint8)
    for name,a,kw in (('a.png', noise, {}), ('a.jpg', noise, dict(quality=95)), ('a.tif', noise, {}), ('flat.png', flat, {})): Image.fromarray(a).save(root/name, **kw)
    for what,f,size,most in [('PNG', lambda: read_image(root/'a.png'), noise.nbytes, 5), ('JPEG', lambda: read_image(root/'a.jpg'), noise.nbytes, 5), ('TIFF', lambda: read_image(root/'a.tif'), noise.nbytes, 5),
                             ('16-bit PNG', lambda: read_image(root/'deep.png'), 2*noise.nbytes, 5), ('black PNG', lambda: read_image(root/'flat.png'), flat.nbytes, 5),
                             ('.ptm', lambda: read_ptm(root/'a.ptm'), None, 8), ('.rti', lambda: read_rti(root/'a.rti'), None, 8), ('.lp', lambda: read_lp(root/'a.lp'), None, 20)]:
        got = takes(f)
        if got is None: return 'skipped: this system does not tell'
        size = size or (root/f'a{what}').stat().st_size
        said.append(f'{what} {got/size:.1f} of {size/1e6:.0f} MB'); assert got < most*size, said
    return ', '.join(said)

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
    for other in (dict(widths=[8, 16]), dict(widths=[8, 8, 8]), dict(attention='none'), dict(light='no'), dict(other=2)):
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
