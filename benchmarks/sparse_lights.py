"""How methods fare where the lights leave gaps: rings, arcs, half domes, clusters, few lamps

    python benchmarks/sparse_lights.py [FOLDER_OF_CAPTURES] [--out sparse_lights.json]

Each method is fitted to some of the photos and relit at the other lights. PSNR is given for lights within the cone of
those seen and outside of it; `plain` is the same method without the prior on its terms and without damping. The
surfaces are rendered; captures that cannot be published may be added, of which only figures are written."""
import argparse, json, warnings
from pathlib import Path
import numpy as np, pandas as pd
from illuminet.benchmark import _commit
from illuminet.learner import *
from illuminet.metrics import psnr
from illuminet.images import to_float
from illuminet.lights import farthest_lights
from illuminet.ptm import _Basis
from illuminet.relightable import light_cone, pseudo_inverse, srgb_photos, weighted_sum
from illuminet.synth import make_surface, render
from common import RESULTS

METHODS = dict(ptm=('ptm', {}), hsh=('hsh', {}), hsh16=('hsh', dict(terms=16)), rbf=('rbf', {}),
               kriging=('kriging', {}), shadows=('shadows', {}))
SURFACES = dict(coin='bronze', carved='plaster', brushed='canvas')


def lamps():
    "A dense dome: rings of 24 at eight elevations, and the zenith"
    return rings((24,)*8+(1,), (4, 10, 18, 27, 37, 48, 60, 72, 90))


def layouts(lights):
    "name -> which lights are seen"
    azimuth,elevation = (np.rad2deg(o) for o in to_angles(lights))
    def one_of(*heights): return np.isin(elevation.round(), [elevation.round()[np.abs(elevation-h).argmin()] for h in heights])
    def farthest(n): return np.isin(np.arange(len(lights)), farthest_lights(lights, min(n, len(lights))))
    around = from_angles(.5, .8)[0]
    return dict(ring_27=one_of(27), ring_48=one_of(48), two_rings=one_of(27, 60), arc=np.abs(lights[:, 1]) < .15,
                half=lights[:, 0] > -.05, cluster=lights@around > np.cos(.6), above_25=elevation > 25, above_40=elevation > 40,
                six=farthest(6), eight=farthest(8), twelve=farthest(12), every_fifth_held=np.arange(len(lights))%5 != 2)


def plain(r, cap, lights):
    "Pictures of the same method, fitted without a prior and relit without damping"
    if isinstance(r, _Basis):
        inverse = pseudo_inverse(r._basis(cap.lights))
        r = type(r)(dict(coefficients=weighted_sum(inverse, srgb_photos(cap))), **r.config)
    return r._relight(lights).clip(0, 1)


def figures(pictures, held, outside):
    "Mean PSNR within and outside of the cone"
    photos = to_float(srgb_photos(held))
    each = np.array([psnr(a, b, mask=held.mask) for a,b in zip(pictures, photos)])
    return {name: float(each[which].mean()) if which.any() else None for name,which in
            dict(inside=~outside, outside=outside).items()}


def measure(name, cap):
    "Rows of the table for one surface"
    for layout,seen in layouts(cap.lights).items():
        if seen.sum() < 3 or seen.all(): continue
        some,held = cap[seen], cap[~seen]
        outside = (held.lights@light_cone(some.lights)[:, 2].T > 1e-6).any(1)
        for method,(kind,settings) in METHODS.items():
            r = fit(some, kind, **settings)
            now,before = (figures(o, held, outside) for o in (r.relight(held.lights), plain(r, some, held.lights)))
            yield dict(scene=name, layout=layout, seen=int(seen.sum()), method=method, **now,
                       **{f'plain_{k}': v for k,v in before.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('captures', nargs='?')
    parser.add_argument('--out', default=RESULTS/'sparse_lights.json')
    parser.add_argument('--size', type=int, default=96)
    args = parser.parse_args()
    scenes = {kind: render(make_surface(kind, material, args.size, seed=i), lamps())
              for i,(kind,material) in enumerate(SURFACES.items())}
    folders = sorted(o.parent for o in Path(args.captures).glob('*/*.lp')) if args.captures else []
    rows = []
    warnings.simplefilter('ignore')
    for name,cap in [*scenes.items(), *((o.name, Capture.load(o, size=args.size)) for o in folders)]:
        rows += measure(name, cap)
        print(name, flush=True)
    table = pd.DataFrame(rows)
    columns = ['inside', 'plain_inside', 'outside', 'plain_outside']
    means = table.groupby(['layout', 'method'], sort=False)[columns].mean().round(2)
    print(means.to_string())
    results = dict(commit=_commit(), scenes=len(table.scene.unique()), size=args.size,
                   table=json.loads(means.reset_index().to_json(orient='records')))
    Path(args.out).write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__': main()
