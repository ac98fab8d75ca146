"""How fast it is, in one file: `python nbs/benchmarks/speed.py` measures all of it, lists what fell by more than 20 % since speed.json, and writes that file again

What is compared takes turns in one process (imports: in fresh ones) and the best round of each is taken. That is not enough
where other work fills the machine, so a run that starts beside such work is kept as busy: it is judged by nothing, and the README says nothing of it. Seconds
are compared on the same machine only. `--quick` measures what takes seconds, and writes nothing.
"""
import argparse, json, os, platform, shutil, subprocess, sys, tempfile, time, warnings
from pathlib import Path
import numpy as np, torch
from illuminet.learner import *
from illuminet.core import atomic_path
from illuminet.benchmark import _commit
from illuminet.many import fit_many
from illuminet.stream import Strips
from large import bandwidth, make
from training import make_step

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FIGURES = {  # key: what it is, its unit, whether more is better
    'training': ('a training step of 8 pictures of 256²: a plain version of the network against ours', 'ratio', True),
    'training_s': ('such a step', 's', False),
    'fit_ptm': ('fit PTM to the sample, against one product of a matrix with its photos', 'ratio', False),
    'fit_hsh': ('HSH, 9 terms', 'ratio', False),
    'fit_rbf': ('RBF, its smoothing chosen', 'ratio', False),
    'fit_shadows': ('shadows that move', 'ratio', False),
    'fit_ptm_s': ('fit PTM to the sample', 's', False),
    'fit_hsh_s': ('HSH, 9 terms', 's', False),
    'fit_rbf_s': ('RBF, its smoothing chosen', 's', False),
    'fit_shadows_s': ('shadows that move', 's', False),
    'planes': ('relight one megapixel from nine planes of bytes, against copying them', 'ratio', False),
    'planes_ms': ('relight one megapixel from nine planes of bytes', 'ms', False),
    'rbf': ('relight one megapixel by RBF from 49 photos, against copying them', 'ratio', False),
    'rbf_ms': ('relight one megapixel by RBF from 49 photos', 'ms', False),
    'large_ptm': ('fit 48 photos of 4 megapixels out of core, PTM, against decoding them', 'ratio', False),
    'large_hsh': ('HSH', 'ratio', False),
    'large_rbf': ('RBF', 'ratio', False),
    'many': ('captures a minute, 24 of 49 photos of 192² fitted with shadows, starting the processes counted in: two processes against one', 'ratio', True),
    'many_rate': ('captures a minute, by two processes', '1/min', True),
    'many_ms': ('what a capture costs in `fit_many` beside loading, fitting and saving it', 'ms', False),
    'viewer_gl': ('the viewer at one megapixel, WebGL2 by software', 'frames/s', True),
    'viewer_canvas': ('the viewer at one megapixel, 2D canvas', 'frames/s', True),
    'import': ('import illuminet.learner, against fastai.vision.all', 'ratio', False),
    'import_s': ('import illuminet.learner', 's', False),
    'wheel_mb': ('the wheel', 'MB', False),
    'one_s': ('one photo of 512² under an unknown light: find the light, read the surface, relight', 's', False),
    'one_ms': ('the same photo under another light', 'ms', False),
}
ALIKE = ('ratio', 'MB')    # units that can be compared between machines

def turns(repeats=5, **fs):
    "Run functions in turn: the seconds of each, round by round"
    def took(f): t = time.perf_counter(); f(); return time.perf_counter()-t
    for f in fs.values(): f()
    rounds = [{k: took(f) for k,f in fs.items()} for _ in range(repeats)]
    return {k: [r[k] for r in rounds] for k in fs}

def against(a, b): return min(a)/min(b)    # what other work on the machine held up the least

def megapixel():
    "The sample, tiled to 1000²"
    cap = sample_capture(500)
    return Capture(np.tile(cap.images, (1, 2, 2, 1)), cap.lights)

def training():
    t = turns(plain=make_step(False, 256, 8, 'cpu'), ours=make_step(True, 256, 8, 'cpu'))
    return dict(training=against(t['plain'], t['ours']), training_s=min(t['ours']))

def fits():
    cap = sample_capture(); mix = np.eye(len(cap), dtype=np.float32)
    t = turns(product=lambda: mix@to_float(cap.images).reshape(len(cap), -1), **{m: lambda m=m: fit(cap, m) for m in ('ptm', 'hsh', 'rbf', 'shadows')})
    base = t.pop('product')
    return {f'fit_{m}': against(v, base) for m,v in t.items()} | {f'fit_{m}_s': min(v) for m,v in t.items()}

def planes():
    with tempfile.TemporaryDirectory() as d:
        make(Path(d)/'photos', 1)
        fit_large(f'{d}/photos', f'{d}/planes', 'rbf')
        runs = [bandwidth(Relightable.load(f'{d}/planes')) for _ in range(3)]
    relight,copy = (min(o[k] for o in runs) for k in ('relight', 'copy'))
    return dict(planes=relight/copy, planes_ms=relight)

def rbf():
    r = fit(megapixel(), 'rbf', smoothing=0)
    photos,lights = r.tensors['photos'], iter(dome(16))
    to = np.empty_like(photos)
    t = turns(relight=lambda: r.relight(next(lights)), copy=lambda: np.copyto(to, photos))
    return dict(rbf=against(t['relight'], t['copy']), rbf_ms=1e3*min(t['relight']))

def out_of_core():
    with tempfile.TemporaryDirectory() as d:
        make(Path(d)/'photos', 4)
        def decode():
            for _ in Strips(f'{d}/photos'): pass
        t = turns(3, decode=decode, **{m: lambda m=m: fit_large(f'{d}/photos', f'{d}/{m}', m) for m in ('ptm', 'hsh', 'rbf')})
    return {f'large_{m}': against(t[m], t['decode']) for m in ('ptm', 'hsh', 'rbf')}

def many(n=24):
    cap = sample_capture()
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        for i in range(n): cap.save(d/f'in/{i:02}')
        def plain():
            for o in sorted((d/'in').iterdir()): fit(Capture.load(o), 'shadows').save(d/'plain'/o.name)
        def by(jobs):
            shutil.rmtree(d/f'by{jobs}', ignore_errors=True)
            fit_many(d/'in', d/f'by{jobs}', 'shadows', jobs, echo=lambda o: None)
        plain()
        t = turns(1, plain=plain, one=lambda: by(1), two=lambda: by(2))
    return dict(many=against(t['one'], t['two']), many_rate=60*n/min(t['two']), many_ms=1e3*(min(t['one'])-min(t['plain']))/n)

FRAMES = """seconds => new Promise(done => {
  const start = performance.now();
  let n = 0;
  (function frame() {
    const t = performance.now() - start, a = t / 700;
    if (t > 1000 * seconds) return done(1000 * n / t);
    relightable.disc.move([.6 * Math.cos(a), .6 * Math.sin(a), .53]);
    relightable.draw();
    n++;
    requestAnimationFrame(frame);
  })();
})"""

def viewer():
    sys.path.insert(0, str(ROOT/'.ci'))
    try: import browser as b
    except SystemExit: raise LookupError('no Chromium, or no Playwright')
    res = {}
    with tempfile.TemporaryDirectory() as d, b.sync_playwright() as pw:
        page = fit(megapixel(), 'ptm').to_html(f'{d}/viewer.html', normals=False).as_uri()
        chromium = pw.chromium.launch(executable_path=b.CHROMIUM, args=b.FLAGS)
        for key,off in dict(viewer_gl=False, viewer_canvas=True).items():
            with b.page(chromium, page, off) as tab:
                b.until(tab, 'globalThis.relightable')
                tab.evaluate(FRAMES, .5)
                res[key] = tab.evaluate(FRAMES, 4)
    return res

def imports(repeats=3):
    def took(module):
        code = f'import time; t = time.perf_counter(); import {module}; print(time.perf_counter()-t)'
        return float(subprocess.check_output([sys.executable, '-W', 'ignore', '-c', code], cwd=tempfile.gettempdir(), env={**os.environ, 'PYTHONPATH': str(ROOT)}))
    rounds = [[took('illuminet.learner'), took('fastai.vision.all')] for _ in range(repeats)]
    ours,fastai = map(min, zip(*rounds))
    return {'import': ours/fastai, 'import_s': ours}

def wheel():
    ini = (ROOT/'.gitignore').read_text().split()
    with tempfile.TemporaryDirectory() as d:
        shutil.copytree(ROOT, f'{d}/tree', ignore=shutil.ignore_patterns('.git', *ini))
        subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', d, f'{d}/tree'], check=True, capture_output=True)
        return dict(wheel_mb=next(Path(d).glob('*.whl')).stat().st_size/1e6)

def one_photo():
    photo,lights = Capture(sample_capture(512).images[:1], None), iter(dome(64))
    r = fit(photo)
    t = turns(3, all=lambda: fit(photo).relight((.5, .2, .84)), again=lambda: r.relight(next(lights)))
    return dict(one_s=min(t['all']), one_ms=1e3*min(t['again']))

def about():
    "The machine, and what else it does"
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), '') if os.path.exists('/proc/cpuinfo') else platform.processor()
    return dict(commit=_commit(), processor=f'{cpu} {platform.machine()}'.strip(), cores=os.cpu_count(), threads=torch.get_num_threads(), python=platform.python_version(),
                torch=torch.__version__, numpy=np.__version__, load=[load()])

def load(): return round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None    # the machine's, of the last minute

def busy(res): return (res['about']['load'][0] or 0) > res['about']['cores']/4    # with other work, before the run began

def fell(new, old):
    "A line for each figure that got worse by more than 20 %"
    same = all(new['about'][k] == old['about'].get(k) for k in ('processor', 'cores', 'threads', 'torch'))
    for k,(what,unit,more) in FIGURES.items():
        a,b = old['figures'].get(k), new['figures'].get(k)
        if a and b and (same or unit in ALIKE) and (b/a if more else a/b) < .8: yield f'{k}: {a:g} before, {b:g} now ({unit}; {what})'

def sentence(res):
    "What the README says"
    f,n = {k: res['figures'].get(k, float('nan')) for k in FIGURES}, res['about']['threads']
    return (f"with {'one thread' if n == 1 else f'{n} threads'}, a training step is {f['training']:.1f} times as fast as that of a plain version of the network; "
            f"RBF is fitted to the sample in {f['fit_rbf_s']:.2f} s, moving shadows in {f['fit_shadows_s']:.1f} s; a megapixel is relit from nine planes in {f['planes_ms']:.0f} ms, "
            f"one photo of 512² under an unknown light in {f['one_s']:.2f} s; a fit out of core takes up to {max(f[f'large_{m}'] for m in ('ptm', 'hsh', 'rbf')):.1f} times as long as decoding the photos; "
            f"the import takes {f['import']:.1f} times as long as fastai's, and the wheel has {f['wheel_mb']:.0f} MB.")

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--out', type=Path, default=HERE/'speed.json'); p.add_argument('--against', type=Path, default=HERE/'speed.json', help='what to compare with')
    p.add_argument('--quick', action='store_true', help='imports, planes and the wheel; write nothing')
    a = p.parse_args()
    warnings.simplefilter('ignore')
    parts = dict(imports=lambda: imports(1), planes=planes, wheel=wheel) if a.quick else dict(
        imports=imports, wheel=wheel, training=training, fits=fits, planes=planes, rbf=rbf, out_of_core=out_of_core, many=many, viewer=viewer, one_photo=one_photo)
    begin,old = time.perf_counter(), json.loads(a.against.read_text()) if a.against.exists() else None
    res = dict(about=about(), figures={}, notes={})
    for name,f in parts.items():
        start = time.perf_counter()
        try: got = {k: float(f'{v:.3g}') for k,v in f().items()}
        except Exception as e: got = {}; res['notes'][name] = f'not measured: {e}'
        res['figures'] |= got
        print(f'{name:12}', res['notes'].get(name) or '  '.join(f'{k} {v:g}' for k,v in got.items()), f'({time.perf_counter()-start:.0f} s)', flush=True)
    if old:
        if any(map(busy, (res, old))): print('other work ran on the machine, now or before: what follows may come from that')
        for line in fell(res, old): print('fell by more than 20 %:', line)
    if a.quick: return
    res['about'] |= dict(load=[*res['about']['load'], load()], minutes=round((time.perf_counter()-begin)/60, 1))
    with atomic_path(a.out) as tmp: tmp.write_text(json.dumps(res, indent=1))
    print('the machine was busy: run it again when it is not' if busy(res) else f'For the README: {sentence(res)}')

if __name__ == '__main__': main()
