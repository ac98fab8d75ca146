"""How well one photo is relit: the table of `illuminet.benchmark.one_photo_table` on a folder of captures

    python benchmarks/one_photo.py FOLDER_OF_CAPTURES [--out one_photo.json]

It is made with the photo's light found, and with it given, in about four minutes on two cores. The photos may come from
captures that cannot be published; only figures are written."""
import argparse, json
from pathlib import Path
import torch
from illuminet.benchmark import _commit, one_photo_table, table_line
from illuminet.learner import Capture, as_lights, find_light, fit, relight
from common import RESULTS


def found(photo, light, lights): return relight(photo, lights)
def given(photo, light, lights): return fit(Capture(photo[None], light[None])).relight(lights)
def find(photo): return as_lights(find_light(photo)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('captures')
    parser.add_argument('--out', default=RESULTS/'one_photo.json')
    args = parser.parse_args()
    results = dict(commit=_commit(), threads=torch.get_num_threads(), torch=torch.__version__)
    for name, functions in dict(found=(found, find), given=(given,)).items():
        table = one_photo_table(args.captures, *functions)
        print(f'light {name}: {table_line(table)}', flush=True)
        results[name] = table.round(3).reset_index(names='capture').to_dict('records')
    Path(args.out).write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__': main()
