"""What the benchmark scripts share: where their results are kept, and a clock."""
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT/'nbs/benchmarks'  # JSON files, beside the pages that show them


def seconds(function):
    "Call a function; return the seconds that it took"
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
