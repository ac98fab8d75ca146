"""Lights without a ball: kinds of surface, what is refused, what is announced"""
import warnings
import numpy as np, pytest
from illuminet.capture import Capture
from illuminet.core import InputError
from illuminet.lights import dome
from illuminet.synth import synth_capture
from illuminet.uncalibrated import estimate_lights


def angles(a, b): return np.degrees(np.arccos((a*b).sum(1).clip(-1, 1)))


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return estimate_lights(*args, **kwargs)


@pytest.fixture(scope='module')
def coin(): return synth_capture('coin', 'bronze', n=30, size=96, seed=3)


@pytest.fixture(scope='module')
def found(coin): return quiet(coin.images)


def test_coin(coin, found):
    error = angles(found.lights, coin.lights)
    assert np.median(error) < 12 and not found.closed
    assert np.mean(error < 2*found.uncertainty_deg) > .7
    assert np.allclose(np.linalg.norm(found.lights, axis=1), 1, atol=1e-4)


def test_known_lights_are_not_used(coin, found):
    assert np.allclose(quiet(coin).lights, found.lights, atol=1e-3)


@pytest.mark.parametrize('dtype', ['uint16', 'float32'])
def test_same_for_every_type(coin, found, dtype):
    x = coin.images.astype(np.float32)/255
    x = (x*65535).round().astype(np.uint16) if dtype == 'uint16' else x
    assert np.median(angles(quiet(x).lights, found.lights)) < 2


def test_linear_photos(coin, found):
    linear = Capture(coin.float(linear=True), linear=True)
    assert np.median(angles(quiet(linear).lights, found.lights)) < 2


def test_unequal_order(coin, found):
    order = np.random.default_rng(0).permutation(len(coin))
    assert np.median(angles(quiet(coin.images[order]).lights, found.lights[order])) < 2


@pytest.mark.parametrize('kind, material', [('carved', 'stone'), ('cracked', 'clay')])
def test_reliefs(kind, material):
    cap = synth_capture(kind, material, n=49, size=96, seed=5)
    lights = quiet(cap.images).lights
    opposite = lights*[-1, -1, 1]
    assert min(np.median(angles(o, cap.lights)) for o in (lights, opposite)) < 12


def test_figure_is_recognised():
    cap = synth_capture('lumps', 'plaster', lights=dome(12, np.radians(65)), size=96, seed=1)
    found = quiet(cap.images)
    assert found.closed and found.uncertainty_deg.min() >= 12


@pytest.mark.parametrize('photos, words', [
    (np.zeros((3, 40, 40, 3), np.uint8), '6 or more'),
    (np.full((8, 40, 40, 3), 99, np.uint8), 'no relief'),
    (np.zeros((8, 40, 40, 3), np.uint8), '400 pixels'),
    (np.full((8, 9, 9, 3), 99, np.uint8), '400 pixels'),
    (np.random.default_rng(0).integers(60, 200, (12, 64, 64, 3)).astype(np.uint8), 'no surface'),
])
def test_refused(photos, words):
    with pytest.raises(InputError, match=words): estimate_lights(photos)


def test_small_mask_is_refused(coin):
    mask = np.zeros(coin.shape[1:3], bool)
    mask[:10, :10] = True
    with pytest.raises(InputError, match='400 pixels'): estimate_lights(coin.images, mask=mask)
