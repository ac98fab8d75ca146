"""All that `make test` runs: checks of the repository, which are here, the notebooks, and the tests of the package, in tests/.
A check is a function that returns what is wrong (an empty list when all is well); its docstring is the line that is printed.
Checks that write do so in a copy of the tree, so the tree stays as it is. As many notebooks, test files and checks run at once
as there are cores, each with one thread, in a process that is forked from this one."""
import ast, atexit, base64, json, os, re, shutil, signal, subprocess, sys, tempfile, time, traceback, warnings, zipfile
CORES = os.cpu_count() or 1
LIBRARIES = 'OMP', 'MKL', 'OPENBLAS'
os.environ.update({f'{lib}_NUM_THREADS': '1' for lib in LIBRARIES}, OMP_WAIT_POLICY='PASSIVE')  # before any of them is loaded
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from statistics import median
from pyflakes import checker, messages as m
import links, readme, yaml

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TEMP = Path(tempfile.mkdtemp(prefix='illuminet-checks-')).resolve()
COPY, SITE = TEMP/'copy', TEMP/'site'
IGNORED = shutil.ignore_patterns('.git', *(ROOT/'.gitignore').read_text().split())
NEWEST = ROOT/'.newest'
ALL_CORES = {f'{lib}_NUM_THREADS': str(CORES) for lib in LIBRARIES}
MINUTES = 20  # at most, for a task
warnings.simplefilter('ignore', FutureWarning)  # those of torch, at import

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

def modules(nbs):
    "Notebooks that export a module, in order: relative path -> module."
    named = {k: re.search(r'^#\| *default_exp (\S+)', '\n'.join(map(source, nb['cells'])), re.M) for k, nb in nbs.items()}
    return {k: m[1] for k, m in sorted(named.items()) if m}

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

def export():
    "export in step: illuminet/*.py is what the notebooks say"
    kept = under(ROOT/'illuminet', '*.py')
    for k, p in under(COPY/'illuminet', '*.py').items():
        if k != '__init__.py': p.unlink()
    run(BIN/'nbdev_export')
    return differing(under(COPY/'illuminet', '*.py'), kept, 'illuminet/', 'run make export')

def clean():
    "notebooks clean: no metadata that nbdev_clean would strip"
    run(BIN/'nbdev_clean')
    cleaned = under(COPY/'nbs', '*.ipynb')
    return differing(cleaned, {k: ROOT/'nbs'/k for k in cleaned}, 'nbs/', 'run make export')

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

def imports(path):
    "Modules of this package that a module imports, anywhere: (name, line)."
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
        if isinstance(node, ast.Import): found = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = 'illuminet.'*bool(node.level) + (node.module or '')
            found = [base] + [f'{base.rstrip(".")}.{a.name}' for a in node.names]
        else: continue
        for name in found:
            if name.startswith('illuminet.'): yield name.split('.')[1], node.lineno

def layers():
    "every module imports only modules of lower-numbered notebooks"
    order = list(modules(notebooks()).values())
    return [f'illuminet/{name}.py:{line}: imports {other}' for i, name in enumerate(order)
            for other, line in sorted(set(imports(COPY/f'illuminet/{name}.py'))) if other in order[i:]]

def readme_in_step():
    "README in step with nbs/index.ipynb"
    return [] if readme.render() == (ROOT/'README.md').read_text('utf-8') else ['README.md: run make readme']

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

def export_cells(nb):
    "Export cells that hold more than imports: (number, lines of code, whether an example or a test comes within two cells)."
    def is_export(cell): return cell['cell_type'] == 'code' and re.match(r'\s*#\|\s*export', source(cell))
    for i, cell in enumerate(nb['cells']):
        lines = [line for line in source(cell).split('\n') if line.strip() and not line.startswith('#|')]
        if not is_export(cell) or all(re.match(r'from|import|\s|\)', line) for line in lines): continue
        yield i, len(lines), any(c['cell_type'] == 'code' and not is_export(c) for c in nb['cells'][i + 1:i + 3])

def rhythm():
    "rhythm: export cells of at most 30 lines, nine of ten with an example or a test; lines of at most 120 characters"
    nbs = notebooks()
    cells = [(lines, f'nbs/{k} cell {i}', follows) for k in modules(nbs) for i, lines, follows in export_cells(nbs[k])]
    long = [(len(line), f'nbs/{k} cell {i}') for k, nb in nbs.items() for i, cell in enumerate(nb['cells'])
            if cell['cell_type'] == 'code' for line in source(cell).split('\n') if len(line) > 120]
    over, share = [c for c in cells if c[0] > 30], sum(follows for *_, follows in cells)/len(cells)
    print(f'     {len(cells)} export cells: median {median(c[0] for c in cells):g} lines, {len(over)} over 30; '
          f'{len(long)} lines over 120 characters; {100*share:.0f} % followed by an example or a test')
    print('     the longest cells:', ', '.join(f'{place} ({lines})' for lines, place, _ in sorted(cells, reverse=True)[:3]))
    alone = [place for *_, place, follows in cells if not follows]
    if alone: print(f'     without an example: {", ".join(alone[:8])}{" …" if alone[8:] else ""}')
    return ([f'{place}: {lines} lines' for lines, place, _ in sorted(over, reverse=True)]
            + [f'{place}: a line of {n} characters' for n, place in sorted(long, reverse=True)[:20]]
            + ([] if share >= .9 else [f'{len(alone)} export cells have no example or test within two cells']))

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

def sidebar():
    "site: _quarto.yml names every notebook, and only what exists"
    cfg = yaml.safe_load((ROOT/'_quarto.yml').read_text())
    listed = [n for s in cfg['website']['sidebar']['contents'] for n in s['contents']]
    named = [cfg['format']['html']['css'], cfg['website']['favicon'], *cfg.get('metadata-files', [])]
    linked = (ROOT/'nbs/_quarto.yml').resolve() == ROOT/'_quarto.yml'
    bad = [] if linked else ['nbs/_quarto.yml: must be a link to ../_quarto.yml']
    bad += [f'{n}: named in _quarto.yml, not there' for n in listed + named if not (COPY/'nbs'/n).is_file()]
    return bad + [f'{n}: not in the sidebar, or twice' for n in notebooks() if listed.count(n) != 1]

def docs():
    "site: nbdev processes every notebook"
    # nbdev_proc_nbs without its call to _ensure_quarto, which would download and install Quarto
    shutil.copytree(ROOT, SITE, symlinks=True, ignore=IGNORED)
    run(sys.executable, '-c', 'from nbdev.serve import proc_nbs; proc_nbs(n_workers=1)', cwd=SITE, PYTHONPATH=str(SITE))
    done = notebooks(SITE/'_proc')
    bad = [f'nbs/{k}: not processed' for k in notebooks(SITE/'nbs') if 'AUTOGENERATED' not in json.dumps(done.get(k, {}))]
    return bad + [f'nbs/{k}: a traceback in its page' for k, nb in done.items() if 'Traceback (most' in json.dumps(nb)]

def resolving():
    "every link, anchor and picture resolves, in notebooks, processed pages and README"
    pages = {k: prose(nb) for k, nb in notebooks(SITE/'_proc').items()}
    docs = {f'nbs/{k}': prose(nb) for k, nb in notebooks(SITE/'nbs').items()}
    return links.broken(SITE, docs | {'README.md': (SITE/'README.md').read_text('utf-8')}, pages)

def wheel():
    "the wheel builds, holds every module and its data, and is no larger than 15 MB"
    src = TEMP/'wheel'
    shutil.copytree(ROOT, src, ignore=IGNORED)
    run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', TEMP, src)
    path, = TEMP.glob('*.whl')
    inside = zipfile.ZipFile(path).namelist()
    size = path.stat().st_size/1e6
    version = re.search(r'^version = (\S+)', (ROOT/'settings.ini').read_text(), re.M)[1]
    bad = [f'illuminet/{k}: not in the wheel' for k in under(src/'illuminet') if f'illuminet/{k}' not in inside]
    bad += [] if size <= 15 else [f'{path.name}: {size:.1f} MB']
    return bad + ([] if f'-{version}-' in path.name else [f'{path.name}: the version is {version}'])

def speed():
    "speed: what takes seconds to measure, and what of it fell by more than 20 % (listed, never a failure)"
    for line in run(sys.executable, ROOT/'benchmarks/speed.py', '--quick', cwd=TEMP, **ALL_CORES).splitlines(): print(f'     {line}')
    return []

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
    out = run(sys.executable, ROOT/'.ci/smoke.py', cwd=TEMP, PYTHONPATH=str(NEWEST)).strip()
    print(f'     {out.splitlines()[-1]} ({", ".join(wanted)})')
    named = [w.replace('==', ' ') for w in wanted if re.match('fast(ai|core)=', w)]
    return [f'{w}: not the one that ran' for w in named if w not in out]

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

def timed(f, title):
    "Run one check, print how it went; how many passed and failed."
    start = time.time()
    try: bad = f()
    except Exception as e: bad = [f'{type(e).__name__}: {e}']
    lines = [f'{"FAIL" if bad else "ok  "} {title}  {time.time() - start:.1f} s', *(f'       {b}' for b in bad)]
    print(*lines, sep='\n', flush=True)
    return not bad, bool(bad)

@contextmanager
def apart(folder):
    "Work in a folder as if nothing was imported from here; gives a function that returns what was printed meanwhile."
    del sys.modules['__main__'].__file__  # neither what runs nor a process that it spawns imports anything from here
    sys.path.remove(str(ROOT/'.ci'))
    os.chdir(folder)
    with tempfile.TemporaryFile() as said:
        kept = os.dup(1), os.dup(2)
        for n in (1, 2): os.dup2(said.fileno(), n)
        def printed():
            said.seek(0)
            return said.read().decode('utf-8', 'replace')
        try: yield printed
        finally:
            for o in (sys.stdout, sys.stderr): o.flush()
            for n, fd in zip((1, 2), kept): os.dup2(fd, n)

def notebook(k):
    "nbdev_test of a notebook, in this process."
    from nbdev.config import get_config
    from nbdev.test import test_nb
    with apart(ROOT/'nbs') as printed:
        good, _ = test_nb(ROOT/'nbs'/k, skip_flags=get_config().tst_flags.split(), basepath=ROOT)
        return [] if good else [printed()[-6000:]]

class Tests:
    "A plugin of pytest: the tests that passed, were skipped and failed, and why."
    def __init__(self): self.passed, self.skipped, self.failed = set(), {}, {}
    def pytest_collectreport(self, report):
        if report.failed: self.failed[report.nodeid] = report.longreprtext
    def pytest_runtest_logreport(self, report):
        if report.failed: self.failed[report.nodeid] = '\n'.join([report.longreprtext, report.capstdout, report.capstderr])
        elif report.skipped: self.skipped[report.nodeid] = report.longrepr[-1]
        elif report.when == 'call': self.passed.add(report.nodeid)

def test_file(path):
    "A file of tests, by pytest in this process; prints its failed tests with their assertions, and counts each test."
    import pytest
    start, tests = time.time(), Tests()
    with apart(ROOT) as printed:
        args = ['-q', '--tb=short', '-p', 'no:cacheprovider', f'--basetemp={TEMP/path.stem}', str(path)]
        code = pytest.main(args, plugins=[tests])
        if code not in (0, 1) and not tests.failed: tests.failed[path.name] = printed()
    passed, failed = len(tests.passed - tests.failed.keys()), len(tests.failed)
    print(f'{"FAIL" if failed else "ok  "} tests/{path.name}: {passed} passed, {failed} failed  {time.time() - start:.1f} s')
    for name, why in tests.failed.items(): print(f'FAIL {name}', *(f'       {line}' for line in why[-6000:].splitlines()), sep='\n')
    for why in sorted({why for why in tests.skipped.values()}):
        print(f'     {list(tests.skipped.values()).count(why)} skipped: {why.removeprefix("Skipped: ")}')
    return passed, failed

def chain(*checks):
    "A task: checks that run one after the other."
    return lambda: map(sum, zip(*[timed(f, f.__doc__) for f in checks]))

def tasks():
    "What runs at once with others, each a function that returns how many passed and failed; what takes longest comes first."
    tests = {path.name: partial(test_file, path) for path in sorted((ROOT/'tests').glob('test_*.py'))}
    first = [tests.pop('test_faults.py'), chain(docs, resolving), tests.pop('test_browser.py')]
    return [chain(export, clean, names, layers, readme_in_step, form, rhythm, paths, sidebar, unsafe), *first, *tests.values(),
            chain(wheel, newest),
            *[partial(timed, partial(notebook, k), f'nbdev_test nbs/{k}') for k in sorted(notebooks(), reverse=True)]]

def late(*_):
    "A task is over its time: an error in it, which names it; where that changes nothing, its end a minute later."
    signal.signal(signal.SIGALRM, signal.SIG_DFL); signal.alarm(60)
    raise TimeoutError(f'over {MINUTES} minutes')

def forked(task, log, counts):
    "A task in a process of its own, which takes over what is loaded here and nothing else; its number."
    sys.stdout.flush()
    if pid := os.fork(): return pid
    try:
        for n in (1, 2): os.dup2(log.fileno(), n)
        signal.signal(signal.SIGALRM, late); signal.alarm(60*MINUTES)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what runs in the background ignore it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup this
        sys.dont_write_bytecode, os.environ['PYTHONDONTWRITEBYTECODE'] = True, '1'
        counts.write(json.dumps([int(n) for n in task()]).encode())
    except BaseException: traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # temporary folders go
        for o in (sys.stdout, sys.stderr, counts): o.flush()
        os._exit(0)

def together(tasks, workers):
    "Run tasks, some at once; print what each says when it has ended. How many checks and tests passed and failed."
    running, total, left = {}, [0, 0], iter(tasks)
    while True:
        while len(running) < workers and (task := next(left, None)):
            files = tempfile.TemporaryFile(), tempfile.TemporaryFile()
            running[forked(task, *files)] = task, files
        if not running: return total
        pid, status = os.wait()
        (task, files), texts = running.pop(pid), []
        for file in files:
            with file: file.seek(0); texts.append(file.read().decode('utf-8', 'replace'))
        said, counts = texts
        if not counts: said += f'FAIL {getattr(task, "args", ["checks"])[-1]}: the process ended early, with status {status}\n'
        print(said, end='', flush=True)
        total = [a + b for a, b in zip(total, json.loads(counts or '[0, 1]'))]

def files():
    "Files where notebooks and tests run."
    return {f'{folder}/{k}' for folder in ('nbs', 'tests') for k in under(ROOT/folder) if '__pycache__' not in k}

def main():
    start = time.time()
    shutil.copytree(ROOT, COPY, symlinks=True, ignore=IGNORED)
    before = files()
    counts = together([chain(speed)], 1)
    import matplotlib.pyplot, nbdev.test, torch, fastai.basics  # once for all that is forked, since it takes seconds
    torch.empty(1, device='meta').normal_()  # so does the first initialisation on this device
    def leftover():
        "notebooks and tests leave no file behind"
        return [f'{k}: left behind' for k in sorted(files() - before)]
    for more in (together(tasks(), CORES), together([chain(leftover)], 1)): counts = [a + b for a, b in zip(counts, more)]
    print(f'{time.time() - start:.0f} s')
    print(f'{counts[0]} passed, {counts[1]} failed')
    return counts[1] > 0

if __name__ == '__main__':
    try: sys.exit(main())
    finally: shutil.rmtree(TEMP, ignore_errors=True)
