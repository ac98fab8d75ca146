"""Lights that do not determine a method, and lights outside those of the photos: pictures stay sane, and the user is told"""
import warnings
import numpy as np, pytest
from illuminet.learner import *
from illuminet.images import to_float
from illuminet.lights import from_angles, rings
from illuminet.metrics import psnr
from illuminet.relightable import pseudo_inverse, srgb_photos, weighted_sum
from illuminet.stream import fit_large
from illuminet.synth import make_surface, render
from illuminet.viewer import web_planes

SURFACE = make_surface('coin', 'bronze', 48, seed=1)
DOME = rings()
NOISE = np.random.default_rng(0).normal(0, .004, (12, 3))          # of lamps that stand nearly at one height
RING = rings((12,), (45,))
LAYOUTS = dict(
    ring=(RING, '45° elevation'),
    rough_ring=(as_lights(RING+NOISE), '45° elevation'),
    low_ring=(rings((12,), (20,)), '20° elevation'),
    arc=(from_angles(np.repeat([0, np.pi], 6), np.deg2rad([*range(20, 80, 10)]*2)), 'one arc'),
    half=(DOME[DOME[:, 0] > .05], 'no lamp between'),
    cluster=(from_angles(.5+.3*np.cos(np.arange(8)), .9+.2*np.sin(np.arange(8))), 'lamps all within'),
    twins=(np.repeat(DOME[[0, 6, 12]], 4, 0), '3 directions only'),
)
METHODS = dict(ptm={}, hsh={}, rbf={}, kriging={}, shadows={}, baked={})


def photographed(lights): return render(SURFACE, lights, exposure=.5)


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return function(*args, **kwargs)


@pytest.fixture(scope='module')
def captures(): return {name: photographed(lights) for name,(lights,_) in LAYOUTS.items()}


def is_sane(pictures): # neither noise nor white
    smooth = np.abs(np.diff(pictures, axis=-2)).mean() < .12
    return smooth and ((pictures <= 0) | (pictures >= 1)).mean() < .4 and pictures.mean() < .7


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('method', METHODS)
def test_gap_is_named_once(captures, method, layout):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        r = fit(captures[layout], method)
    texts = [str(o.message) for o in caught]
    assert len(texts) == 1 and LAYOUTS[layout][1] in texts[0] and 'add lamps' in texts[0]
    assert '\n' not in texts[0] and len(texts[0]) < 200
    assert is_sane(r.relight([(0, 0, 1), (.3, .3, .9), (-.6, 0, .8), (0, -.9, .3)]))


@pytest.mark.parametrize('layout', ['ring', 'rough_ring', 'arc', 'half', 'cluster'])
@pytest.mark.parametrize('method,settings', [('ptm', {}), ('ptm', dict(form='lrgb')), ('hsh', {}), ('hsh', dict(terms=16))])
def test_pictures_at_the_photos_lights(captures, method, settings, layout):
    "A prior decides only what the photos leave open"
    cap = captures[layout]
    r = quiet(fit, cap, method, **settings)
    assert psnr(r.relight(cap.lights), to_float(cap.images)).mean() > 28


@pytest.mark.parametrize('lights', [DOME, rings((12, 8, 6, 1), (20, 45, 65, 90)), from_angles(np.arange(40)*2.4, np.linspace(.2, 1.5, 40))])
def test_covered_domes_change_nothing(lights):
    cap = photographed(lights)
    for method in ('ptm', 'hsh'):
        with warnings.catch_warnings(action='error'): r = fit(cap, method)
        coefficients = weighted_sum(pseudo_inverse(r._basis(lights)), srgb_photos(cap))
        np.testing.assert_array_equal(r.tensors['coefficients'], coefficients)
        inside = as_lights([(0, 0, 1), (.2, .1, 1), (-.3, .3, .9)])
        np.testing.assert_array_equal(r.relight(inside), r._relight(inside).clip(0, 1))


@pytest.mark.parametrize('method', ['ptm', 'hsh'])
def test_two_heights(method):
    "Two rings determine a PTM, but not the harmonics"
    cap = photographed(rings((12, 8), (25, 60)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        r = fit(cap, method)
    assert ['25° and 60° elevation only' in str(o.message) for o in caught] == [True]*(method == 'hsh')
    assert is_sane(r.relight([(0, 0, 1), (.1, 0, 1)]))


@pytest.mark.parametrize('method', [*METHODS, 'hsh16'])
def test_nothing_brightens_below_the_lowest_lamp(method):
    cap = photographed(rings((12, 8, 1), (25, 55, 90)))
    r = quiet(fit, cap, **(dict(method='hsh', terms=16) if method == 'hsh16' else dict(method=method)))
    elevations = np.deg2rad([25, 20, 15, 10, 5, 3, 1, 0])
    pictures = np.stack([r.relight(from_angles(np.arange(8), e)) for e in elevations])
    means = pictures.mean((1, 2, 3, 4))
    assert (np.diff(means) < 1e-3).all() and .01 < means[-1] < .3*means[0]


@pytest.mark.parametrize('method', METHODS)
def test_continuous_at_the_edge(method):
    "From within the cone to far outside, no step is large"
    r = quiet(fit, photographed(DOME[DOME[:, 0] > -.05]), method)
    path = from_angles(np.linspace(0, 2*np.pi, 360), .5)
    steps = np.abs(np.diff(r.relight(path), axis=0)).mean((1, 2, 3))
    assert steps.max() < 8*np.median(steps)+.01


@pytest.mark.parametrize('suffix', ['ptm', 'rti'])
def test_files_of_a_ring(captures, tmp_path, suffix):
    "Written files hold the sane coefficients; a file without lights is taken for the usual dome"
    r = quiet(fit, captures['ring'], dict(ptm='ptm', rti='hsh')[suffix])
    back = dict(ptm=read_ptm, rti=read_rti)[suffix](dict(ptm=write_ptm, rti=write_rti)[suffix](tmp_path/f'a.{suffix}', r))
    lights = as_lights([(0, 0, 1), *RING[:4]])
    assert np.abs(back.relight(lights)-r.relight(lights)).mean() < 2/255
    low = back.relight(from_angles(0, np.deg2rad([12, 6, 3, 0]))).mean((1, 2, 3))
    assert (np.diff(low) < 1e-3).all() and is_sane(back.relight(from_angles([0, 2, 4], .05)))


@pytest.mark.parametrize('method', ['ptm', 'hsh'])
def test_bundles_and_models_keep_the_lights(captures, tmp_path, method):
    r = quiet(fit, captures['half'], method)
    low = as_lights([(-.9, 0, .2), (.9, .1, .05)])
    saved,bundle = Relightable.load(r.save(tmp_path/'model')),read_web(r.to_web(tmp_path/'bundle'))
    np.testing.assert_array_equal(saved.relight(low), r.relight(low))
    np.testing.assert_allclose(bundle.tensors['lights'], r.tensors['lights'], atol=1e-5)
    assert np.abs(bundle.relight(low)-r.relight(low)).mean() < 4/255


@pytest.mark.parametrize('method', ['ptm', 'hsh', 'rbf', 'kriging', 'baked'])
def test_pages_agree(method):
    "A page dims the light as Python does"
    r = quiet(fit, photographed(rings((12, 8, 1), (25, 55, 90))), method)
    lights = from_angles([0, 1, 2, 3], np.deg2rad([1, 8, 15, 40]))
    assert np.abs(web_planes(r).relight(lights)-r.relight(lights)).mean((1, 2, 3)).max() < 6/255


@pytest.mark.parametrize('method', ['ptm', 'hsh', 'rbf'])
def test_streamed(captures, tmp_path, method):
    captures['ring'].save(tmp_path/'ring')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        r = fit_large(tmp_path/'ring', tmp_path/'out', method)
    assert ['45° elevation, a ring' in str(o.message) for o in caught] == [True]
    front = r.relight((0, 0, 1))
    assert is_sane(front[None]) and np.abs(front-quiet(fit, captures['ring'], method).relight((0, 0, 1))).mean() < .02
    assert r.relight((.99, 0, .01)).mean() < r.relight(RING[0]).mean()


def test_evaluate_warns(captures):
    with pytest.warns(UserWarning, match='elevation, a ring'): table = evaluate(captures['ring'], ['ptm', 'hsh', 'kriging'])
    assert (table.psnr > 15).all()


@pytest.mark.parametrize('lights', [[(0, 0, 1)], [(1, 0, 0), (-1, 0, 0)], [(1, 0, .1), (1, 0, .1)], rings((4,), (1,)),
                                    [(.1, 0, -1), (.6, 0, .8), (0, .6, .8), (0, -1, .1), (-1, 0, .3)], np.repeat(DOME[:1], 9, 0)])
def test_odd_cones(lights):
    "One lamp, opposite lamps, twins, lamps on the horizon or below it"
    lights = quiet(as_lights, lights)
    cap = quiet(Capture, np.full((len(lights), 8, 9, 3), 99, np.uint8), lights)
    for method in ('ptm', 'hsh', 'rbf', 'kriging'):
        if method != 'ptm' and (lights[:, 2] < -.99).any(): continue
        r = quiet(fit, cap, method)
        pictures = quiet(r.relight, rings((7, 5, 1), (0, 30, 90)))
        assert np.isfinite(pictures).all() and pictures.max() < .6
        np.testing.assert_allclose(quiet(r.relight, lights), 99/255, atol=.05)


def test_hints():
    with pytest.raises(InputError, match='from_angles'): quiet(fit, photographed(RING), 'rbf').relight((30, 40))
    with pytest.warns(UserWarning, match='from_angles'): as_lights((0, 30, 40))
    with pytest.raises(InputError, match="takes two"): fit(photographed(DOME[:5]), 'two')
    with pytest.raises(InputError) as e: fit(photographed(DOME[:5]), 'nerf')
    assert 'bilinear' not in str(e.value) and 'kriging' in str(e.value)


def test_commands(captures, tmp_path):
    "The commands warn in one line, and refuse a method for what is already fitted"
    from typer.testing import CliRunner
    from illuminet.cli import app
    captures['half'].save(tmp_path/'half')
    run = lambda *args: CliRunner().invoke(app, [*map(str, args)])
    with pytest.warns(UserWarning, match='no lamp between'):
        fitted = run('fit', tmp_path/'half', '--method', 'hsh', '--set', 'terms=16', '--out', tmp_path/'model')
    assert fitted.exit_code == 0
    again = run('relight', tmp_path/'model', '--light', '0,0,1', '--method', 'rbf', '--out', tmp_path/'a.png')
    assert again.exit_code and 'leave --method out' in again.output
    assert run('relight', tmp_path/'model', '--light', '0,0,1', '--out', tmp_path/'a.png').exit_code == 0
