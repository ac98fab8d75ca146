"""The viewer and the widget in a real browser: the picture is Python's, and the light goes where it is dragged.

Skipped without Chromium or Playwright. The widget is tried in a page that stands in for Jupyter, and in JupyterLab
where that is installed."""
import base64, json, os, shutil, socket, subprocess, sys, time
from contextlib import contextmanager
from pathlib import Path
import numpy as np, pytest
from PIL import Image
import browser
from browser import allow_software_webgl, drag, page, picture, seen, until
from illuminet.learner import *
from illuminet.viewer import _readings, web_planes
from illuminet.widget import relight_lamps

pytestmark = pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)
LIGHTS = as_lights([(.8, .1, .5), (-.5, .6, .62), (.1, -.3, .9)])
RIGHT = (.85, 0, (1 - .85**2)**.5)  # a light on the right
DRAWN = pytest.mark.parametrize('off', [False, True], ids=['WebGL2', '2D canvas'], scope='module')


@pytest.fixture(scope='module')
def chromium():
    with browser.chromium() as started: yield started


@pytest.fixture(scope='module')
def folder(tmp_path_factory): return tmp_path_factory.mktemp('pages')


@pytest.fixture(scope='module')
def cap():
    "The sample, not square"
    sample = sample_capture()
    return Capture(sample.images[:, :150], sample.lights)


@pytest.fixture(scope='module')
def true_normals(cap): return normals(cap)


def difference(ours, theirs):
    "Return the mean difference of two pictures in grey levels"
    return np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).mean()


def opened(chromium, file, off=False): return page(chromium, file.as_uri(), off)


# --- the viewer

@pytest.mark.parametrize('method,off', [('rbf', False), ('rbf', True), ('ptm', False), ('hsh', False), ('hsh', True),
                                        ('baked', False)])
def test_viewer_draws_what_python_relights(method, off, chromium, folder, cap):
    "The pictures under three lights, by WebGL2 and by a 2D canvas"
    r = fit(cap, method)
    shown = web_planes(r)
    shape = shown.pictures.shape[1:]
    with opened(chromium, r.to_html(folder/f'{method}.html'), off) as tab:
        until(tab, 'globalThis.relightable')
        assert tab.evaluate('relightable.picture.constructor.name') == ('CanvasPicture' if off else 'GLPicture')
        for light in LIGHTS: assert difference(picture(tab, light, shape), 255*shown.relight(light)) < 2


def test_viewer_in_a_notebook(chromium, folder, cap):
    "In a frame, as a notebook shows it"
    file = folder/'notebook.html'
    html = '<meta charset="utf-8"><link rel="icon" href="data:,">' + fit(cap, 'ptm')._repr_html_()
    file.write_text(html, encoding='utf-8')
    with opened(chromium, file) as tab:
        tab.wait_for_timeout(500)
        until(tab.frames[1], 'globalThis.relightable')


@pytest.fixture(scope='module')
def rbf_page(folder, cap):
    "A page, and the relightable that it shows"
    r = fit(cap, 'rbf')
    return r.to_html(folder/'hand.html'), web_planes(r)


@pytest.fixture(scope='module')
def viewer(off, chromium, rbf_page):
    "The page, opened by WebGL2 or by a 2D canvas"
    with opened(chromium, rbf_page[0], off) as tab:
        until(tab, 'globalThis.relightable')
        yield tab


def lit(tab, light=LIGHTS[0], **look):
    "Put the page under a light, with its whole picture in view; return the picture"
    tab.keyboard.press('0')
    return picture(tab, light, (150, 192), **look)


def test_enhancement_is_the_same_by_both(chromium, rbf_page):
    "Detail, relief and gloss by WebGL2 and by a 2D canvas"
    enhanced = []
    for off in (False, True):
        with opened(chromium, rbf_page[0], off) as tab:
            until(tab, 'globalThis.relightable')
            enhanced.append(lit(tab, detail=1.5, relief=1, gloss=.4))
    assert difference(*enhanced) < 1


def brightened(right, left, true_normals):
    "Return by how much light from the right brightens slopes that face right, and slopes that face left"
    more = (right - left).mean(-1)
    return more[true_normals[..., 0] > .3].mean(), more[true_normals[..., 0] < -.3].mean()


def light_of(tab): return tab.locator('svg.il-disc').get_attribute('aria-valuetext')


@DRAWN
def test_dragged_light(viewer, rbf_page, true_normals):
    "Slopes that face the dragged light become brighter, and the screen shows what Python relights"
    lit(viewer)
    screens = []
    for points in ([(0, 0), (-.4, 0), (-.85, 0)], [(-.85, 0), (0, .3), (.85, 0)]):
        drag(viewer, 'svg.il-disc', *points)
        viewer.wait_for_timeout(300)
        screens.append(seen(viewer, '#stage', (150, 192, 3)))
    left, right = screens
    faces_right, faces_left = brightened(right, left, true_normals)
    assert faces_right > 10 and faces_left < -10
    assert difference(right, 255*rbf_page[1].relight(RIGHT)) < 6  # resampled twice
    assert light_of(viewer).startswith('azimuth 0 degrees')


@DRAWN
def test_keys_move_the_light(viewer):
    lit(viewer)
    drag(viewer, 'svg.il-disc', (0, 0), (.85, 0))
    viewer.keyboard.press('ArrowUp')
    assert not light_of(viewer).startswith('azimuth 0 degrees')


@DRAWN
def test_wheel_raises_the_light(viewer):
    lit(viewer)
    before = int(light_of(viewer).split()[-2])
    viewer.locator('svg.il-disc').hover()
    viewer.mouse.wheel(0, -100)
    viewer.wait_for_timeout(100)
    assert int(light_of(viewer).split()[-2]) > before


def handle_of(tab): return float(tab.evaluate('document.querySelector(".il-active").getAttribute("cx")'))


@DRAWN
def test_light_dragged_over_the_picture(viewer):
    lit(viewer, RIGHT)
    before = handle_of(viewer)
    drag(viewer, '#stage', (0, 0), (-.5, .2))
    assert handle_of(viewer) < -.3 < before


@DRAWN
def test_normals_on_the_screen(viewer, true_normals):
    lit(viewer)
    viewer.keyboard.press('n')
    viewer.wait_for_timeout(300)
    screen = seen(viewer, '#stage', (150, 192, 3))
    viewer.keyboard.press('n')
    assert difference(screen, (true_normals + 1)*127.5) < 12


@DRAWN
def test_picture_is_enlarged_and_moved(viewer):
    "A drag then moves the picture, not the light"
    lit(viewer)
    before = handle_of(viewer)
    for _ in range(5): viewer.keyboard.press('+')
    assert viewer.evaluate('relightable.view.zoom') > 2
    x = viewer.evaluate('relightable.view.x')
    drag(viewer, '#stage', (0, 0), (.4, 0))
    assert viewer.evaluate('relightable.view.x') < x and handle_of(viewer) == before
    viewer.keyboard.press('0')
    assert viewer.evaluate('relightable.view.zoom') == 1


@DRAWN
def test_help(viewer):
    lit(viewer)
    viewer.keyboard.press('?')
    assert viewer.locator('dialog').is_visible()
    viewer.keyboard.press('Escape')
    assert not viewer.locator('dialog').is_visible()


# --- one photo

def two_places(photo):
    "Return one photo whose light may have stood in two places, whatever the network finds"
    r = OnePhoto.fit(Capture([photo], None))
    places = as_lights([(-.7, .4, .6), (.6, -.3, .7), (0, 0, 1)])
    r.tensors |= dict(lights=places[:1], candidates=places, probabilities=np.float32([.5, .4, .05]))
    return r


def handle_text(tab): return tab.locator('.il-handle').get_attribute('aria-valuetext')


@pytest.fixture(scope='module')
def photo(): return sample_capture().images[20, :150]


@pytest.fixture(scope='module')
def uncertain(photo, folder):
    "A photo whose light is unsure: its page, and its readings, the places of the light with what each gives"
    r = two_places(photo)
    return r.to_html(folder/'photo.html'), _readings(r)


@pytest.fixture(scope='module')
def photo_page(off, chromium, uncertain):
    with opened(chromium, uncertain[0], off) as tab:
        until(tab, 'globalThis.relightable')
        yield tab


@DRAWN
def test_light_of_the_photo_is_dragged(photo_page, uncertain, photo):
    "A second handle changes what the picture is made from"
    places = uncertain[1]
    points = [tuple(place[0][:2].tolist()) for place in places]
    assert handle_text(photo_page).endswith('50 % likely')
    first = picture(photo_page, LIGHTS[0], photo.shape)
    for i, (_, probability, reading) in enumerate(places):
        if i: drag(photo_page, 'svg.il-disc', points[i - 1], points[i])
        photo_page.wait_for_timeout(500)
        assert handle_text(photo_page).endswith(f'{100*probability:.0f} % likely')
        for light in LIGHTS:
            assert difference(picture(photo_page, light, photo.shape), 255*reading.relight(light)) < 3
    assert difference(picture(photo_page, LIGHTS[0], photo.shape), first) > 3


@DRAWN
def test_light_of_the_photo_is_moved_by_keys(photo_page, uncertain, photo):
    "From place to place and back to the first, while the lamp stays"
    probabilities = [f'{100*probability:.0f} % likely' for _, probability, _ in uncertain[1]]
    before, lamp, texts = picture(photo_page, LIGHTS[0], photo.shape), light_of(photo_page), []
    for _ in probabilities:
        photo_page.locator('.il-handle').focus()
        photo_page.keyboard.press('ArrowRight')
        photo_page.wait_for_timeout(500)
        texts.append(handle_text(photo_page).split(', ')[-1])
        assert light_of(photo_page) == lamp
    assert sorted(texts) == sorted(probabilities), texts
    assert difference(picture(photo_page, LIGHTS[0], photo.shape), before) < .1


def test_large_photo_with_known_light(chromium, folder, photo):
    "Its surface is enlarged by the browser; its light cannot be moved"
    large = np.asarray(Image.fromarray(photo).resize((800, 625)))
    r = OnePhoto.fit(Capture([large], [(-.7, .4, .6)]))
    with opened(chromium, r.to_html(folder/'large.html')) as tab:
        until(tab, 'globalThis.relightable')
        for light in LIGHTS: assert difference(picture(tab, light, r.shape), 255*r.relight(light)) < 3
        handle = tab.locator('.il-handle')
        assert (handle.get_attribute('role'), handle.get_attribute('tabindex')) == ('img', None)


# --- the widget in a page that stands in for Jupyter

STUB = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><style>{css}</style>
<div id="el" style="width:44rem"></div><script type="module">
{esm}
const state = {state}, heard = {{}};
const bin = t => new DataView(Uint8Array.from(atob(t), c => c.charCodeAt(0)).buffer);
state.planes = state.planes.map(bin);
state.picture = bin(state.picture);
let changed = {{}};
const model = {{
  get: k => state[k],
  on: (k, f) => (heard[k] ||= []).push(f),
  off: () => {{}},
  set(o) {{ Object.assign(state, o); Object.assign(changed, o); }},
  async save_changes() {{
    const sent = changed;
    changed = {{}};
    if (!globalThis.ask) return;
    const {{planes, picture, ...more}} = await ask(JSON.stringify(sent));
    Object.assign(state, more, {{planes: planes.map(bin), picture: bin(picture)}});
    for (const k of ['planes', 'picture', 'done']) for (const f of heard['change:' + k] || []) f();
  }}}};
globalThis.state = state;
render({{model, el: document.getElementById('el')}});
</script>"""
MOVES = """async () => {
  for (let i = 0; i < 32; i++) {
    document.querySelector('svg.il-disc').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
    await new Promise(f => setTimeout(f, 10));
  }
}"""  # within the page: a hand is quicker than this script


def state_of(widget):
    "Return what a widget sends"
    def coded(data): return base64.b64encode(data).decode()
    planes = [coded(plane) for plane in widget.planes]
    return dict(info=widget.info, done=widget.done, planes=planes, picture=coded(widget.picture))


def stub(folder, widget, name):
    "Write a page with the widget's own script on a model that holds its state; return the address"
    traits = {key: getattr(widget, key) for key in ('light', 'lights', 'active', 'note', 'kernel', 'photo_light')}
    state = json.dumps(traits | state_of(widget))
    file = folder/f'{name}.html'
    file.write_text(STUB.format(css=widget._css, esm=widget._esm, state=state), encoding='utf-8')
    return file.as_uri()


@contextmanager
def asking(chromium, answer):
    "Open an empty page that asks a function, as the widget asks its kernel"
    context = chromium.new_context()
    tab = context.new_page()
    allow_software_webgl(tab)
    tab.expose_function('ask', lambda changes: answer(json.loads(changes)))
    yield tab
    context.close()


def test_widget_draws_in_the_browser(chromium, folder):
    "The light is dragged, a second lamp added, without the kernel"
    cap = sample_capture()
    r = fit(cap, 'ptm')
    shape = cap.shape[1:]
    with page(chromium, stub(folder, r.widget(), 'planes')) as tab:
        tab.wait_for_selector('.il-picture canvas')
        screens = []
        for x in (-.85, .85):
            drag(tab, 'svg.il-disc', (0, 0), (x, 0))
            tab.wait_for_timeout(300)
            screens.append(seen(tab, '.il-picture canvas', shape))
        left, right = screens
        assert difference(right, 255*r.relight(RIGHT)) < 6
        faces_right, faces_left = brightened(right, left, normals(cap))
        assert faces_right > 10 and faces_left < -10
        tab.locator('.il-more').click()
        tab.locator('.il-lamp input[type=range]').fill('0.5')
        tab.wait_for_timeout(300)
        lamps = tab.evaluate('state.lights')
        assert len(lamps) == 2 and lamps[1]['intensity'] == .5, lamps
        assert difference(seen(tab, '.il-picture canvas', shape), 255*relight_lamps(r, lamps)) < 6


def test_widget_with_a_slow_kernel(chromium, folder):
    "Thirty moves make few requests, the last of them for the last light"
    cap = sample_capture()
    widget, requests = fit(cap, 'rbf').widget(), []
    def answer(changes):
        requests.append(changes['lights'])
        time.sleep(.15)
        widget.set_state(changes)
        widget.latest.wait()
        return state_of(widget)
    with asking(chromium, answer) as tab:
        tab.goto(stub(folder, widget, 'kernel'))
        tab.wait_for_selector('.il-picture img')
        drag(tab, 'svg.il-disc', (-.9, 0), (-.8, 0))
        tab.evaluate(MOVES)
        last = handle_of(tab)
        tab.wait_for_function('state.lights[0].light[0] > .7')
        tab.wait_for_timeout(1500)
        assert len(requests) < 20
        assert abs(requests[-1][0]['light'][0] - last) < .001
        assert difference(seen(tab, '.il-picture img', cap.shape[1:]), 255*widget.image()) < 6


def test_widget_of_one_photo(chromium, folder):
    "When the photo's light is moved, the kernel reads the photo again"
    widget = two_places(sample_capture().images[20]).widget()
    def answer(changes):
        widget.set_state(changes)
        widget.latest_photo.wait()
        return state_of(widget)
    with asking(chromium, answer) as tab:
        tab.goto(stub(folder, widget, 'photo'))
        tab.wait_for_selector('.il-picture canvas')
        drag(tab, 'svg.il-disc', tuple(widget.r.light[:2].tolist()), (0, .2), (.6, .3))
        tab.wait_for_timeout(1500)
        assert np.abs(np.subtract(widget.photo_light, (.6, .3, .55**.5))).max() < .03
        again = OnePhoto.fit(Capture(widget.r.tensors['photos'], [widget.photo_light]))
        assert difference(seen(tab, '.il-picture canvas', widget.r.shape), 255*again.relight(widget.light)) < 6


# --- the widget in JupyterLab

JUPYTER = os.environ.get('JUPYTER_LAB') or shutil.which('jupyter-lab', path=str(Path(sys.executable).parent))
CELLS = """from illuminet.learner import *
w = fit(sample_capture(96), 'rbf').widget()
w""", 'print("light", *w.light)'


@contextmanager
def jupyter(folder):
    "Start JupyterLab on a port of the loopback; give its address"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    command = [JUPYTER, '--no-browser', '--allow-root', f'--port={port}', '--ip=127.0.0.1',
               '--ServerApp.port_retries=0', '--IdentityProvider.token=', '--ServerApp.disable_check_xsrf=True']
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try: yield f'http://127.0.0.1:{port}'
    finally:
        server.terminate()
        server.wait(20)


def write_notebook(path, cells):
    "Write a notebook of code cells"
    cells = [dict(cell_type='code', id=f'c{i}', metadata={}, execution_count=None, outputs=[], source=source)
             for i, source in enumerate(cells)]
    kernel = dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'))
    path.write_text(json.dumps(dict(cells=cells, metadata=kernel, nbformat=4, nbformat_minor=5)))


def open_when_ready(tab, url, tries=60):
    "Open a page of a server that is starting"
    for _ in range(tries):
        try: return tab.goto(url)
        except Exception: time.sleep(1)


def run_cell(tab, number):
    tab.locator('.jp-Cell').nth(number).click()
    tab.keyboard.press('Shift+Enter')


@pytest.mark.skipif(not JUPYTER, reason='no JupyterLab')
def test_widget_in_jupyterlab(chromium, tmp_path):
    "A drag gives a new picture, and the light in the kernel follows"
    write_notebook(tmp_path/'w.ipynb', CELLS)
    shape = 96, 96, 3
    with jupyter(tmp_path) as address:
        tab = chromium.new_page(viewport=dict(width=1200, height=900))
        open_when_ready(tab, f'{address}/lab/tree/w.ipynb?reset')
        tab.wait_for_selector('.jp-Notebook .jp-Cell', timeout=120_000)
        tab.wait_for_selector('text=/\\| Idle/', timeout=120_000)  # the kernel has started
        run_cell(tab, 0)
        tab.wait_for_selector('.il-picture img', timeout=180_000)
        source, first = tab.locator('.il-picture img').get_attribute('src'), seen(tab, '.il-picture img', shape)
        drag(tab, 'svg.il-disc', (0, 0), (.4, 0), (.85, 0))
        changed = 'old => document.querySelector(".il-picture img").src !== old'
        tab.wait_for_function(changed, arg=source, timeout=30_000)
        tab.wait_for_timeout(1500)
        after = seen(tab, '.il-picture img', shape)
        assert difference(after, first) > 5
        assert difference(after, 255*fit(sample_capture(96), 'rbf').relight(RIGHT)) < 8
        run_cell(tab, 1)
        tab.wait_for_selector('text=light 0.8', timeout=30_000)
        tab.close()
