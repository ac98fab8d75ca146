"""Pictures of one pixel, one row, one column: a result or `InputError`, never a traceback of a library."""
import numpy as np, pytest
from illuminet.learner import *
from illuminet.learner import fit

SIZES = [(1, 1), (1, 2), (1, 40), (40, 1), (3, 3)]
LIGHTS = [(0, 0, 1), (.6, 0, .8)]

def photos(h, w, n=13): return Capture(np.random.default_rng(h*w).integers(0, 256, (n, h, w, 3), np.uint8), dome(n))

@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('method', ['ptm', 'hsh', 'rbf', 'kriging', 'shadows', 'baked', 'pixelnet', 'photo', 'two'])
def test_methods(tmp_path, size, method):
    "Fitted, relit, saved, written for others"
    cap = photos(*size)
    cap = dict(photo=Capture(cap.images[:1], None), two=cap[:2]).get(method, cap)
    r = fit(cap, method, **dict(pixelnet=dict(steps=2, hidden=4)).get(method, {}))
    assert r.relight(LIGHTS).shape == (2, *size, 3)
    assert np.allclose(Relightable.load(r.save(tmp_path/'m')).relight(LIGHTS), r.relight(LIGHTS), atol=1e-5)
    r.to_html(tmp_path/'a.html')
    assert read_web(r.to_web(tmp_path/'web')).relight(LIGHTS).shape == (2, *size, 3)
    relight_large(r, LIGHTS[0], tmp_path/'a.png')

@pytest.mark.parametrize('size', SIZES, ids=str)
def test_the_rest(tmp_path, size):
    "Captures, strips, normals; networks say what they need"
    cap = photos(*size)
    cap.save(tmp_path/'cap'); assert np.array_equal(Capture.load(tmp_path/'cap').images, cap.images)
    for method in ('ptm', 'rbf'): relight_large(fit_large(tmp_path/'cap', tmp_path/method, method), LIGHTS[0], tmp_path/'b.png')
    normals_large(tmp_path/'cap', tmp_path/'n.png')
    assert height(normals(cap)).shape == size and len(find_light(cap.images[0])[1])
    for f in (lambda: train(cap.lights, cap.images, epochs=1, steps=1, progress=False), lambda: evaluate(cap, ['ptm']), lambda: fit(cap, 'unet', epochs=1)):
        with pytest.raises(InputError, match='11 ?[x×] ?11'): f()
