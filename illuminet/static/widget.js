// The widget: a disc, and with it the picture, made here from planes or in the kernel. Joined after shade.js and disc.js.

const bytes = v => v.buffer ? new Uint8Array(v.buffer, v.byteOffset, v.byteLength) : new Uint8Array(v);

function colourOf(hex) { return [1, 3, 5].map(i => toLinear(parseInt(hex.slice(i, i + 2), 16) / 255)); }
function hexOf(colour) { return '#' + colour.map(v => Math.round(255 * toCoded(Math.min(1, Math.max(0, v)))).toString(16).padStart(2, '0')).join(''); }

function render({model, el}) {
  el.classList.add('il-widget');
  el.innerHTML = `<div class="il-controls"><div class="il-place"></div>
    <div class="il-lamp" role="group" aria-label="Lamp"><input type="color" aria-label="Colour" title="Colour of the lamp">
      <input type="range" min="0" max="2" step=".05" aria-label="Intensity" title="Intensity">
      <button class="il-more" title="One lamp more" aria-label="One lamp more">+</button>
      <button class="il-less" title="One lamp less" aria-label="One lamp less">−</button></div></div>
    <div class="il-picture" hidden></div><p class="il-note" role="status"></p>`;
  const $ = name => el.querySelector(name), host = $('.il-picture'), [colour, power] = el.querySelectorAll('input');
  const kernel = !!model.get('kernel'), most = 8;
  let lamps = model.get('lights'), active = model.get('active'), picture, url, due = false;

  // To the kernel goes one request at a time: while an answer is under way, only the newest light waits.
  let waiting = 0, wanted = null;
  function send(values, answered = kernel) {
    if (waiting) { wanted = {...wanted, ...values}; return; }
    model.set(values);
    model.save_changes();
    if (answered) waiting = setTimeout(arrived, 30000);
  }
  function arrived() {
    clearTimeout(waiting);
    waiting = 0;
    if (wanted) { const values = wanted; wanted = null; send(values, kernel || 'photo_light' in values); }
  }

  function draw() {
    due = false;
    if (!picture) return;
    const {canvas} = picture, dpr = window.devicePixelRatio || 1, w = Math.round(host.clientWidth * dpr), h = Math.round(w * picture.h / picture.w);
    if (!w) return;
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, {width: w, height: h});
    picture.relight(lamps);
    picture.show([0, 0], [w, h]);
  }
  function redraw() { if (!due) requestAnimationFrame(draw); due = true; }

  function controls() {
    const o = lamps[active];
    colour.value = hexOf(o.colour || [1, 1, 1]);
    power.value = o.intensity ?? 1;
    $('.il-more').disabled = lamps.length >= most;
    $('.il-less').disabled = lamps.length < 2;
  }
  function changed(next, which = active) { lamps = next; active = which; controls(); send({lights: lamps, active}); redraw(); }
  const disc = lightDisc($('.il-place'), lamps, changed, active), own = model.get('photo_light') || [];
  const handle = own.length && photoHandle($('.il-place'), [{light: own}], light => send({photo_light: light}, true), true);
  const change = values => { const next = lamps.map((o, i) => i === active ? {...o, ...values} : o); disc.set(next); changed(next); };
  colour.addEventListener('input', () => change({colour: colourOf(colour.value)}));
  power.addEventListener('input', () => change({intensity: +power.value}));
  $('.il-more').addEventListener('click', () => {
    const [x, y, z] = lamps[active].light, next = [...lamps, {light: [-x, -y, z], colour: [1, 1, 1], intensity: 1}];
    disc.set(next, next.length - 1);
    changed(next, next.length - 1);
  });
  $('.il-less').addEventListener('click', () => {
    const next = lamps.filter((o, i) => i !== active);
    disc.set(next, 0);
    changed(next, 0);
  });
  controls();

  // What the kernel says
  const fromKernel = () => {
    lamps = model.get('lights');
    active = Math.min(model.get('active'), lamps.length - 1);
    disc.set(lamps, active);
    controls();
    redraw();
  };
  function image() {
    const data = model.get('picture');
    if (!data || !data.byteLength) return;
    const old = url, shown = host.querySelector('img') || host.appendChild(document.createElement('img'));
    url = URL.createObjectURL(new Blob([bytes(data)], {type: 'image/jpeg'}));
    shown.alt = 'The picture under the light';
    shown.onload = () => old && URL.revokeObjectURL(old);
    shown.src = url;
    host.hidden = false;
  }
  async function refill() {                                 // one photo was read again
    const info = model.get('info');
    if (!picture) return;
    picture.fill(...await unpacked(info, model.get('planes').map(bytes)));
    redraw();
  }
  const note = () => { $('.il-note').textContent = model.get('note') || ''; };
  const heard = {'change:lights': fromKernel, 'change:active': fromKernel, 'change:picture': image, 'change:planes': refill, 'change:done': arrived,
    'change:photo_light': () => handle && handle.set(model.get('photo_light')), 'change:note': note};
  for (const [k, f] of Object.entries(heard)) model.on(k, f);
  note();
  const info = model.get('info'), seen = new ResizeObserver(redraw);
  if (kernel) image();
  else if (info && info.nplanes) {
    host.hidden = false;
    makePicture(host, info, model.get('planes').map(bytes), next => { picture = next; redraw(); })
      .then(o => { picture = o; seen.observe(host); redraw(); el.relightable = o; })
      .catch(e => { $('.il-note').textContent = `This browser cannot show the picture: ${e.message}`; });
  }
  return () => {
    for (const [k, f] of Object.entries(heard)) model.off(k, f);
    clearTimeout(waiting);
    seen.disconnect();
    if (url) URL.revokeObjectURL(url);
  };
}

export default {render};
