"""Options and fixtures that the test files share."""
import os, tempfile, warnings
from pathlib import Path
os.environ |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', HF_HUB_OFFLINE='1',  # read when torch is imported
                   HYPOTHESIS_STORAGE_DIRECTORY=f'{tempfile.gettempdir()}/hypothesis')
warnings.simplefilter('ignore', FutureWarning)
import pytest, torch
from illuminet.learner import fit
from helpers import noise_capture, photo_folder

torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption('--kills', type=int, default=1, metavar='N', help='random moments at which a run is killed')
    parser.addoption('--examples', type=int, default=200, metavar='N', help='bad inputs of each kind')


def pytest_collection_modifyitems(items):
    "Run first what forks: a child waits for ever for the threads of libvips if its parent has written a picture by it"
    items.sort(key=lambda item: item.path.name not in ('test_faults.py', 'test_words.py', 'test_photo_commands.py',
                                                   'test_other_files.py'))


@pytest.fixture(scope='session')
def coin(tmp_path_factory):
    "A capture on disk: 20 photos of 32² of the sample. Tests leave it as it is"
    return photo_folder(tmp_path_factory.mktemp('coin')/'coin')


@pytest.fixture(scope='session')
def model(tmp_path_factory):
    "A saved relightable, PTM. Tests leave it as it is"
    return fit(noise_capture(), 'ptm').save(tmp_path_factory.mktemp('model')/'ptm')


@pytest.fixture
def open_folder():
    "A temporary folder that every user may enter, as pytest's own are not"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
