"""Commands on photos and folders of many kinds. They fork, so they run before libvips has threads."""
import subprocess, sys
import numpy as np, pytest
from PIL import Image
from illuminet.learner import write_png
from helpers import good, refused

grey = np.full((20, 26, 3), 99, np.uint8)


def test_large_command(tmp_path):
    "The message of a command names its option, which helps"
    Image.new('RGB', (20_000, 9_000), 'grey').save(tmp_path/'a.png', compress_level=1)
    assert '--allow-large' in refused('relight', tmp_path/'a.png', '--azimuth', 30, '--size', 64, '-o', tmp_path/'b.png')
    command = ['relight', tmp_path/'a.png', '--azimuth', '30', '--size', '64', '--allow-large', '-o', tmp_path/'b.png']
    subprocess.run([sys.executable, '-m', 'illuminet.cli', *command], check=True, timeout=100)  # a fork would wait for libvips
    assert max(Image.open(tmp_path/'b.png').size) == 64


def test_one_photo_commands(tmp_path):
    Image.fromarray(grey).save(tmp_path/'a.png')
    refused('evaluate', tmp_path/'a.png', says='is a photo, not a capture')
    refused('train', tmp_path/'a.png', '-o', tmp_path/'b', says='is a photo, not a capture')


@pytest.mark.parametrize('option, says', [('--linear', 'linear'), ('--no-linear', 'sRGB')])
def test_linear_option(tmp_path, option, says):
    "Every command that reads photos takes `--linear`"
    folder = tmp_path/'a'
    folder.mkdir()
    for i in range(3): write_png(folder/f'{i}.png', grey*(i + 1))
    (folder/'lights.lp').write_text(''.join(f'{i}.png {i/9} 0 .9\n' for i in range(3)))
    assert f'coding          {says}' in good('info', folder, option)
