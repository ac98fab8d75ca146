"""All speeds: `python benchmarks/speed.py` measures them, lists those that fell by more than 20 %, writes speed.json

What is compared takes turns in one process (imports: in new ones), and the best round of each counts. That is not
enough where other work fills the machine, so a run that starts beside such work is marked as busy: nothing is judged by
it, and the README does not quote it. Seconds are compared on the same machine only. `--quick` writes nothing.
"""
import argparse, json, os, platform, shutil, subprocess, sys, tempfile, time, warnings
from pathlib import Path
import numpy as np, torch
from illuminet.benchmark import _commit
from illuminet.core import atomic_path
from illuminet.learner import *
from illuminet.many import fit_many
from common import RESULTS, ROOT, seconds
from large import bandwidth, decode, make
from training import make_step

FIGURES = {  # key: what it is, its unit, whether more is better
    'training': ('a training step of 8 pictures of 256²: a plain version of the network against ours', 'ratio', True),
    'training_s': ('such a step', 's', False),
    'fit_ptm': ('fit PTM to the sample, against one product of a matrix with its photos', 'ratio', False),
    'fit_hsh': ('HSH, 9 terms', 'ratio', False),
    'fit_rbf': ('RBF, with chosen smoothing', 'ratio', False),
    'fit_shadows': ('moving shadows', 'ratio', False),
    'fit_ptm_s': ('fit PTM to the sample', 's', False),
    'fit_hsh_s': ('HSH, 9 terms', 's', False),
    'fit_rbf_s': ('RBF, with chosen smoothing', 's', False),
    'fit_shadows_s': ('moving shadows', 's', False),
    'planes': ('relight one megapixel from nine planes of bytes, against copying them', 'ratio', False),
    'planes_ms': ('relight one megapixel from nine planes of bytes', 'ms', False),
    'rbf': ('relight one megapixel by RBF from 49 photos, against copying them', 'ratio', False),
    'rbf_ms': ('relight one megapixel by RBF from 49 photos', 'ms', False),
    'large_ptm': ('fit 48 photos of 4 megapixels out of core, PTM, against decoding them', 'ratio', False),
    'large_hsh': ('HSH', 'ratio', False),
    'large_rbf': ('RBF', 'ratio', False),
    'many': ('captures a minute, 24 of 49 photos of 192² fitted with shadows, with the start of the processes: '
             'two processes against one', 'ratio', True),
    'many_rate': ('captures a minute, by two processes', '1/min', True),
    'many_ms': ('what `fit_many` adds to loading, fitting and saving a capture', 'ms', False),
    'viewer_gl': ('the viewer at one megapixel, WebGL2 by software', 'frames/s', True),
    'viewer_canvas': ('the viewer at one megapixel, 2D canvas', 'frames/s', True),
    'import': ('import illuminet.learner, against fastai.vision.all', 'ratio', False),
    'import_s': ('import illuminet.learner', 's', False),
    'wheel_mb': ('the wheel', 'MB', False),
    'one_s': ('one photo of 512² under an unknown light: find the light, read the surface, relight', 's', False),
    'one_ms': ('the same photo under another light', 'ms', False),
}
ALIKE = 'ratio', 'MB'  # units that can be compared between machines
OUT_OF_CORE = 'ptm', 'hsh', 'rbf'


# --- what is measured

def turns(repeats=5, **functions):
    "Run functions in turn; return the seconds of each, round by round"
    for function in functions.values(): function()
    rounds = [{key: seconds(function) for key, function in functions.items()} for _ in range(repeats)]
    return {key: [one[key] for one in rounds] for key in functions}


def against(a, b): return min(a)/min(b)  # the rounds that other work on the machine held up the least


def megapixel():
    "Return the sample, tiled to 1000²"
    cap = sample_capture(500)
    return Capture(np.tile(cap.images, (1, 2, 2, 1)), cap.lights)


def training():
    times = turns(plain=make_step(False, 256, 8, 'cpu'), ours=make_step(True, 256, 8, 'cpu'))
    return dict(training=against(times['plain'], times['ours']), training_s=min(times['ours']))


def fits():
    cap = sample_capture()
    mix = np.eye(len(cap), dtype=np.float32)
    methods = {method: lambda method=method: fit(cap, method) for method in ('ptm', 'hsh', 'rbf', 'shadows')}
    times = turns(product=lambda: mix@to_float(cap.images).reshape(len(cap), -1), **methods)
    product = times.pop('product')
    ratios = {f'fit_{method}': against(values, product) for method, values in times.items()}
    return ratios | {f'fit_{method}_s': min(values) for method, values in times.items()}


def planes():
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder)/'photos', 1)
        fit_large(f'{folder}/photos', f'{folder}/planes', 'rbf')
        runs = [bandwidth(Relightable.load(f'{folder}/planes')) for _ in range(3)]
    relit, copied = (min(run[key] for run in runs) for key in ('relight', 'copy'))
    return dict(planes=relit/copied, planes_ms=relit)


def rbf():
    r = fit(megapixel(), 'rbf', smoothing=0)
    photos, lights = r.tensors['photos'], iter(dome(16))
    target = np.empty_like(photos)
    times = turns(relight=lambda: r.relight(next(lights)), copy=lambda: np.copyto(target, photos))
    return dict(rbf=against(times['relight'], times['copy']), rbf_ms=1e3*min(times['relight']))


def out_of_core():
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder)/'photos'
        make(photos, 4)
        fits = {method: lambda method=method: fit_large(photos, f'{folder}/{method}', method) for method in OUT_OF_CORE}
        times = turns(3, decode=lambda: decode(photos), **fits)
    return {f'large_{method}': against(times[method], times['decode']) for method in OUT_OF_CORE}


def silent(line): pass


def many(count=24):
    cap = sample_capture()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for i in range(count): cap.save(folder/f'in/{i:02}')
        def plain():
            for path in sorted((folder/'in').iterdir()):
                fit(Capture.load(path), 'shadows').save(folder/'plain'/path.name)
        def by(jobs):
            shutil.rmtree(folder/f'by{jobs}', ignore_errors=True)
            fit_many(folder/'in', folder/f'by{jobs}', 'shadows', jobs, echo=silent)
        plain()
        times = turns(1, plain=plain, one=lambda: by(1), two=lambda: by(2))
    return dict(many=against(times['one'], times['two']), many_rate=60*count/min(times['two']),
                many_ms=1e3*(min(times['one']) - min(times['plain']))/count)


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
    sys.path.insert(0, str(ROOT/'tests'))
    import browser
    if browser.MISSING: raise LookupError(browser.MISSING)
    frames = {}
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        url = fit(megapixel(), 'ptm').to_html(f'{folder}/viewer.html', normals=False).as_uri()
        for key, off in dict(viewer_gl=False, viewer_canvas=True).items():
            with browser.page(chromium, url, off) as tab:
                browser.until(tab, 'globalThis.relightable')
                tab.evaluate(FRAMES, .5)
                frames[key] = tab.evaluate(FRAMES, 4)
    return frames


def import_seconds(module):
    "Return the seconds of an import in a new process"
    code = f'import time; t = time.perf_counter(); import {module}; print(time.perf_counter()-t)'
    command = [sys.executable, '-W', 'ignore', '-c', code]
    environment = os.environ | dict(PYTHONPATH=str(ROOT))
    return float(subprocess.check_output(command, cwd=tempfile.gettempdir(), env=environment))


def imports(repeats=3):
    rounds = [[import_seconds('illuminet.learner'), import_seconds('fastai.vision.all')] for _ in range(repeats)]
    ours, fastai = map(min, zip(*rounds))
    return {'import': ours/fastai, 'import_s': ours}


def wheel():
    ignored = shutil.ignore_patterns('.git', *(ROOT/'.gitignore').read_text().split())
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT, f'{folder}/tree', ignore=ignored)
        command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', folder]
        subprocess.run([*command, f'{folder}/tree'], check=True, capture_output=True)
        return dict(wheel_mb=next(Path(folder).glob('*.whl')).stat().st_size/1e6)


def one_photo():
    photo, lights = Capture(sample_capture(512).images[:1], None), iter(dome(64))
    r = fit(photo)
    times = turns(3, all=lambda: fit(photo).relight((.5, .2, .84)), again=lambda: r.relight(next(lights)))
    return dict(one_s=min(times['all']), one_ms=1e3*min(times['again']))


ALL = dict(imports=imports, wheel=wheel, training=training, fits=fits, planes=planes, rbf=rbf, out_of_core=out_of_core,
           many=many, viewer=viewer, one_photo=one_photo)
QUICK = dict(imports=lambda: imports(1), planes=planes, wheel=wheel)


# --- the machine, and the comparison

def processor():
    "Return the name of the processor"
    if not os.path.exists('/proc/cpuinfo'): return f'{platform.processor()} {platform.machine()}'.strip()
    names = [line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')]
    return f"{names[0] if names else ''} {platform.machine()}".strip()


def load():
    "Return the load of the machine in the last minute; None where that is unknown"
    return round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None


def about():
    "Return facts about the machine and its other work"
    return dict(commit=_commit(), processor=processor(), cores=os.cpu_count(), threads=torch.get_num_threads(),
                python=platform.python_version(), torch=torch.__version__, numpy=np.__version__, load=[load()])


def busy(results):
    "Whether the machine did other work before the run began"
    return (results['about']['load'][0] or 0) > results['about']['cores']/4


def fell(new, old):
    "Yield a line for each figure that got worse by more than 20 %"
    same = all(new['about'][key] == old['about'].get(key) for key in ('processor', 'cores', 'threads', 'torch'))
    for key, (what, unit, more) in FIGURES.items():
        before, now = old['figures'].get(key), new['figures'].get(key)
        if not before or not now or not (same or unit in ALIKE): continue
        if (now/before if more else before/now) < .8: yield f'{key}: {before:g} before, {now:g} now ({unit}; {what})'


def sentence(results):
    "Return the sentence of the README"
    f = {key: results['figures'].get(key, float('nan')) for key in FIGURES}
    count = results['about']['threads']
    threads = 'one thread' if count == 1 else f'{count} threads'
    slowest = max(f[f'large_{method}'] for method in OUT_OF_CORE)
    return (f"with {threads}, a training step is {f['training']:.1f} times as fast "
            f"as that of a plain version of the network; "
            f"RBF is fitted to the sample in {f['fit_rbf_s']:.2f} s, moving shadows in {f['fit_shadows_s']:.1f} s; "
            f"a megapixel is relit from nine planes in {f['planes_ms']:.0f} ms, "
            f"one photo of 512² under an unknown light in {f['one_s']:.2f} s; "
            f"a fit out of core takes up to {slowest:.1f} times as long as decoding the photos; "
            f"the import takes {f['import']:.1f} times as long as fastai's, and the wheel has {f['wheel_mb']:.0f} MB.")


def measure(parts):
    "Measure the parts, printing each; return the results"
    results = dict(about=about(), figures={}, notes={})
    for name, part in parts.items():
        start = time.perf_counter()
        try: figures = {key: float(f'{value:.3g}') for key, value in part().items()}
        except Exception as e: figures, results['notes'][name] = {}, f'not measured: {e}'
        results['figures'] |= figures
        line = results['notes'].get(name) or '  '.join(f'{key} {value:g}' for key, value in figures.items())
        print(f'{name:12} {line} ({time.perf_counter() - start:.0f} s)', flush=True)
    return results


def compare(results, old):
    "Print what got worse"
    if busy(results) or busy(old): print('other work ran on the machine, now or before: it may explain what follows')
    for line in fell(results, old): print('fell by more than 20 %:', line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=RESULTS/'speed.json')
    parser.add_argument('--against', type=Path, default=RESULTS/'speed.json', help='the results to compare with')
    parser.add_argument('--quick', action='store_true', help='imports, planes and the wheel; write nothing')
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    begin, old = time.perf_counter(), json.loads(args.against.read_text()) if args.against.exists() else None
    results = measure(QUICK if args.quick else ALL)
    if old: compare(results, old)
    if args.quick: return
    results['about']['load'].append(load())
    results['about']['minutes'] = round((time.perf_counter() - begin)/60, 1)
    with atomic_path(args.out) as path: path.write_text(json.dumps(results, indent=1))
    if busy(results): print('the machine was busy: run it again when it is not')
    else: print(f'For the README: {sentence(results)}')


if __name__ == '__main__': main()
