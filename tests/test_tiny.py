"""Pictures of one pixel, one row, one column: a result or `InputError`, never an error of a library."""
import numpy as np, pytest
from illuminet.learner import *
from helpers import noise_capture

SIZES = pytest.mark.parametrize('size', [(1, 1), (1, 2), (1, 40), (40, 1), (3, 3)], ids=str)
LIGHTS = [(0, 0, 1), (.6, 0, .8)]
METHODS = ['ptm', 'hsh', 'rbf', 'kriging', 'shadows', 'baked', 'pixelnet', 'photo', 'two']


@SIZES
@pytest.mark.parametrize('method', METHODS)
def test_methods(tmp_path, size, method):
    "A tiny capture is fitted, relit, saved and written for others"
    cap = noise_capture(13, *size)
    if method == 'photo': cap = Capture(cap.images[:1], None)
    if method == 'two': cap = cap[:2]
    r = fit(cap, method, **(dict(steps=2, hidden=4) if method == 'pixelnet' else {}))
    pictures = r.relight(LIGHTS)
    assert pictures.shape == (2, *size, 3)
    assert np.allclose(Relightable.load(r.save(tmp_path/'m')).relight(LIGHTS), pictures, atol=1e-5)
    r.to_html(tmp_path/'a.html')
    assert read_web(r.to_web(tmp_path/'web')).relight(LIGHTS).shape == (2, *size, 3)
    relight_large(r, LIGHTS[0], tmp_path/'a.png')


@SIZES
def test_captures(tmp_path, size):
    "A tiny capture is saved and loaded"
    cap = noise_capture(13, *size)
    cap.save(tmp_path/'cap')
    assert np.array_equal(Capture.load(tmp_path/'cap').images, cap.images)


@SIZES
def test_strips(tmp_path, size):
    "A tiny capture is fitted and relit in strips"
    noise_capture(13, *size).save(tmp_path/'cap')
    for method in ('ptm', 'rbf'):
        relight_large(fit_large(tmp_path/'cap', tmp_path/method, method), LIGHTS[0], tmp_path/'b.png')
    normals_large(tmp_path/'cap', tmp_path/'n.png')


@SIZES
def test_surface_and_light(size):
    "Normals, heights and the light of a tiny photo"
    cap = noise_capture(13, *size)
    assert height(normals(cap)).shape == size
    assert len(find_light(cap.images[0])[1])


@SIZES
def test_networks_refuse(size):
    "Training and evaluation name the least size"
    cap = noise_capture(13, *size)
    for work in (lambda: train(cap.lights, cap.images, epochs=1, steps=1, progress=False),
                 lambda: evaluate(cap, ['ptm']), lambda: fit(cap, 'unet', epochs=1)):
        with pytest.raises(InputError, match='11 ?[x×] ?11'): work()
