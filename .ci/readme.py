"""nbs/index.ipynb -> README.md, with nbconvert: hidden cells and directives go, links start at the repository."""
import re
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parent.parent
DIRECTIVE = re.compile(r'^#\|\s*(\w+).*\n?', re.M)
LINK = re.compile(r'(\]\(|src=")(?!https?:|mailto:|#|/)([^)"\s]+)')


def render(nb_path=ROOT/'nbs/index.ipynb'):  # notebook -> text of the README
    "The README as its notebook has it."
    nb = nbformat.read(nb_path, as_version=4)
    nb.cells = [c for c in nb.cells if not {'hide', 'hide_input'} & set(DIRECTIVE.findall(c.source) if c.cell_type == 'code' else ())]
    for c in nb.cells:
        if c.cell_type != 'code':
            c.source = LINK.sub(r'\1nbs/\2', c.source).replace('nbs/../', '')
            continue
        c.source = re.sub(r'(?m)^(#\| eval: false)\n# .*\n', r'\1\n', c.source)  # the reason goes too
        c.source = DIRECTIVE.sub('', c.source)
        c.outputs = []  # pictures of the README are files in nbs/images
    nb.metadata['language_info'] = {'name': 'python'}
    return MarkdownExporter().from_notebook_node(nb)[0].strip() + '\n'


if __name__ == '__main__':
    (ROOT/'README.md').write_text(render(), encoding='utf-8')
    print('README.md written')
