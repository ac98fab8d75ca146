// The page: a picture, a disc and a few controls. Joined after shade.js and disc.js.

const $ = id => document.getElementById(id);
const data = JSON.parse($('data').textContent), stage = $('stage'), START = data.light;
const decoded = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

let picture, due = false, stale = true, lamps = [{light: START}];
const look = {...NO_LOOK}, view = {zoom: 1, x: data.width / 2, y: data.height / 2};

function failed(e) {
  tell(`This browser cannot show the picture: ${e.message}`);
  console.error(e);
}

function tell(text) { $('note').textContent = text; $('note').hidden = !text; }

// Zoom 1 shows the whole picture; (x, y) is the point of the picture in the middle of the stage.
const fitted = () => Math.min(stage.clientWidth / data.width, stage.clientHeight / data.height);
const scale = () => fitted() * view.zoom;

function hold() {                                           // no further out than the whole, no further aside than its edge
  view.zoom = Math.min(Math.max(view.zoom, 1), Math.max(8, 12 / fitted()));
  for (const [k, n, room] of [['x', data.width, stage.clientWidth], ['y', data.height, stage.clientHeight]]) {
    const half = Math.min(room / scale() / 2, n / 2);
    view[k] = Math.min(Math.max(view[k], half), n - half);
  }
  stage.classList.toggle('zoomed', view.zoom > 1);
}

function draw() {
  due = false;
  if (!picture) return;
  const {canvas} = picture, dpr = window.devicePixelRatio || 1;
  const w = Math.round(stage.clientWidth * dpr), h = Math.round(stage.clientHeight * dpr);
  if (!w || !h) return;
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, {width: w, height: h});
  if (stale) picture.relight(lamps, look);
  stale = false;
  hold();
  const s = scale() * dpr;
  picture.show([w / 2 - view.x * s, h / 2 - view.y * s], [data.width * s, data.height * s]);
}

function redraw(anew = false) {
  stale = stale || anew;
  if (!due) requestAnimationFrame(draw);
  due = true;
}

function zoom(factor, at = [stage.clientWidth / 2, stage.clientHeight / 2]) {
  const dx = at[0] - stage.clientWidth / 2, dy = at[1] - stage.clientHeight / 2, before = scale();
  view.zoom *= factor;
  hold();
  view.x += dx / before - dx / scale();
  view.y += dy / before - dy / scale();
  redraw();
}

const disc = lightDisc($('disc'), lamps, next => { lamps = next; redraw(true); });

// One photo: its planes, once for each likely place of its light. The first are those of the page.
const choices = (data.choices || []).map(o => ({...data, ...o}));
let chosen = 0;

async function choose(i) {
  chosen = i;
  const parts = await unpacked(choices[i], choices[i].pictures.map(decoded));
  if (i !== chosen || !picture) return;                     // another was chosen meanwhile
  picture.fill(...parts);
  redraw(true);
}

function take(next) {                                       // the picture, also when it is made again
  picture = next;
  if (chosen) choose(chosen).catch(failed);
  redraw(true);
}

if (choices.length) photoHandle($('disc'), choices, (light, i) => choose(i).catch(failed));

// On the picture: one pointer moves the light, or the picture when zoomed in; two zoom.
const down = new Map();
const place = e => { const r = stage.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };

function lightAt([x, y]) {
  const half = Math.min(stage.clientWidth, stage.clientHeight) / 2;
  disc.move(fromDisc((x - stage.clientWidth / 2) / half, (stage.clientHeight / 2 - y) / half));
}

stage.addEventListener('pointerdown', e => {
  stage.setPointerCapture(e.pointerId);
  down.set(e.pointerId, place(e));
  if (down.size === 1 && (view.zoom === 1 || e.shiftKey)) lightAt(place(e));
});
stage.addEventListener('pointermove', e => {
  if (!down.has(e.pointerId)) return;
  const to = place(e), from = down.get(e.pointerId);
  if (down.size === 1) {
    if (view.zoom === 1 || e.shiftKey) lightAt(to);
    else { view.x -= (to[0] - from[0]) / scale(); view.y -= (to[1] - from[1]) / scale(); redraw(); }
  } else {
    const other = [...down].find(([k]) => k !== e.pointerId)[1], far = p => Math.hypot(p[0] - other[0], p[1] - other[1]);
    zoom(far(to) / Math.max(far(from), 1), [(to[0] + other[0]) / 2, (to[1] + other[1]) / 2]);
  }
  down.set(e.pointerId, to);
});
for (const kind of ['pointerup', 'pointercancel']) stage.addEventListener(kind, e => down.delete(e.pointerId));
stage.addEventListener('wheel', e => {
  if (data.small && document.activeElement !== stage) return;           // within a notebook the page scrolls until the picture is touched
  e.preventDefault();
  zoom(1.0015 ** -(e.deltaMode ? 30 * e.deltaY : e.deltaY), place(e));
}, {passive: false});
stage.addEventListener('dblclick', e => zoom(2, place(e)));

function whole() { Object.assign(view, {zoom: 1, x: data.width / 2, y: data.height / 2}); redraw(); }

function toggleNormals() {
  if (!data.normals) return;
  look.normals = !look.normals;
  $('normals').setAttribute('aria-pressed', look.normals);
  redraw(true);
}

function toggleSliders() {
  const hidden = $('sliders').hidden = !$('sliders').hidden;
  $('enhance').setAttribute('aria-expanded', !hidden);
}

function enhance() {
  for (const k of ['detail', 'relief', 'gloss']) look[k] = +$(k).value;
  $('enhance').setAttribute('aria-pressed', look.detail + look.relief + look.gloss > 0);
  redraw(true);
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen().catch(() => tell('Full screen is not allowed here.'));
}

$('normals').hidden = !data.normals;
for (const o of document.querySelectorAll('.shaped')) o.hidden = !data.normals;
for (const o of document.querySelectorAll('.several')) o.hidden = choices.length < 2;
$('full').hidden = !document.fullscreenEnabled;
document.documentElement.classList.toggle('small', !!data.small);
const press = {normals: toggleNormals, enhance: toggleSliders, closer: () => zoom(1.5), fit: whole, full: fullScreen, help: () => $('keys').showModal()};
for (const [id, f] of Object.entries(press)) $(id).addEventListener('click', f);
for (const k of ['detail', 'relief', 'gloss']) $(k).addEventListener('input', enhance);
$('plain').addEventListener('click', () => { for (const k of ['detail', 'relief', 'gloss']) $(k).value = 0; enhance(); });

document.addEventListener('keydown', e => {
  if (e.target.matches('input') || $('keys').open || e.ctrlKey || e.metaKey || e.altKey) return;
  const does = {n: toggleNormals, e: toggleSliders, f: fullScreen, r: () => disc.move(START), '?': press.help,
    '+': () => zoom(1.25), '=': () => zoom(1.25), '-': () => zoom(.8), 0: whole}[e.key.toLowerCase()];
  if (does) { e.preventDefault(); does(); } else disc.key(e);
});
new ResizeObserver(() => redraw()).observe(stage);

try {
  take(await makePicture(stage, data, data.pictures.map(decoded), take));
  globalThis.relightable = {get picture() { return picture; }, disc, view, look, draw};        // for scripts, and tests
} catch (e) { failed(e); }
