"""The vocabulary: ids that never change, and the field's other names."""

import pytest

from aio.errors import InputError
from aio.vocabulary import ALIASES, DEGRADATIONS, TASK_ID, expand, one_degradation


def test_ids_are_those_stored_in_checkpoints():
    """New names are only appended."""
    assert tuple(TASK_ID.items())[:8] == (
        ("denoise_15", 0),
        ("denoise_25", 1),
        ("denoise_50", 2),
        ("derain", 3),
        ("dehaze", 4),
        ("deblur", 5),
        ("lowlight", 6),
        ("denoise_blind", 7),
    )
    assert tuple(TASK_ID) == DEGRADATIONS


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["denoise"], ["denoise_15", "denoise_25", "denoise_50"]),
        (["denoise_25"], ["denoise_25"]),
        (["denoise_blind"], ["denoise_blind"]),
        (["derain", "dehaze", "deblur"], ["derain", "dehaze", "deblur"]),
        (["deraining", "dehazing", "deblurring"], ["derain", "dehaze", "deblur"]),
        (["denoise", "lol"], ["denoise_15", "denoise_25", "denoise_50", "lowlight"]),
        (["lol", "lowlight", "synllie", "enhance", "low_light", "llie"], ["lowlight"]),
        (["denoise_50", "denoising"], ["denoise_50", "denoise_15", "denoise_25"]),
    ],
)
def test_names_of_the_field(names, expected):
    assert expand(names) == expected
    assert expand(iter(names)) == expected


def test_every_alias_stands_for_known_names_and_is_none_itself():
    assert set(ALIASES).isdisjoint(DEGRADATIONS)
    for meant in ALIASES.values():
        assert set(meant) <= set(DEGRADATIONS)


@pytest.mark.parametrize(
    ("names", "said"), [(["derain", "snow"], "unknown degradation 'snow'"), ([], "no degradation")]
)
def test_what_is_unknown_names_the_choices(names, said):
    with pytest.raises(ValueError, match=f"{said}.*: choose from ") as caught:
        expand(names)
    choices = str(caught.value).partition("choose from ")[2].split(", ")
    assert choices == sorted([*ALIASES, *DEGRADATIONS])


def test_one_degradation():
    assert one_degradation("lol") == "lowlight"
    assert one_degradation("denoise_blind") == "denoise_blind"
    with pytest.raises(InputError, match="--de_type denoise means denoise_15, denoise_25, denoise_50: name one"):
        one_degradation("denoise")
    with pytest.raises(InputError, match="--de_type fog: unknown degradation 'fog': choose from "):
        one_degradation("fog")
