"""Bad input guided by coverage: inputs that reach new lines of this package or of Pillow are kept and changed further.

    python tests/guided_fuzz.py TARGET --runs 100000 --seed 0

An input that fails is written to the temporary folder. `test_fuzz.py` tries the same targets, quickly."""
import argparse, os, random, re, sys, tempfile, time, warnings
from pathlib import Path
os.environ |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', HF_HUB_OFFLINE='1')
warnings.simplefilter('ignore')
from fuzz_targets import KINDS, TARGETS, WORDS, check, edited, prepared

reached, is_watched = set(), {}  # lines; code -> whether its lines count


def reaches_new_lines(function):
    "Call a function; return whether it reached lines that none did before"
    before = len(reached)
    def at_line(frame, event, arg):
        if event == 'line': reached.add((frame.f_code, frame.f_lineno))
        return at_line
    def at_call(frame, event, arg):
        code = frame.f_code
        if code not in is_watched: is_watched[code] = bool(re.search(r'/(illuminet|PIL)/', code.co_filename))
        return at_line if is_watched[code] else None
    sys.settrace(at_call)
    try: function()
    finally: sys.settrace(None)
    return len(reached) > before


class Inputs:
    "Inputs worth changing, and random changes of them"
    def __init__(self, seeds, rng): self.kept, self.rng, self.most = list(seeds), rng, 2*max(map(len, seeds))

    def pick(self):
        "Return a kept input, often one of the newest"
        newest = self.kept[-self.rng.randint(1, min(20, len(self.kept)))]
        return newest if self.rng.random() < .3 else self.rng.choice(self.kept)

    def change(self, data):
        "Return the input with one to four changes"
        for _ in range(self.rng.randint(1, 4)):
            data = self.crossed(data) if self.rng.random() < .1 else edited(data, self.edit())
        return data[:self.most]

    def crossed(self, data):
        "Return the start of the input and the end of another"
        other = self.rng.choice(self.kept)
        return data[:self.rng.randrange(len(data) + 1)] + other[self.rng.randrange(len(other) + 1):]

    def edit(self):
        "Return a random edit"
        new = self.rng.choice(WORDS) if self.rng.random() < .4 else self.rng.randbytes(self.rng.randint(1, 4))
        return self.rng.choice(KINDS), self.rng.randrange(1 << 16), new


def fuzz(name, runs, seed):
    "Try a target with changed inputs; keep those that reach new lines"
    start = time.perf_counter()
    with prepared(name) as (folder, seeds):
        inputs = Inputs(seeds, random.Random(f'{name}{seed}'))
        for i in range(runs):
            data = seeds[i] if i < len(seeds) else inputs.change(inputs.pick())
            try: is_new = reaches_new_lines(lambda: check(name, data, folder))
            except Exception:
                found = Path(tempfile.gettempdir())/f'fuzz-{name}-{seed}-{i}'
                found.write_bytes(data)
                print(f'{name}: run {i}, see {found}', flush=True)
                raise
            if is_new and i >= len(seeds): inputs.kept.append(data)
            if (i + 1) % 5000 == 0 or i + 1 == runs:
                print(f'{name}: {i + 1} inputs, {len(reached)} lines, {len(inputs.kept)} kept, '
                      f'{time.perf_counter() - start:.0f} s', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('target', choices=TARGETS)
    parser.add_argument('--runs', type=int, default=100_000)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    fuzz(args.target, args.runs, args.seed)
