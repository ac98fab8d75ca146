"""Normals, albedo, height, meshes and materials, read back with another library; rendering modes; their commands."""
import json, warnings
import numpy as np, pytest
from PIL import Image
from typer.testing import CliRunner
from illuminet import cli
from illuminet.core import InputError
from illuminet.learner import (Capture, albedo, angular_error_deg, fit, height, make_surface, normals, read_image,
                               read_normals, render, render_mode, rings, sample_capture, write_mesh, write_normals,
                               write_pbr, write_ptm, write_rti)
from illuminet.modes import MODES
from illuminet.photometry import _exr, _read_exr
from illuminet.surfaces import check_surface, find_surface, write_albedo, write_height

trimesh = pytest.importorskip('trimesh')
LIGHT = (-.6, .5, .6)


def ramp():
    "Return a height of 20x30 pixels that rises to the right by 0.5, with a step up in the top left corner"
    z = .5*np.tile(np.arange(30, dtype=np.float32), (20, 1))
    z[:5, :5] += 20
    return z


def corners():
    "Return a picture of 20x30: red top left, green top right, blue bottom left, white bottom right"
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:10, :15, 0] = picture[:10, 15:, 1] = picture[10:, :15, 2] = 255
    picture[10:, 15:] = 255
    return picture


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A folder with a capture, its model, its .ptm, .rti and web bundle, and one of its photos"
    folder = tmp_path_factory.mktemp('surfaces')
    cap = render(make_surface('coin', 'plaster', 48, seed=2), rings())
    cap.save(folder/'coin')
    ptm = fit(cap, 'ptm')
    ptm.save(folder/'model')
    write_ptm(folder/'coin.ptm', ptm)
    write_rti(folder/'coin.rti', fit(cap, 'hsh'))
    ptm.to_web(folder/'bundle')
    fit(cap, 'rbf').save(folder/'rbf')
    Image.fromarray(cap.images[20]).save(folder/'photo.png')
    return folder


def run(folder, *args, code=0):
    "Run a command in a folder; return what it printed as JSON, or its message"
    import contextlib
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        res = CliRunner().invoke(cli.app, [*map(str, args), *['--json']*(code == 0)], prog_name='illuminet')
    if code: return str(res.exception) if isinstance(res.exception, InputError) else res.output
    assert res.exit_code == 0, (res.output, res.exception)
    return json.loads(res.stdout)


def true_normals(): return np.moveaxis(make_surface('coin', 'plaster', 48, seed=2).normals.numpy(), 0, -1)


# --- any source

@pytest.mark.parametrize('source, error_deg', [
    ('coin', 3), ('coin/lights.lp', 3), ('rbf', 3), ('model', 12), ('coin.ptm', 12), ('coin.rti', 12), ('bundle', 12),
    ('photo.png', 40)])
def test_normals_of_any_source(folder, source, error_deg):
    "The true normals are found, and face the camera; red is to the right, green to the top"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        n = normals(folder/source)
    assert n.shape == (48, 48, 3) and n.dtype == np.float32
    assert angular_error_deg(n, true_normals(), reduction='median') < error_deg
    if source != 'photo.png':
        for axis in (0, 1): assert np.corrcoef(n[..., axis].ravel(), true_normals()[..., axis].ravel())[0, 1] > .6


def test_one_way_for_a_model_that_keeps_its_photos(folder):
    assert np.allclose(normals(folder/'rbf'), normals(folder/'coin'), atol=.02)


def test_one_photo_is_a_guess(folder):
    with pytest.warns(UserWarning, match='read by a network'): normals(folder/'photo.png')


def test_two_photos(folder):
    cap = Capture.load(folder/'coin')[[0, 20]]
    with pytest.warns(UserWarning, match='2 photos, a guess'): assert normals(cap).shape == (48, 48, 3)


@pytest.mark.parametrize('source, words', [
    (3, 'has no surface'), ('nowhere', 'nowhere'), ('none.ptm', 'none.ptm'), ('none.rti', 'none.rti')])
def test_what_has_no_surface(tmp_path, source, words):
    with pytest.raises(InputError, match=words): normals(tmp_path/source if isinstance(source, str) else source)


def test_wrong_lights_are_noticed():
    "Lights that belong to other photos leave few values that obey Lambert's law"
    cap = sample_capture(48)
    shuffled = Capture(cap.images, cap.lights[np.random.default_rng(0).permutation(len(cap))])
    with pytest.warns(UserWarning, match="obey Lambert's law"): normals(shuffled)


def test_too_bright_albedo_is_noticed():
    cap = render(make_surface('carved', 'plaster', 48), rings(), exposure=1.6)
    figures = check_surface(find_surface(cap))
    assert figures['too_bright'] > .02
    with pytest.warns(UserWarning, match='more than all the light'): albedo(cap)


def test_a_mask_is_kept(folder):
    cap = Capture.load(folder/'coin')
    mask = np.zeros((48, 48), bool)
    mask[5:30, 8:40] = True
    cap = Capture(cap.images, cap.lights, mask=mask)
    assert ((normals(cap) != 0).any(-1) == mask).all()
    assert not height(cap)[~mask].any() and not albedo(cap)[~mask].any()


@pytest.mark.parametrize('method, write', [('ptm', write_ptm), ('hsh', write_rti)])
def test_a_black_background_has_no_normals(tmp_path, method, write):
    "Nor does it become relief by the rounding of the coefficients"
    cap = sample_capture(48)
    images = cap.images.copy()
    images[:, :, 30:] = 0
    n = normals(write(tmp_path/f'a.{dict(ptm="ptm", hsh="rti")[method]}', fit(Capture(images, cap.lights), method)))
    assert (n[:, 30:] == 0).all() and (n[:, :30] != 0).any(-1).mean() > .99


# --- maps

@pytest.mark.parametrize('directx', [False, True])
@pytest.mark.parametrize('suffix', ['.png', '.exr'])
def test_green(tmp_path, suffix, directx):
    "A surface that faces the top has green above the middle; with DirectX below"
    if suffix == '.exr': pytest.importorskip('OpenEXR')
    up = np.tile(np.float32([0, .6, .8]), (4, 5, 1))
    path = write_normals(tmp_path/f'n{suffix}', up, directx)
    green = read_image(path)[..., 1]/32767.5-1 if suffix == '.png' else _read_exr(path)[..., 1]
    assert np.allclose(green, -.6 if directx else .6, atol=1e-4)
    assert np.allclose(read_normals(path, directx), up, atol=1e-4)


def test_maps_are_16_bit(tmp_path):
    assert read_image(write_albedo(tmp_path/'a.png', np.full((4, 5, 3), .5))).dtype == np.uint16
    h = read_image(write_height(tmp_path/'h.png', ramp()))
    assert h.dtype == np.uint16 and h.max() == 65535 and h[0, 0, 0] > h[0, 5, 0] and h[10, 29, 0] > h[10, 0, 0]


def test_exr_holds_millimetres(tmp_path):
    pytest.importorskip('OpenEXR')
    path = write_height(tmp_path/'h.exr', ramp(), width_mm=15)
    assert np.allclose(_exr().File(str(path)).channels()['Y'].pixels, ramp()/2)
    path = write_albedo(tmp_path/'a.exr', np.full((4, 5, 3), 1.5, np.float32))
    assert np.allclose(_read_exr(path), 1.5)


# --- meshes

@pytest.mark.parametrize('suffix, unit', [('.obj', 1), ('.ply', 1), ('.stl', 1), ('.glb', .001)])
def test_mesh(tmp_path, suffix, unit):
    "Vertices, size, up, and sides of a mesh, as another library reads them"
    mesh = trimesh.load(write_mesh(tmp_path/f'm{suffix}', ramp(), corners(), width_mm=60), force='mesh')
    v = mesh.vertices/unit
    assert len(mesh.faces) == 2*19*29
    if suffix != '.stl': assert len(v) == 600
    assert np.allclose(np.ptp(v, axis=0)[:2], (58, 38), atol=1e-3)                # 60 mm over 30 pixels
    high = v[v[:, 2] > 2*18]
    assert len(high) and (high[:, 0] < -18).all() and (high[:, 1] > 9).all()      # the step: left and top
    assert v[v[:, 0].argmax(), 2] > v[(v[:, 0] < -20) & (v[:, 1] < 0)][:, 2].max()        # it rises to the right
    assert (mesh.face_normals[:, 2] > 0).all()                                    # seen from the camera


def colours_of(mesh, points):
    "Return the colour of a mesh nearest to each point (x, y)"
    at = [((mesh.vertices[:, :2]-p)**2).sum(1).argmin() for p in points]
    visual = mesh.visual.to_color() if mesh.visual.kind == 'texture' else mesh.visual
    return np.asarray(visual.vertex_colors)[at, :3]


@pytest.mark.parametrize('suffix', ['.obj', '.ply', '.glb'])
def test_texture_is_the_right_way_up(tmp_path, suffix):
    mesh = trimesh.load(write_mesh(tmp_path/f'm{suffix}', ramp(), corners()), force='mesh')
    unit = .001 if suffix == '.glb' else 1
    points = np.array([(-12, 8), (12, 8), (-12, -8), (12, -8)])*unit
    assert (colours_of(mesh, points) == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]).all()


def test_files_of_an_obj(tmp_path):
    write_mesh(tmp_path/'a.obj', ramp(), corners())
    assert sorted(o.name for o in tmp_path.iterdir()) == ['a-texture.png', 'a.mtl', 'a.obj']
    assert 'mtllib a.mtl' in (tmp_path/'a.obj').read_text() and 'a-texture.png' in (tmp_path/'a.mtl').read_text()


@pytest.mark.parametrize('suffix', ['.obj', '.ply', '.stl', '.glb'])
def test_mesh_without_texture(tmp_path, suffix):
    assert len(trimesh.load(write_mesh(tmp_path/f'm{suffix}', ramp()), force='mesh').faces) == 2*19*29


def test_mesh_of_a_mask(tmp_path):
    mask = np.zeros((20, 30), bool)
    mask[3:8, 4:10] = True
    mesh = trimesh.load(write_mesh(tmp_path/'m.ply', ramp(), mask=mask))
    assert (len(mesh.vertices), len(mesh.faces)) == (30, 2*4*5)


def test_a_large_mesh_is_thinned(tmp_path):
    with pytest.warns(UserWarning, match='a vertex for 2x2 pixels'):
        path = write_mesh(tmp_path/'m.glb', ramp(), corners(), width_mm=60, most=200)
    mesh = trimesh.load(path, force='mesh')
    assert len(mesh.vertices) == 150 and np.allclose(np.ptp(mesh.vertices[:, 0]), .056)
    assert (colours_of(mesh, [(-.024, .016)]) == [255, 0, 0]).all()


@pytest.mark.parametrize('call, words', [
    (lambda d: write_mesh(d/'a.fbx', ramp()), 'end it in .obj'),
    (lambda d: write_mesh(d/'a.stl', ramp(), width_mm=-1), 'width_mm=-1'),
    (lambda d: write_mesh(d/'a.stl', ramp()*np.nan), 'NaN'),
    (lambda d: write_mesh(d/'a.stl', ramp()[0]), 'give .h, w.'),
    (lambda d: write_mesh(d/'a.stl', ramp()[:1]), 'two rows'),
    (lambda d: write_mesh(d/'a.stl', ramp(), mask=np.zeros((20, 30), bool)), 'two rows'),
    (lambda d: write_mesh(d/'a.glb', ramp(), corners()[:5]), 'texture'),
    (lambda d: write_height(d/'a.jpg', ramp()), '.jpg'),
    (lambda d: write_albedo(d/'a.jpg', corners()/255), '.jpg')])
def test_what_is_refused(tmp_path, call, words):
    with pytest.raises(InputError, match=words): call(tmp_path)
    assert not [*tmp_path.iterdir()]


# --- materials

def gltf_of(path):
    "Return the JSON of a .glb and its accessors as arrays"
    data = path.read_bytes()
    size = int.from_bytes(data[12:16], 'little')
    head, body = json.loads(data[20:20+size]), data[28+size:]

    def array(i):
        a = head['accessors'][i]
        view = head['bufferViews'][a['bufferView']]
        kind = {5126: '<f4', 5125: '<u4', 5123: '<u2'}[a['componentType']]
        start = view.get('byteOffset', 0)+a.get('byteOffset', 0)
        columns = dict(SCALAR=1, VEC2=2, VEC3=3)[a['type']]
        return np.frombuffer(body, kind, a['count']*columns, start).reshape(a['count'], columns)
    return head, array


def test_gltf(folder, tmp_path):
    "The maps are in place, and the map of normals does not bend the light a second time"
    found = find_surface(folder/'coin')
    path = write_pbr(tmp_path/'coin.glb', found, width_mm=48)
    head, array = gltf_of(path)
    attributes = head['meshes'][0]['primitives'][0]['attributes']
    assert np.allclose(array(attributes['NORMAL']), [0, 0, 1])
    assert np.allclose(np.ptp(array(attributes['POSITION']), axis=0)[:2], .047, atol=1e-5)
    uv, position = array(attributes['TEXCOORD_0']), array(attributes['POSITION'])
    assert uv[position[:, 1].argmax(), 1] < .1                                    # in glTF, v goes down
    material = trimesh.load(path, force='mesh').visual.material
    n = np.asarray(material.normalTexture.convert('RGB'))/127.5-1
    assert angular_error_deg(n, found.normals) < 1
    packed = np.asarray(material.metallicRoughnessTexture.convert('RGB'))
    assert not packed[..., 2].any() and np.allclose(packed[..., 1]/255, found.roughness, atol=.01)
    about = head['materials'][0]
    assert {'baseColorTexture', 'metallicRoughnessTexture'} <= about['pbrMetallicRoughness'].keys()


@pytest.mark.parametrize('directx', [False, True])
def test_material_folder(folder, tmp_path, directx):
    found = find_surface(folder/'coin')
    out = write_pbr(tmp_path/'maps', found, width_mm=48, directx=directx)
    assert sorted(o.name for o in out.iterdir()) == [
        'base_color.png', 'height.png', 'material.json', 'normal.png', 'roughness.png']
    n = read_normals(out/'normal.png', directx)
    assert angular_error_deg(n, found.normals) < 1
    about = json.loads((out/'material.json').read_text())
    z = read_image(out/'height.png')[..., 0]/65535*(about['height_white']-about['height_black'])+about['height_black']
    assert np.allclose(z, height(found.normals), atol=.01) and about['unit'] == 'mm'
    assert write_pbr(out, found) == out                                           # its own folder is replaced


def test_roughness_tells_materials_apart():
    rough = [np.median(find_surface(render(make_surface('coin', o, 48), rings())).roughness) for o in ('gold', 'plaster')]
    assert rough[0] < .6 < rough[1]


# --- modes

@pytest.mark.parametrize('method', ['ptm', 'hsh', 'shadows'])
@pytest.mark.parametrize('mode', MODES)
def test_modes(mode, method):
    "A mode changes the picture, but not what is seen: it stays in place and upright"
    cap = sample_capture(48)
    r = fit(cap, method)
    picture = render_mode(r, LIGHT, mode)
    assert picture.shape == (48, 48, 3) and picture.dtype == np.float32 and 0 <= picture.min() < picture.max() <= 1
    if mode == 'normals': return
    relit = r.relight(LIGHT)
    assert np.abs(picture-relit).mean() > .01
    likeness = [np.corrcoef(o.mean(-1).ravel(), relit.mean(-1).ravel())[0, 1]
                for o in (picture, picture[::-1], picture[:, ::-1])]
    assert likeness[0] == max(likeness) and likeness[0] > .4


# --- commands

@pytest.mark.parametrize('source', ['coin', 'model', 'coin.ptm', 'coin.rti', 'bundle', 'photo.png'])
@pytest.mark.parametrize('command, out', [('normals', 'n.png'), ('albedo', 'a.png'), ('height', 'h.png'),
                                          ('height', 'h.glb'), ('pbr', 'material')])
def test_commands(folder, tmp_path, command, out, source):
    res = run(tmp_path, command, folder/source, '--out', out)
    assert res['out'] == out and res['size'] == '48x48' and (tmp_path/out).exists()
    assert all(0 <= o <= 1 for o in res['check'].values())


def test_command_options(folder, tmp_path):
    run(tmp_path, 'normals', folder/'coin', '--out', 'up.png')
    run(tmp_path, 'normals', folder/'coin', '--directx', '--out', 'down.png')
    up, down = read_normals(tmp_path/'up.png'), read_normals(tmp_path/'down.png')
    assert np.allclose(up*[1, -1, 1], down, atol=1e-4)
    res = run(tmp_path, 'height', folder/'coin', '--mm', 96, '--out', 'h.stl')
    extents = trimesh.load(tmp_path/'h.stl').extents
    assert res['unit'] == 'mm' and np.isclose(extents[2], res['highest']-res['lowest'], atol=.01)
    assert np.allclose(extents[:2], 94, atol=.01)
    assert run(tmp_path, 'normals', folder/'coin', '--size', 24, '--out', 's.png')['size'] == '24x24'


@pytest.mark.parametrize('args, words', [
    (['normals', 'coin', '--out', 'n.jpg'], 'end it in'), (['normals', 'nowhere'], 'is not there'),
    (['height', 'coin', '--mm', '0'], 'width_mm'), (['height', 'coin', '--out', 'h.fbx'], 'end it in'),
    (['pbr', 'coin', '--directx', '--out', 'a.glb'], 'green is up'),
    (['normals', 'photo.png', '--out', 'photo.png'], 'is the source'),
    (['albedo', 'coin', '--photo-light', '0,0,1'], 'only a single photo'),
    (['relight', 'coin', '--light', '0,0,1', '--mode', 'sepia'], 'sepia'),
    (['relight', 'coin', '--light', '0,0,1', '--strength', '2'], 'add --mode'),
    (['relight', 'coin', '--light', '0,0,1', '--mode', 'unsharp', '--exponent', '2'], 'no such setting')])
def test_commands_refuse(folder, args, words):
    before = {o.name for o in folder.iterdir()}
    assert words in run(folder, *args, code=2)
    assert {o.name for o in folder.iterdir()} == before


@pytest.mark.parametrize('mode', ['specular', 'multi-light', 'normals'])
def test_relight_in_a_mode(folder, tmp_path, mode):
    res = run(tmp_path, 'relight', folder/'coin.ptm', '--light', ','.join(map(str, LIGHT)), '--mode', mode, '--out', 'a.png')
    assert res['mode'] == mode
    from illuminet.learner import read_ptm
    assert np.abs(read_image(tmp_path/'a.png')/255-render_mode(read_ptm(folder/'coin.ptm'), LIGHT, mode)).max() < .01
