"""Models are immutable for readers: each method relights from eight threads as from one. Outputs are locked between threads."""
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, pytest, torch
from illuminet.learner import Capture, InputError, Relightable, bake, dome, sample_capture
from illuminet.learner import fit
from illuminet.benchmark import METHODS
from illuminet.core import _libraries, one_blas_thread
from illuminet.surface import SurfaceNet

torch.set_num_threads(1)
cap = sample_capture(32)
quick = dict(epochs=1, steps=2, size=16, widths=(4, 8))
few = dict(steps=10)

# as in METHODS, with less training; and the methods that are for few photos, or made from others
MAKE = METHODS | dict(pixelnet=lambda c: fit(c, 'pixelnet', **few), unet=lambda c: fit(c, 'unet', **quick), trained=lambda c: fit(c, 'trained', **quick)) | {
    'pixelnet-20': lambda c: fit(c, 'pixelnet', hidden=20, teacher=dict(few, hidden=50), **few), 'hsh': lambda c: fit(c, 'hsh'), 'kriging': lambda c: fit(c, 'kriging'), 'bilinear': lambda c: fit(c, 'bilinear'),
    'photo': lambda c: fit(Capture(c.images[:1], None), 'photo'), 'two': lambda c: fit(c[[0, 20]], 'two'), 'gridded': lambda c: bake(fit(c, 'rbf'), 9, clusters=1).gridded()}

def state(r): return {k: v.tobytes() for k,v in r.tensors.items()}, repr(r.config)

def test_all_methods_are_tried(): assert {*MAKE} >= {*METHODS, *Relightable.methods}

@pytest.mark.parametrize('name', MAKE)
def test_relight_from_eight_threads(name, tmp_path):
    r = MAKE[name](cap)
    if name in ('trained', 'unet'):
        with torch.no_grad(): r.model.head.weight.normal_(generator=torch.Generator().manual_seed(0)); r.model.strength.fill_(1.)    # else the base alone is asked
    saved,lights = r.save(tmp_path/'model'), dome(8)
    want,before = [r.relight(l) for l in lights], state(r)
    for model in (r, Relightable.load(saved), Relightable.load(saved, lazy=True)):
        if model is not r and name in ('trained', 'unet'): want = [model.relight(l) for l in lights]
        start = threading.Barrier(8)
        def one(i):
            start.wait()
            return [(j, model.relight(lights[j])) for j in [(i+k)%8 for k in range(3)]]
        with ThreadPoolExecutor(8) as pool: got = [o for part in pool.map(one, range(8)) for o in part]
        for j,picture in got: np.testing.assert_allclose(picture, want[j], atol=1e-4)
    assert state(r) == before

def test_relight_of_a_fresh_model_from_eight_threads(tmp_path):
    "What is built on first use is built by all of them at once"
    saved = MAKE['trained'](cap).save(tmp_path/'model')
    for _ in range(2):
        r,start = Relightable.load(saved), threading.Barrier(8)
        r.__dict__.pop('_model', None)
        with ThreadPoolExecutor(8) as pool: got = list(pool.map(lambda i: (start.wait(), r.relight((0, .6, .8)))[1], range(8)))
        for o in got[1:]: np.testing.assert_allclose(o, got[0], atol=1e-5)

def test_one_output_from_eight_threads(tmp_path):
    "One of them writes, others are refused or come later; what stands there is whole, and of one of them"
    models = [fit(cap, m) for m in ('ptm', 'hsh', 'rbf', 'kriging')]*2
    ended = 0
    for i in range(60):
        start = threading.Barrier(8)
        def one(r):
            start.wait()
            try: r.save(tmp_path/'model')
            except InputError as e: assert 'another run is writing it' in str(e), e; return 0
            return 1
        with ThreadPoolExecutor(8) as pool: ended += (n := sum(pool.map(one, models)))
        assert n and Relightable.load(tmp_path/'model').method in ('ptm', 'hsh', 'rbf', 'kriging')
        assert sorted(o.name for o in tmp_path.rglob('*')) == ['config.json', 'model', 'model.safetensors']
    assert ended

def test_load_while_it_is_saved(tmp_path):
    "A reader gets the model of before or the one of after"
    models,ended = [fit(cap, m) for m in ('ptm', 'rbf')],threading.Event()
    models[0].save(tmp_path/'model')
    def read():
        got = set()
        while not ended.is_set(): got.add(Relightable.load(tmp_path/'model').method)
        return got
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for i in range(100): models[i%2].save(tmp_path/'model')
        ended.set()
        assert set.union(*(o.result() for o in readers)) <= {'ptm', 'rbf'}

def test_limit_of_cores_is_taken_back():
    cores = lambda: [o['num_threads'] for o in _libraries().info() if o['user_api'] == 'blas']
    before,start = cores(), threading.Barrier(8)
    def hold(i): # they end in the order in which they began
        start.wait(); time.sleep(.02*i)
        with one_blas_thread(): time.sleep(.1)
    with ThreadPoolExecutor(8) as pool: list(pool.map(hold, range(8)))
    assert cores() == before

def test_standard_output_survives_loading_in_threads():
    kept = sys.stdout
    with ThreadPoolExecutor(8) as pool: list(pool.map(lambda i: SurfaceNet.from_pretrained(), range(8)))
    assert sys.stdout is kept
