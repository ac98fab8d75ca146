"""Folders as programs and benchmarks lay them out: names, order, paths, further columns, tables, JSON, MATLAB."""
import json, unicodedata
import numpy as np, pytest, scipy.io
from PIL import Image
from illuminet.learner import (
    Capture, InputError, capture_files, captures_in, dome, linear_to_srgb, read_lp, srgb_to_linear, to_angles, to_float, write_png)
from illuminet.stream import Strips

COUNT = 12
LIGHTS = dome(COUNT).astype(float)
photos = [np.full((6, 8, 3), 20*i + 9, np.uint8) for i in range(COUNT)]


def put(folder, names, write=lambda path, a: Image.fromarray(a).save(path)):
    "Write a photo for each name; the values tell which"
    for name, a in zip(names, photos):
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        write(folder/name, a)
    return folder


def numbers(light, mark=' ', form='{:.6f}'): return mark.join(form.format(o) for o in light)


def lines(names, mark=' '): return ''.join(f'{name}{mark}{numbers(light, mark)}\n' for name, light in zip(names, LIGHTS))


def paired(path, says=None, without=None):
    "Load; check that photo i has light i, and what is warned of"
    import warnings
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        cap = Capture.load(path)
    told = [str(o.message) for o in seen if not any(part in str(o.message) for part in ('no fall-off', 'mask.png: pixels'))]  # pictures of nothing show none
    if says is None: assert not told, told
    else: assert len(told) == 1 and all(o in told[0] for o in ([says] if isinstance(says, str) else says)), told
    which = [int(a.max() - 9)//20 for a in cap.images]
    assert np.allclose(cap.lights, LIGHTS[which], atol=1e-4), which
    assert len(cap) == COUNT
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert Strips(path).shape == cap.shape
    return cap


# --- order

@pytest.mark.parametrize('form', ['img{}.png', 'cat.{}.png', 'IMG_({}).png', 'a{}b.png', '{}.png', 'Scan {} of 12.png'])
@pytest.mark.parametrize('start', [0, 1, 95])
def test_natural_order(tmp_path, form, start):
    "Photos without zeros in front are paired as people number them, which is said with three pairs"
    names = [form.format(i + start) for i in range(COUNT)]
    put(tmp_path, names)
    (tmp_path/'lights.lp').write_text(f'{COUNT}\n' + ''.join(f'{numbers(light)}\n' for light in LIGHTS))
    cap = paired(tmp_path, ['it has no names: paired by order', *(f'{names[i]} with' for i in (0, COUNT//2, COUNT - 1))])
    assert cap.names == names


def test_order_ignores_case(tmp_path):
    "IMG2.png stands between img1.png and img3.png"
    names = [f"{'IMG' if i % 3 else 'img'}{i}.png" for i in range(COUNT)]
    put(tmp_path, names)
    (tmp_path/'lights.lp').write_text(''.join(f'{numbers(light)}\n' for light in LIGHTS))
    assert paired(tmp_path, 'paired by order').names == names


def test_unknown_names_are_paired_by_order(tmp_path):
    put(tmp_path, [f'p{i}.png' for i in range(COUNT)])
    (tmp_path/'lights.lp').write_text(lines([f'DSC{i:04}.jpg' for i in range(COUNT)]))
    paired(tmp_path, ['no photo has a name given there', 'p0.png with DSC0000.jpg', 'p11.png with DSC0011.jpg'])


@pytest.mark.parametrize('in_file, on_disk', [('NFC', 'NFD'), ('NFD', 'NFC')])
@pytest.mark.parametrize('form', ['Münze_{}.png', 'Ἀθηνᾶ {}.png', '각석{}.png', 'é/ü{}.png'])
def test_unicode_forms(tmp_path, form, in_file, on_disk):
    "Accents are the same however they are written"
    names = [form.format(i) for i in range(COUNT)]
    put(tmp_path, [unicodedata.normalize(on_disk, o) for o in names])
    (tmp_path/'lights.lp').write_text(lines([unicodedata.normalize(in_file, o) for o in reversed(names)][::-1]), 'utf-8')
    paired(tmp_path)


EXTRA = ['mask.png', 'Normal_gt.png', 'normal_map.png', 'depth_gt.png', 'albedo.png', 'coin_mask.png', 'gt_normals.png']


@pytest.mark.parametrize('name', EXTRA)
def test_maps_among_photos(tmp_path, name):
    "Masks and truth maps are no photos, which is said"
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    Image.fromarray(photos[3]).save(tmp_path/name)
    (tmp_path/'lights.lp').write_text(''.join(f'{numbers(light)}\n' for light in LIGHTS))
    paired(tmp_path, ['paired by order', f'without {name}'])


def test_mask_beside_photos(tmp_path):
    "A mask is used, which is said once"
    names = [f'{i}.png' for i in range(COUNT)]
    put(tmp_path, names)
    Image.fromarray(photos[11]).save(tmp_path/'mask.png')
    (tmp_path/'lights.lp').write_text(lines(names))
    with pytest.warns(UserWarning, match='mask.png: pixels outside of it do not count') as seen: Capture.load(tmp_path)
    assert len([o for o in seen if 'mask.png' in str(o.message)]) == 1


def test_remedies(tmp_path):
    "Messages name a stray picture, a folder with the photos, and files of other kinds"
    names = [f'{i}.png' for i in range(COUNT)]
    put(tmp_path/'photos', names)
    (tmp_path/'lights.lp').write_text(lines(names))
    with pytest.raises(InputError, match='they are in photos: write photos/0.png'): Capture.load(tmp_path)
    put(tmp_path/'b', [*names, 'sheet.jpg'])
    Image.fromarray(photos[0]).save(tmp_path/'b'/'sheet.jpg')
    (tmp_path/'b'/'lights.lp').write_text(''.join(f'{numbers(light)}\n' for light in LIGHTS))
    with pytest.raises(InputError, match='remove the pictures that are no photos, or write names'): Capture.load(tmp_path/'b')
    (tmp_path/'a.onnx').write_bytes(bytes(9))
    with pytest.raises(InputError, match='give a .lp file, or the folder of photos; this is a network'): read_lp(tmp_path/'a.onnx')


def test_photos_of_a_mask(tmp_path):
    "Photos of a carved mask are no masks"
    put(tmp_path, [f'carved_mask_{i}.png' for i in range(COUNT)])
    (tmp_path/'lights.lp').write_text(''.join(f'{numbers(light)}\n' for light in LIGHTS))
    paired(tmp_path, 'paired by order')


def test_one_photo_too_few(tmp_path):
    "A mask does not stand in for a missing photo"
    put(tmp_path, [f'{i}.png' for i in range(COUNT - 1)])
    Image.fromarray(photos[3]).save(tmp_path/'mask.png')
    (tmp_path/'lights.lp').write_text(''.join(f'{numbers(light)}\n' for light in LIGHTS))
    with pytest.raises(InputError, match='12 lights, 11 photos'): Capture.load(tmp_path)


def test_twins(tmp_path):
    "Of photos that are stored twice, raw and as JPEG, one is taken"
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    for i in range(COUNT): (tmp_path/f'{i}.NEF').write_bytes(b'II*\0')
    (tmp_path/'lights.lp').write_text(''.join(f'{numbers(light)}\n' for light in LIGHTS))
    paired(tmp_path, ['paired by order', 'without 0.NEF'])


def test_photos_that_are_not_named(tmp_path):
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    (tmp_path/'99.png').write_bytes((tmp_path/'0.png').read_bytes())
    (tmp_path/'lights.lp').write_text(lines([f'{i}.png' for i in range(COUNT)]))
    paired(tmp_path, 'does not name 1 photo beside it, left out: 99.png')


# --- paths

@pytest.mark.parametrize('written', ['full/{}', './full/{}', r'full\{}', './/full/{}', 'C:\\RTI\\coin\\full\\{}', '/old/disk/coin/full/{}'])
def test_paths_below(tmp_path, written):
    "Paths are relative to the light file; thumbnails of the same names beside it are not taken"
    names = [f'{i}.png' for i in range(COUNT)]
    put(tmp_path/'full', names)
    for i, name in enumerate(names): Image.fromarray(photos[COUNT - 1 - i][:3, :4]).save(tmp_path/name)
    (tmp_path/'lights.lp').write_text(lines([written.format(o) for o in names]))
    assert paired(tmp_path).shape == (COUNT, 6, 8, 3)
    assert paired(tmp_path/'lights.lp').shape == (COUNT, 6, 8, 3)


@pytest.mark.parametrize('written', ['../jpeg-exports/{}', r'..\jpeg-exports\{}', r'D:\RTI\jpeg-exports\{}'])
def test_rtibuilder(tmp_path, written):
    "The folders of an RTIBuilder project: by the project, by the folder of the light file, and by that file"
    names = [f'{i}.jpg' for i in range(COUNT)]
    put(tmp_path/'coin'/'jpeg-exports', names)
    lp = tmp_path/'coin'/'assembly-files'/'coin.lp'
    lp.parent.mkdir()
    lp.write_text(f'{COUNT}\n' + lines([written.format(o) for o in names]))
    for path in (tmp_path/'coin', lp.parent, lp): assert paired(path).names == names


def test_sibling_folders(tmp_path):
    "Photos outside of the folder are not read; the message says which folder to give"
    put(tmp_path/'coin'/'photos', [f'{i}.png' for i in range(COUNT)])
    lp = tmp_path/'coin'/'lights'/'coin.lp'
    lp.parent.mkdir()
    lp.write_text(lines([f'../photos/{i}.png' for i in range(COUNT)]))
    for path in (lp, lp.parent):
        with pytest.raises(InputError, match=f'outside of the folder: give {tmp_path/"coin"}, which holds both'): Capture.load(path)
    paired(tmp_path/'coin')


def test_thumbnails_beside_the_light_file(tmp_path):
    "Pictures of the same names are not taken in place of photos that are outside of the folder"
    names = [f'{i}.png' for i in range(COUNT)]
    put(tmp_path/'photos', names)
    put(tmp_path/'lp', names)
    (tmp_path/'lp'/'lights.lp').write_text(lines([f'../photos/{o}' for o in names]))
    with pytest.raises(InputError, match='outside of the folder: give .*, which holds both'): Capture.load(tmp_path/'lp')


def test_folders_that_are_not_there(tmp_path):
    "A written folder that is missing is named"
    names = [f'{i}.png' for i in range(COUNT)]
    put(tmp_path, names)
    (tmp_path/'lights.lp').write_text(lines([f'full/{o}' for o in names]))
    paired(tmp_path, ['its photos are not in full', f'took those in {tmp_path}'])


@pytest.mark.parametrize('form', ['{} {}', '{} "{}"', 'no. {} {}'])
@pytest.mark.parametrize('stem', ['im{}.png', 'im {}.png'])
def test_numbers_before_names(tmp_path, form, stem):
    names = [stem.format(9 - i if i < 10 else i) for i in range(COUNT)]
    if form[0] == 'n' and ' ' in stem: return
    put(tmp_path, names)
    (tmp_path/'lights.lp').write_text(lines([form.format(i, o) for i, o in enumerate(names)]))
    assert {*paired(tmp_path).names} == {*names}


@pytest.mark.parametrize('name', ['../secret.png', '../../secret.png', '../other/secret.png', 'sub/../../secret.png',
                                  r'..\secret.png', 'link/secret.png', 'assembly-files/../../secret.png'])
@pytest.mark.parametrize('inner', ['coin', 'coin/assembly-files'])
def test_paths_never_lead_out(tmp_path, name, inner):
    "Nothing outside of the folder is opened, whatever a light file names"
    for place in ('', 'other', 'x'):
        (tmp_path/place).mkdir(exist_ok=True)
        Image.fromarray(photos[0]).save(tmp_path/place/'secret.png')
    folder = tmp_path/'x'/inner
    (folder/'sub').mkdir(parents=True)
    (folder/'link').symlink_to(tmp_path/'other')
    (folder/'lights.lp').write_text(f'{name} 0 0 1\n')
    with pytest.raises(InputError): Capture.load(folder)
    with pytest.raises(InputError): Capture.load(folder/'lights.lp')


def test_capture_below(tmp_path):
    "A folder whose only folder is a capture is none itself"
    put(tmp_path/'a', [f'{i}.png' for i in range(COUNT)])
    (tmp_path/'a'/'lights.lp').write_text(lines([f'{i}.png' for i in range(COUNT)]))
    with pytest.raises(InputError, match='no light file in it, one in a: give'): Capture.load(tmp_path)
    assert [o.name for o in captures_in(tmp_path)] == ['a']


# --- further columns

@pytest.mark.parametrize('radius', [1, 300])
def test_angles_are_refused(tmp_path, radius):
    "Angles with a radius are no directions"
    names = [f'{i}.png' for i in range(COUNT)]
    put(tmp_path, names)
    azimuth, elevation = np.rad2deg(to_angles(LIGHTS))
    (tmp_path/'lights.lp').write_text(''.join(f'{o} {a:.2f} {e:.2f} {radius}\n' for o, a, e in zip(names, azimuth, elevation)))
    with pytest.raises(InputError, match='look like azimuth and elevation in degrees: write x y z'): Capture.load(tmp_path)


def test_table_of_angles(tmp_path):
    "Angles under a header are converted"
    names = [f'{i}.png' for i in range(COUNT)]
    put(tmp_path, names)
    azimuth, elevation = np.rad2deg(to_angles(LIGHTS))
    rows = ''.join(f'{o},{a:.4f},{e:.4f}\n' for o, a, e in zip(names, azimuth, elevation))
    (tmp_path/'lights.csv').write_text('image,azimuth,elevation\n' + rows)
    paired(tmp_path, 'azimuth and elevation are taken as degrees')
    (tmp_path/'lights.csv').write_text('image,azimuth,elevation\n' + names[0] + ',1,.5\n')
    with pytest.raises(InputError, match='are not in degrees'): Capture.load(tmp_path)


def with_columns(form, **more):
    "Lines of a form, with values for each light"
    return ''.join(form.format(i=i, x=x, y=y, z=z, **{k: v[i] for k, v in more.items()}) + '\n'
                   for i, (x, y, z) in enumerate(LIGHTS.round(6)))


strength = np.linspace(.8, 1.2, COUNT).round(3)
COLUMNS = {
    'strength': '{i}.png {x} {y} {z} {s}', 'constant': '{i}.png {x} {y} {z} 1.0', 'two': '{i}.png {x} {y} {z} {s} 7',
    'colours': '{i}.png {x} {y} {z} {s} {s} {s}', 'identifier first': '{i}.png {i} {x} {y} {z}',
    'tabs': '{i}.png\t{x}\t{y}\t{z}\t{s}', 'name last': '{x} {y} {z} {i}.png',
    'word last': '{i}.png {x} {y} {z} {s} 0', 'three and an index': '{i}.png {x} {y} {z} {i}',
}


@pytest.mark.parametrize('name', COLUMNS)
@pytest.mark.parametrize('head', ['', f'{COUNT}\n', '# made by hand\n'])
def test_further_columns(tmp_path, name, head):
    "Further numbers are left out, and named"
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    (tmp_path/'lights.lp').write_text(head + with_columns(COLUMNS[name], s=strength))
    paired(tmp_path, None if name == 'name last' else 'left out')


HEADERS = {
    'name x y z intensity': '{i}.png {x} {y} {z} {s}', 'intensity filename lx ly lz': '{s} {i}.png {x} {y} {z}',
    'file z y x': '{i}.png {z} {y} {x}', '# name light_x light_y light_z': '{i}.png {x} {y} {z}',
    'X Y Z name': '{x} {y} {z} {i}.png', 'image id x y z': '{i}.png 17 {x} {y} {z}',
}


@pytest.mark.parametrize('header', HEADERS)
@pytest.mark.parametrize('count', ['', f'{COUNT}\n'])
def test_headers(tmp_path, header, count):
    "A header names the columns"
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    (tmp_path/'lights.lp').write_text(count + header + '\n' + with_columns(HEADERS[header], s=strength))
    paired(tmp_path, 'left out' if {'intensity', 'id'} & {*header.split()} else None)


def test_positions_with_a_strength(tmp_path):
    "Lamp positions in millimetres, with a fourth number, keep their direction"
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    (tmp_path/'lights.lp').write_text(''.join(f'{i}.png {numbers(350*light)} 1.5\n' for i, light in enumerate(LIGHTS)))
    paired(tmp_path, 'left out')


@pytest.mark.parametrize('names', [[f'{i:03}' for i in range(COUNT)], [f'photo {i}' for i in range(COUNT)],
                                   [f'img 2 of {i}.png' for i in range(COUNT)]])
def test_names_with_numbers(tmp_path, names):
    "Names that are numbers, or end in one, stay names"
    (tmp_path/'lights.lp').write_text(lines(names))
    assert read_lp(tmp_path/'lights.lp')[0] == names


# --- tables, JSON, MATLAB

TABLES = {
    'lights.csv': {
        'plain': lines([f'{i}.png' for i in range(COUNT)], ','),
        'header': 'filename,x,y,z\n' + lines([f'{i}.png' for i in range(COUNT)], ','),
        'semicolons and decimal commas': 'file;x;y;z\n' + lines([f'{i}.png' for i in range(COUNT)], ';').replace('.', ',').replace(',png', '.png'),
        'other columns': 'id,z,power,y,x,photo\n' + with_columns('{i},{z},1,{y},{x},{i}.png'),
        'spaces and quotes': 'image, x, y, z\n' + with_columns('"{i}.png", {x}, {y}, {z}'),
        'tabs': 'image\tx\ty\tz\n' + with_columns('{i}.png\t{x}\t{y}\t{z}'),
        'positions': 'image,pos_x,pos_y,pos_z\n' + ''.join(f'{i}.png,{numbers(400*v, ",")}\n' for i, v in enumerate(LIGHTS)),
    },
    'light_directions.txt': {'spaces': with_columns('{i}.png {x} {y} {z}'), 'commas': with_columns('{i}.png,{x},{y},{z}')},
    'lights.json': {
        'objects': json.dumps([dict(file=f'{i}.png', x=x, y=y, z=z) for i, (x, y, z) in enumerate(LIGHTS)]),
        'vectors': json.dumps([dict(filename=f'{i}.png', direction=[*v]) for i, v in enumerate(LIGHTS)]),
        'names as keys': json.dumps({f'{i}.png': [*v] for i, v in enumerate(LIGHTS)}),
        'two lists': json.dumps(dict(images=[f'{i}.png' for i in range(COUNT)], lights=LIGHTS.tolist())),
        'nested': json.dumps(dict(version=2, lights=[[f'{i}.png', *v] for i, v in enumerate(LIGHTS)]))
                  .replace('[["', '[["').replace('", ', '", [', 0),
    },
}
del TABLES['lights.json']['nested']
CASES = [(file, name) for file, kinds in TABLES.items() for name in kinds]


@pytest.mark.parametrize('file, name', CASES)
def test_tables(tmp_path, file, name):
    "CSV, text and JSON, in the folder of the photos, or named"
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    (tmp_path/file).write_text(TABLES[file][name])
    paired(tmp_path)
    paired(tmp_path/file)


@pytest.mark.parametrize('variables', [
    dict(light_directions=LIGHTS), dict(L=LIGHTS.T), dict(N=np.zeros((9, 9)), light_dirs=LIGHTS, name='coin'), dict(S=LIGHTS.astype(np.float32))])
@pytest.mark.parametrize('form', ['4', '5'])
@pytest.mark.parametrize('packed', [True, False])
def test_matlab(tmp_path, variables, form, packed):
    put(tmp_path, [f'{i}.png' for i in range(COUNT)])
    scipy.io.savemat(tmp_path/'light_directions.mat', variables, format=form, do_compression=packed and form == '5')
    paired(tmp_path, 'paired by order')


def bomb():
    "A MATLAB file of 500 kB that unpacks to 500 MB"
    import io, zlib
    file = io.BytesIO()
    scipy.io.savemat(file, dict(L=LIGHTS))
    packed = zlib.compress(bytes(500_000_000), 1)
    return file.getvalue()[:128] + (15).to_bytes(4, 'little') + len(packed).to_bytes(4, 'little') + packed


HOSTILE = {
    'a.mat': [b'MATLAB 7.3 MAT-file' + bytes(500), b'\x89HDF\r\n\x1a\n' + bytes(500), b'', b'MATLAB', bytes(2000), b'MATLAB 5.0' + bytes(3000)],
    'a.json': [b'', b'[', b'['*100_000, b'{"a": 1}', b'[[1, 2]]', b'[[0, 0, 0]]', b'[["a", 0, 0, NaN]]', b'\xff\xfe', b'[[1e999, 0, 1]]',
               b'[{"x": "a", "y": 1, "z": 2}]', b'null'],
    'a.csv': [b'', b'a,b,c\n1,2\n', b'x,y,z\n', b'x,y,z\n0,0,0\n', b'a,b,c,d\n' + b'9,'*4000, b'"a,0,0,1', b'x,y,z\n' + b',,\n'*9],
}


@pytest.mark.parametrize('file, data', [(file, data) for file, kinds in HOSTILE.items() for data in kinds],
                         ids=lambda o: repr(o[:20]))
def test_hostile_tables(tmp_path, file, data):
    (tmp_path/file).write_bytes(data)
    put(tmp_path, ['0.png'])
    with pytest.raises(InputError, match=file): Capture.load(tmp_path/file)


def test_packed_matlab(tmp_path):
    "A file that unpacks to much more is refused before that"
    (tmp_path/'a.mat').write_bytes(bomb())
    with pytest.raises(InputError, match='too large'): Capture.load(tmp_path/'a.mat')


# --- DiLiGenT

def diligent(folder, dtype=np.uint16, names=None):
    "Write photos of a grey scene under coloured lamps; return the strengths"
    strengths = np.random.default_rng(1).uniform(.5, 2, (COUNT, 3)).round(4)
    names = names or [f'{i + 1:03}.png' for i in range(COUNT)]
    scene = np.linspace(.05, .4, 48).reshape(6, 8, 1)
    folder.mkdir(exist_ok=True)
    for name, strength in zip(names, strengths):
        light = scene*strength
        a = np.round(light*65535).astype(np.uint16) if dtype == np.uint16 else np.round(255*linear_to_srgb(light)).astype(np.uint8)
        write_png(folder/name, a)
    (folder/'filenames.txt').write_text('\n'.join(names) + '\n')
    (folder/'light_directions.txt').write_text(''.join(numbers(light) + '\n' for light in LIGHTS))
    (folder/'light_intensities.txt').write_text(''.join(numbers(o, form='{:.4f}') + '\n' for o in strengths))
    write_png(folder/'mask.png', np.ones((6, 8), bool))
    write_png(folder/'Normal_gt.png', np.zeros((6, 8, 3), np.uint8))
    return strengths


def test_diligent(tmp_path):
    "Names, directions and strengths are used: all photos of a grey scene become alike"
    strengths = diligent(tmp_path)
    with pytest.warns(UserWarning) as seen: cap = Capture.load(tmp_path)
    told = ' '.join(str(o.message) for o in seen)
    assert len(seen) == 3 and 'pixels outside of it do not count' in told and 'taken as linear' in told and 'photos are made equal' in told
    assert cap.linear and cap.mask is not None and np.allclose(cap.lights, LIGHTS, atol=1e-5)
    values = to_float(cap.images)
    assert np.abs(values - values[0]).max() < 2e-4 and np.ptp(values, axis=-1).max() < 2e-4
    assert np.allclose(values[0, 0, 0], .05*strengths.min(), atol=1e-4)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_diligent_in_strips(tmp_path, dtype):
    "Strips make the same of it; 8 bits become 16, so that steps stay small"
    diligent(tmp_path, dtype)
    with pytest.warns(UserWarning):
        cap, reader = Capture.load(tmp_path), Strips(tmp_path, values=1)
        rows = np.concatenate([strip.copy() for _, strip in reader], 1)
    assert cap.images.dtype == rows.dtype == reader.dtype == np.uint16 and reader.top == 65535
    assert cap.linear == (dtype == np.uint16)
    assert np.abs(to_float(rows) - cap.float(linear=False)).max() < 1e-3
    light = cap.float(linear=True)
    assert np.abs(light - light[0]).max() < .01


def test_diligent_in_another_order(tmp_path):
    "Strengths follow the names when a .lp file has another order"
    diligent(tmp_path)
    (tmp_path/'light_directions.txt').unlink()
    order = [*range(COUNT)][::-1]
    (tmp_path/'lights.lp').write_text(''.join(f'{i + 1:03}.png {numbers(LIGHTS[i])}\n' for i in order))
    with pytest.warns(UserWarning): values = to_float(Capture.load(tmp_path).images)
    assert np.abs(values - values[0]).max() < 2e-4


@pytest.mark.parametrize('text', ['1 1 1\n', 'a b c\n'*COUNT, '0 1 1\n'*COUNT, '1 1\n'*COUNT, '-1 1 1\n'*COUNT, '1e-9 1 1\n'*COUNT, ''])
def test_strengths_that_cannot_be(tmp_path, text):
    diligent(tmp_path)
    (tmp_path/'light_intensities.txt').write_text(text)
    with pytest.raises(InputError, match='light_intensities.txt'): Capture.load(tmp_path)


def test_names_of_a_list_lead_nowhere_else(tmp_path):
    "filenames.txt follows the rules of a light file"
    folder = tmp_path/'a'
    diligent(folder)
    Image.fromarray(photos[0]).save(tmp_path/'secret.png')
    (folder/'filenames.txt').write_text('../secret.png\n'*COUNT)
    with pytest.warns(UserWarning, match='paired by order'): files, _ = capture_files(folder)
    assert {f.parent for f in files} == {folder}


def test_two_light_files_that_agree(tmp_path):
    diligent(tmp_path)
    scipy.io.savemat(tmp_path/'light_directions.mat', dict(light_directions=LIGHTS))
    with pytest.warns(UserWarning): assert len(Capture.load(tmp_path)) == COUNT
    scipy.io.savemat(tmp_path/'light_directions.mat', dict(light_directions=LIGHTS[::-1]))
    with pytest.raises(InputError, match='differ'): Capture.load(tmp_path)
