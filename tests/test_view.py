"""`illuminet view` serves what lies in one folder, unhidden, and nothing else."""
import os, socket, threading
from http.client import HTTPConnection
import pytest
from illuminet import export_commands

LINKS = {
    'sub/index.html': '../../secret.txt', 'sub2/index.html': '../.hidden/s', 'sub3/index.htm': '../../secret.txt',
    'sub4/index.html': '..', 'index.htm': '../secret.txt', 'link': '../secret.txt', 'up': '..', 'dot': '.hidden',
    'dot.txt': '.hidden/s', 'good/index.html': '../viewer.html', 'zero': '/dev/zero',
    'odd/index.html/index.html': '../../../secret.txt',
}


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "A server of a folder with an open page, hidden files, and links to what must not be served"
    folder = tmp_path_factory.mktemp('view')
    root = folder/'site'
    (root/'.hidden').mkdir(parents=True)
    (root/'.hidden/s').write_text('secret')
    (folder/'secret.txt').write_text('secret')
    (root/'viewer.html').write_text('open')
    for name, target in LINKS.items():
        (root/name).parent.mkdir(parents=True, exist_ok=True)
        (root/name).symlink_to(target)
    os.mkfifo(root/'pipe')
    with export_commands._server(root) as server:
        threading.Thread(target=server.serve_forever, args=(.01,), daemon=True).start()
        yield server
        server.shutdown()


def get(server, path):
    "Ask for a path as it is; return the status and the text"
    connection = HTTPConnection('127.0.0.1', server.server_port, timeout=20)
    connection.putrequest('GET', path, skip_host=True)
    connection.putheader('Host', f'127.0.0.1:{server.server_port}')
    connection.endheaders()
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, text


NOT_SERVED = [
    '/', '/index.htm', '/sub/', '/sub/index.html', '/sub2/', '/sub3/', '/sub4/', '/link', '/up/secret.txt', '/up/',
    '/up', '/dot', '/dot/', '/dot/s', '/dot.txt', '/.hidden', '/.hidden/', '/.hidden/s', '/odd/', '/odd/index.html/',
    '/pipe', '/zero', '/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/%00', '/nothing', '/nothing/',
    '//etc/passwd', '/' + 'a'*300, '/' + 'a/'*1500]


@pytest.mark.parametrize('path', NOT_SERVED, ids=lambda path: path[:20])
def test_not_served(site, path):
    "Hidden files, links out of the folder, pipes, devices, and paths that lead up"
    status, text = get(site, path)
    assert status == 404 and b'secret' not in text


@pytest.mark.parametrize('path', ['/viewer.html', '/good/', '/good/index.html'])
def test_served(site, path): assert get(site, path) == (200, b'open')


def test_folder_is_redirected(site): assert get(site, '/good')[0] == 301


@pytest.mark.parametrize('said', [b'', b'GET /vie'], ids=['nothing', 'half a line'])
def test_silent_connection_is_closed(site, monkeypatch, said):
    "Who connects and says nothing, or half a line, does not hold the server"
    assert export_commands._Pages.timeout <= 60
    monkeypatch.setattr(export_commands._Pages, 'timeout', .2)
    with socket.create_connection(site.server_address, timeout=20) as connection:
        connection.sendall(said)
        assert connection.recv(1) == b''
