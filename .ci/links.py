"""Links in markdown: what they point at, and whether that is there."""
import re
from pathlib import Path
from urllib.parse import unquote, urlparse

SITE = 'https://illuminet.github.io/illuminet/'
REPO = re.compile(r'https://github\.com/illuminet/illuminet/(?:blob|tree|raw)/main/(.*)')
COLAB = re.compile(r'https://colab\.research\.google\.com/github/illuminet/illuminet/blob/main/(nbs/.*\.ipynb)$')
FENCE = re.compile(r'^(```+|~~~+).*?^\1', re.M | re.S)


def targets(md):
    "Targets of all links and pictures in markdown, code left out."
    md = re.sub(r'(`+)[^`\n]+?\1', '', FENCE.sub('', md))
    forms = r'\]\(<?([^)\s>]+)', r'(?:href|src)="([^"]+)"', r'(?m)^\[[^\]]+\]: *(\S+)'
    return [t for form in forms for t in re.findall(form, md)]


def anchors(md, github=False):
    "Ids of headings, as pandoc (or GitHub) makes them, and explicit ones."
    ids = set(re.findall(r'\{[^}\n]*#([\w.-]+)', md)) | set(re.findall(r'\b(?:id|name)="([^"]+)"', md))
    for title in re.findall(r'^#{1,6} +(.+?) *#*$', FENCE.sub('', md), re.M):
        title = re.sub(r'\{[^}]*\}$', '', re.sub(r'\]\([^)]*\)', ']', title)).strip().lower()
        slug = re.sub(r'\s+', '-', re.sub(r'[^\w\s-]' if github else r'[^\w\s.-]', '', title))
        ids.add(slug if github else re.sub(r'^[^a-z]+', '', slug) or 'section')
    return ids


def broken(root, docs, pages):
    """Links that lead nowhere. root: the tree; docs: path in the tree -> markdown;
    pages: the processed notebooks, path below nbs/ -> markdown, whose headings are the site's anchors."""
    html = {k: re.search(r'output-file: (\S+)', t) for k, t in pages.items()}
    html = {(Path(k).parent/m[1]).as_posix(): k for k, m in html.items() if m}

    def wrong(doc, link):
        url, _, anchor = link.partition('#')
        if link.startswith('mailto:'): return False
        if url.startswith(SITE):
            page = url[len(SITE):] or 'index.html'
            return page not in html or bool(anchor) and anchor not in anchors(pages[html[page]])
        if url.startswith('https://colab.research.google.com'):
            m = COLAB.match(url)
            return not m or not (root/unquote(m[1])).is_file()
        if m := REPO.match(url): return not (root/unquote(m[1])).exists()
        if ':' in url: return urlparse(url).scheme not in ('http', 'https') or '.' not in urlparse(url).netloc
        target = (root/doc).parent/unquote(url) if url else root/doc
        published = root/'_proc' if doc.startswith('_proc/') else root  # the site has no more than what is in _proc
        if not target.exists() or not target.resolve().is_relative_to(published): return True
        if not anchor: return False
        page = pages.get(re.sub('^(nbs|_proc)/', '', target.resolve().relative_to(root).as_posix()))
        return anchor not in (anchors(target.read_text('utf-8'), github=True) if page is None else anchors(page))

    docs = docs | {f'_proc/{k}': t for k, t in pages.items()}
    found = [(doc, link) for doc, md in docs.items() for link in targets(md)]
    print(f'     {len(found)} links in {len(docs)} pages')
    return [f'{doc}: {link}' for doc, link in dict.fromkeys(found) if wrong(doc, link)]
