// A disc with a dot for each lamp: the dome seen from the camera. Drag a dot, or use the wheel (elevation) or the arrow keys.
// Joined with shade.js, from which it takes nothing but the form of a lamp: {light, colour, intensity}.

const LOWEST = 5;                                           // degrees: dots stop there
const degrees = v => v * 180 / Math.PI, radians = v => v * Math.PI / 180;
const fromAngles = (a, e) => [Math.cos(a) * Math.cos(e), Math.sin(a) * Math.cos(e), Math.sin(e)];
const toAngles = ([x, y, z]) => [Math.atan2(y, x), Math.atan2(z, Math.hypot(x, y))];
const raised = (a, e) => fromAngles(a, Math.min(Math.max(e, radians(LOWEST)), Math.PI / 2));

function fromDisc(x, y) {
  const r = Math.min(Math.hypot(x, y), Math.cos(radians(LOWEST))), a = Math.atan2(y, x);
  return fromAngles(a, Math.acos(r));
}

function readOut(light) {
  const [a, e] = toAngles(light);
  return {azimuth: Math.round(degrees(a) + 360) % 360, elevation: Math.round(degrees(e))};
}

// Where an event is on the disc: x and y from its middle, 1 at the rim.
function discPoint(svg, e) {
  const r = svg.getBoundingClientRect(), half = Math.min(r.width, r.height) / 2.2;
  return [(e.clientX - r.left - r.width / 2) / half, -(e.clientY - r.top - r.height / 2) / half];
}

// Where a key moves a light; undefined for other keys.
function keyed(e, light) {
  const step = e.shiftKey ? .15 : .05, lift = {PageUp: 5, PageDown: -5}[e.key], [a, el] = toAngles(light);
  const to = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]}[e.key];
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (to) return fromDisc(light[0] + to[0], light[1] + to[1]);
  if (lift) return raised(a, el + radians(lift));
}

function used(e) { e.preventDefault(); e.stopPropagation(); }

const css = colour => `rgb(${(colour || [1, 1, 1]).map(v => Math.round(255 * (v <= .0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - .055)))})`;

// host: an element to fill. onchange(lamps, active) is called when a person moves a lamp or takes another.
function lightDisc(host, lamps, onchange, active = 0) {
  host.innerHTML = `<div class="il-stack"><svg class="il-disc" viewBox="-1.1 -1.1 2.2 2.2" tabindex="0" role="slider" aria-label="Light direction"
    aria-roledescription="disc" aria-valuemin="0" aria-valuemax="359"><circle class="il-dome" r="1"/><circle class="il-ring" r=".866"/>
    <circle class="il-ring" r=".5"/><path class="il-ring" d="M-1 0H1M0-1V1"/><g></g></svg></div>
    <output class="il-angles"></output>`;
  const svg = host.querySelector('svg'), dots = host.querySelector('g'), out = host.querySelector('output');

  function draw() {
    dots.innerHTML = lamps.map((o, i) => `<circle class="il-dot${i === active ? ' il-active' : ''}" r="${i === active ? .11 : .085}"
      cx="${o.light[0].toFixed(4)}" cy="${(-o.light[1]).toFixed(4)}" fill="${css(o.colour)}"/>`).join('');
    const {azimuth, elevation} = readOut(lamps[active].light);
    out.innerHTML = `<span title="azimuth, counter-clockwise from the right">↺ ${azimuth}°</span> <span title="elevation above the picture">↥ ${elevation}°</span>`;
    svg.setAttribute('aria-valuenow', azimuth);
    svg.setAttribute('aria-valuetext', `azimuth ${azimuth} degrees, elevation ${elevation} degrees`);
  }

  function move(light) {
    lamps = lamps.map((o, i) => i === active ? {...o, light} : o);
    draw();
    onchange(lamps, active);
  }

  function lift(by) { const [a, e] = toAngles(lamps[active].light); move(raised(a, e + radians(by))); }

  svg.addEventListener('pointerdown', e => {
    const [x, y] = discPoint(svg, e), away = lamps.map(o => Math.hypot(o.light[0] - x, o.light[1] - y)), near = away.indexOf(Math.min(...away));
    if (lamps.length > 1 && away[near] < .25) active = near;
    svg.setPointerCapture(e.pointerId);
    svg.focus({preventScroll: true});
    move(fromDisc(x, y));
    e.preventDefault();
  });
  svg.addEventListener('pointermove', e => { if (svg.hasPointerCapture(e.pointerId)) move(fromDisc(...discPoint(svg, e))); });
  svg.addEventListener('wheel', e => { e.preventDefault(); lift(-Math.sign(e.deltaY) * 3); }, {passive: false});

  function key(e) {                                         // true when it was for the disc
    const to = keyed(e, lamps[active].light);
    if (to) { move(to); used(e); }
    return !!to;
  }
  svg.addEventListener('keydown', key);

  draw();
  return {key, move, set(next, which = active) { lamps = next; active = Math.min(which, next.length - 1); draw(); }};
}

// A diamond where the light of a photo stood. `choices` are {light, probability}: it moves among several, and stays where there is but one,
// unless it is free to go anywhere. onmove(light, i) is called when a person moves it.
function photoHandle(host, choices, onmove, free = false) {
  const movable = free || choices.length > 1, what = 'Light of the photo', diamond = 'M0-.13.13 0 0 .13-.13 0z';
  const place = ([x, y]) => `translate(${x.toFixed(4)} ${(-y).toFixed(4)})`;
  const role = !movable ? 'role="img"' : `role="slider" tabindex="0" aria-valuemin="${free ? 0 : 1}" aria-valuemax="${free ? 359 : choices.length}"`;
  host.querySelector('.il-stack').insertAdjacentHTML('beforeend', `<svg class="il-own" viewBox="-1.1 -1.1 2.2 2.2">
    ${movable && !free ? choices.map(o => `<path class="il-other" d="${diamond}" transform="${place(o.light)}"/>`).join('') : ''}
    <g class="il-handle${movable ? ' il-movable' : ''}" ${role} aria-label="${what}"><circle r=".21"/><path d="${diamond}"/></g></svg>`);
  host.insertAdjacentHTML('beforeend', '<output class="il-angles il-own-text"></output>');
  const svg = host.querySelector('.il-own'), handle = svg.querySelector('g'), out = host.querySelector('.il-own-text');
  let light = choices[0].light, i = 0;

  function draw() {
    const {azimuth, elevation} = readOut(light), likely = movable && !free ? Math.round(100 * choices[i].probability) : null;
    const at = `azimuth ${azimuth} degrees, elevation ${elevation} degrees`, said = likely === null ? at : `${at}, ${likely} % likely`;
    handle.setAttribute('transform', place(light));
    if (movable) handle.setAttribute('aria-valuenow', free ? azimuth : i + 1), handle.setAttribute('aria-valuetext', said);
    else handle.setAttribute('aria-label', `${what}: ${at}`);
    out.title = `${what}: ${said}`;
    out.innerHTML = `<span><b>◆</b> photo’s light</span> ${free ? `<span>↺ ${azimuth}° ↥ ${elevation}°</span>` : likely === null ? '' : `<span>${likely} %</span>`}`;
  }

  function move(next, which = i) {
    if (which === i && !free) return;
    [light, i] = [next, which];
    draw();
    onmove(light, i);
  }

  function drag(e) {
    const [x, y] = discPoint(svg, e), away = choices.map(o => Math.hypot(o.light[0] - x, o.light[1] - y)), near = away.indexOf(Math.min(...away));
    if (free) move(fromDisc(x, y));
    else move(choices[near].light, near);
  }

  function key(e) {
    const by = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[e.key], n = choices.length, to = free ? keyed(e, light) : by && (i + by + n) % n;
    if (to === undefined) return;
    if (free) move(to); else move(choices[to].light, to);
    used(e);
  }

  if (movable) {
    handle.addEventListener('pointerdown', e => { handle.setPointerCapture(e.pointerId); handle.focus({preventScroll: true}); used(e); });
    handle.addEventListener('pointermove', e => { if (handle.hasPointerCapture(e.pointerId)) drag(e); });
    handle.addEventListener('keydown', key);
    svg.querySelectorAll('.il-other').forEach((o, k) => o.addEventListener('pointerdown', e => { move(choices[k].light, k); used(e); }));
  }
  draw();
  return {set(next) { light = next; draw(); }};
}
