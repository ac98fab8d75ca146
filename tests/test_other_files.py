"""Files of other programs: written by small writers that share no code with the readers, and broken in every way"""
import io, json, struct
import numpy as np, pytest
from PIL import Image
from helpers import good, refused as refused_command
from illuminet.core import InputError
from illuminet.lights import dome
from illuminet.learner import Capture, fit, read_ptm, read_rti, read_web, write_ptm, write_rti
from illuminet.synth import synth_capture

W, H = 20, 13
LIGHTS = np.array([[0, 0, 1], [.5, .2, .84261], [-.6, .3, .74162]])
RNG = np.random.default_rng(0)


def smooth(n):
    "Return n planes of bytes without sharp edges, which JPEG would blur"
    y, x = np.mgrid[:H, :W]
    waves = [np.sin(x/(4+k % 3)+k)*np.cos(y/(5+k % 4)-k) for k in range(n)]
    return np.rint(127.5+60*np.stack(waves)).astype(np.uint8)


def jpeg(a):
    f = io.BytesIO()
    Image.fromarray(a).save(f, 'JPEG', quality=100, subsampling=0)
    return f.getvalue()


def terms(light):
    x, y, _ = light
    return np.array([1, x, y, x*x, x*y, y*y])


def off(pictures, wanted): return 255*np.abs(pictures-np.clip(wanted, 0, 1)).mean()


# --- layouts

def as_images(folder, pictures):
    for j, a in enumerate(pictures): (folder/f'plane_{j}.jpg').write_bytes(jpeg(a))


def pyramid(a, tile):
    "Return tiles from the coarsest level to the finest, and the number of levels"
    levels = [a]
    while max(levels[0].shape[:2]) > tile:
        h, w = (o//2 for o in levels[0].shape[:2])
        levels.insert(0, np.ascontiguousarray(levels[0][:2*h:2, :2*w:2]))
    return [t for o in levels for t in cut(o, tile)], len(levels)


def cut(a, tile):
    h, w = a.shape[:2]
    return [jpeg(np.ascontiguousarray(a[y:y+tile, x:x+tile])) for y in range(0, h, tile) for x in range(0, w, tile)]


def pack(folder, name, streams, levels, tile, **more):
    ends = np.cumsum([len(o) for o in streams]).tolist()
    (folder/f'{name}.tzb').write_bytes(b''.join(streams))
    about = dict(tilesize=tile, overlap=0, format='jpg', width=W, height=H, nlevels=levels, offsets=[0, *ends])
    (folder/f'{name}.tzi').write_text(json.dumps(about | more))


def as_tarzoom(folder, pictures, tile=8):
    for j, a in enumerate(pictures): pack(folder, f'plane_{j}', *pyramid(a, tile), tile)


def as_itarzoom(folder, pictures, tile=8):
    parts = [pyramid(a, tile) for a in pictures]
    together = [o for same in zip(*(streams for streams, _ in parts)) for o in same]
    pack(folder, 'planes', together, parts[0][1], tile, stride=len(pictures))


def as_deepzoom(folder, pictures, tile=8):
    for j, a in enumerate(pictures):
        size = f'<Size Width="{W}" Height="{H}"/>'
        (folder/f'plane_{j}.dzi').write_text(f'<Image TileSize="{tile}" Overlap="0" Format="jpg">{size}</Image>')
        finest = folder/f'plane_{j}_files/2'
        finest.mkdir(parents=True)
        for y in range(0, H, tile):
            for x in range(0, W, tile):
                tile_of = np.ascontiguousarray(a[y:y+tile, x:x+tile])
                (finest/f'{x//tile}_{y//tile}.jpg').write_bytes(jpeg(tile_of))


def as_zoomify(folder, pictures, tile=8):
    for j, a in enumerate(pictures):
        (folder/f'plane_{j}/TileGroup0').mkdir(parents=True)
        about = f'<IMAGE_PROPERTIES WIDTH="{W}" HEIGHT="{H}" NUMTILES="9" TILESIZE="{tile}"/>'
        (folder/f'plane_{j}/ImageProperties.xml').write_text(about)
        for y in range(0, H, tile):
            for x in range(0, W, tile):
                data = jpeg(np.ascontiguousarray(a[y:y+tile, x:x+tile]))
                (folder/f'plane_{j}/TileGroup0/2-{x//tile}-{y//tile}.jpg').write_bytes(data)


LAYOUTS = dict(image=as_images, tarzoom=as_tarzoom, itarzoom=as_itarzoom, deepzoom=as_deepzoom, zoomify=as_zoomify)


# --- bundles, and what they look like

def bundle(folder, layout, planes, /, **info):
    folder.mkdir()
    n = -(-len(planes)//3)*3
    planes = np.concatenate([planes, np.zeros((n-len(planes), H, W), np.uint8)])
    LAYOUTS[layout](folder, [np.ascontiguousarray(np.moveaxis(planes[j:j+3], 0, -1)) for j in range(0, n, 3)])
    (folder/'info.json').write_text(json.dumps(dict(width=W, height=H, format='jpg', quality=100) | info))
    return folder


def material(n, scale=.5, bias=.5, **more): return [dict(scale=[scale]*n, bias=[bias]*n) | more]


def coefficients(planes, scale=.5, bias=.5): return (planes/255-bias)*scale


def ptm_rgb(folder, layout='image'):
    planes = smooth(18)
    c = coefficients(planes).reshape(6, 3, H, W)
    looks = [np.einsum('k,kchw->hwc', terms(o), c) for o in LIGHTS]
    return bundle(folder, layout, planes, type='ptm', colorspace='rgb', nplanes=18, materials=material(18)), looks


def ptm_lrgb(folder, layout='image'):
    planes = smooth(9)
    scale, bias = [1]*3+[1.5]*6, [0]*3+[.2]*6
    c = (planes/255-np.reshape(bias, (-1, 1, 1)))*np.reshape(scale, (-1, 1, 1))
    looks = [np.tensordot(terms(o), c[3:], 1)[..., None]*np.moveaxis(c[:3], 0, -1) for o in LIGHTS]
    info = dict(type='ptm', colorspace='lrgb', nplanes=9, materials=[dict(scale=scale, bias=bias)])
    return bundle(folder, layout, planes, **info), looks


def from_ycc(y, c1, c2):
    green = y+c2/2
    blue = y-c2/2-c1/2
    return np.stack([blue+c1, green, blue], -1)


def weights_on_grid(light, side):
    x, y, z = light
    s = abs(x)+abs(y)+abs(z)
    gx, gy = ((x+y)/s+1)/2*(side-1), ((y-x)/s+1)/2*(side-1)
    i, j = min(int(gx), side-2), min(int(gy), side-2)
    w = np.zeros((side, side))
    for dx in (0, 1):
        for dy in (0, 1): w[j+dy, i+dx] = abs(1-dx-(gx-i))*abs(1-dy-(gy-j))
    return w.ravel()


def weights_of_gaussians(light, lights, sigma):
    w = np.exp(-((lights-light)**2).sum(1)/sigma**2)
    w /= w.sum()
    w[w <= .001] = 0
    return w/w.sum()


def table(folder, layout, kind, colours, counts):
    "Write a bundle with a table over the lights"
    n, own = sum(counts), dome(9, .3).astype(float)
    size = 16 if kind == 'bilinear' else len(own)
    basis = RNG.integers(90, 165, (n+1, size, 3))
    reach, planes = [300.]*n, smooth(n)
    about = dict(type=kind, colorspace=colours, basis=basis.ravel().tolist(), materials=material(n, range=reach))
    about |= dict(yccplanes=counts) if colours == 'mycc' else dict(nplanes=n)
    about |= dict(resolution=4) if kind == 'bilinear' else dict(lights=own.ravel().tolist(), sigma=.4)
    return bundle(folder, layout, planes, **about), [
        table_look(o, kind, colours, counts, basis, coefficients(planes), own) for o in LIGHTS]


def table_look(light, kind, colours, counts, basis, c, own):
    w = weights_on_grid(light, 4) if kind == 'bilinear' else weights_of_gaussians(light, own, .4)
    rows = np.einsum('l,plc->pc', w, np.concatenate([basis[:1]/255, (basis[1:]-127)/300]))
    if colours == 'mrgb': return rows[0]+np.einsum('phw,pc->hwc', c, rows[1:])
    ycc = [np.full((H, W), o) for o in rows[0]]
    for p in range(len(c)):
        k = p % 3 if p < 3*counts[1] else 0
        ycc[k] = ycc[k]+c[p]*rows[p+1, k]
    return from_ycc(*ycc)


def neural(folder, layout='image', first=0):
    planes, n = smooth(9), 8
    low, high = [-1.]*9, [1.]*9
    weights = [RNG.normal(0, .4, o) for o in ((n, 12), (n, n), (3, n))]
    biases = [RNG.normal(.1, .1, o) for o in (n, n, 3)]
    about = dict(type='neural', colorspace='rgb', planes=9, samples=49, min=low, max=high,
                 weights=[o.ravel().tolist() for o in weights], biases=[o.tolist() for o in biases])
    bundle(folder, layout, planes, **about)
    if first:
        for j in (2, 1, 0): (folder/f'plane_{j}.jpg').rename(folder/f'plane_{j+1}.jpg')
    looks = []
    for x, y, _ in LIGHTS:
        v = np.concatenate([np.moveaxis(planes/255*2-1, 0, -1), np.broadcast_to([x, y, 0], (H, W, 3))], -1)
        for i in range(3):
            v = v@weights[i].T+biases[i]
            if i < 2: v = np.where(v > 0, v, np.exp(np.minimum(v, 0))-1)
        looks.append(v)
    return folder, looks


BUNDLES = {
    'ptm rgb': ptm_rgb, 'ptm lrgb': ptm_lrgb,
    'bilinear mrgb': lambda d, o='image': table(d, o, 'bilinear', 'mrgb', [9]),
    'bilinear mycc': lambda d, o='image': table(d, o, 'bilinear', 'mycc', [6, 2, 2]),
    'rbf mrgb': lambda d, o='image': table(d, o, 'rbf', 'mrgb', [6]),
    'rbf mycc': lambda d, o='image': table(d, o, 'rbf', 'mycc', [12, 3, 3]),
    'neural from 0': neural, 'neural from 1': lambda d, o='image': neural(d, o, 1)}


@pytest.mark.parametrize('kind', BUNDLES)
def test_types(kind, tmp_path):
    folder, looks = BUNDLES[kind](tmp_path/'b')
    assert off(read_web(folder).relight(LIGHTS), np.stack(looks)) < 2


@pytest.mark.parametrize('layout', LAYOUTS)
def test_layouts(layout, tmp_path):
    folder, looks = ptm_rgb(tmp_path/'b', layout)
    assert off(read_web(folder).relight(LIGHTS), np.stack(looks)) < 2
    assert 'ptm' in good('info', folder)


@pytest.mark.parametrize('kind', ['rbf mrgb', 'bilinear mycc', 'ptm lrgb'])
def test_they_go_on(kind, tmp_path):
    "What was read can be saved, loaded and written for the web again"
    r = read_web(BUNDLES[kind](tmp_path/'b')[0])
    again = type(r).load(r.save(tmp_path/'m'))
    assert np.array_equal(again.relight(LIGHTS), r.relight(LIGHTS))
    assert off(read_web(r.to_web(tmp_path/'w')).relight(LIGHTS), r.relight(LIGHTS)) < 4


# --- broken bundles

def spoil(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def cut_off(file, n): file.write_bytes(file.read_bytes()[:n])


def with_offsets(change):
    def f(folder):
        file = next(folder.glob('plane*.tzi'))
        about = json.loads(file.read_text())
        change(about)
        file.write_text(json.dumps(about))
    return f


SPOILT = {
    'packed file cut off': ('tarzoom', lambda d: cut_off(d/'plane_0.tzb', 100), 'offsets outside plane_0.tzb'),
    'offset beyond': ('tarzoom', with_offsets(lambda o: o['offsets'].append(10**12)), 'offsets outside'),
    'offset below zero': ('itarzoom', with_offsets(lambda o: o['offsets'].insert(0, -5)), 'offsets outside'),
    'offsets in disorder': ('tarzoom', with_offsets(lambda o: o['offsets'].reverse()), 'offsets outside'),
    'too few tiles': ('tarzoom', with_offsets(lambda o: o.update(offsets=[0, 5])), 'needs more'),
    'no tiles': ('itarzoom', with_offsets(lambda o: o.update(offsets=[])), 'needs more'),
    'stride too small': ('itarzoom', with_offsets(lambda o: o.update(stride=2)), 'pixels where'),
    'stride of a billion': ('itarzoom', with_offsets(lambda o: o.update(stride=10**9)), 'does not describe'),
    'tiles of nothing': ('tarzoom', with_offsets(lambda o: o.update(tilesize=0)), 'does not describe'),
    'a billion pixels': ('tarzoom', with_offsets(lambda o: o.update(width=10**9)), 'does not describe'),
    'another width': ('tarzoom', with_offsets(lambda o: o.update(width=W+1)), 'where 20x13 are expected'),
    'tiles of another size': ('tarzoom', with_offsets(lambda o: o.update(tilesize=9)), 'pixels where'),
    'offsets that are words': ('tarzoom', with_offsets(lambda o: o.update(offsets=['a', 'b'])), 'offsets outside'),
    'no offsets': ('tarzoom', with_offsets(lambda o: o.pop('offsets')), 'cannot be read'),
    'no packed file': ('tarzoom', lambda d: (d/'plane_3.tzb').unlink(), 'plane_3'),
    'no picture': ('image', lambda d: (d/'plane_3.jpg').unlink(), 'no plane_3.jpg, .dzi or .tzi'),
    'no tile': ('zoomify', lambda d: (d/'plane_0/TileGroup0/2-1-1.jpg').unlink(), 'no tile 2-1-1'),
    'no level': ('deepzoom', lambda d: (d/'plane_0_files/2').rename(d/'plane_0_files/x'), 'no tiles'),
    'an index that is a list': ('tarzoom', lambda d: (d/'plane_0.tzi').write_text('[]'), 'cannot be read'),
    'a picture of another kind': ('image', lambda d: (d/'plane_2.jpg').rename(d/'plane_2.png'), 'plane_2.png is there'),
}


@pytest.mark.parametrize('what', SPOILT)
def test_broken_layouts(what, tmp_path):
    layout, change, says = SPOILT[what]
    folder, _ = ptm_rgb(tmp_path/'b', layout)
    change(folder)
    with pytest.raises(InputError, match=says.replace('.', r'\.')): read_web(folder)


@pytest.mark.parametrize('kind,old,new,says', [
    ('rbf mrgb', '"sigma": 0.4', '"sigma": 0', 'sigma'), ('rbf mrgb', '"sigma": 0.4', '"sigma": "x"', 'cannot be read'),
    ('rbf mrgb', '"lights": [', '"lights": [1, ', '27 numbers'), ('rbf mrgb', '"lights": [', '"other": [', 'lights'),
    ('bilinear mycc', '[6, 2, 2]', '[1, 2, 2]', 'planes'), ('bilinear mycc', '[6, 2, 2]', '[6, 2, 1]', 'planes'),
    ('bilinear mycc', '[6, 2, 2]', '[1000000000, 2, 2]', 'planes'), ('bilinear mycc', '[6, 2, 2]', '"x"', 'planes'),
    ('ptm lrgb', '"nplanes": 9', '"nplanes": 18', '18 planes'),
    ('ptm rgb', '"colorspace": "rgb"', '"colorspace": "hsv"', 'known are'),
    ('ptm rgb', '"type": "ptm"', '"type": "sh"', 'export it from RelightLab as hsh or ptm'),
    ('ptm rgb', '"type": "ptm", ', '', 'names no type'), ('ptm rgb', '"colorspace": "rgb", ', '', 'known are')])
def test_broken_descriptions(kind, old, new, says, tmp_path):
    folder, _ = BUNDLES[kind](tmp_path/'b')
    spoil(folder/'info.json', old, new)
    with pytest.raises(InputError, match=says) as e: read_web(folder)
    assert str(folder) in str(e.value)


# --- .ptm and .rti

def ptm_file(path, form, blocks, scale=(.5,)*6, bias=(128,)*6, version='1.2'):
    head = f"PTM_{version}\nPTM_FORMAT_{form}\n{W}\n{H}\n{' '.join(map(str, scale))}\n{' '.join(map(str, bias))}\n"
    path.write_bytes(head.encode()+b''.join(np.ascontiguousarray(o[::-1]).tobytes() for o in blocks))
    return path


def polynomial(block, light):
    x, y, _ = light
    return .5*(block.astype(float)-128)@np.array([x*x, y*y, x*y, x, y, 1])


@pytest.mark.parametrize('chroma', [False, True])
def test_lum(chroma, tmp_path):
    co, crcb = np.moveaxis(smooth(6), 0, -1), np.moveaxis(smooth(8)[6:], 0, -1)
    co = np.minimum(co, 140)
    co[..., 5] = 250
    path = ptm_file(tmp_path/'a.ptm', 'LUM', [co, crcb][:1+chroma])
    for light in LIGHTS:
        y = polynomial(co, light)
        cr, cb = ((crcb.astype(float)-128) if chroma else np.zeros((H, W, 2))).transpose(2, 0, 1)
        rgb = np.stack([y+1.402*cr, y-.344136*cb-.714136*cr, y+1.772*cb], -1)
        assert off(read_ptm(path).relight(light), rgb/255) < .1


@pytest.mark.parametrize('form', ['rgb', 'lrgb', 'lum', 'jpeg_rgb', 'jpeg_lrgb'])
def test_forms(form, tmp_path):
    "Every form has the header that other programs parse, no bias of -0, and comes back"
    r = fit(synth_capture(size=24, n=12, seed=1), 'ptm')
    data = write_ptm(tmp_path/'a.ptm', r, form, 100).read_bytes()
    lines = data.split(b'\n')
    assert lines[0] == b'PTM_1.2' and lines[1] == b'PTM_FORMAT_'+form.upper().encode()
    assert b'-0' not in lines[5].split() and all(0 <= int(o) <= 255 for o in lines[5].split())
    if form.startswith('jpeg'):
        n, sizes = 9 if form == 'jpeg_lrgb' else 18, [*map(int, lines[12].split())]
        assert len(sizes) == n and data[-sum(sizes):][:2] == b'\xff\xd8'
    assert off(read_ptm(tmp_path/'a.ptm').relight(LIGHTS), r.relight(LIGHTS)) < 12


def test_polynomials_in_rti(tmp_path):
    block = np.moveaxis(smooth(18), 0, -1)
    head = f'#RTI\n1\n{W} {H} 3\n6 2 1\n'.encode()+struct.pack('<12f', *[.5]*6, *[-.2]*6)
    (tmp_path/'a.rti').write_bytes(head+block.tobytes())
    with pytest.warns(UserWarning, match='type 1'): r = read_rti(tmp_path/'a.rti')
    c = (block/255*.5-.2).reshape(H, W, 3, 6)
    x, y, _ = LIGHTS[1]
    assert off(r.relight(LIGHTS[1]), c@np.array([x*x, y*y, x*y, x, y, 1])) < .1


@pytest.mark.parametrize('form,says', [('JPEGLS_RGB', 'JPEG-LS'), ('PTM_LUT', "HP's PTM viewer")])
def test_forms_that_are_named(form, says, tmp_path):
    with pytest.raises(InputError, match=says): read_ptm(ptm_file(tmp_path/'a.ptm', form, []))


# --- models that become files

@pytest.fixture(scope='module')
def capture(): return synth_capture(size=24, n=14, seed=2)


def test_fit_and_export_agree(capture, tmp_path):
    "The default of `fit` can be exported: it is fitted again, and one line says so"
    capture.save(tmp_path/'c')
    good('fit', tmp_path/'c', '-o', tmp_path/'m')
    for to in ('ptm', 'rti'):
        with pytest.warns(UserWarning, match='fitted again, to the 14 photos'):
            dict(ptm=write_ptm, rti=write_rti)[to](tmp_path/f'by-hand.{to}', fit(capture))
        good('export', tmp_path/'m', '--to', to, '-o', tmp_path/f'a.{to}')
    assert read_ptm(tmp_path/'a.ptm').shape == (24, 24, 3)
    good('bake', tmp_path/'m', '-o', tmp_path/'small')
    assert 'keeps no photos: fit the capture with ptm' in refused_command(
        'export', tmp_path/'small', '--to', 'ptm', '-o', tmp_path/'b.ptm')


def test_error_is_stated(capture, tmp_path):
    capture.save(tmp_path/'c')
    done = json.loads(good('export', tmp_path/'c', '--to', 'web', '--error', 3, '--json', '-o', tmp_path/'w'))
    assert done['error_255'] <= 3 and done['planes'] % 3 == 0
    info = json.loads((tmp_path/'w/info.json').read_text())
    assert (info['error_255'], info['nplanes']) == (done['error_255'], done['planes'])
    done = json.loads(good('export', tmp_path/'c', '--to', 'html', '--json', '-o', tmp_path/'a.html'))
    assert f"differ from those of the model by {done['error_255']:.1f} grey levels" in (tmp_path/'a.html').read_text()


@pytest.mark.parametrize('method', ['rbf', 'kriging', 'shadows'])
def test_error_holds(method, capture, tmp_path):
    "A bundle is within two grey levels of its model, JPEG included, over a dome that was not used"
    r, lights = fit(capture, method), dome(33, .25)
    assert off(read_web(r.to_web(tmp_path/'w')).relight(lights), r.relight(lights)) < 2


def test_sizes_and_normals(capture, tmp_path):
    capture.save(tmp_path/'c')
    for layout in ('image', 'deepzoom', 'tarzoom', 'itarzoom'):
        more = '--layout', layout, '--normals', '--pixel-size', .05
        good('export', tmp_path/'c', '--to', 'web', '--method', 'ptm', *more, '-o', tmp_path/layout)
        assert json.loads((tmp_path/layout/'info.json').read_text())['pixelSizeInMM'] == .05
        assert read_web(tmp_path/layout).shape == (24, 24, 3)
    assert np.asarray(Image.open(tmp_path/'image/normals.jpg'))[..., 2].mean() > 128


# --- messages

@pytest.mark.parametrize('name,says', [
    ('lamps.dome', 'is a dome of RelightLab'), ('a.hsh', 'save them as .rti'), ('a.mview', 'RTIViewer alone'),
    ('plane_0.tzb', 'give its folder'), ('info.xml', 'WebRTIViewer')])
def test_files_that_are_named(name, says, tmp_path):
    (tmp_path/name).write_text('{}')
    assert says in refused_command('info', tmp_path/name)
    assert says in refused_command('relight', tmp_path/name, '--light', '0,0,1', '-o', tmp_path/'a.png')


def test_webrtiviewer(tmp_path):
    (tmp_path/'info.xml').write_text('<MultiRes/>')
    assert 'WebRTIViewer' in refused_command('info', tmp_path)


def test_relight_project(capture, tmp_path):
    capture.save(tmp_path/'photos')
    (tmp_path/'photos/lights.lp').unlink()
    names = sorted(o.name for o in (tmp_path/'photos').glob('*.png'))
    images = [dict(filename=n, skip=i == 3, direction=dict(zip('xyz', map(float, v))))
              for i, (n, v) in enumerate(zip(names, capture.lights))]
    project = tmp_path/'coin.relight'
    project.write_text(json.dumps(dict(application='RelightLab', folder='photos', width=24, height=24, images=images)))
    good('fit', project, '-o', tmp_path/'m')
    cap = Capture.load(project, progress=False)
    assert len(cap) == 13 and np.allclose(cap.lights, np.delete(capture.lights, 3, 0), atol=1e-5)
