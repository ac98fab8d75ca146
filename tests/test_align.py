"""Photos that moved by known amounts are put back; those that did not stay; what cannot be registered is named."""
import numpy as np, pytest
from illuminet.align import _put_back, _Box, _sizes, align_folder
from illuminet.learner import *
from helpers import good, refused

SURFACES = [('coin', 'bronze'), ('carved', 'stone'), ('cracked', 'plaster')]


def moved(cap, moves):
    "Move photos by (shift right, shift down, scale - 1, turn)"
    box = _Box(0, 0, *cap.shape[1:3])
    return Capture(np.stack([_put_back(o, -np.asarray(m), box) for o, m in zip(cap.images, moves)]), cap.lights, cap.names)


@pytest.fixture(scope='module', params=SURFACES, ids=' '.join)
def cap(request):
    "A rendered capture, at rest"
    return synth_capture(*request.param, n=24, size=(120, 132), seed=5)


def test_rest(cap):
    "Photos at rest keep their pixels"
    res = align(cap)
    assert not res.moved.any() and np.median(res.sizes) < .15
    assert np.array_equal(res.capture.images, cap.images)


def test_few(cap):
    "A few photos that moved are found and put back to half a pixel in the corners"
    moves = np.zeros((24, 4))
    moves[[2, 7, 11, 16]] = [(2.4, -1.7, 0, 0), (-3.3, .6, 0, .012), (1.2, 2.8, .006, 0), (-1.6, -2.2, -.004, -.008)]
    res = align(moved(cap, moves))
    assert set(np.flatnonzero(res.moved)) >= {2, 7, 11, 16} and res.moved.sum() <= 5
    assert _sizes(res.moves-moves, 120, 132)[[2, 7, 11, 16]].max() < .7
    assert np.array_equal(res.capture.lights, cap.lights)
    x, y, w, h = res.crop
    assert res.capture.shape[1:3] == (h, w) and 110 < w < 132 and 100 < h < 120


def test_bump():
    "The tripod is hit half way through: one half is put on the other"
    cap = synth_capture('carved', 'stone', n=24, size=(120, 132), seed=5)
    order = np.random.default_rng(0).permutation(24)
    moves = np.zeros((24, 4))
    moves[12:] = 3.4, -2.3, 0, .004
    res = align(moved(cap[order], moves))
    left = res.moves - moves
    assert _sizes(left - np.median(left, 0), 120, 132).max() < .8


def test_without_lights():
    "Lights are not needed"
    cap = synth_capture('coin', 'bronze', n=20, size=120, seed=5)
    moves = np.zeros((20, 4))
    moves[4] = 3.2, -2.1, 0, 0
    res = align(Capture(moved(cap, moves).images, None))
    assert res.moved[4] and res.capture.lights is None
    assert _sizes(res.moves-moves, 120, 120)[4] < .8


def test_types(cap):
    "Photos keep their type and meaning, and a mask is cropped along"
    moves = np.zeros((24, 4))
    moves[7] = 2.5, 0, 0, 0
    shot = moved(cap, moves)
    deep = Capture(shot.images.astype(np.uint16)*257, cap.lights, mask=np.ones((120, 132), bool), linear=True)
    res = align(deep).capture
    assert res.images.dtype == np.uint16 and res.linear and res.mask.shape == res.shape[1:3]


def test_refused(cap):
    "A photo without structure, among others that moved, is named"
    moves = np.zeros((24, 4))
    moves[7] = 4.5, 0, 0, 0
    images = moved(cap, moves).images
    images[3] = 0
    with pytest.raises(InputError, match='image003.png.*nothing in common.*skip'): align(Capture(images, cap.lights))
    with pytest.raises(InputError, match='two or more'): align(cap[:1])


def test_many_lost(cap):
    "Many photos that cannot be placed are refused by name, not written as they are"
    images = np.stack([np.roll(o, 34*(i%2), axis=1) for i, o in enumerate(cap.images)])
    with pytest.raises(InputError, match='cannot be registered.*image'): align(Capture(images, cap.lights))


def test_black_photo_at_rest(cap):
    "A black photo in a capture at rest is left as it is, with a warning"
    images = cap.images.copy()
    images[3] = 0
    with pytest.warns(UserWarning, match='image003.png.*left as they are'): res = align(Capture(images, cap.lights))
    assert np.array_equal(res.capture.images, images)


def test_large(tmp_path, monkeypatch):
    "Large photos are refined at full size, to less than a pixel"
    monkeypatch.setattr('illuminet.align._SIDE', 120)
    monkeypatch.setattr('illuminet.align._TILE', 96)
    cap = synth_capture('carved', 'stone', n=8, size=300, seed=2)
    moves = np.zeros((8, 4))
    moves[[3, 6]] = (7.3, -4.6, 0, 0), (-3.2, 2.7, 0, .004)
    moved(cap, moves).save(tmp_path/'shaken')
    res = align_folder(tmp_path/'shaken', tmp_path/'out')
    assert _sizes(res.moves-moves, 300, 300)[[3, 6]].max() < 1
    assert Capture.load(tmp_path/'out').shape[0] == 8


def test_folder(tmp_path):
    "A folder without lights is registered; photos may be left out; the command prints what it did"
    cap = synth_capture('coin', 'bronze', n=12, size=104, seed=5)
    (tmp_path/'in').mkdir()
    for i, image in enumerate(cap.images): write_png(tmp_path/f'in/{i:02d}.png', np.roll(image, 3*(i == 5), axis=1))
    text = good('align', tmp_path/'in', '--out', tmp_path/'out', '--skip', '01.png')
    assert '05.png' in text and len([*(tmp_path/'out').iterdir()]) == 11
    refused('align', tmp_path/'in', '--out', tmp_path/'new', '--skip', 'none.png', says='none.png')
    assert not (tmp_path/'new').exists()


def test_positions_stay(tmp_path):
    "Positions of near lamps stay positions"
    cap = synth_capture('carved', 'stone', n=12, size=104, seed=5)
    cap.save(tmp_path/'in')
    rows = [f'{n} {x*300:.3f} {y*300:.3f} {z*300:.3f}' for n, (x, y, z) in zip(cap.names, cap.lights)]
    (tmp_path/'in/lights.lp').write_text('\n'.join(['12', *rows]))
    align_folder(tmp_path/'in', tmp_path/'out')
    assert '300' in (tmp_path/'out/lights.lp').read_text() or float((tmp_path/'out/lights.lp').read_text().split()[-1]) > 10
