"""Everything here is read from settings.ini; nothing is stated twice."""
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

root = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(root/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
repo = f"{cfg['git_url']}/{{}}/{cfg['branch']}/"


def absolute(m):
    "The README's links are relative to the repository; on PyPI they need its address."
    return '](' + repo.format('raw' if m[1].endswith(('.png', '.jpg', '.svg', '.gif')) else 'blob') + m[1] + ')'


setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'].split(),
    long_description=re.sub(r'\]\((?!https?:|#)([^)\s]+)\)', absolute, (root/'README.md').read_text(encoding='utf-8')),
    long_description_content_type='text/markdown',
    author=cfg['author'], author_email=cfg['author_email'], license='MIT', url=cfg['git_url'],
    project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl']},
    classifiers=['Development Status :: 3 - Alpha', f"Intended Audience :: {cfg['audience']}",
                 f"Natural Language :: {cfg['language']}", 'Programming Language :: Python :: 3',
                 'Topic :: Scientific/Engineering :: Image Processing'],
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require={k.removesuffix('_requirements'): v.split() for k, v in cfg.items() if k.endswith('_requirements')},
    packages=find_packages(include=['illuminet', 'illuminet.*']),
    package_data={'illuminet': ['data/**', 'weights/**', 'static/**']},
    entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': ['illuminet=illuminet._modidx:d']},
    zip_safe=False,
)
