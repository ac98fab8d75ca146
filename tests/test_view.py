"""`illuminet view` serves what lies in one folder, in the open, and nothing else."""
import os, socket, threading
from http.client import HTTPConnection
import pytest
from illuminet import cli

@pytest.fixture
def site(tmp_path):
    root = tmp_path/'site'
    (root/'.hidden').mkdir(parents=True); (root/'.hidden/s').write_text('secret'); (tmp_path/'secret.txt').write_text('secret')
    (root/'viewer.html').write_text('open')
    links = {'sub/index.html': '../../secret.txt', 'sub2/index.html': '../.hidden/s', 'sub3/index.htm': '../../secret.txt', 'sub4/index.html': '..', 'index.htm': '../secret.txt', 'link': '../secret.txt',
             'up': '..', 'dot': '.hidden', 'dot.txt': '.hidden/s', 'good/index.html': '../viewer.html'}
    for k,to in links.items(): (root/k).parent.mkdir(exist_ok=True); (root/k).symlink_to(to)
    (root/'odd/index.html').mkdir(parents=True); (root/'odd/index.html/index.html').symlink_to('../../../secret.txt')
    os.mkfifo(root/'pipe'); (root/'zero').symlink_to('/dev/zero')
    with cli._server(root) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()

def get(server, path):
    c = HTTPConnection('127.0.0.1', server.server_port, timeout=20)
    c.putrequest('GET', path, skip_host=True); c.putheader('Host', f'127.0.0.1:{server.server_port}'); c.endheaders()
    res = c.getresponse(); text = res.read(); c.close()
    return res.status, text

@pytest.mark.parametrize('path', ['/', '/index.htm', '/sub/', '/sub/index.html', '/sub2/', '/sub3/', '/sub4/', '/link', '/up/secret.txt', '/up/', '/up', '/dot', '/dot/', '/dot/s', '/dot.txt', '/.hidden', '/.hidden/',
                                  '/.hidden/s', '/odd/', '/odd/index.html/', '/pipe', '/zero', '/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/%00', '/nothing', '/nothing/', '//etc/passwd', '/'+'a'*300, '/'+'a/'*1500],
                         ids=lambda o: o[:20])
def test_not_served(site, path):
    status,text = get(site, path)
    assert status == 404 and b'secret' not in text

def test_served(site):
    assert [get(site, o) for o in ('/viewer.html', '/good/', '/good/index.html')] == [(200, b'open')]*3
    assert get(site, '/good')[0] == 301

def test_silent_connection_is_closed(site, monkeypatch):
    assert cli._Pages.timeout <= 60
    monkeypatch.setattr(cli._Pages, 'timeout', .2)
    with socket.create_connection(site.server_address, timeout=20) as s: assert s.recv(1) == b''
    with socket.create_connection(site.server_address, timeout=20) as s: s.sendall(b'GET /vie'); assert s.recv(1) == b''
