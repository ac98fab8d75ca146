"""Train and relight, with whichever fastai and fastcore stand first on the path."""
import tempfile
import fastai, fastcore, torch
from illuminet.learner import *

cap = sample_capture()
images, lights = cap.images[:9, :32, :32], cap.lights[:9]
with tempfile.TemporaryDirectory() as out:
    learn = train(lights, images, epochs=1, out=out)
    picture = learn.relight((0.5, 0.2, 0.84))
assert picture.shape == (32, 32, 3) and 0 <= picture.min() <= picture.max() <= 1, picture.shape
print(f'fastai {fastai.__version__}, fastcore {fastcore.__version__}, torch {torch.__version__}: trained and relit')
