"""All targets, by name."""

from tests.fuzz.arrays import arrays
from tests.fuzz.documents import documents
from tests.fuzz.encodings import encodings
from tests.fuzz.models import models
from tests.fuzz.pictures import pictures
from tests.fuzz.requests import requests
from tests.fuzz.weights import weights

TARGETS = {
    each.name: each
    for each in (
        *documents(),
        *requests(),
        *models(),
        *weights(),
        *arrays(),
        *encodings(),
        *pictures(),
    )
}
