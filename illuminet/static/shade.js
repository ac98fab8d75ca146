// The picture under one or several lights, as a weighted sum of planes or (one photo) from its surface: with WebGL2, or on a 2D canvas.
// `weights` is the same sum as `plane_weights` in viewer.py, a surface is lit as by `light_surface` in surface.py. This file exports nothing: it is joined with disc.js and
// viewer.js or widget.js into one module.

// The table of a bilinear `info` comes packed as base64.
function prepared(info) {
  return typeof info.basis === 'string' ? {...info, basis: Uint8Array.from(atob(info.basis), c => c.charCodeAt(0))} : info;
}

// light: unit [x, y, z], x to the right, y to the top, z to the camera.
// Gives base (3) and then three numbers a plane: what its byte, over 255, adds to red, green and blue.
function weights(info, light) {
  if (info.type === 'surface') return surfaceTable(info, light);
  const n = info.nplanes, {scale, bias, range} = info.materials[0], out = new Float64Array(3 + 3 * n);
  let gain;
  [light, gain] = damped(info, light);
  if (info.type === 'bilinear') {
    const side = info.resolution, cells = side * side, basis = info.basis;
    for (const [cell, part] of corners(light, side)) for (let c = 0; c < 3; c++) {
      out[c] += part * basis[3 * cell + c] / 255;
      for (let p = 0; p < n; p++) {
        out[3 + 3 * p + c] += part * (basis[3 * ((p + 1) * cells + cell) + c] - 127) / range[p];
      }
    }
    for (let p = 0; p < n; p++) for (let c = 0; c < 3; c++) {
      out[c] -= out[3 + 3 * p + c] * scale[p] * bias[p];
      out[3 + 3 * p + c] *= scale[p];
    }
  } else {
    const basis = info.type === 'ptm' ? polynomial(light) : harmonics(light);
    for (let p = 0; p < n; p++) {                           // plane p: colour p % 3 of term p / 3
      const c = p % 3, w = basis[(p - c) / 3] * scale[p];
      out[c] -= w * bias[p];
      out[3 + 3 * p + c] = w;
    }
  }
  return gain === 1 ? out : out.map(v => v * gain);
}

// A light outside the cone of the photos' lights: the one to use in its place, and the factor on the picture (`damp_lights` in relightable.py).
// An edge of the cone has two lights and the outward normal.
function damped({cone, reach}, light) {
  const inner = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2], sum = (a, s, b, t) => a.map((v, i) => s * v + t * b[i]);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = a => a.map(v => v / Math.max(Math.hypot(...a), 1e-9)), {acos, cos, max, min, PI, sin, tanh} = Math;
  if (!cone || !cone.some(([, , normal]) => inner(normal, light) > 1e-6)) return [light, 1];
  const tries = cone.flatMap(([first, last, normal]) => {
    const flat = unit(sum(light, 1, normal, -inner(light, normal))), across = cross(first, last);
    return [first, last, ...inner(cross(first, flat), across) > 0 && inner(cross(flat, last), across) > 0 ? [flat] : []];
  });
  const nearest = tries.reduce((a, b) => inner(a, light) >= inner(b, light) ? a : b), edge = min(1, inner(nearest, light));
  const away = unit(sum(light, 1, nearest, -edge)), most = reach * PI / 180, step = most * tanh(acos(max(-1, edge)) / most);
  const moved = sum(nearest, cos(step), away, sin(step)), height = v => max(v[2], 0) + .02, c = max(-1, min(1, inner(light, moved)));
  return [moved, min(1, height(light) / height(moved)) ** .7 * ((sin(acos(c)) + (PI - acos(c)) * c) / PI) ** .5];
}

// A surface has 18 planes: colour 3 (coded), slope of the normal 2, log of the sharpness, shadow 9, ambient, gloss, sheen.
// A byte stands for low + byte/255*span. In the table, layer j (planes 3j to 3j+2) has a row of lows, one of spans and, where it holds
// shadow, one of the polynomial of the light.
const SHADOW = 6, quadratic = ([x, y, z]) => [1, x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1];

function surfaceTable({nplanes, materials: [{low, span}]}, light) {
  const out = new Float64Array(3 + 3 * nplanes), q = quadratic(light);
  for (let p = 0; p < nplanes; p++) {
    const at = 3 + 9 * Math.floor(p / 3) + p % 3;
    out[at] = low[p];
    out[at + 3] = span[p];
    out[at + 6] = q[p - SHADOW] || 0;
  }
  return out;
}

// For the 2D canvas: a function that puts the colour of the pixel at byte k into `out`; what depends on one byte alone is tabulated.
function surfaceShader({low, span}, planes, light) {
  const q = quadratic(light), [lx, ly, lz] = light, [hx, hy, hz] = HALF(light), {exp, log1p, max, sqrt} = Math;
  const means = (p, v) => p < 3 ? toLinear(v) : p === 5 ? exp(v) : p < SHADOW || p > 14 ? v : v * q[p - SHADOW];
  const tables = low.map((o, p) => Float64Array.from({length: 256}, (_, b) => means(p, o + b / 255 * span[p])));
  return (k, out) => {
    const at = p => tables[p][planes[Math.floor(p / 3)][k + p % 3]];
    const x = at(3), y = at(4), z = sqrt(max(0, 1 - x * x - y * y)), nl = x * lx + y * ly + z * lz, nh = x * hx + y * hy + z * hz;
    let v = 0;
    for (let p = SHADOW; p < 15; p++) v += at(p);
    v = 2 / (1 + exp(-v));
    const lobe = v * exp(at(5) * (nh - 1)) / (1 + exp(-20 * nl)), lit = v * log1p(exp(20 * nl)) / 20 + at(15) + at(17) * lobe;
    for (let c = 0; c < 3; c++) out[c] = toCoded(at(c) * lit + at(16) * lobe);
  };
}

function polynomial([x, y]) { return [1, x, y, x * x, x * y, y * y]; }

function harmonics([x, y, z]) {
  const {sqrt, cos, sin, PI} = Math, p = Math.atan2(y, x);
  const c = sin(Math.max(Math.atan2(z, Math.hypot(x, y)), .01)), q = sqrt(c - c * c);
  return [1 / sqrt(2 * PI), sqrt(6 / PI) * q * cos(p), sqrt(3 / (2 * PI)) * (2 * c - 1), sqrt(6 / PI) * q * sin(p),
    sqrt(30 / PI) * (c * c - c) * cos(2 * p), sqrt(30 / PI) * (2 * c - 1) * q * cos(p),
    sqrt(5 / (2 * PI)) * (6 * c * c - 6 * c + 1), sqrt(30 / PI) * (2 * c - 1) * q * sin(p),
    sqrt(30 / PI) * (c * c - c) * sin(2 * p)];
}

// The four lights of an octahedral grid around a light, each with its share.
function corners([x, y, z], side) {
  const s = Math.abs(x) + Math.abs(y) + Math.abs(z), put = v => (v / s + 1) / 2 * (side - 1);
  const u = put(x + y), v = put(y - x), low = t => Math.min(Math.max(Math.floor(t), 0), side - 2);
  const i = low(u), j = low(v), f = u - i, g = v - j;
  return [[j * side + i, (1 - f) * (1 - g)], [j * side + i + 1, f * (1 - g)],
    [(j + 1) * side + i, (1 - f) * g], [(j + 1) * side + i + 1, f * g]];
}

const toLinear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const toCoded = v => v <= .0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - .055;

// A lamp: {light: [x, y, z], colour: [r, g, b] linear, intensity}. One white lamp needs no sum in linear light.
const strength = lamp => (lamp.colour || [1, 1, 1]).map(v => v * (lamp.intensity ?? 1));
const isPlain = lamps => lamps.length === 1 && strength(lamps[0]).every(v => v === 1);

// How the picture is drawn: detail sharpens luminance, relief exaggerates shading and gloss adds a sheen (both by normals).
const NO_LOOK = {normals: false, detail: 0, relief: 0, gloss: 0};
const HALF = ([x, y, z]) => { const s = Math.hypot(x, y, z + 1); return [x / s, y / s, (z + 1) / s]; };

const VERTEX = `#version 300 es
void main() { gl_Position = vec4(gl_VertexID == 1 ? 3. : -1., gl_VertexID == 2 ? 3. : -1., 0, 1); }`;

const RELIGHT = `#version 300 es
precision highp float; precision highp int; precision highp sampler2D; precision highp sampler2DArray;
uniform sampler2DArray planes; uniform sampler2D table, normals;
uniform int layers, lamps; uniform bool plain, surface; uniform float relief, gloss;
out vec4 colour;
vec3 lin(vec3 v) { return mix(v/12.92, pow((v+.055)/1.055, vec3(2.4)), vec3(greaterThan(v, vec3(.04045)))); }
vec3 coded(vec3 v) { return mix(12.92*v, 1.055*pow(v, vec3(1./2.4))-.055, vec3(greaterThan(v, vec3(.0031308)))); }
vec3 cell(int j, int i) { return texelFetch(table, ivec2(j, i), 0).rgb; }
vec3 plane(ivec2 at, int j) { return texelFetch(planes, ivec3(at, j), 0).rgb; }
vec3 value(ivec2 at, int j, int i) { return cell(3*j+1, i) + plane(at, j)*cell(3*j+2, i); }
vec3 shaded(ivec2 at, int i, vec3 l, vec3 h) {
  vec3 s = value(at, 1, i), more = value(at, 5, i), n = vec3(s.xy, sqrt(max(0., 1.-dot(s.xy, s.xy))));
  float v = 0., nl = dot(n, l);
  for (int j = 2; j < 5; j++) v += dot(value(at, j, i), cell(3*j+3, i));
  v = 2./(1.+exp(-v));
  float lobe = v*exp(exp(s.z)*(dot(n, h)-1.))/(1.+exp(-20.*nl)), lit = v*log(1.+exp(20.*nl))/20. + more.x + more.z*lobe;
  return coded(lin(value(at, 0, i))*lit + more.y*lobe);
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec3 sum = vec3(0), n = texelFetch(normals, at, 0).rgb*2.-1.;
  float shaped = length(n) > .5 ? 1. : 0.;
  for (int i = 0; i < lamps; i++) {
    vec3 c = cell(0, i), l = cell(3*layers+1, i), h = normalize(l+vec3(0, 0, 1));
    if (surface) c = shaded(at, i, l, h);
    else for (int j = 0; j < layers; j++) {
      vec3 p = plane(at, j);
      c += p.r*cell(3*j+1, i) + p.g*cell(3*j+2, i) + p.b*cell(3*j+3, i);
    }
    c = clamp(c, 0., 1.)*max(0., 1.+shaped*relief*(dot(n, l)-l.z))*(1.-.5*shaped*gloss);
    c = clamp(c + shaped*gloss*.7*pow(max(dot(n, h), 0.), 20.), 0., 1.);
    sum += plain ? c : lin(c)*cell(3*layers+2, i);
  }
  colour = vec4(plain ? sum : coded(clamp(sum, 0., 1.)), 1);
}`;

const SHARPEN = `#version 300 es
precision highp float; precision highp int; precision highp sampler2D;
uniform sampler2D source; uniform float detail;
out vec4 colour;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy), last = textureSize(source, 0)-1;
  float w[5] = float[5](1., 4., 6., 4., 1.), near = 0.;
  const vec3 grey = vec3(.2126, .7152, .0722);
  for (int y = 0; y < 5; y++) for (int x = 0; x < 5; x++)
    near += w[x]*w[y]/256.*dot(texelFetch(source, clamp(at+2*ivec2(x-2, y-2), ivec2(0), last), 0).rgb, grey);
  vec3 c = texelFetch(source, at, 0).rgb;
  colour = vec4(clamp(c+detail*(dot(c, grey)-near), 0., 1.), 1);
}`;

const SHOW = `#version 300 es
precision highp float; precision highp sampler2D;
uniform sampler2D source; uniform vec2 origin, size; uniform float tall;
out vec4 colour;
void main() {
  vec2 at = (vec2(gl_FragCoord.x, tall-gl_FragCoord.y)-origin)/size;
  colour = any(lessThan(at, vec2(0))) || any(greaterThan(at, vec2(1))) ? vec4(0) : vec4(texture(source, at).rgb, 1);
}`;

// Both kinds of picture have fill(info, planes, normals), relight(lamps, look), show(origin, size) and read(): the bytes (RGBA) of what is shown.
class GLPicture {
  constructor(canvas, info, planes, normals) {
    const gl = this.gl = canvas.getContext('webgl2', {antialias: false, failIfMajorPerformanceCaveat: true});    // without a graphics card the 2D canvas is quicker
    if (!gl) throw new Error('no WebGL2');
    Object.assign(this, {canvas, layers: planes.length, w: info.width, h: info.height, hasNormals: !!normals});
    if (Math.max(this.w, this.h) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) throw new Error('larger than a texture');
    [this.relit, this.sharp, this.shown] = [RELIGHT, SHARPEN, SHOW].map(text => this.program(text));
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    this.planes = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.planes);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGB8, this.w, this.h, planes.length);
    for (const f of ['MIN', 'MAG']) gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl[`TEXTURE_${f}_FILTER`], gl.NEAREST);
    this.normals = this.texture(normals ? [this.w, this.h] : [1, 1]);
    this.fill(info, planes, normals);
    this.targets = [0, 1].map(() => this.texture([this.w, this.h]));
    this.frames = this.targets.map(o => {
      const f = gl.createFramebuffer();
      gl.bindFramebuffer(gl.FRAMEBUFFER, f);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, o, 0);
      return f;
    });
    this.table = gl.createTexture();
    if (gl.getError()) throw new Error('WebGL2 refuses the planes');
  }

  fill(info, planes, normals) {
    const gl = this.gl;
    this.info = info;
    this.bind(0, this.planes, gl.TEXTURE_2D_ARRAY);
    planes.forEach((o, j) => gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, j, this.w, this.h, 1, gl.RGB, gl.UNSIGNED_BYTE, o));
    this.bind(0, this.normals);
    if (normals) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, gl.RGBA, gl.UNSIGNED_BYTE, normals);
    else gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array([128, 128, 128, 255]));
    gl.generateMipmap(gl.TEXTURE_2D);
  }

  program(text) {
    const gl = this.gl, p = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, text]]) {
      const s = gl.createShader(kind);
      gl.shaderSource(s, source);
      gl.compileShader(s);
      gl.attachShader(p, s);
    }
    gl.linkProgram(p);
    if (!gl.getProgramParameter(p, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(p));
    const at = {};
    for (let i = 0; i < gl.getProgramParameter(p, gl.ACTIVE_UNIFORMS); i++) {
      const {name} = gl.getActiveUniform(p, i);
      at[name] = gl.getUniformLocation(p, name);
    }
    return {p, at};
  }

  texture([w, h]) {                                     // with room for the smaller ones that a small view is drawn from
    const gl = this.gl, t = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, t);
    gl.texStorage2D(gl.TEXTURE_2D, 1 + Math.floor(Math.log2(Math.max(w, h))), gl.RGBA8, w, h);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    for (const f of ['S', 'T']) gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_WRAP_${f}`], gl.CLAMP_TO_EDGE);
    return t;
  }

  bind(unit, texture, kind = this.gl.TEXTURE_2D) {
    this.gl.activeTexture(this.gl.TEXTURE0 + unit);
    this.gl.bindTexture(kind, texture);
  }

  run({p, at}, frame, w, h, uniforms) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.viewport(0, 0, w, h);
    gl.useProgram(p);
    for (const [k, [kind, ...v]] of Object.entries(uniforms)) if (at[k]) gl[`uniform${kind}`](at[k], ...v);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  relight(lamps, look = NO_LOOK) {
    const gl = this.gl, row = 3 * this.layers + 3, table = new Float32Array(4 * row * lamps.length);
    lamps.forEach((lamp, i) => {
      const v = [...weights(this.info, lamp.light), ...lamp.light, ...strength(lamp)];
      for (let j = 0; j < row; j++) for (let c = 0; c < 3; c++) table[4 * (i * row + j) + c] = v[3 * j + c];
    });
    this.bind(0, this.table);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, row, lamps.length, 0, gl.RGBA, gl.FLOAT, table);
    for (const f of ['MIN', 'MAG']) gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_${f}_FILTER`], gl.NEAREST);
    this.bind(1, this.planes, gl.TEXTURE_2D_ARRAY);
    this.bind(2, this.normals);
    const shaped = this.hasNormals;
    this.run(this.relit, this.frames[0], this.w, this.h, {table: ['1i', 0], planes: ['1i', 1], normals: ['1i', 2],
      layers: ['1i', this.layers], lamps: ['1i', lamps.length], plain: ['1i', isPlain(lamps)],
      surface: ['1i', this.info.type === 'surface'], relief: ['1f', shaped ? look.relief : 0], gloss: ['1f', shaped ? look.gloss : 0]});
    this.latest = 0;
    if (look.detail) {
      this.bind(0, this.targets[0]);
      this.run(this.sharp, this.frames[1], this.w, this.h, {source: ['1i', 0], detail: ['1f', look.detail]});
      this.latest = 1;
    }
    this.bind(0, this.targets[this.latest]);
    gl.generateMipmap(gl.TEXTURE_2D);
    this.asNormals = look.normals && shaped;
  }

  show(origin, size) {
    const {width, height} = this.canvas;
    this.bind(0, this.asNormals ? this.normals : this.targets[this.latest]);
    this.run(this.shown, null, width, height, {source: ['1i', 0], origin: ['2f', ...origin], size: ['2f', ...size], tall: ['1f', height]});
  }

  read() {
    const gl = this.gl, out = new Uint8Array(4 * this.w * this.h);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frames[this.latest]);
    gl.readPixels(0, 0, this.w, this.h, gl.RGBA, gl.UNSIGNED_BYTE, out);
    return out;
  }
}

class CanvasPicture {
  constructor(canvas, info, planes, normals) {
    Object.assign(this, {canvas, w: info.width, h: info.height, hasNormals: !!normals});
    this.fill(info, planes, normals);
    this.sheet = new ImageData(this.w, this.h);
    this.off = this.blank();
  }

  fill(info, planes, normals) {
    this.info = info;
    this.planes = planes.map(o => this.bytes(o));
    this.normalBitmap = normals;
    this.normals = normals && this.bytes(normals);
  }

  blank() { return Object.assign(document.createElement('canvas'), {width: this.w, height: this.h}); }

  bytes(bitmap) {
    const g = this.blank().getContext('2d', {willReadFrequently: true});
    g.drawImage(bitmap, 0, 0);
    return g.getImageData(0, 0, this.w, this.h).data;
  }

  relight(lamps, look = NO_LOOK) {
    const n = this.w * this.h, out = this.sheet.data, plain = isPlain(lamps);
    const sum = plain ? null : new Float32Array(3 * n);
    const relief = this.normals ? look.relief : 0, gloss = this.normals ? look.gloss : 0;
    for (const lamp of lamps) {
      const surface = this.info.type === 'surface' && surfaceShader(this.info.materials[0], this.planes, lamp.light), own = [0, 0, 0];
      const w = weights(this.info, lamp.light), power = strength(lamp), [lx, ly, lz] = lamp.light, h = HALF(lamp.light);
      for (let i = 0; i < n; i++) {
        const k = 4 * i;
        let r = w[0], g = w[1], b = w[2], m = 3;
        if (surface) { surface(k, own); [r, g, b] = own; }
        else for (const p of this.planes) for (let c = 0; c < 3; c++, m += 3) {
          const v = p[k + c] / 255;
          r += v * w[m]; g += v * w[m + 1]; b += v * w[m + 2];
        }
        let gain = 1, sheen = 0;
        if (relief || gloss) {
          const x = this.normals[k] / 127.5 - 1, y = this.normals[k + 1] / 127.5 - 1, z = this.normals[k + 2] / 127.5 - 1;
          if (x * x + y * y + z * z > .25) {
            gain = Math.max(0, 1 + relief * (x * lx + y * ly + z * lz - lz)) * (1 - .5 * gloss);
            sheen = gloss * .7 * Math.max(x * h[0] + y * h[1] + z * h[2], 0) ** 20;
          }
        }
        for (let c = 0; c < 3; c++) {
          const v = Math.min(1, Math.min(1, Math.max(0, c ? c > 1 ? b : g : r)) * gain + sheen);
          if (plain) out[k + c] = 255 * v; else sum[3 * i + c] += toLinear(v) * power[c];
        }
        out[k + 3] = 255;
      }
    }
    if (!plain) for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) out[4 * i + c] = 255 * toCoded(Math.min(1, sum[3 * i + c]));
    if (look.detail) this.sharpen(look.detail);
    this.asNormals = look.normals && this.hasNormals;
    this.off.getContext('2d').putImageData(this.sheet, 0, 0);
  }

  sharpen(detail) {
    const {w, h} = this, out = this.sheet.data, grey = new Float32Array(w * h), t = new Float32Array(w * h), k = [1, 4, 6, 4, 1];
    const clip = (i, n) => Math.min(Math.max(i, 0), n - 1);
    for (let i = 0; i < w * h; i++) grey[i] = .2126 * out[4 * i] + .7152 * out[4 * i + 1] + .0722 * out[4 * i + 2];
    for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
      let s = 0;
      for (let j = 0; j < 5; j++) s += k[j] / 16 * grey[y * w + clip(x + 2 * j - 4, w)];
      t[y * w + x] = s;
    }
    for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
      let s = 0;
      for (let j = 0; j < 5; j++) s += k[j] / 16 * t[clip(y + 2 * j - 4, h) * w + x];
      const i = y * w + x, d = detail * (grey[i] - s);
      for (let c = 0; c < 3; c++) out[4 * i + c] += d;
    }
  }

  show(origin, size) {
    const g = this.canvas.getContext('2d');
    g.imageSmoothingQuality = 'high';
    g.clearRect(0, 0, this.canvas.width, this.canvas.height);
    g.drawImage(this.asNormals ? this.normalBitmap : this.off, ...origin, ...size);
  }

  read() { return this.sheet.data; }
}

// files: bytes of lossless pictures, three planes each, in order; the last are normals if info.normals says so. Smaller ones are enlarged.
async function unpacked(info, files) {                      // -> what a picture is filled with
  const plain = {colorSpaceConversion: 'none', premultiplyAlpha: 'none'}, {width, height} = info;
  const whole = b => b.width === width && b.height === height ? b : createImageBitmap(b, {...plain, resizeWidth: width, resizeHeight: height, resizeQuality: 'medium'});
  const bitmaps = await Promise.all(files.map(async o => whole(await createImageBitmap(new Blob([o]), plain))));
  const normals = info.normals ? bitmaps.pop() : null;
  return [prepared(info), bitmaps, normals];
}

// onswap(picture) is called when the graphics card is lost and the 2D canvas takes over.
async function makePicture(host, info, files, onswap) {
  const parts = await unpacked(info, files);
  const make = Kind => {
    const canvas = document.createElement('canvas'), picture = new Kind(canvas, ...parts);
    host.replaceChildren(canvas);
    return picture;
  };
  try {
    const picture = make(GLPicture);
    picture.canvas.addEventListener('webglcontextlost', () => onswap(make(CanvasPicture)));
    return picture;
  } catch (e) { return make(CanvasPicture); }
}
