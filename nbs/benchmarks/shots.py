"""One, eight or all photos: `python nbs/benchmarks/shots.py CAPTURES` writes shots.json

For each capture in a folder, what the pretrained network answers from all photos (against RBF, stereographic, exact at the photos), from eight whose lights are
spread (the frontal one, then farthest-point; against the best of Lambert, PTM, HSH-4 and RBF with the same eight, for each capture) and from one under an
unknown light (ordered pairs drawn with seed 0; against the photo itself, and both scaled by the best factor). Eight and one at half size.
"""
import argparse, json, platform, re, time, warnings
from pathlib import Path
import numpy as np, pandas as pd, torch
from illuminet.learner import *
from illuminet.benchmark import captures_in
from illuminet.benchmark import _commit
from illuminet.photometry import read_normals

HERE,PAIRS = Path(__file__).resolve().parent, 12

def scaled(pic, target):
    "By the factor that brings it nearest"
    return (pic*((pic*target).sum()/max((pic*pic).sum(), 1e-9))).clip(0, 1)

def light_of(image, normals, mask):
    "The light that Lambert's law tells from a picture and the true normals, shadows and highlights left out"
    m = np.ones(image.shape[:2], bool) if mask is None else mask
    x,n = srgb_to_linear(image).mean(-1)[m], normals[m]
    ok = (x < np.quantile(x, .98)) & (x > np.quantile(x, .1))
    for _ in range(6):
        l = np.linalg.lstsq(n[ok], x[ok], rcond=None)[0]
        rest = np.abs(x-np.maximum(n@l, 0))
        if (keep := (n@l > 0) & (rest < np.quantile(rest, .8))).sum() < 20: break
        ok = keep
    return l/max(np.linalg.norm(l), 1e-9)

def rows_of(folder, net=None, asked=('all', '8', '1')):
    "One row for all photos, one for eight, one for each pair"
    mean = lambda pics, held: float(np.mean(psnr(pics, to_float(to_uint8(to_float(coded_photos(held)))), held.mask)))
    seen,held = split(folder)
    if 'all' in asked:
        r = fit(seen, 'illuminet', net=net)
        yield dict(photos='all', psnr=mean(r.relight(held.lights), held), base=mean(r.base.relight(held.lights), held), reference=mean(fit(seen, 'rbf', smoothing=0).relight(held.lights), held), gain=r.config['gain'])
    seen,held = split(folder, size=max(seen.shape[1:3])//2)
    if '8' in asked:
        few = seen[farthest_lights(seen.lights, 8)]
        r = fit(few, 'illuminet', net=net)
        four = dict(lambert=lambert(*known_photometry(coded_photos(few), few.lights), held.lights), ptm=fit(few, 'ptm').relight(held.lights), hsh=fit(few, 'hsh', terms=4).relight(held.lights), rbf=fit(few, 'rbf').relight(held.lights))
        four = {k: mean(o.clip(0, 1), held) for k,o in four.items()}
        yield dict(photos='8', psnr=mean(r.relight(held.lights), held), base=mean(r.base.relight(held.lights), held), reference=max(four.values()), gain=r.config['gain'], **four)
    if '1' not in asked: return
    photos,rng = to_uint8(to_float(coded_photos(seen))), np.random.default_rng(0)
    true = Path(folder)/'normals.png'
    if true.exists():
        step = [-(-a//b) for a,b in zip(read_normals(true).shape[:2], photos.shape[1:3])]
        true = read_normals(true)[::step[0], ::step[1]][:photos.shape[1], :photos.shape[2]]
    else: true = None
    for _ in range(PAIRS):
        a,b = rng.choice(len(photos), 2, replace=False)
        photo,target = to_float(photos[a]), to_float(photos[b])
        pred = to_float(to_uint8(relight(photos[a], seen.lights[b])))
        db = lambda pic: float(psnr(pic[None], target[None], seen.mask)[0])
        row = dict(photos='1', psnr=db(pred), reference=db(photo), scaled=db(scaled(pred, target))-db(scaled(photo, target)))
        if true is not None:
            angle = lambda pic: float(np.degrees(np.arccos(np.clip(light_of(pic, true, seen.mask)@seen.lights[b], -1, 1))))
            row |= dict(light_deg=angle(pred), photo_deg=angle(photo), target_deg=angle(target))
        yield row

def seconds(net=None, size=512, repeats=5):
    "A relit picture of one photo, of eight and of all; fitting them; the first call in a fresh process"
    def took(f): t = time.perf_counter(); res = f(); return res, round(time.perf_counter()-t, 3)
    cap,light = sample_capture(size), (.5, .2, .84)
    few,res = cap[farthest_lights(cap.lights, 8)], {}
    res['first'] = took(lambda: relight(cap.images[0], light, net=net))[1]
    res['one'] = min(took(lambda: relight(cap.images[0], light, net=net))[1] for _ in range(repeats))
    for name,c in dict(eight=few, all=cap).items():
        r,res[f'{name}, fit'] = took(lambda: fit(c, 'illuminet', net=net))
        r.config['gain'] = 1.                                                     # the network is run
        res[f'{name}, new light'] = max(took(lambda: r.relight(l))[1] for l in dome(repeats))
        res[f'{name}, same light'] = min(took(lambda: r.relight(light))[1] for _ in range(repeats))
    return dict(res, threads=torch.get_num_threads())

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('captures', type=Path); p.add_argument('--net', help='folder or id of another network for several photos'); p.add_argument('--out', type=Path, default=HERE/'shots.json'); p.add_argument('--only', default='', help='a regular expression that names of captures must hold'); p.add_argument('--asked', nargs='+', choices=('all', '8', '1'), default=('all', '8', '1'), help='questions; what the file says of the others stays')
    a = p.parse_args()
    old = json.loads(a.out.read_text()) if a.out.exists() else dict(about={}, rows=[])
    about = dict(commits=old['about'].get('commits', {}) | dict.fromkeys(a.asked, _commit()), threads=torch.get_num_threads(), torch=torch.__version__, processor=platform.machine(), pairs=PAIRS)
    res = dict(about=about, seconds=seconds(a.net), rows=old['rows'])
    with atomic_path(a.out) as tmp: tmp.write_text(json.dumps(res, indent=1))
    for f in captures_in(a.captures):
        if not re.search(a.only, f.name): continue
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)
            rows = [dict(capture=f.name, **{k: round(v, 3) if isinstance(v, float) else v for k,v in o.items()}) for o in rows_of(f, a.net, a.asked)]
        res['rows'] = sorted([o for o in res['rows'] if o['capture'] != f.name or o['photos'] not in a.asked]+rows, key=lambda o: o['capture'])
        gains = pd.DataFrame(rows).assign(gain_db=lambda o: o.psnr-o.reference).groupby('photos', sort=False)[['gain_db', 'scaled'] if '1' in a.asked else ['gain_db']].mean().round(2)
        print(f"{f.name:32}" + '  '.join(f'{k}: ' + ' '.join(f'{v:+.2f}' for v in o.dropna()) for k,o in gains.iterrows()), flush=True)
        with atomic_path(a.out) as tmp: tmp.write_text(json.dumps(res, indent=1))

if __name__ == '__main__': main()
