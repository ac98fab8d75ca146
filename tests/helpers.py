"""Helpers that several test files share: small captures, and commands that run in processes of their own."""
import contextlib, os, signal, sys, tempfile, time, traceback, webbrowser
import illuminet.benchmark, illuminet.many, illuminet.onnx, rich.console, rich.progress  # once, before forks
import numpy as np, torch
from PIL import Image
from illuminet import cli
from illuminet.learner import Capture, InputError, dome, sample_capture, write_lp

torch.empty(1, device='meta').normal_()  # for the same reason: the first time, it imports much of torch


# --- captures and folders

def noise_capture(count=13, height=12, width=14):
    "Return a capture of random pixels under a dome of lights"
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return Capture(images, dome(count))


def photo_folder(folder, size=32, count=20):
    "Write photos of the sample and their light file to a new folder; return the folder"
    sample = sample_capture(size)[:count]
    names = [f'{i:02}.png' for i in range(count)]
    folder.mkdir()
    for name, image in zip(names, sample.images): Image.fromarray(image).save(folder/name)
    write_lp(folder/'lights.lp', names, sample.lights)
    return folder


def contents(folder):
    "Return the bytes of all files in a folder by their relative paths"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def paths(folder):
    "Return the relative paths of all that is in a folder"
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*'))


# --- runs

class Ended:
    "How a run ended: its exit code, and the bytes on its standard output and standard error"
    def __init__(self, code, out, lines):
        self.code, self.out, self.lines = code, out, lines
        self.err = b''.join(line for line in lines if not line.endswith(' …\n'.encode()))  # without progress

    def __repr__(self): return f'exit {self.code}\n{self.out!r}\n{self.err!r}'

    @property
    def text(self):
        "What was printed, which must be printable text without a traceback"
        text = (self.out + self.err).decode('utf-8')
        assert text.replace('\n', '').isprintable() and 'Traceback' not in text, self
        return text


class Run:
    "A command (its arguments) or a function in a forked process; `out` and `err` are paths or 'closed'"
    def __init__(self, *args, before=None, out=None, err=None, seconds=300):
        self.files = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.pid = os.fork()
        if self.pid: return
        code = 70
        try:
            signal.alarm(seconds)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
            signal.signal(signal.SIGHUP, signal.SIG_DFL)              # and a job under nohup this
            sys.stdout = _stream(1, out, self.files[0])
            sys.stderr = _stream(2, err, self.files[1])
            torch.set_num_threads(1)  # makes the thread pool of this process now, not by several threads at once
            if before: before()
            _work(args)
            code = 0
        except SystemExit as e: code = e.code or 0
        except InputError as e:  # of a function; a command prints it itself
            print(e)
            code = 2
        except BaseException: traceback.print_exc()
        finally:
            with contextlib.suppress(AttributeError, OSError):  # a closed stream, a full one
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def end(self):
        "Wait for the end of the run"
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        for file in self.files: file.seek(0)
        out, err = self.files
        return Ended(code, out.read(), err.readlines())

    def until(self, condition):
        "Let it run until a condition holds"
        while not condition():
            still = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            assert still, self.end()
            time.sleep(.02)

    def stop(self, signal_number, after=0):
        "Send a signal after some seconds; return how the run ended"
        time.sleep(after)
        os.kill(self.pid, signal_number)
        return self.end()


def _stream(number, where, file):
    "Redirect a standard stream to a file, a path, or nothing"
    if where == 'closed': return os.close(number)
    os.dup2(os.open(where, os.O_WRONLY) if where else file.fileno(), number)
    return open(number, 'w', encoding='utf-8', closefd=False)


def _work(args):
    "Call a function, or run a command with these arguments"
    if callable(args[0]): return args[0]()
    sys.argv = ['illuminet', *map(str, args)]
    cli.main()


def run(*args, **options):
    "Run a command, or a function, to its end"
    return Run(*args, **options).end()


def good(*args, **options):
    "Run what must succeed; return its printed text"
    ended = run(*args, **options)
    assert ended.code == 0, ended
    return ended.text


def refused(*args, says='', code=2, **options):
    "Run what must fail with one message that has these words; return its printed text"
    ended = run(*args, **options)
    assert ended.code == code and says in ended.text, ended
    return ended.text


def become_nobody():
    "Give up the rights of root, in a run"
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
