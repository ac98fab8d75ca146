"""Each fault that is put into a capture is found and named; captures without faults give no false alarms."""
import json
import numpy as np, pytest
from scipy.ndimage import gaussian_filter
from illuminet.check import Finding, SEVERITIES, white_card
from illuminet.learner import *
from helpers import good, refused

SURFACES = [('coin', 'bronze'), ('carved', 'stone'), ('lumps', 'terracotta')]
TRUE = {'clipped'}                       # the renderer lets 3 % of the pixels clip, most of them in a few photos


@pytest.fixture(scope='module', params=SURFACES, ids=' '.join)
def cap(request):
    "A rendered capture without faults; its lights come in no order"
    lights = dome(36)[np.random.default_rng(3).permutation(36)]
    return synth_capture(*request.param, lights=lights, size=(108, 112), seed=4)


def names(found): return {o.name for o in found}


def named(found, name):
    "Return the photos that a kind of finding names"
    return {photo for o in found if o.name == name for photo in o.photos}


def linear(cap, change):
    "Return the capture with its linear values changed"
    values = np.clip(change(cap.float(linear=True)), 0, 1)
    return Capture((linear_to_srgb(values)*255).round().astype(np.uint8), cap.lights, cap.names)


def with_photo(cap, i, change):
    "Return the capture with one photo changed"
    images = cap.images.copy()
    images[i] = change(images[i])
    return Capture(images, cap.lights, cap.names)


def with_lights(cap, change):
    lights = cap.lights.copy()
    return Capture(cap.images, change(lights), cap.names)


def near(cap):
    "Return the photos as under lamps at three half diagonals"
    h, w = cap.shape[1:3]
    row, column = np.mgrid[:h, :w]
    at = np.stack([column-(w-1)/2, (h-1)/2-row, 0*row], -1)/np.hypot(h, w)*2
    away = 3*cap.lights[:, None, None] - at
    far = np.linalg.norm(away, axis=-1)
    factor = away[..., 2]/far*9/far**2/np.maximum(cap.lights[:, 2], .1)[:, None, None]
    return linear(cap, lambda x: .6*x*factor[..., None])


def test_no_false_alarm(cap):
    "A capture without faults gives no finding but what is true"
    assert names(check_capture(cap)) <= TRUE


def test_swapped_lights(cap):
    "Two lines of the .lp changed places"
    a, b = int(cap.lights[:, 0].argmin()), int(cap.lights[:, 0].argmax())
    def swap(lights):
        lights[[a, b]] = lights[[b, a]]
        return lights
    assert named(check_capture(with_lights(cap, swap)), 'swapped lights') == {cap.names[a], cap.names[b]}


@pytest.mark.parametrize('axes', [(1, -1, 1), (-1, 1, 1)], ids=['y', 'x'])
def test_mirrored_axis(cap, axes):
    "y counted downwards, or x to the left"
    assert 'axes of the lights' in names(check_capture(with_lights(cap, lambda lights: lights*axes)))


def test_exchanged_axes(cap):
    "x and y changed places"
    assert 'axes of the lights' in names(check_capture(with_lights(cap, lambda lights: lights[:, [1, 0, 2]])))


def test_shuffled(cap):
    "Photos and lights in different orders"
    order = np.random.default_rng(0).permutation(36)
    assert 'lights and photos disagree' in names(check_capture(with_lights(cap, lambda lights: lights[order])))


@pytest.mark.parametrize('order', [lambda lights: lights[::-1], lambda lights: np.roll(lights, 1, 0)], ids=['reversed', 'shifted'])
def test_out_of_step(order):
    "Lights in reverse order or one line off; what follows from it is not reported"
    cap = synth_capture('carved', 'stone', lights=dome(36), size=(108, 112), seed=4)
    assert names(check_capture(with_lights(cap, order))) - TRUE == {'lights out of step'}


def test_blurred(cap):
    "One photo out of focus"
    i = int(cap.lights[:, 2].argsort()[-8])
    found = check_capture(with_photo(cap, i, lambda o: gaussian_filter(o, (1.5, 1.5, 0))))
    assert named(found, 'blurred') == {cap.names[i]}


def test_moved(cap):
    "One photo moved"
    i = int(cap.lights[:, 2].argsort()[-8])
    found = check_capture(with_photo(cap, i, lambda o: np.roll(o, (1, -2), (0, 1))))
    assert named(found, 'moved') == {cap.names[i]}


def test_half_moved(cap, tmp_path):
    "Half of the photos moved: none of them is blurred, and the remedy names the folder"
    images = cap.images.copy()
    images[18:] = np.roll(images[18:], (2, -1), (1, 2))
    Capture(images, cap.lights).save(tmp_path/'in')
    found = check_capture(tmp_path/'in')
    assert names(found) <= TRUE | {'moved'}
    assert any(f"align {tmp_path/'in'} --out {tmp_path/'in'}-aligned" in o.remedy for o in found)


def test_flat_board():
    "Photos of a flat plain board are alike, and show no movement"
    lights = rings()
    y, x = np.mgrid[:96, :96]/96
    level = lights[:, 2, None, None]*(.7 + .1*lights[:, :1, None]*(x-.5) + .1*lights[:, 1:2, None]*(.5-y))
    images = np.repeat((linear_to_srgb(level[..., None].astype(np.float32))*255).round().astype(np.uint8), 3, -1)
    assert not names(check_capture(Capture(images, lights))) & {'same photo twice', 'moved', 'blurred'}


def test_ring_and_zenith():
    "A lamp at the zenith over a ring is not predicted by the others"
    lights = np.concatenate([from_angles(np.linspace(0, 2*np.pi, 15, endpoint=False), .6), [(0, 0, 1)]])
    cap = synth_capture('carved', 'stone', lights=lights, size=108, seed=4)
    assert not names(check_capture(cap)) & {'wrong light', 'exposure differs', 'swapped lights'}


def test_dark(cap):
    "The lamp did not fire once"
    assert named(check_capture(with_photo(cap, 4, lambda o: o//64)), 'dark') == {cap.names[4]}


def test_copied(cap):
    "A photo under two names"
    i, j = int(cap.lights[:, 0].argmin()), int(cap.lights[:, 0].argmax())
    assert named(check_capture(with_photo(cap, i, lambda o: cap.images[j])), 'same photo twice') == {cap.names[i], cap.names[j]}


def test_drift(cap):
    "Lamps that fade, and a white balance that drifts"
    fade = np.linspace(1, .7, 36)[:, None, None, None]
    tint = np.stack([np.ones(36), np.linspace(1, .95, 36), np.linspace(1, .85, 36)], 1)[:, None, None]
    assert 'drift of strength' in names(check_capture(linear(cap, lambda x: x*fade)))
    assert 'drift of colour' in names(check_capture(linear(cap, lambda x: x*tint)))


def test_overexposed(cap):
    "Four times the exposure"
    assert len(named(check_capture(linear(cap, lambda x: 4*x)), 'clipped')) > 18


def test_near_lamps():
    "Fall-off over a flat surface"
    lights = dome(36)[np.random.default_rng(3).permutation(36)]
    cap = synth_capture('carved', 'stone', lights=lights, size=(108, 112), seed=4)
    assert 'near lamps' in names(check_capture(near(cap)))


@pytest.mark.parametrize('lights, name', [
    (from_angles(np.linspace(0, 6, 24), .7), 'ring'), (from_angles(0, np.linspace(.3, 2.8, 15)), 'arc'),
    (rings()[rings()[:, 0] > .1], 'half dome'), (as_lights([(x/9, y/9, 1) for x in range(4) for y in range(4)]), 'cluster'),
    (rings()[(rings()[:, 2] > .95) | (rings()[:, 2] < .3)], 'gap'), (dome(4), 'few lights'),
    (np.concatenate([dome(20), dome(20)[3:4]]), 'same light twice')], ids=lambda o: o if isinstance(o, str) else '')
def test_coverage(lights, name):
    "Lights that do not cover the dome"
    assert name in names(check_capture(Capture(np.full((len(lights), 8, 8, 3), 100, np.uint8), lights)))


def test_bits():
    "Eight bits in 16-bit files"
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype(np.uint16)*257
    assert '8 bits in 16' in names(check_capture(Capture(images, dome(12))))


def test_order():
    "Findings are sorted, the gravest first, and safe to print"
    found = check_capture(Capture(np.zeros((4, 20, 20, 3), np.uint8), dome(4)))
    assert [SEVERITIES.index(o.severity) for o in found] == sorted(SEVERITIES.index(o.severity) for o in found)
    assert '\x1b' not in str(Finding('dark', 'error', ['\x1b[2J.png'], 0., 'black', 'leave it out'))


def test_lights_unknown():
    with pytest.raises(InputError, match='unknown'): check_capture(Capture(np.zeros((4, 20, 20, 3), np.uint8), None))


@pytest.mark.parametrize('box, says', [((0, 0, 200, 5), 'inside'), ((0, 0, 1, 1), '3x3'), ('a', 'give x, y'), ((0, 0, 8, 8), 'clipped')])
def test_card_refused(box, says):
    "A card that is not there, or clipped, is refused"
    with pytest.raises(InputError, match=says): white_card(Capture(np.full((6, 20, 20, 3), 255, np.uint8), dome(6)), box)


def test_command(tmp_path):
    "Text, JSON and a picture; a folder without a light file is refused"
    cap = synth_capture('carved', 'stone', n=20, size=64, seed=4)
    images = cap.images.copy()
    images[4] //= 64
    Capture(images, cap.lights).save(tmp_path/'in')
    assert 'image004.png' in good('check', tmp_path/'in', '--out', tmp_path/'check.png')
    assert read_image(tmp_path/'check.png').shape[2] == 3
    found = json.loads(good('check', tmp_path/'in', '--json'))['findings']
    assert {'name', 'severity', 'photos', 'figure', 'text', 'remedy'} == {*found[0]}
    (tmp_path/'in/lights.lp').unlink()
    refused('check', tmp_path/'in', says='.lp')
