"""How well lights are found without a ball, and what that costs in relighting

    python benchmarks/uncalibrated.py FOLDER_OF_CAPTURES [--out uncalibrated.json]

The lights are found from all photos of a capture. Every fifth photo is then held out, the methods are fitted to the others
with the true and with the found lights, and the held photos are made again: at their found lights, as a user would who
has no others, and at their true ones. The photos may come from captures that cannot be published; only figures are
written. It takes about five minutes on two cores."""
import argparse, json, warnings
from pathlib import Path
import numpy as np, torch
from illuminet.benchmark import _commit
from illuminet.capture import Capture, captures_in
from illuminet.core import InputError
from illuminet.learner import evaluate
from illuminet.uncalibrated import estimate_lights
from common import RESULTS, seconds

METHODS = 'ptm', 'hsh', 'kriging', 'shadows'
SIZE = 192    # pixels along the longer side
MOST = 100    # photos of a capture; of more, every k-th


def angles(a, b): return np.degrees(np.arccos((a*b).sum(1).clip(-1, 1)))


def with_lights(cap, lights): return Capture(cap.images, lights, mask=cap.mask, linear=cap.linear)


def relighting(cap, found):
    "Return the PSNR of each method: true lights, found lights, and fitted with found lights but relit at true ones"
    seen, held = cap.hold_out(every=5, offset=2)
    seen_found, held_found = with_lights(cap, found).hold_out(every=5, offset=2)
    pairs = dict(true=(seen, held), found=(seen_found, held_found), found_at_true=(seen_found, held))
    return {name: evaluate(pair, METHODS).psnr.round(2).to_dict() for name, pair in pairs.items()}


def measure(folder):
    "Return the figures of one capture"
    cap = Capture.load(folder, size=SIZE, progress=False)
    cap = cap[np.arange(0, len(cap), 1 + (len(cap)-1)//MOST)]
    found = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        time = seconds(lambda: found.append(estimate_lights(cap)))
    lights, stated, opposite, closed = found[0]
    error = angles(lights, cap.lights)
    return dict(capture=folder.name, photos=len(cap), closed=closed, error_deg=round(float(np.median(error)), 1),
                error_90_deg=round(float(np.percentile(error, 90)), 1), stated_deg=round(float(np.median(stated)), 1),
                within_twice_stated=round(float((error < 2*stated).mean()), 2), opposite=round(opposite, 3),
                warnings=len(caught), seconds=round(time, 1), psnr=relighting(cap, lights))


def line(row):
    "Return a row as text"
    true, *others = [np.array([*row['psnr'][key].values()]) for key in ('true', 'found', 'found_at_true')]
    lost = ' '.join('/'.join(f'{d:+.1f}' for d in other-true) for other in others)
    return (f"{row['capture']:32} {row['photos']:3} {row['error_deg']:5} stated {row['stated_deg']:5} "
            f"within twice {row['within_twice_stated']:.2f} {row['seconds']:4} s  dB {lost}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('captures')
    parser.add_argument('--only', default='', help='captures whose name holds this')
    parser.add_argument('--out', default=RESULTS/'uncalibrated.json')
    args = parser.parse_args()
    rows = []
    for folder in captures_in(args.captures):
        if args.only not in folder.name: continue
        try: rows.append(measure(folder))
        except InputError as refused: print(f'{folder.name:32} refused: {refused}', flush=True)
        else: print(line(rows[-1]), flush=True)
    results = dict(commit=_commit(), threads=torch.get_num_threads(), size=SIZE, methods=METHODS, rows=rows)
    if not args.only: Path(args.out).write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__': main()
