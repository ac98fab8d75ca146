"""Models are not changed by readers: each method relights from eight threads as from one. Outputs are locked."""
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, pytest, torch
from illuminet.benchmark import METHODS
from illuminet.core import _libraries, one_blas_thread
from illuminet.learner import Capture, InputError, Relightable, SurfaceNet, bake, dome, fit, sample_capture

cap = sample_capture(32)
quick = dict(epochs=1, steps=2, size=16, widths=(4, 8))
few = dict(steps=10)
MAKE = METHODS | {  # less training than there, and the methods for few photos or made from others
    'pixelnet': lambda cap: fit(cap, 'pixelnet', **few),
    'pixelnet-20': lambda cap: fit(cap, 'pixelnet', hidden=20, teacher=dict(few, hidden=50), **few),
    'unet': lambda cap: fit(cap, 'unet', **quick),
    'trained': lambda cap: fit(cap, 'trained', **quick),
    'hsh': lambda cap: fit(cap, 'hsh'),
    'kriging': lambda cap: fit(cap, 'kriging'),
    'bilinear': lambda cap: fit(cap, 'bilinear'),
    'photo': lambda cap: fit(Capture(cap.images[:1], None), 'photo'),
    'two': lambda cap: fit(cap[[0, 20]], 'two'),
    'gridded': lambda cap: bake(fit(cap, 'rbf'), 9, clusters=1).gridded(),
}


def state(r): return {key: a.tobytes() for key, a in r.tensors.items()}, repr(r.config)


def at_once(work, count=8):
    "Call a function of 0, 1, … from as many threads, which start together; return the results"
    start = threading.Barrier(count)
    def one(i):
        start.wait()
        return work(i)
    with ThreadPoolExecutor(count) as pool: return list(pool.map(one, range(count)))


def test_all_methods_are_tried(): assert {*MAKE} >= {*METHODS, *Relightable.methods}


def switch_on(r):
    "Let a network of little training add something to its base"
    with torch.no_grad():
        r.model.head.weight.normal_(generator=torch.Generator().manual_seed(0))
        r.model.strength.fill_(1.)


@pytest.mark.parametrize('name', MAKE)
def test_relight_from_eight_threads(name, tmp_path):
    "A fitted model and a loaded one give the pictures that one thread gets, and stay as they are"
    r, lights = MAKE[name](cap), dome(8)
    if name in ('trained', 'unet'): switch_on(r)
    saved, before = r.save(tmp_path/'model'), state(r)
    for model in (r, Relightable.load(saved), Relightable.load(saved, lazy=True)):
        if model is r or name in ('trained', 'unet'): alone = [model.relight(light) for light in lights]
        def relight_three(i): return [(j % 8, model.relight(lights[j % 8])) for j in range(i, i + 3)]
        for pictures in at_once(relight_three):
            for j, picture in pictures: np.testing.assert_allclose(picture, alone[j], atol=1e-4)
    assert state(r) == before


def test_relight_of_a_fresh_model_from_eight_threads(tmp_path):
    "What is built on first use is built by all of them at once"
    saved = MAKE['trained'](cap).save(tmp_path/'model')
    for _ in range(2):
        r = Relightable.load(saved)
        r.__dict__.pop('_model', None)
        first, *others = at_once(lambda i: r.relight((0, .6, .8)))
        for picture in others: np.testing.assert_allclose(picture, first, atol=1e-5)


def test_one_output_from_eight_threads(tmp_path):
    "One of them writes, the others are refused or come later; the output is whole, and of one of them"
    methods = 'ptm', 'hsh', 'rbf', 'kriging'
    models = [fit(cap, method) for method in methods]*2
    def save(i):
        try: models[i].save(tmp_path/'model')
        except InputError as e:
            assert 'another run is writing it' in str(e)
            return False
        return True
    for _ in range(60):
        assert any(at_once(save))
        assert Relightable.load(tmp_path/'model').method in methods
        assert sorted(path.name for path in tmp_path.rglob('*')) == ['config.json', 'model', 'model.safetensors']


def test_load_while_it_is_saved(tmp_path):
    "A reader gets the model of before or the one of after"
    models, ended = [fit(cap, method) for method in ('ptm', 'rbf')], threading.Event()
    models[0].save(tmp_path/'model')
    def read():
        loaded = set()
        while not ended.is_set(): loaded.add(Relightable.load(tmp_path/'model').method)
        return loaded
    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for i in range(100): models[i % 2].save(tmp_path/'model')
        ended.set()
        assert set.union(*(reader.result() for reader in readers)) <= {'ptm', 'rbf'}


def blas_threads(): return [library['num_threads'] for library in _libraries().info() if library['user_api'] == 'blas']


def test_limit_of_cores_is_taken_back():
    "Threads that limit the cores for a while leave the limit as it was"
    def hold(i):
        time.sleep(.02*i)  # they end in the order in which they began
        with one_blas_thread():
            assert set(blas_threads()) == {1}
            time.sleep(.1)
    setter = one_blas_thread().setter  # OpenBLAS obeys one thread alone
    two = setter.submit(_libraries().limit, limits=2, user_api='blas').result()
    before = blas_threads()
    at_once(hold)
    after = blas_threads()
    two.restore_original_limits()
    assert set(before) == {2} and after == before


def test_standard_output_survives_loading_in_threads():
    "Loading a network does not replace the standard output for other threads"
    kept = sys.stdout
    at_once(lambda i: SurfaceNet.from_pretrained())
    assert sys.stdout is kept
