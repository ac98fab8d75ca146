"""Lights from balls: ten scenes of the benchmark, large photos, single photos, files."""
import sys, warnings
from pathlib import Path
import numpy as np, pytest
from PIL import Image
from illuminet.balls import find_lights
from illuminet.core import InputError
from illuminet.lights import dome, turn_lights
from illuminet.metrics import angular_error_deg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'benchmarks'))
from balls import measure


def ball_photos(lights, size=120, places=((45, 52),), radius=28, kind='glossy'):
    "Photos of balls on a grey board: a glossy one mirrors a small lamp, a matt one is shaded"
    y,x = np.mgrid[:size,:size].astype(float)
    board = .25+.05*np.sin(x/3)*np.sin(y/5)
    res = []
    for l in lights:
        im = board*max(l[2], 0)
        for cx,cy in places:
            u,v = (x-cx)/radius, (cy-y)/radius
            up = np.sqrt(np.maximum(1-u*u-v*v, 0))
            n = np.stack([u, v, up], -1)
            half = (l+[0, 0, 1])/np.linalg.norm(l+[0, 0, 1])
            shine = 40*np.exp(-np.maximum(1-n@half, 0)/.0009)
            ball = .02+shine if kind == 'glossy' else .7*np.maximum(n@l, 0)+.03
            im = np.where(up > 0, ball, im)
        res.append(im)
    res = np.stack(res)+.003*np.random.default_rng(0).normal(size=(len(lights), size, size))
    coded = np.clip(res, 0, 1)**(1/2.2)
    return (np.repeat(coded[...,None], 3, -1)*255).round().astype(np.uint8)


@pytest.mark.parametrize('seed', range(10))
def test_scenes_are_never_silently_wrong(seed):
    "A scene is found to 3 degrees, or refused, or its uncertainty is stated"
    res = measure(seed, size=240, photos=8)
    assert 'refused' in res or res['median'] < 3+res['stated_deg'], res


@pytest.mark.parametrize('kind', ['glossy', 'matt'])
@pytest.mark.parametrize('places', [((45, 52),), ((35, 35), (85, 80))])
def test_kinds_and_places(kind, places):
    lights = dome(9, .6)
    found = find_lights(ball_photos(lights, places=places, kind=kind, radius=26), focal=np.inf)
    assert angular_error_deg(found.lights, lights) < 1.5
    assert found.kinds == [kind]*len(places)


def test_large_photos_are_read_in_full():
    "A ball that is small in the reduced photo is measured in the full one"
    lights = dome(6, .6)
    small = ball_photos(lights, size=300, places=((90, 110),), radius=24)
    large = np.pad(small, ((0, 0), (0, 700), (0, 900), (0, 0)), constant_values=70)
    found = find_lights(large, focal=np.inf)
    assert angular_error_deg(found.lights, lights) < 2
    assert np.abs(np.subtract(found.balls[0], (90, 110, 24))).max() < 1


def test_sixteen_bits_and_floats_give_the_same():
    lights = dome(6, .6)
    photos = ball_photos(lights)
    deep = (photos.astype(np.uint16)*257, photos.astype(np.float32)/255)
    for other in deep: assert angular_error_deg(find_lights(other, focal=np.inf).lights, lights) < 1.5


def test_turned_photos():
    lights = dome(6, .6)
    found = find_lights(np.rot90(ball_photos(lights), axes=(1, 2)), focal=np.inf)
    assert angular_error_deg(found.lights, turn_lights(lights)) < 1.5


def test_files_of_different_size_are_refused(tmp_path):
    for i,n in enumerate((64, 64, 65)): Image.new('RGB', (n, 64)).save(tmp_path/f'{i}.png')
    with pytest.raises(InputError, match='crop or resize'): find_lights(tmp_path)


@pytest.mark.parametrize('make', [lambda: np.zeros((5, 64, 64, 3), np.uint8), lambda: np.full((5, 64, 64, 3), 255, np.uint8),
                                  lambda: np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), np.uint8),
                                  lambda: np.zeros((1, 8, 8, 3), np.uint8)])
def test_photos_without_a_ball_are_refused(make):
    with pytest.raises(InputError, match='photos: '): find_lights(make())


def test_a_disc_is_no_ball():
    "A flat round plate that is lit evenly has an outline, yet no shading of a ball"
    lights = dome(8, .5)
    y,x = np.mgrid[:120,:120]
    on = np.hypot(x-60, y-60) < 35
    photos = np.stack([np.where(on, .8, .2)*l[2] for l in lights])
    photos = np.repeat((photos[...,None]*255).astype(np.uint8), 3, -1)
    with pytest.raises(InputError, match='no ball'): find_lights(photos)


def test_distance_is_warned_of():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        find_lights(ball_photos(dome(6, .6), places=((35, 35),), radius=20))
    assert 'the camera is taken as distant' in str(caught[0].message)
