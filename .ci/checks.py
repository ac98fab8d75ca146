"""Every check of `make test`. A check is a function that returns what is wrong (an empty list when all is well); its
docstring is the line that is printed. Checks that write do so in a copy of the tree, so the tree stays as it is."""
import ast, base64, importlib, json, os, re, shutil, subprocess, sys, tempfile, time, warnings, zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from pyflakes import checker, messages as m
import links, readme, yaml

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TEMP = tempfile.TemporaryDirectory(prefix='illuminet-checks-')
COPY = Path(TEMP.name).resolve()/'copy'
IGNORED = shutil.ignore_patterns('.git', *(ROOT/'.gitignore').read_text().split())
API, NEWEST = ROOT/'.ci/api.txt', ROOT/'.newest'
CHECKS = []
warnings.simplefilter('ignore', FutureWarning)  # those of torch, at import

def check(f):
    "Register a check."
    CHECKS.append(f)
    return f

def run(*args, cwd=COPY, **env):
    "Run a command; its output, or an error that shows it."
    env = {**os.environ, 'PYTHONDONTWRITEBYTECODE': '1', **env}
    r = subprocess.run([str(a) for a in args], cwd=cwd, env=env, capture_output=True, text=True, timeout=1200)
    if r.returncode: raise RuntimeError(f'{Path(args[0]).name}: exit {r.returncode}\n{(r.stdout + r.stderr)[-6000:]}')
    return r.stdout

def under(folder, pattern='*'):
    "Files below a folder, by their path relative to it."
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob(pattern)) if p.is_file()}

def notebooks(folder=COPY/'nbs'):
    "All notebooks below a folder, read: relative path -> dict."
    return {k: json.loads(p.read_text('utf-8')) for k, p in under(folder, '*.ipynb').items()}

def source(cell): return ''.join(cell['source'])

def texts(nb):
    "All text of a notebook's outputs: (cell number, mime type, text)."
    for i, cell in enumerate(nb['cells']):
        for o in cell.get('outputs', []):
            if 'text' in o: yield i, o['name'], ''.join(o['text'])
            for mime, data in o.get('data', {}).items():
                if mime.startswith('text/') or mime == 'image/svg+xml': yield i, mime, ''.join(data)

def prose(nb):
    "A notebook's markdown, with that of its outputs."
    return '\n\n'.join([source(c) for c in nb['cells'] if c['cell_type'] != 'code']
                       + [t for _, mime, t in texts(nb) if mime == 'text/markdown'])

def differing(made, kept, what, remedy):
    "Relative paths whose bytes differ in two dicts of files."
    return [f'{what}{k}: {remedy}' for k in sorted(made.keys() | kept.keys())
            if k not in made or k not in kept or made[k].read_bytes() != kept[k].read_bytes()]

@check
def export():
    "export in step: illuminet/*.py is what the notebooks say"
    kept = under(ROOT/'illuminet', '*.py')
    for k, p in under(COPY/'illuminet', '*.py').items():
        if k != '__init__.py': p.unlink()
    run(BIN/'nbdev_export')
    return differing(under(COPY/'illuminet', '*.py'), kept, 'illuminet/', 'run make export')

@check
def clean():
    "notebooks clean: no metadata that nbdev_clean would strip"
    run(BIN/'nbdev_clean')
    cleaned = under(COPY/'nbs', '*.ipynb')
    return differing(cleaned, {k: ROOT/'nbs'/k for k in cleaned}, 'nbs/', 'run make export')

@check
def names():
    "pyflakes on the exported modules: no undefined name, star imports followed"
    bad, notices = [], 0
    for k, p in under(COPY/'illuminet', '*.py').items():
        for msg in checker.Checker(ast.parse(p.read_text('utf-8')), k).messages:
            undefined = isinstance(msg, (m.UndefinedName, m.UndefinedLocal, m.UndefinedExport))
            if isinstance(msg, m.ImportStarUsage):
                name, modules = msg.message_args
                undefined = not any(name in star(x.strip()) for x in modules.split(','))
            if undefined: bad.append(f'illuminet/{msg}')
            notices += not undefined
    print(f'     {notices} notices other than undefined names')
    return bad

@cache
def star(module):
    "What `from module import *` gives."
    ns = {'__name__': 'illuminet.x', '__package__': 'illuminet'}
    exec(f'from {module} import *', ns)
    return {k: v for k, v in ns.items() if k[0] != '_'}

def public_names():
    "The frozen list: a line a module, its public names that illuminet.learner hands on; last, what else that gives."
    front, lines = star('illuminet.learner').copy(), []
    rooms = [k[:-3] for k in under(ROOT/'illuminet', '*.py') if k[0] != '_']
    for room in sorted(rooms, key=lambda r: (r == 'learner', r)):  # the front door last: its own are those of no other
        mod = importlib.import_module(f'illuminet.{room}')
        own = [n for n in sorted(mod.__all__) if n in front and front[n] is getattr(mod, n)]
        lines.append([f'{room}:', *own])
        for n in own: del front[n]
    return ''.join(' '.join(line) + '\n' for line in [*lines, ['others:', *sorted(front)]])

@check
def api():
    "public names: what `from illuminet.learner import *` gives is what .ci/api.txt lists"
    now, listed = ({w for line in t.splitlines() for w in [line.split(':')[0] + '.' + n for n in line.split()[1:]]}
                   for t in (public_names(), API.read_text() if API.exists() else ''))
    return [f'{n} is {"new" if n in now else "gone"}: if meant, make api' for n in sorted(now ^ listed)]

@check
def readme_in_step():
    "README in step with nbs/index.ipynb"
    return [] if readme.render() == (ROOT/'README.md').read_text('utf-8') else ['README.md: run make readme']

@check
def form():
    "notebooks: title and promise first, reasons for `eval: false`, sizes, clean outputs"
    bad = []
    for k, nb in notebooks().items():
        if not re.fullmatch(r'# .+\n+> .+', source(nb['cells'][0]).strip()):
            bad.append(f'nbs/{k}: the first cell is `# Title` and `> promise`, no more (the site keeps only these)')
        if (ROOT/'nbs'/k).stat().st_size > 1_000_000: bad.append(f'nbs/{k}: over 1 MB')
        for i, c in enumerate(nb['cells']):
            if re.search(r'^#\| *eval: *false\s*\n(?!# \S)', source(c) + '\n', re.M):
                bad.append(f'nbs/{k} cell {i}: the line after `eval: false` gives the reason')
            for o in c.get('outputs', []):
                if o['output_type'] == 'error' or o.get('name') == 'stderr':
                    bad.append(f'nbs/{k} cell {i}: an error or a warning in the output')
                big = [t for t, d in o.get('data', {}).items() if t in ('image/png', 'image/jpeg')
                       and len(base64.b64decode(''.join(d))) > 150_000]
                if big: bad.append(f'nbs/{k} cell {i}: a picture over 150 kB')
        for i, kind, text in texts(nb):
            if 'Traceback (most recent call last)' in text: bad.append(f'nbs/{k} cell {i}: a traceback')
            if re.search('[\r\x1b\x08\u2588]|<progress|it/s]', text):
                bad.append(f'nbs/{k} cell {i}: a progress bar or control characters')
    for k, p in under(COPY/'nbs/images').items():
        if p.stat().st_size > 150_000: bad.append(f'nbs/images/{k}: over 150 kB')
    return bad

@check
def paths():
    "no absolute machine path in any text"
    where = re.compile(r'(?<![\w./:+~)}\]-])/(?:home|root|tmp|work|mnt|opt|private|Users|var/folders)/[\w.]'
                       r'|file:[/]{3}\w|\b[A-Z]:\\+Users')
    bad = []
    for k, p in under(COPY).items():
        if p.suffix == '.ipynb':
            nb = json.loads(p.read_text('utf-8'))
            parts = [source(c) for c in nb['cells']] + [t for _, _, t in texts(nb)]
        else:
            try: parts = [p.read_text('utf-8')]
            except UnicodeDecodeError: continue
        bad += [f'{k}: …{t[max(0, m.start() - 20):m.end() + 30]!r}' for t in parts for m in where.finditer(t)]
    return bad

@check
def sidebar():
    "site: _quarto.yml names every notebook, and only what exists"
    cfg = yaml.safe_load((ROOT/'_quarto.yml').read_text())
    listed = [n for s in cfg['website']['sidebar']['contents'] for n in s['contents']]
    named = [cfg['format']['html']['css'], cfg['website']['favicon'], *cfg.get('metadata-files', [])]
    linked = (ROOT/'nbs/_quarto.yml').resolve() == ROOT/'_quarto.yml'
    bad = [] if linked else ['nbs/_quarto.yml: must be a link to ../_quarto.yml']
    bad += [f'{n}: named in _quarto.yml, not there' for n in listed + named if not (COPY/'nbs'/n).is_file()]
    return bad + [f'{n}: not in the sidebar, or twice' for n in notebooks() if listed.count(n) != 1]

@check
def docs():
    "site: nbdev processes every notebook"
    # nbdev_proc_nbs without its call to _ensure_quarto, which would download and install Quarto
    run(sys.executable, '-c', 'from nbdev.serve import proc_nbs; proc_nbs(n_workers=2)', PYTHONPATH=str(COPY))
    done = notebooks(COPY/'_proc')
    bad = [f'nbs/{k}: not processed' for k in notebooks() if 'AUTOGENERATED' not in json.dumps(done.get(k, {}))]
    return bad + [f'nbs/{k}: a traceback in its page' for k, nb in done.items() if 'Traceback (most' in json.dumps(nb)]

@check
def resolving():
    "every link, anchor and picture resolves, in notebooks, processed pages and README"
    pages = {k: prose(nb) for k, nb in notebooks(COPY/'_proc').items()}
    docs = {f'nbs/{k}': prose(nb) for k, nb in notebooks().items()}
    return links.broken(COPY, docs | {'README.md': (COPY/'README.md').read_text('utf-8')}, pages)

@check
def wheel():
    "the wheel builds, holds every module and its data, and is no larger than 15 MB"
    src = Path(TEMP.name)/'wheel'
    shutil.copytree(ROOT, src, ignore=IGNORED)
    run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', TEMP.name, src)
    path, = Path(TEMP.name).glob('*.whl')
    inside = zipfile.ZipFile(path).namelist()
    size = path.stat().st_size/1e6
    version = re.search(r'^version = (\S+)', (ROOT/'settings.ini').read_text(), re.M)[1]
    bad = [f'illuminet/{k}: not in the wheel' for k in under(src/'illuminet') if f'illuminet/{k}' not in inside]
    bad += [] if size <= 15 else [f'{path.name}: {size:.1f} MB']
    return bad + ([] if f'-{version}-' in path.name else [f'{path.name}: the version is {version}'])

@check
def speed():
    "speed: what takes seconds to measure, and what of it fell by more than 20 % since nbs/benchmarks/speed.json (told, never a failure)"
    for line in run(sys.executable, ROOT/'nbs/benchmarks/speed.py', '--quick', cwd=TEMP.name).splitlines(): print(f'     {line}')
    return []

@check
def newest():
    "the package runs with the newest fastai and fastcore"
    pip = sys.executable, '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet'
    fast = 'fastai', 'fastcore', 'fasttransform', 'fastprogress', 'fastdownload'
    report = run(*pip, '--dry-run', '--report', '-', '--upgrade', *fast)  # what pip would change, and nothing else
    wanted = sorted(f"{p['metadata']['name']}=={p['metadata']['version']}" for p in json.loads(report)['install'])
    if any(w.startswith('torch') for w in wanted): return [f'the newest fastai wants another torch: {wanted}']
    listed = NEWEST/'versions.txt'
    if not listed.exists() or listed.read_text().split() != wanted:
        shutil.rmtree(NEWEST, ignore_errors=True)
        run(*pip, '--no-deps', '--target', NEWEST, *wanted)
        listed.write_text('\n'.join(wanted))
    out = run(sys.executable, ROOT/'.ci/smoke.py', cwd=TEMP.name, PYTHONPATH=str(NEWEST)).strip()
    print(f'     {out.splitlines()[-1]} ({", ".join(wanted)})')
    named = [w.replace('==', ' ') for w in wanted if re.match('fast(ai|core)=', w)]
    return [f'{w}: not the one that ran' for w in named if w not in out]

@check
def unsafe():
    "nothing that a user opens is executed: no pickle, eval, exec, shell, nor torch.load without weights_only=True"
    def wrong(node):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return any((a.name or '').split('.')[0] in BANNED for a in node.names) or (getattr(node, 'module', None) or '').split('.')[0] in BANNED
        if not isinstance(node, ast.Call): return False
        name, kw = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        return (name in ('eval', 'exec', 'compile', 'os.system', 'torch.hub.load', 'torch.jit.load') or name.split('.')[-1] in ('load_learner', 'read_pickle')
                or name == 'torch.load' and kw.get('weights_only') != 'True'
                or name == 'np.load' and 'allow_pickle' in kw or kw.get('shell') == 'True')
    return [f'illuminet/{k}:{n.lineno}: {ast.unparse(n):.80}' for k, p in under(ROOT/'illuminet', '*.py').items()
            for n in ast.walk(ast.parse(p.read_text('utf-8'))) if wrong(n)]

BANNED = 'pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve'

@check
def fuzz():
    "bad input: some hundred spoilt files of each kind, nothing but InputError"
    for line in run(sys.executable, ROOT/'.ci/fuzz.py', '--examples', 200, cwd=TEMP.name).splitlines(): print(f'     {line}')
    return []

@check
def faults():
    "faults survived: killed runs, full disk, read-only folder, vanishing photos, two runs, wrong models, large files"
    for line in run(sys.executable, ROOT/'.ci/faults.py', '--kills', 1, cwd=TEMP.name).splitlines(): print(f'     {line}')
    return []

@check
def pytests():
    "tests: python -m pytest -q tests"
    print(f"     {run(sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests', cwd=ROOT).splitlines()[-1]}")
    return []

@check
def browser():
    "viewer and widget in Chromium: the picture is Python's, the light goes where it is dragged, no error, no request"
    for line in run(sys.executable, ROOT/'.ci/browser.py', cwd=TEMP.name).splitlines(): print(f'     {line}')
    return []

def timed(f, title):
    "Run one check, say how it went; True when nothing is wrong."
    start = time.time()
    try: bad = f()
    except Exception as e: bad = [f'{type(e).__name__}: {e}']
    lines = [f'{"FAIL" if bad else "ok  "} {title}  {time.time() - start:.1f} s', *(f'       {b}' for b in bad)]
    print(*lines, sep='\n', flush=True)
    return not bad

def tests():
    "nbdev_test, a process a notebook, so that none leans on another; the late rooms, which take longest, first."
    cores = os.cpu_count() or 1
    workers = min(cores, 4)
    env = {f'{lib}_NUM_THREADS': str(cores//workers) for lib in ('OMP', 'MKL', 'OPENBLAS')}

    def one(k):
        def test():
            run(BIN/'nbdev_test', '--path', ROOT/'nbs'/k, cwd=ROOT, **env)
            return []
        return timed(test, f'nbdev_test nbs/{k}')
    before = under(ROOT/'nbs').keys()
    with ThreadPoolExecutor(workers) as pool: results = list(pool.map(one, sorted(notebooks(), reverse=True)))
    left = [f'nbs/{k}: left behind' for k in sorted(under(ROOT/'nbs').keys() - before) if '__pycache__' not in k]
    return results + [timed(lambda: left, 'tests leave no file behind')]

if __name__ == '__main__':
    if '--write-api' in sys.argv: sys.exit(API.write_text(public_names()) and None)
    start = time.time()
    shutil.copytree(ROOT, COPY, symlinks=True, ignore=IGNORED)
    results = [timed(f, f.__doc__) for f in CHECKS] + tests()
    print(f'{time.time() - start:.0f} s')
    print(f'{sum(results)} passed, {len(results) - sum(results)} failed')
    sys.exit(not all(results))
