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

const css = colour => `rgb(${(colour || [1, 1, 1]).map(v => Math.round(255 * (v <= .0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - .055)))})`;

// host: an element to fill. onchange(lamps, active) is called when a person moves a lamp or takes another.
function lightDisc(host, lamps, onchange, active = 0) {
  host.innerHTML = `<svg class="il-disc" viewBox="-1.1 -1.1 2.2 2.2" tabindex="0" role="slider" aria-label="Light direction"
    aria-roledescription="disc" aria-valuemin="0" aria-valuemax="359"><circle class="il-dome" r="1"/><circle class="il-ring" r=".866"/>
    <circle class="il-ring" r=".5"/><path class="il-ring" d="M-1 0H1M0-1V1"/><g></g></svg>
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

  function at(e) {
    const r = svg.getBoundingClientRect(), half = Math.min(r.width, r.height) / 2.2;
    return [(e.clientX - r.left - r.width / 2) / half, -(e.clientY - r.top - r.height / 2) / half];
  }

  const nudge = (x, y) => move(fromDisc(lamps[active].light[0] + x, lamps[active].light[1] + y));
  function lift(by) { const [a, e] = toAngles(lamps[active].light); move(raised(a, e + radians(by))); }

  svg.addEventListener('pointerdown', e => {
    const [x, y] = at(e), away = lamps.map(o => Math.hypot(o.light[0] - x, o.light[1] - y)), near = away.indexOf(Math.min(...away));
    if (lamps.length > 1 && away[near] < .25) active = near;
    svg.setPointerCapture(e.pointerId);
    svg.focus({preventScroll: true});
    move(fromDisc(x, y));
    e.preventDefault();
  });
  svg.addEventListener('pointermove', e => { if (svg.hasPointerCapture(e.pointerId)) move(fromDisc(...at(e))); });
  svg.addEventListener('wheel', e => { e.preventDefault(); lift(-Math.sign(e.deltaY) * 3); }, {passive: false});

  function key(e) {                                         // true when it was for the disc
    const step = e.shiftKey ? .15 : .05;
    const to = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]}[e.key];
    if (e.ctrlKey || e.metaKey || e.altKey) return false;
    if (to) nudge(...to);
    else if (e.key === 'PageUp' || e.key === 'PageDown') lift(e.key === 'PageUp' ? 5 : -5);
    else return false;
    e.preventDefault();
    e.stopPropagation();
    return true;
  }
  svg.addEventListener('keydown', key);

  draw();
  return {key, move, set(next, which = active) { lamps = next; active = Math.min(which, next.length - 1); draw(); }};
}
