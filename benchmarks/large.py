"""Captures of any size: `python benchmarks/large.py` writes large.json

Captures of 48 JPEGs are made by tiling the sample. For each size, decoding every photo once and each fit run in a
process of its own, in turns, with the same decoder and threads. Wall-clock and processor seconds and the highest
resident memory are kept. Then relighting from nine planes at one megapixel is timed against copying the planes.
"""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np
from PIL import Image
from illuminet.lights import write_lp
from illuminet.relightable import Relightable
from illuminet.stream import Strips, fit_large, relight_large
from illuminet.synth import sample_capture
from common import RESULTS, seconds

LIGHT = .3, .2, .9
PHOTOS = 48
TASKS = 'decode', 'ptm', 'hsh', 'rbf', 'relight'


def make(folder, megapixels):
    "Write a capture of 48 JPEGs, the sample tiled with noise on it; photos that are there already are kept"
    folder.mkdir(parents=True, exist_ok=True)
    side = round((megapixels*1e6)**.5)
    cap = sample_capture(min(512, side))
    size = len(cap.images[0])
    times = -(-side//size)
    noise = np.random.default_rng(0).integers(-3, 4, cap.shape[1:])
    names = [f'{i:02d}.jpg' for i in range(PHOTOS)]
    for name, image in zip(names, cap.images):
        if (folder/name).exists(): continue
        tile = np.clip(image + noise, 0, 255).astype(np.uint8)
        Image.fromarray(np.tile(tile, (times, times, 1))[:side, :side]).save(folder/name, quality=92)
    write_lp(folder/'lights.lp', names, cap.lights[:PHOTOS])


def peak_mb():
    "Return the highest resident memory of this process in MB"
    return next(int(line.split()[1])//1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))


def decode(folder):
    "Decode every photo once"
    for _ in Strips(folder): pass


def work(task, folder, out):
    "Run one task and print what it took, after a small one that loads all libraries"
    if task != 'relight':
        with tempfile.TemporaryDirectory() as small:
            make(Path(small)/'tiny', .04)
            fit_large(Path(small)/'tiny', Path(small)/'out', 'rbf')
    wall, cpu = time.perf_counter(), time.process_time()
    if task == 'decode': decode(folder)
    elif task == 'relight': relight_large(Relightable.load(out/'rbf', lazy=True), LIGHT, out/'relit.jpg')
    else: fit_large(folder, out/task, task)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps(dict(task=task, wall_s=round(wall, 2), cpu_s=round(cpu, 2), memory_mb=peak_mb())))


def bandwidth(r, repeats=30):
    "Return the milliseconds to relight from nine planes of a megapixel, and to copy them from memory"
    planes = r.tensors['planes']
    many = [planes.copy() for _ in range(40)]  # more than the caches hold
    times, target = dict(relight=[], copy=[]), np.empty_like(planes)
    for i in range(repeats):
        times['copy'].append(seconds(lambda: np.copyto(target, many[i % 40])))
        r.tensors['planes'] = many[(i + 20) % 40]
        times['relight'].append(seconds(lambda: r.relight(LIGHT)))
    return {key: round(1e3*statistics.median(values), 2) for key, values in times.items()}


def measure(root, sizes, repeats):
    "Return a row for each task, size and repeat"
    rows = []
    for megapixels in sizes:
        folder = root/f'{megapixels:g}'
        make(folder, megapixels)
        for i in range(repeats):
            for task in TASKS:
                command = [sys.executable, '-W', 'ignore', __file__, '--task', task, folder, f'{folder}-out']
                printed = subprocess.check_output(list(map(str, command)))
                rows.append(dict(megapixels=megapixels, repeat=i, **json.loads(printed)))
                print(rows[-1], flush=True)
    return rows


def one_megapixel(root):
    "Return the bandwidth at one megapixel, the middle one of three runs"
    if not (root/'1').exists():
        make(root/'1', 1)
        fit_large(root/'1', root/'1-out/rbf')
    runs = [bandwidth(Relightable.load(root/'1-out/rbf')) for _ in range(3)]
    return sorted(runs, key=lambda run: run['relight'])[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--sizes', default='1,12,50', help='megapixels')
    parser.add_argument('--repeats', type=int, default=2)
    parser.add_argument('--work', help='a folder for the captures; otherwise a temporary one')
    parser.add_argument('--out', default=RESULTS/'large.json')
    parser.add_argument('--task', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task: return work(args.task[0], *map(Path, args.task[1:]))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(args.work or temporary)
        rows = measure(root, map(float, args.sizes.split(',')), args.repeats)
        relight = one_megapixel(root)
    about = dict(photos=PHOTOS, cores=os.cpu_count(), processor=platform.machine(), python=platform.python_version(),
                 numpy=np.__version__)
    Path(args.out).write_text(json.dumps(dict(about=about, rows=rows, relight_1mp_ms=relight), indent=1))
    print(relight)


if __name__ == '__main__': main()
