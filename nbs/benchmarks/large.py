"""Captures of any size: `python nbs/benchmarks/large.py` writes large.json

Captures of 48 JPEGs are made by tiling the sample. For each size, decoding every photo once and each fit run in a process of its own, in turns, with the
same decoder and threads; wall-clock and processor seconds and the highest resident memory are kept. Then relighting from nine planes at one megapixel is timed
against copying the planes.
"""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time, warnings
from pathlib import Path
import numpy as np
from PIL import Image
from illuminet.lights import write_lp
from illuminet.relightable import Relightable
from illuminet.stream import Strips, fit_large, relight_large
from illuminet.synth import sample_capture

HERE = Path(__file__).resolve().parent

def make(folder, megapixels):
    "A capture of 48 JPEGs, the sample tiled with noise on it"
    folder.mkdir(parents=True, exist_ok=True)
    side = round((megapixels*1e6)**.5)
    cap = sample_capture(min(512, side)); size = len(cap.images[0])
    noise = np.random.default_rng(0).integers(-3, 4, cap.shape[1:])
    names = [f'{i:02d}.jpg' for i in range(48)]
    for name,im in zip(names, cap.images):
        if (folder/name).exists(): continue
        tile = np.clip(im+noise, 0, 255).astype(np.uint8)
        times = -(-side//size)
        Image.fromarray(np.tile(tile, (times, times, 1))[:side, :side]).save(folder/name, quality=92)
    write_lp(folder/'lights.lp', names, cap.lights[:48])

def peak_mb(): return next(int(l.split()[1])//1024 for l in open('/proc/self/status') if l.startswith('VmHWM'))

def work(task, folder, out):
    "One task, timed, after a small one that loads all libraries"
    if task != 'relight':
        with tempfile.TemporaryDirectory() as d:
            make(Path(d)/'tiny', .04)
            fit_large(Path(d)/'tiny', Path(d)/'out', 'rbf')
    wall,cpu = time.perf_counter(), time.process_time()
    if task == 'decode':
        for _ in Strips(folder): pass
    elif task == 'relight': relight_large(Relightable.load(out/'rbf', lazy=True), (.3, .2, .9), out/'relit.jpg')
    else: fit_large(folder, out/task, task)
    wall,cpu = time.perf_counter()-wall, time.process_time()-cpu
    print(json.dumps(dict(task=task, wall_s=round(wall, 2), cpu_s=round(cpu, 2), memory_mb=peak_mb())))

def bandwidth(r, repeats=30):
    "Milliseconds to relight from nine planes of a megapixel, and to copy them from memory"
    planes = r.tensors['planes']
    many = [planes.copy() for _ in range(40)]                               # more than the caches hold
    times = dict(relight=[], copy=[])
    to = np.empty_like(planes)
    for i in range(repeats):
        t = time.perf_counter(); np.copyto(to, many[i % 40]); times['copy'].append(time.perf_counter()-t)
        r.tensors['planes'] = many[(i+20) % 40]
        t = time.perf_counter(); r.relight((.3, .2, .9)); times['relight'].append(time.perf_counter()-t)
    return {k: round(1e3*statistics.median(v), 2) for k,v in times.items()}

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--sizes', default='1,12,50', help='megapixels')
    p.add_argument('--repeats', type=int, default=2)
    p.add_argument('--work', help='a folder for the captures; a temporary one else')
    p.add_argument('--out', default=HERE/'large.json')
    p.add_argument('--task', nargs=3, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.task: return work(a.task[0], Path(a.task[1]), Path(a.task[2]))
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(a.work or tmp)
        for mp in map(float, a.sizes.split(',')):
            make(root/f'{mp:g}', mp)
            for i in range(a.repeats):
                for task in ('decode', 'ptm', 'hsh', 'rbf', 'relight'):
                    cmd = [sys.executable, '-W', 'ignore', __file__, '--task', task, root/f'{mp:g}', root/f'{mp:g}-out']
                    rows.append(dict(megapixels=mp, repeat=i, **json.loads(subprocess.check_output(list(map(str, cmd))))))
                    print(rows[-1], flush=True)
        if not (root/'1').exists(): make(root/'1', 1); fit_large(root/'1', root/'1-out/rbf')
        ms = sorted((bandwidth(Relightable.load(root/'1-out/rbf')) for _ in range(3)), key=lambda o: o['relight'])[1]
    about = dict(photos=48, cores=os.cpu_count(), processor=platform.machine(), python=platform.python_version(), numpy=np.__version__)
    Path(a.out).write_text(json.dumps(dict(about=about, rows=rows, relight_1mp_ms=ms), indent=1))
    print(ms)

if __name__ == '__main__': main()
