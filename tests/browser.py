"""A real browser, Chromium through Playwright, and what a hand does in a page."""
import base64, io, shutil, time
from contextlib import contextmanager
import numpy as np
from PIL import Image
try: from playwright.sync_api import sync_playwright
except ImportError: sync_playwright = None

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
MISSING = 'no Chromium' if not CHROMIUM else 'no Playwright' if not sync_playwright else ''
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--use-angle=swiftshader',
         '--enable-unsafe-swiftshader']
WEBGL = """const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, o) {
  return OFF && kind.startsWith('webgl') ? null : get.call(this, kind, {...o, failIfMajorPerformanceCaveat: false});
}"""
READ = """([light, look]) => {
  Object.assign(relightable.look, look);
  relightable.disc.move(light);
  relightable.draw();
  const bytes = relightable.picture.read(), step = 1 << 14;
  let text = '';
  for (let i = 0; i < bytes.length; i += step) text += String.fromCharCode(...bytes.subarray(i, i + step));
  return btoa(text);
}"""
PLAIN = dict(normals=False, detail=0, relief=0, gloss=0)


@contextmanager
def chromium():
    "Start Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def page(browser, url, off=False):
    "Open a page, with WebGL2 off on demand; afterwards there must have been no error, and no request but for the page"
    context = browser.new_context(viewport=dict(width=1000, height=700))
    tab, wrong, requests = context.new_page(), [], []
    tab.on('console', lambda message: wrong.append(message.text) if message.type == 'error' else None)
    tab.on('pageerror', lambda error: wrong.append(str(error)))
    tab.on('request', lambda request: requests.append(request.url))
    allow_software_webgl(tab, off)
    tab.goto(url)
    yield tab
    context.close()
    assert not wrong, wrong
    assert [asked for asked in requests if not asked.startswith(('blob:', 'data:'))] == [url], requests


def allow_software_webgl(tab, off=False):
    "Let pages use WebGL2 by software, which they decline themselves, or no WebGL2"
    tab.add_init_script(WEBGL.replace('OFF', str(off).lower()))


def until(frame, expression, seconds=30):
    "Wait for an expression; Playwright's own waiting calls eval, which the pages forbid"
    end = time.monotonic() + seconds
    while not frame.evaluate(f'!!({expression})'):
        assert time.monotonic() < end, expression
        time.sleep(.05)


def picture(tab, light, shape, **look):
    "Return what the viewer draws for a light, in grey levels"
    data = base64.b64decode(tab.evaluate(READ, [np.asarray(light).tolist(), PLAIN | look]))
    return np.frombuffer(data, np.uint8).reshape(*shape[:2], 4)[..., :3]


def drag(tab, selector, *points):
    "Press at the first point of an element and move over the others; points are -1..1 from its centre, y upwards"
    box = tab.locator(selector).first.bounding_box()
    half = min(box['width'], box['height'])/2.2
    places = [(box['x'] + box['width']/2 + half*x, box['y'] + box['height']/2 - half*y) for x, y in points]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]: tab.mouse.move(*place)
    tab.mouse.up()


def seen(tab, selector, shape):
    "Return a screenshot of an element, resampled to the picture's shape"
    shot = Image.open(io.BytesIO(tab.locator(selector).first.screenshot())).convert('RGB')
    width, height = shot.size
    scale = min(width/shape[1], height/shape[0])
    box = [(width - scale*shape[1])/2, (height - scale*shape[0])/2,
           (width + scale*shape[1])/2, (height + scale*shape[0])/2]
    return np.asarray(shot.resize(shape[1::-1], Image.Resampling.HAMMING, box=box), float)
