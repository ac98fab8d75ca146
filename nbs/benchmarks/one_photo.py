"""How well one photo is relit: the table of `illuminet.benchmark.one_photo_table` on a folder of captures, with the light of the photo found and with it given.

    python nbs/benchmarks/one_photo.py FOLDER_OF_CAPTURES [--out one_photo.json]

About four minutes on two cores. The photos may come from captures that cannot be published; only figures are written."""
import argparse, json
from pathlib import Path
import torch
from illuminet.benchmark import _commit, one_photo_table, table_line
from illuminet.learner import Capture, as_lights, find_light, fit, relight


def found(photo, light, lights): return relight(photo, lights)
def given(photo, light, lights): return fit(Capture(photo[None], light[None])).relight(lights)
def find(photo): return as_lights(find_light(photo)[0])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('captures')
    p.add_argument('--out', default=Path(__file__).with_suffix('.json'))
    a = p.parse_args()
    res = dict(commit=_commit(), threads=torch.get_num_threads(), torch=torch.__version__)
    for name, table in (('found', one_photo_table(a.captures, found, find)), ('given', one_photo_table(a.captures, given))):
        print(f'light {name}: {table_line(table)}', flush=True)
        res[name] = table.round(3).reset_index(names='capture').to_dict('records')
    Path(a.out).write_text(json.dumps(res, indent=1) + '\n')


if __name__ == '__main__': main()
