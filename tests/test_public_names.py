"""What `from illuminet.learner import *` gives is what public_names.txt lists.

After a change that is meant, `make api` writes the list again."""
import importlib
from pathlib import Path
import pytest
import illuminet

LISTED = Path(__file__).with_name('public_names.txt')
SHADOWED = {'to_float'}  # fastai's makes floats of the integers of a batch, ours of a picture


def star(module):
    "Return what `from module import *` gives"
    names = {}
    exec(f'from {module} import *', names)
    return {name: value for name, value in names.items() if name[0] != '_'}


public = star('illuminet.learner')


def listing():
    "Return the list: a line for each module with the names that `illuminet.learner` takes from it; then other names"
    left, lines = dict(public), []
    modules = [path.stem for path in Path(illuminet.__file__).parent.glob('[!_]*.py')]
    for name in sorted(modules, key=lambda name: (name == 'learner', name)):  # learner last: it has names of all
        module = importlib.import_module(f'illuminet.{name}')
        own = [key for key in sorted(module.__all__) if key in left and left[key] is getattr(module, key)]
        lines.append(' '.join([f'{name}:', *own]))
        for key in own: del left[key]
    return '\n'.join([*lines, ' '.join(['others:', *sorted(left)]), ''])


def names_in(text):
    "Return the names of a list, each with its module"
    lines = [line.split() for line in text.splitlines()]
    return {module + name for module, *names in lines for name in names}


def test_public_names():
    "No name is new or gone; if it is meant, `make api`"
    now, listed = names_in(listing()), names_in(LISTED.read_text())
    new, gone = sorted(now - listed), sorted(listed - now)
    assert not new and not gone, f'new: {new}, gone: {gone}: if this is meant, run `make api`'


def test_there_are_few(): assert len(public) <= 120


def test_none_is_a_constant():
    "Names in capitals are classes of methods, known by their acronyms"
    assert not [name for name, value in public.items() if name.isupper() and not isinstance(value, type)]


@pytest.mark.parametrize('module', ['fastai.vision.all', 'numpy'])
def test_none_shadows(module):
    "A script may use this star import beside ours"
    theirs = star(module)
    shadowed = {name for name, value in public.items() if name in theirs and theirs[name] is not value}
    assert shadowed <= SHADOWED


if __name__ == '__main__': LISTED.write_text(listing())
