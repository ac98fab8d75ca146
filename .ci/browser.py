"""The viewer and the widget in a real browser: Debian's Chromium through Playwright. Prints what was tried; where there is
no Chromium or no Playwright it says so and passes. JupyterLab is tried where it is installed, else a page stands in for it."""
import base64, io, json, os, shutil, socket, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path
import numpy as np
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
try: from playwright.sync_api import sync_playwright
except ImportError: sync_playwright = None
if not CHROMIUM or not sync_playwright: sys.exit(print(f'skipped: no {"Playwright" if CHROMIUM else "Chromium"}'))

from illuminet.learner import *
from illuminet.viewer import web_planes
from illuminet.widget import relight_lamps
from illuminet.viewer import _readings

FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--use-angle=swiftshader', '--enable-unsafe-swiftshader']
WEBGL = """const get = HTMLCanvasElement.prototype.getContext; HTMLCanvasElement.prototype.getContext = function (kind, o) {
  return OFF && kind.startsWith('webgl') ? null : get.call(this, kind, {...o, failIfMajorPerformanceCaveat: false}); }"""
READ = """([light, look]) => { Object.assign(relightable.look, look); relightable.disc.move(light); relightable.draw();
  return Array.from(relightable.picture.read()); }"""
MOVES = """async () => { for (let i = 0; i < 32; i++) {
  document.querySelector('svg.il-disc').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
  await new Promise(f => setTimeout(f, 10)); } }"""
LIGHTS = as_lights([(.8, .1, .5), (-.5, .6, .62), (.1, -.3, .9)])

def near(got, want, most, what):
    "Mean difference in grey levels; an error where it is more than `most`"
    off = float(np.abs(np.asarray(got, float) - np.asarray(want, float)).mean())
    assert off <= most, f'{what}: {off:.2f} grey levels off, {most} allowed'
    return off

@contextmanager
def page(browser, url, off=False):
    "A page, with WebGL2 off if asked; afterwards there must have been no error and no request but for itself"
    context = browser.new_context(viewport=dict(width=1000, height=700))
    tab, wrong, asked = context.new_page(), [], []
    tab.on('console', lambda m: wrong.append(m.text) if m.type == 'error' else None)
    tab.on('pageerror', lambda e: wrong.append(str(e)))
    tab.on('request', lambda r: asked.append(r.url) if not r.url.startswith(('blob:', 'data:')) else None)
    tab.add_init_script(WEBGL.replace('OFF', str(off).lower()))              # also by software, which the page itself declines
    tab.goto(url)
    yield tab
    context.close()
    assert not wrong, wrong
    assert asked == [url], asked

def until(frame, what, seconds=30):
    "Wait for an expression; Playwright's own waiting calls eval, which the page forbids"
    end = time.monotonic() + seconds
    while not frame.evaluate(f'!!({what})'):
        assert time.monotonic() < end, what
        time.sleep(.1)

def picture(tab, light, shape, **look):
    "What the viewer makes of a light"
    plain = dict(normals=False, detail=0, relief=0, gloss=0)
    return np.reshape(tab.evaluate(READ, [np.asarray(light).tolist(), plain | look]), (*shape[:2], 4))[..., :3]

def drag(tab, selector, *points):
    "Press at the first point of an element, move over the others, let go; points are -1..1 from its middle, y to the top"
    box = tab.locator(selector).first.bounding_box()
    half = min(box['width'], box['height']) / 2.2
    at = [(box['x'] + box['width']/2 + half*x, box['y'] + box['height']/2 - half*y) for x, y in points]
    tab.mouse.move(*at[0])
    tab.mouse.down()
    for p in at[1:]: tab.mouse.move(*p)
    tab.mouse.up()

def seen(tab, selector, shape):
    "A screenshot of an element, of the picture's shape"
    shot = Image.open(io.BytesIO(tab.locator(selector).first.screenshot())).convert('RGB')
    w, h = shot.size
    s = min(w/shape[1], h/shape[0])
    box = [(w - s*shape[1])/2, (h - s*shape[0])/2, (w + s*shape[1])/2, (h + s*shape[0])/2]
    return np.asarray(shot.resize(shape[1::-1], Image.Resampling.HAMMING, box=box), float)

def slopes(shape, right, left, normals):
    "By how much light from the right, rather than from the left, brightens what faces right and what faces left"
    more = (right - left).mean(-1)
    return more[normals[..., 0] > .3].mean(), more[normals[..., 0] < -.3].mean()

def viewers(browser, folder):
    "Files opened from the disk"
    cap = sample_capture()
    cap = Capture(cap.images[:, :150], cap.lights)                          # not square
    n, res = normals(cap), []
    for method in ('rbf', 'ptm', 'hsh', 'baked'):
        r = fit(cap, method)
        file, shown = r.to_html(folder/f'{method}.html'), web_planes(r)
        shape = shown.pictures.shape[1:]
        for off in (False, True)[:2 if method in ('rbf', 'hsh') else 1]:
            with page(browser, file.as_uri(), off) as tab:
                until(tab, 'globalThis.relightable')
                kind = tab.evaluate('relightable.picture.constructor.name')
                assert kind == ('CanvasPicture' if off else 'GLPicture'), kind
                res += [near(picture(tab, l, shape), 255*shown.relight(l), 2, f'{method}, {kind}') for l in LIGHTS]
                if method != 'rbf': continue
                loud = picture(tab, LIGHTS[0], shape, detail=1.5, relief=1, gloss=.4)
                if not off: enhanced = loud
                else: near(loud, enhanced, 1, 'enhancement, 2D canvas against WebGL2')
                picture(tab, LIGHTS[0], shape)
                hands(tab, shape, n, shown)
    file = folder/'notebook.html'
    file.write_text('<meta charset="utf-8"><link rel="icon" href="data:,">' + r._repr_html_(), encoding='utf-8')
    with page(browser, file.as_uri()) as tab:                               # in a frame, as in a notebook
        tab.wait_for_timeout(500)
        until(tab.frames[1], 'globalThis.relightable')
    return f'viewer, WebGL2 and 2D canvas: 4 methods, 3 lights, at most {max(res):.2f} grey levels of 255 from Python'

def two_places(photo):
    "A photo whose light may have stood in two places, whatever the network finds"
    r = OnePhoto.fit(Capture([photo], None))
    r.tensors |= dict(lights=as_lights([(-.7, .4, .6)]), candidates=as_lights([(-.7, .4, .6), (.6, -.3, .7), (0, 0, 1)]), probabilities=np.float32([.5, .4, .05]))
    return r

def photo_pages(browser, folder):
    "Pages of one photo: a second handle, which changes what the picture is made from"
    photo, res = sample_capture().images[20, :150], []
    r = two_places(photo)
    file, places = r.to_html(folder/'photo.html'), _readings(r)
    at = [tuple(o[0][:2].tolist()) for o in places]
    said = lambda tab: tab.locator('.il-handle').get_attribute('aria-valuetext')
    for off in (False, True):
        with page(browser, file.as_uri(), off) as tab:
            until(tab, 'globalThis.relightable')
            assert said(tab).endswith('50 % likely'), said(tab)
            first = picture(tab, LIGHTS[0], photo.shape)
            for i, (_, p, v) in enumerate(places):
                if i: drag(tab, 'svg.il-disc', at[i-1], at[i])
                tab.wait_for_timeout(500)
                assert said(tab).endswith(f'{100*p:.0f} % likely'), said(tab)
                res += [near(picture(tab, l, photo.shape), 255*v.relight(l), 3, f'photo, light {i}') for l in LIGHTS]
            changed = np.abs(picture(tab, LIGHTS[0], photo.shape).astype(float) - first).mean()
            assert changed > 3, f'another light of the photo changes the picture by {changed:.1f}'
            lamp = tab.locator('svg.il-disc').get_attribute('aria-valuetext')
            tab.locator('.il-handle').focus()
            tab.keyboard.press('ArrowRight')
            tab.wait_for_timeout(500)
            assert said(tab).endswith('50 % likely') and tab.locator('svg.il-disc').get_attribute('aria-valuetext') == lamp, said(tab)
            near(picture(tab, LIGHTS[0], photo.shape), first, .1, 'photo, back again')
    large = OnePhoto.fit(Capture([np.asarray(Image.fromarray(photo).resize((800, 625)))], [(-.7, .4, .6)]))       # its surface is enlarged by the browser
    with page(browser, large.to_html(folder/'large.html').as_uri()) as tab:
        until(tab, 'globalThis.relightable')
        res += [near(picture(tab, l, large.shape), 255*large.relight(l), 3, 'large photo') for l in LIGHTS]
        handle = tab.locator('.il-handle')
        assert (handle.get_attribute('role'), handle.get_attribute('tabindex')) == ('img', None)                # its light is known
    return f'one photo: its light in two places by hand and keys, at most {max(res):.2f} grey levels from Python'

def hands(tab, shape, n, shown):
    "What a hand does: drag, keys, wheel, buttons"
    said = lambda: tab.locator('svg.il-disc').get_attribute('aria-valuetext')
    light = lambda: tab.evaluate('relightable.picture && document.querySelector(".il-active").getAttribute("cx")')
    drag(tab, 'svg.il-disc', (0, 0), (-.4, 0), (-.85, 0))
    tab.wait_for_timeout(300)
    left = seen(tab, '#stage', shape)
    drag(tab, 'svg.il-disc', (-.85, 0), (0, .3), (.85, 0))
    tab.wait_for_timeout(300)
    right = seen(tab, '#stage', shape)
    faces_right, faces_left = slopes(shape, right, left, n)
    assert faces_right > 10 and faces_left < -10, f'light to the right: right slopes {faces_right:+.0f}, left slopes {faces_left:+.0f}'
    near(right, 255*shown.relight((.85, 0, (1 - .85**2)**.5)), 6, 'the screen')             # resampled twice
    assert said().startswith('azimuth 0 degrees'), said()
    tab.keyboard.press('ArrowUp')
    assert not said().startswith('azimuth 0 degrees'), said()
    before = int(said().split()[-2])
    tab.locator('svg.il-disc').hover()
    tab.mouse.wheel(0, -100)
    tab.wait_for_timeout(100)
    assert int(said().split()[-2]) > before, said()
    at = light()
    drag(tab, '#stage', (0, 0), (-.5, .2))
    assert float(light()) < -.3 < float(at), (at, light())
    tab.keyboard.press('n')
    tab.wait_for_timeout(300)
    near(seen(tab, '#stage', shape), (n + 1)*127.5, 12, 'normals on the screen')
    tab.keyboard.press('n')
    at = light()
    for _ in range(5): tab.keyboard.press('+')
    assert tab.evaluate('relightable.view.zoom') > 2
    x = tab.evaluate('relightable.view.x')
    drag(tab, '#stage', (0, 0), (.4, 0))
    assert tab.evaluate('relightable.view.x') < x and light() == at                        # the picture went, the light stayed
    tab.keyboard.press('0')
    assert tab.evaluate('relightable.view.zoom') == 1
    tab.keyboard.press('?')
    assert tab.locator('dialog').is_visible()
    tab.keyboard.press('Escape')
    assert not tab.locator('dialog').is_visible()

STUB = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><style>{css}</style><div id="el" style="width:44rem"></div><script type="module">
{esm}
const state = {state}, heard = {{}}, bin = t => new DataView(Uint8Array.from(atob(t), c => c.charCodeAt(0)).buffer);
state.planes = state.planes.map(bin);
state.picture = bin(state.picture);
let changed = {{}};
const model = {{get: k => state[k], on: (k, f) => (heard[k] ||= []).push(f), off: () => {{}},
  set(o) {{ Object.assign(state, o); Object.assign(changed, o); }},
  async save_changes() {{
    const sent = changed; changed = {{}};
    if (!globalThis.ask) return;
    const {{planes, picture, ...more}} = await ask(JSON.stringify(sent));
    Object.assign(state, more, {{planes: planes.map(bin), picture: bin(picture)}});
    for (const k of ['planes', 'picture', 'done']) for (const f of heard['change:' + k] || []) f();
  }}}};
globalThis.state = state;
render({{model, el: document.getElementById('el')}});
</script>"""

def state_of(w):
    "What a widget sends"
    coded = lambda o: base64.b64encode(o).decode()
    return dict(info=w.info, done=w.done, planes=[coded(o) for o in w.planes], picture=coded(w.picture))

def stub(folder, w, name):
    "A page that stands in for Jupyter: the widget's own script on a model that holds its state"
    state = {k: getattr(w, k) for k in ('light', 'lights', 'active', 'note', 'kernel', 'photo_light')} | state_of(w)
    file = folder/f'{name}.html'
    file.write_text(STUB.format(css=w._css, esm=w._esm, state=json.dumps(state)), encoding='utf-8')
    return file.as_uri()

def widgets(browser, folder):
    "The widget: planes in the browser; and pictures from a slow kernel"
    cap = sample_capture()
    n, r = normals(cap), fit(cap, 'ptm')
    with page(browser, stub(folder, r.widget(), 'planes')) as tab:
        tab.wait_for_selector('.il-picture canvas')
        shots = []
        for x in (-.85, .85):
            drag(tab, 'svg.il-disc', (0, 0), (x, 0))
            tab.wait_for_timeout(300)
            shots.append(seen(tab, '.il-picture canvas', cap.shape[1:]))
        near(shots[1], 255*r.relight((.85, 0, (1 - .85**2)**.5)), 6, 'widget')
        faces_right, faces_left = slopes(cap.shape[1:], shots[1], shots[0], n)
        assert faces_right > 10 and faces_left < -10, (faces_right, faces_left)
        tab.locator('.il-more').click()
        tab.locator('.il-lamp input[type=range]').fill('0.5')
        tab.wait_for_timeout(300)
        lamps = tab.evaluate('state.lights')
        assert len(lamps) == 2 and lamps[1]['intensity'] == .5, lamps
        near(seen(tab, '.il-picture canvas', cap.shape[1:]), 255*relight_lamps(r, lamps), 6, 'two lamps')
    w = fit(cap, 'rbf').widget()
    asked = []
    def ask(changes):
        asked.append(json.loads(changes)['lights'])
        time.sleep(.15)
        w.set_state(json.loads(changes))
        w.latest.wait()
        return state_of(w)
    context = browser.new_context()
    tab = context.new_page()
    tab.expose_function('ask', ask)
    tab.goto(stub(folder, w, 'kernel'))
    tab.wait_for_selector('.il-picture img')
    drag(tab, 'svg.il-disc', (-.9, 0), (-.8, 0))
    tab.evaluate(MOVES)                                                     # within the page: a hand is quicker than this script
    final = tab.evaluate('+document.querySelector(".il-active").getAttribute("cx")')
    tab.wait_for_function('state.lights[0].light[0] > .7')
    tab.wait_for_timeout(1500)
    assert len(asked) < 20 and abs(asked[-1][0]['light'][0] - final) < .001, (len(asked), asked[-1], final)
    near(seen(tab, '.il-picture img', cap.shape[1:]), 255*w.image(), 6, 'picture from the kernel')
    context.close()
    photo_widget(browser, folder)
    return f'widget in a page: drags in the browser; 32 moves over a slow kernel made {len(asked)} requests, the last for the last light'

def photo_widget(browser, folder):
    "One photo: when its light is moved, the kernel reads it again"
    w = two_places(sample_capture().images[20]).widget()
    def ask(changes):
        w.set_state(json.loads(changes))
        w.latest_photo.wait()
        return state_of(w)
    context = browser.new_context()
    context.add_init_script(WEBGL.replace('OFF', 'false'))
    tab = context.new_page()
    tab.expose_function('ask', ask)
    tab.goto(stub(folder, w, 'photo'))
    tab.wait_for_selector('.il-picture canvas')
    drag(tab, 'svg.il-disc', tuple(w.r.light[:2].tolist()), (0, .2), (.6, .3))
    tab.wait_for_timeout(1500)
    assert np.abs(np.subtract(w.photo_light, (.6, .3, .55**.5))).max() < .03, w.photo_light
    near(seen(tab, '.il-picture canvas', w.r.shape), 255*OnePhoto.fit(Capture(w.r.tensors['photos'], [w.photo_light])).relight(w.light), 6, 'photo read again')
    if os.environ.get('SHOTS'): tab.screenshot(path=f"{os.environ['SHOTS']}/photo-widget.png")
    context.close()

@contextmanager
def jupyter(lab, folder):
    "JupyterLab on a port of the loopback"
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    base = f'http://127.0.0.1:{port}'
    p = subprocess.Popen([lab, '--no-browser', '--allow-root', f'--port={port}', '--ip=127.0.0.1', '--ServerApp.port_retries=0',
                          '--IdentityProvider.token=', '--ServerApp.disable_check_xsrf=True'],
                         cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try: yield base
    finally:
        p.terminate()
        p.wait(20)

def in_jupyter(browser, folder, lab):
    "The widget in a running JupyterLab: drag -> new picture, the trait in the kernel follows"
    source = "from illuminet.learner import *\nr = fit(sample_capture(96), 'rbf')\nw = r.widget()\nw"
    cell = lambda text: dict(cell_type='code', id=f'c{len(text)}', metadata={}, execution_count=None, outputs=[], source=text)
    kernel = dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'))
    (folder/'w.ipynb').write_text(json.dumps(dict(cells=[cell(source), cell('print("light", *w.light)')], metadata=kernel, nbformat=4, nbformat_minor=5)))
    with jupyter(lab, folder) as base:
        tab = browser.new_page(viewport=dict(width=1200, height=900))
        for _ in range(60):
            try: tab.goto(f'{base}/lab/tree/w.ipynb?reset'); break
            except Exception: time.sleep(1)
        tab.wait_for_selector('.jp-Notebook .jp-Cell', timeout=120_000)
        tab.wait_for_selector('text=/\\| Idle/', timeout=120_000)                # the kernel has started
        tab.locator('.jp-Cell').first.click()
        tab.keyboard.press('Shift+Enter')
        tab.wait_for_selector('.il-picture img', timeout=180_000)
        src = lambda: tab.locator('.il-picture img').get_attribute('src')
        before, first = src(), seen(tab, '.il-picture img', (96, 96, 3))
        drag(tab, 'svg.il-disc', (0, 0), (.4, 0), (.85, 0))
        tab.wait_for_function('old => document.querySelector(".il-picture img").src !== old', arg=before, timeout=30_000)
        tab.wait_for_timeout(1500)
        after = seen(tab, '.il-picture img', (96, 96, 3))
        assert np.abs(after - first).mean() > 5
        near(after, 255*fit(sample_capture(96), 'rbf').relight((.85, 0, (1 - .85**2)**.5)), 8, 'picture in JupyterLab')
        tab.locator('.jp-Cell').nth(1).click()
        tab.keyboard.press('Shift+Enter')
        tab.wait_for_selector('text=light 0.8', timeout=30_000)
        if os.environ.get('SHOTS'): tab.screenshot(path=f"{os.environ['SHOTS']}/jupyterlab.png")
        tab.close()
    return 'widget in JupyterLab: drag, new picture, the trait follows'

if __name__ == '__main__':
    lab = os.environ.get('JUPYTER_LAB') or shutil.which('jupyter-lab', path=str(Path(sys.executable).parent))
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        print(f'Chromium {browser.version}')
        print(viewers(browser, Path(tmp)), photo_pages(browser, Path(tmp)), widgets(browser, Path(tmp)), sep='\n', flush=True)
        print(in_jupyter(browser, Path(tmp), lab) if lab else 'JupyterLab is not installed: not tried in it')
        browser.close()
