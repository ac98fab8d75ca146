"""Find the lights of rendered scenes with balls: python benchmarks/balls.py [--scenes 100] [--seed 0] [--only 7]

Each scene has one to three balls (mirror, black glossy, matt; any place and size) on a board beside other objects, seen straight on
or tilted, by a distant camera or in perspective; lamps far or near, strong enough to clip; perhaps a window that shines in all photos.
The focal length is given for every second scene; without it, `find_lights` states by how much balls that lie aside may be wrong. A
scene counts as found if at least 80 % of its photos get a light, and as wrong if the median error is over 3° more than was stated."""
import argparse, io, time, warnings
import numpy as np
from PIL import Image

KINDS = 'mirror', 'glossy', 'matt'

def _unit(v): return v/np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
def _dot(a, b): return (a*b).sum(-1)

def _rotation(axis, angle):
    "Matrix of a turn about a horizontal axis"
    x,y = np.cos(axis), np.sin(axis)
    k = np.array([[0, 0, y], [0, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle)*k + (1-np.cos(angle))*k@k

def noise(rng, h, w, slope):
    "Power-law noise of mean 0 and deviation 1"
    f = np.hypot(np.fft.fftfreq(h)[:,None], np.fft.rfftfreq(w)[None])
    f[0,0] = np.inf
    z = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(h, w)))*f**(-slope/2), s=(h, w))
    return z/z.std()

def wood(rng, h, w):
    "Planks with grain"
    x = np.linspace(0, 1, w)[None]*rng.uniform(4, 9) + .3*noise(rng, h, w, 3)*.2
    return np.sin(25*(x % 1) + 2*noise(rng, h, w, 2.5)) + (x % 1 < .03)*-3.

def printed(rng, h, w):
    "Rings, lines and dots, as on a colour target"
    y,x = np.mgrid[:h,:w]/min(h, w)
    z = np.zeros((h, w))
    for _ in range(rng.integers(3, 12)):
        cx,cy,r = rng.uniform(0, w/h), rng.uniform(0, 1), rng.uniform(.03, .2)
        d = np.hypot(x-cx, y-cy)
        z = np.where(d < r, rng.normal()*(1 if rng.random() < .5 else d/r), z)
    return z + (np.sin(x*rng.uniform(20, 90)) > .9)*rng.normal()

TEXTURES = {'plain': lambda rng, h, w: .15*noise(rng, h, w, 2), 'stone': lambda rng, h, w: noise(rng, h, w, 1.4), 'wood': wood,
            'printed': printed}

class Scene:
    "A random scene; lengths are in widths of the picture, in the camera's frame"
    def __init__(self, seed, size=None, photos=None):
        self.rng = rng = np.random.default_rng(seed)
        self.w = size or int(rng.choice([320, 400, 480, 600]))
        self.h = int(self.w*rng.choice([.67, .75, 1.]))
        self.n = int(rng.integers(8, 26))
        self.n = photos or self.n
        self.aspect = self.h/self.w
        tilt = np.radians(rng.choice([0, rng.uniform(2, 12), rng.uniform(10, 30)]))
        self.board = _rotation(rng.uniform(0, 2*np.pi), tilt)
        self.focal = float(rng.choice([np.inf, rng.uniform(1.2, 4)]))          # widths of the picture
        self.stated = bool(rng.random() < .5)                                  # whether the focal length is given to the finder
        self._balls()
        self._others()
        self._lamps()
        self._room()

    def _place(self, r):
        "A place for a ball or an object, clear of others"
        for _ in range(200):
            x = self.rng.uniform(-.5+r*1.15, .5-r*1.15)
            y = self.rng.uniform(-.5*self.aspect+r*1.15, .5*self.aspect-r*1.15)
            c = self.board@[x, y, r]
            if not all(np.linalg.norm(c-o) > (r+q)*1.15 for o,q,*_ in self.spheres): continue
            if all(self._seen(c, r)): return c
        return None

    def _seen(self, c, r):
        "Whether a ball lies inside the picture"
        k = 1 if np.isinf(self.focal) else self.focal/(self.focal-c[2])
        x,y,r = c[0]*k, c[1]*k, r*k*1.06
        return abs(x)+r < .5, abs(y)+r < .5*self.aspect

    def _balls(self):
        rng = self.rng
        self.spheres,self.balls = [],[]
        common = rng.random() < .6
        kind = rng.choice(KINDS, p=[.4, .35, .25])
        size = rng.uniform(.035, .2)
        for _ in range(int(rng.choice([1, 1, 2, 3]))):
            if not common: kind,size = rng.choice(KINDS, p=[.4, .35, .25]), rng.uniform(.035, .15)
            r = size*rng.uniform(.95, 1.05)*self.aspect
            if (c := self._place(r)) is None: continue
            look = dict(mirror=(rng.uniform(.5, .9), 0., 0.), glossy=(.04, rng.uniform(0, .03), rng.uniform(.01, .09)),
                        matt=(0., rng.uniform(.35, .9), 0.))[kind]
            self.spheres.append((c, r, look, kind))
            self.balls.append((c, r, kind))

    def _others(self):
        "A heap of half-sunk stones beside, and a coin"
        rng = self.rng
        for _ in range(int(rng.choice([0, 3, 6]))):
            r = rng.uniform(.04, .15)*self.aspect
            if (c := self._place(r)) is None: continue
            sunk = rng.uniform(.55, .9)
            self.spheres.append((c-self.board[:,2]*r*2*sunk, r, (0. if rng.random() < .6 else .04, rng.uniform(.1, .7), .15), 'stone'))
        self.coin = None
        if rng.random() < .5:
            r = rng.uniform(.05, .12)*self.aspect
            c = self._place(r)
            if c is not None: self.coin = (c-self.board[:,2]*r, r, rng.uniform(.1, .8))

    def _lamps(self):
        rng = self.rng
        n,low = self.n, rng.uniform(10, 30)
        z = 1-(rng.permutation(n)+rng.uniform(.1, .9, n))/n*(1-np.sin(np.radians(low)))
        a = rng.uniform(0, 2*np.pi)+np.arange(n)*np.pi*(3-5**.5)
        if rng.random() < .25: a = rng.uniform(0, 2*np.pi)+.5*np.sin(a)+rng.choice([0, .8])*a/7        # from one side
        d = np.stack([np.cos(a)*np.sqrt(1-z*z), np.sin(a)*np.sqrt(1-z*z), z], -1)@self.board.T
        self.distance = float(rng.choice([np.inf, rng.uniform(2, 5)]))
        self.lights = d
        self.strength = 1+rng.uniform(0, .15)*rng.normal(size=n)
        self.lamp = np.radians(rng.uniform(.6, 3))

    def _room(self):
        rng = self.rng
        self.texture = rng.choice([*TEXTURES])
        h,w = 512, 768
        t = TEXTURES[self.texture](rng, h, w)
        base = rng.choice([rng.uniform(.01, .05), rng.uniform(.15, .7)])
        self.albedo = np.clip(base*np.exp(rng.uniform(.1, .5)*np.clip(t, -3, 3)), .004, .95).astype(np.float32)
        self.bump = .12*np.stack([noise(rng, h, w, 2), noise(rng, h, w, 2)], -1).astype(np.float32)*rng.uniform(0, 1)
        self.relief = .5*np.stack([noise(rng, h, w, 1.6), noise(rng, h, w, 1.6)], -1).astype(np.float32)
        self.window = None
        if rng.random() < .6:
            v = _unit(np.array([rng.normal(), rng.normal(), rng.uniform(.2, .8)]))
            self.window = (v, rng.uniform(.08, .3), rng.uniform(.05, .2), rng.choice([rng.uniform(.1, .6), rng.uniform(2, 8)]))
        self.ambient = rng.uniform(0, .06)
        self.exposure = rng.uniform(.5, 1.5)/(.5 if base < .1 else max(base, .3))
        self.grain = rng.uniform(.001, .012)
        self.jpeg = int(rng.choice([0, 85, 95]))

    def _rays(self):
        "Origins and directions of four rays for each pixel"
        s = 2
        x = ((np.arange(self.w*s)+.5)/(self.w*s)-.5)
        y = self.aspect/2-(np.arange(self.h*s)+.5)/(self.h*s)*self.aspect
        x,y = np.meshgrid(x, y)
        p = np.stack([x, y, 0*x], -1).astype(np.float32)
        if np.isinf(self.focal): return p+[0, 0, 5], np.broadcast_to([0, 0, -1.], p.shape)
        return np.broadcast_to([0, 0, self.focal], p.shape), _unit(p-[0, 0, self.focal])

    def _hit(self, o, d):
        "Nearest distance, and what is there: -1 nothing, 0 the board, k+1 sphere k"
        nb = self.board[:,2]
        down = d@nb
        t = np.where(down < -1e-6, -(o@nb)/np.minimum(down, -1e-6), np.inf)
        t = np.where(t > 1e-5, t, np.inf)
        what = np.where(np.isfinite(t), 0, -1)
        for k,(c,r,*_) in enumerate(self.spheres):
            oc = o-c
            b = _dot(oc, d)
            q = b*b-_dot(oc, oc)+r*r
            s = np.where(q > 0, -b-np.sqrt(np.maximum(q, 0)), np.inf)
            near = (s > 1e-4) & (s < t)
            t,what = np.where(near, s, t), np.where(near, k+1, what)
        return t, what

    def _surface(self, p, what):
        "Normal and albedo where rays meet the board or a sphere"
        n = np.broadcast_to(self.board[:,2], p.shape).copy()
        at = p@self.board
        i = np.clip(((.9-at[:,1])/1.8*512), 0, 511).astype(int)
        j = np.clip(((at[:,0]+.9)/1.8*768), 0, 767).astype(int)
        albedo = self.albedo[i,j].astype(np.float64)
        b = np.zeros_like(at)
        b[:,:2] = self.bump[i,j]
        if self.coin:
            on = np.linalg.norm(p-self.coin[0], axis=-1) < self.coin[1]
            albedo[on] = self.coin[2]
            b[on,:2] = self.relief[i,j][on]
        n = _unit(n-b@self.board.T)
        for k,(c,r,look,kind) in enumerate(self.spheres):
            on = what == k+1
            n[on] = (p[on]-c)/r
            albedo[on] = look[1]*(1 if kind != 'stone' else 1+.4*np.tanh(self.relief[i,j][on][:,0]))
        return n, albedo

    def _to_lamp(self, p, k):
        "Direction and fall-off of lamp k at points"
        if np.isinf(self.distance): return np.broadcast_to(self.lights[k], p.shape), np.ones(len(p))
        v = self.lights[k]*self.distance-p
        return _unit(v), (self.distance**2/_dot(v, v))

    def _lit(self, p, l):
        "Share of the lamp that is seen"
        seen = np.ones(len(p))
        for c,r,*_ in self.spheres:
            oc = p-c
            b = _dot(oc, l)
            d2 = _dot(oc, oc)-b*b
            seen[(b < -1e-3*r) & (d2 < r*r) & (_dot(oc, oc) > r*r*1.0001)] = 0
        return seen

    def _diffuse(self, p, n, albedo, k):
        l,fall = self._to_lamp(p, k)
        return albedo*(self.strength[k]*fall*np.maximum(_dot(n, l), 0)*self._lit(p, l) + self.glow)

    def _shine(self, p, d, k, rough, finest):
        "Radiance that comes along a reflected ray from lamp, window and room; lamps finer than a ray are widened"
        l,fall = self._to_lamp(p, k)
        angle = np.arccos(np.clip(_dot(d, l), -1, 1))
        size = max(self.lamp, finest)
        lamp = self.strength[k]/np.sin(size)**2*np.clip((size*1.05-angle)/(.1*size), 0, 1)
        if rough:
            wide = np.hypot(size, 2*rough)
            lamp = self.strength[k]/np.sin(wide)**2*np.exp(-(angle/wide)**2)
        res = lamp*self._lit(p, l)+.02*(1+d[:,1])*(self.ambient*10)
        if self.window:
            v,a,b,w = self.window
            side = _unit(np.cross(v, [0, 1, 0]))
            up = np.cross(side, v)
            inside = (np.abs(d@side) < a) & (np.abs(d@up) < b) & (d@v > 0) & (np.abs(d@side) > .01)
            res = res+w*inside
        return res

    def _reflected(self, p, n, d, k, look, radius):
        r = d-2*_dot(n, d)[:,None]*n
        t,what = self._hit(p+n*1e-4, r)
        q = p+np.where(np.isfinite(t), t, 0)[:,None]*r
        on = what >= 0
        finest = 1/(radius*self.w)
        res = self._shine(p, r, k, look[2], finest)
        if on.any():
            m,albedo = self._surface(q[on], what[on])
            seen = self._diffuse(q[on], m, albedo, k)
            for j,(c,rad,other,kind) in enumerate(self.spheres):
                s = what[on] == j+1
                if s.any() and other[0]:
                    rr = r[on][s]-2*_dot(m[s], r[on][s])[:,None]*m[s]
                    seen[s] += other[0]*self._shine(q[on][s], rr, k, other[2], finest)
            res[on] = seen
        f = look[0]+(1-look[0])*np.maximum(1+_dot(n, d), 0)**5*(.6 if look[0] < .1 else .1)
        return f*res

    def photos(self):
        "The photos (n, h, w, 3) uint8"
        self.glow = self.ambient+(self.window[3]*self.window[1]*self.window[2] if self.window else 0)
        o,d = (a.reshape(-1, 3) for a in self._rays())
        t,what = self._hit(o, d)
        p = o+np.where(np.isfinite(t), t, 0)[:,None]*d
        n,albedo = self._surface(p, what)
        tint = 1+.1*self.rng.normal(size=3)*(self.rng.random() < .7)
        res = []
        for k in range(self.n):
            x = np.where(what >= 0, self._diffuse(p, n, albedo, k), 0)
            for j,(c,r,look,kind) in enumerate(self.spheres):
                if not look[0]: continue
                on = what == j+1
                x[on] += self._reflected(p[on], n[on], d[on], k, look, r)
            x = np.minimum(x*self.exposure, 50).reshape(self.h, 2, self.w, 2).mean((1, 3))
            res.append(self._developed(x, tint))
        return np.stack(res)

    def _developed(self, x, tint):
        x = x[...,None]*tint
        x = x+self.grain*np.sqrt(np.clip(x, .02, 1))*self.rng.normal(size=x.shape)
        x = np.clip(x, 0, 1)
        a = (np.where(x <= .0031308, 12.92*x, 1.055*x**(1/2.4)-.055)*255+.5).astype(np.uint8)
        if not self.jpeg: return a
        f = io.BytesIO()
        Image.fromarray(a).save(f, 'JPEG', quality=self.jpeg)
        return np.asarray(Image.open(f))

    def _circle(self, c, r):
        "Place of a sphere in the picture, pixels"
        k = 1 if np.isinf(self.focal) else self.focal/(self.focal-c[2])
        return (c[0]*k+.5)*self.w-.5, (self.aspect/2-c[1]*k)*self.w-.5, r*k*self.w

    def true(self, circles):
        "Directions (n, 3), seen from where the balls that were found reflect the lamps"
        if np.isinf(self.distance): return self.lights
        places = np.array([self._circle(c, r) for c,r,*_ in self.spheres])
        taken = [self.spheres[np.linalg.norm(places[:,:2]-o[:2], axis=1).argmin()] for o in circles]
        half = _unit(self.lights+[0, 0, 1])
        return _unit(self.lights*self.distance-np.mean([c+r*half for c,r,*_ in taken], 0))

def measure(seed, **kwargs):
    "Render a scene and find its lights: a dict of results"
    from illuminet.balls import find_lights
    from illuminet.core import InputError
    scene = Scene(seed, **kwargs)
    photos = scene.photos()
    balls = [f'{kind}{scene._circle(c, r)[2]:.0f}' for c,r,kind in scene.balls]
    res = dict(seed=seed, photos=scene.n, balls=balls, focal=scene.focal, stated=scene.stated,
               distance=scene.distance, window=bool(scene.window), board=scene.texture)
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            found = find_lights(photos, focal=scene.focal if scene.stated else None)
    except InputError as e: return res | dict(refused=str(e), seconds=time.perf_counter()-start)
    taken = [int(name[5:8]) for name in found.names]
    true = scene.lights if found.positions is not None else scene.true(found.balls)
    error = np.degrees(np.arccos(np.clip((found.lights*true[taken]).sum(-1), -1, 1)))
    stated = [int(word) for o in caught for word in str(o.message).split() if word.isdigit()]
    return res | dict(stated_deg=max(stated, default=0), median=np.median(error), worst=error.max(),
                      placed=len(taken)/scene.n, kinds=found.kinds, seconds=time.perf_counter()-start)

def main():
    args = argparse.ArgumentParser()
    args.add_argument('--scenes', type=int, default=100)
    args.add_argument('--seed', type=int, default=0)
    args.add_argument('--only', type=int)
    args = args.parse_args()
    seeds = range(args.seed, args.seed+args.scenes) if args.only is None else [args.only]
    rows = []
    for seed in seeds:
        rows.append(row := measure(seed))
        shown = {k: f'{v:.2f}' if isinstance(v, float) else v for k,v in row.items()}
        print(*(f'{k}={v}' for k,v in shown.items()), flush=True)
    if not rows: return
    good = [r for r in rows if 'median' in r and r['placed'] >= .8]
    medians = [r['median'] for r in rows if 'median' in r]
    wrong = [r['seed'] for r in rows if 'median' in r and r['median'] > 3+r['stated_deg']]
    print(f"{len(good)} of {len(rows)} found, median of medians {np.median(medians):.2f}°, "
          f"median over 1°: {sum(m > 1 for m in medians)}, silently wrong: {wrong}")

if __name__ == '__main__': main()
