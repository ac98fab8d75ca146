"""Run notebooks in place and keep their outputs: all of nbs/, or those named.
Cells that the tests skip keep the outputs they have."""
import sys
from pathlib import Path
import nbformat
from nbclient import NotebookClient
from nbdev.config import get_config
from nbdev.doclinks import nbglob

SKIP = {f'#| {flag}' for flag in get_config().tst_flags.split()} | {'#| eval: false'}


class Client(NotebookClient):
    "A client that leaves skipped cells alone."
    async def async_execute_cell(self, cell, *args, **kwargs):
        if SKIP & {line.strip() for line in cell.source.splitlines()}: return cell
        return await super().async_execute_cell(cell, *args, **kwargs)


for path in sorted(map(Path, sys.argv[1:])) or sorted(nbglob(as_path=True)):
    print(path, flush=True)
    nb = nbformat.read(path, as_version=4)
    Client(nb, timeout=900, kernel_name='python3', store_widget_state=False, resources={'metadata': {'path': str(path.parent)}}).execute()
    nbformat.write(nb, path)
