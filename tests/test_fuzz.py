"""Some hundred spoilt files of each kind give nothing but `InputError`; always the same, `--examples N` tries more."""
import functools
import hypothesis, pytest
from hypothesis import strategies as st
from fuzz_targets import KINDS, TARGETS, WORDS, check, edited, prepared

pytestmark = pytest.mark.filterwarnings('ignore')


def inputs(seeds):
    "Return a strategy: valid inputs with up to four edits, or a few bytes"
    new = st.sampled_from(WORDS) | st.binary(max_size=6)
    edits = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 1 << 16), new), max_size=4)
    changed = st.builds(lambda seed, edits: functools.reduce(edited, edits, seed), st.sampled_from(seeds), edits)
    return changed | st.binary(max_size=60)


@pytest.mark.parametrize('name', TARGETS)
def test_bad_input(name, request):
    "A reader gives a result or `InputError`; it runs nothing, opens no other file and takes little memory"
    settings = hypothesis.settings(max_examples=request.config.getoption('--examples'), deadline=None, derandomize=True,
                                   database=None, suppress_health_check=list(hypothesis.HealthCheck))
    with prepared(name) as (folder, seeds):
        @settings
        @hypothesis.given(inputs(seeds))
        def any_input(data): check(name, data, folder, memory=True)
        any_input()
