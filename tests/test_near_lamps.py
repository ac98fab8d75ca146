"Photos under near lamps: found, converted and announced, whether loaded or read in strips"
import math
import warnings

import numpy as np
import pytest

from helpers import good, refused
from illuminet.core import InputError
from illuminet.capture import Capture
from illuminet.images import linear_to_srgb, write_png
from illuminet.lights import rings
from illuminet.near_lamps import lamp_rays, picture_points
from illuminet.photometry import normals
from illuminet.stream import Strips

SIZE = 64


def board(folder, distance=1.5, unit=200., write_positions=True):
    "A white board under lamps at 1.5 picture widths; the picture is 200 units wide"
    lamps = distance * rings()
    directions, fall_off = lamp_rays(lamps, picture_points(SIZE, SIZE))
    light = (.6 * directions[..., 2] * fall_off).clip(0, 1)
    folder.mkdir()
    rows = [str(len(lamps))]
    for i, (one, lamp) in enumerate(zip(light, lamps * unit if write_positions else rings())):
        write_png(folder / f'{i:02}.png', (linear_to_srgb(np.repeat(one[..., None], 3, -1)) * 255).round().astype(np.uint8))
        rows.append('{:02}.png {:.6f} {:.6f} {:.6f}'.format(i, *lamp))
    (folder / 'lights.lp').write_text('\n'.join(rows))
    return folder


def tilt(capture):
    "Mean angle of the normals to the camera, in degrees"
    return np.rad2deg(np.arccos(normals(capture)[..., 2].clip(-1, 1))).mean()


def loaded(folder, **options):
    "The capture, and what was said"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        return Capture.load(folder, **options), [str(o.message) for o in caught]


@pytest.mark.parametrize('options, positions, says', [
    (dict(scale=200), True, None),
    (dict(distance=1.5), True, None),
    (dict(distance=1.5), False, None),
    ({}, True, 'picture 199'),
    ({}, False, 'near lamps'),
    (dict(size=32), True, 'pass scale='),
    (dict(size=32, scale=200), True, None),
], ids=str)
def test_board_is_flat(options, positions, says, tmp_path):
    "However the lamps are known, the board is flat; an estimate is announced once"
    capture, said = loaded(board(tmp_path / 'a', write_positions=positions), **options)
    assert tilt(capture) < 1
    assert len(said) == bool(says) and all(says in o for o in said), said


@pytest.mark.parametrize('unit', [.2, 1, 20, 200, 7.9], ids=str)
def test_any_unit(unit, tmp_path):
    "Metres, centimetres, millimetres, inches: a unit in which the lengths are well away from 1 is noticed"
    capture, _ = loaded(board(tmp_path / 'a', unit=unit))
    assert tilt(capture) < 1


def test_photos_can_stay_as_they_are(tmp_path):
    capture, said = loaded(board(tmp_path / 'a'), distance=math.inf)
    assert tilt(capture) > 10 and said == []


def test_far_lamps_change_nothing(tmp_path):
    "Positions of lamps that are too far to matter: said, and the photos stay"
    folder = board(tmp_path / 'a', distance=50)
    capture, said = loaded(folder)
    assert len(said) == 1 and 'no fall-off' in said[0]
    assert np.array_equal(capture.images, Capture.load(folder, distance=math.inf).images)


@pytest.mark.parametrize('options', [dict(scale=200), {}, dict(distance=math.inf)], ids=str)
def test_strips_are_what_load_reads(options, tmp_path):
    folder = board(tmp_path / 'a')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        strips = Strips(folder, values=16 * SIZE * 49 * 3, **options)
        rows = [strip.copy() for _, strip in strips]
        whole = Capture.load(folder, **options).images
    difference = np.abs(np.concatenate(rows, 1).astype(int) - whole)
    assert len(rows) == 4 and difference.max() <= 3


@pytest.mark.parametrize('options, says', [
    (dict(scale=0), 'scale=0'), (dict(scale=-1), 'scale=-1'), (dict(distance=.2), 'distance=0.2'),
    (dict(distance=math.nan), 'distance=nan'), (dict(scale=math.nan), 'scale=nan')], ids=str)
def test_impossible_numbers(options, says, tmp_path):
    with pytest.raises(InputError, match=says): Capture.load(board(tmp_path / 'a'), **options)


def test_scale_needs_positions(tmp_path):
    with pytest.raises(InputError, match='holds directions'):
        Capture.load(board(tmp_path / 'a', write_positions=False), scale=200)


def test_commands_take_the_options(tmp_path):
    "The options reach the photos: the pictures differ, and a known scale is not announced"
    folder = board(tmp_path / 'a')
    outs = {}
    for name, options in dict(known=['--scale', '200'], as_stored=['--distance', 'inf']).items():
        out = tmp_path / f'{name}.png'
        text = good('relight', folder, '--light', '.7,0,.7', '--method', 'rbf', *options, '--out', out)
        assert 'lamp positions' not in text
        outs[name] = out.read_bytes()
    assert outs['known'] != outs['as_stored']
    said = refused('relight', folder, '--light', '.7,0,.7', '--scale', '0', '--out', tmp_path / 'b.png')
    assert 'scale' in said
