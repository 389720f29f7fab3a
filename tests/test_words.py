"""What a newcomer can't know is explained, and errors speak in the reader's units."""

import pytest

from lottery_core.spec.checks import InvalidValue
from lottery_core.spec.fields import in_words
from lottery_core.spec.glossary import WORDS, places
from lottery_core.spec.links import read_choice
from tests.pages import open_page, said
from ui.shared.text import many
from ui.shared.words import explained


def test_each_word_is_explained_once_in_one_sentence():
    for name, word in WORDS.items():
        assert word.meaning.count(". ") == 0
        assert word.meaning.endswith(".")
        assert [one for *_, one in places(f"A {name} and a {name}")] == [name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the smallest winning ticket keeps", ["ticket"]),
        ("random reinit after rewinding", ["reinit", "rewind"]),
        ("Iteration of least validation loss", ["iteration", "cross-entropy"]),
        ("unmasked seedlings are ticketed", []),
    ],
)
def test_words_are_known_in_the_forms_they_stand_in(text, words):
    assert [name for *_, name in places(text)] == words


def test_what_stands_around_a_word_is_shown_as_it_is():
    text = "A mask <b>of</b> \\<i\\> [seeds](https://example.org/mask) in `ticket`"
    html = explained(text)
    assert html.startswith('A <span class="word" tabindex="0">mask<span class="meaning"')
    assert "<b>" not in html
    assert "\\<i\\>" in html
    assert html.endswith("[seeds](https://example.org/mask) in `ticket`")


def test_a_page_explains_its_words(shared):
    page = open_page("pages/ticket.py")
    assert any(WORDS["mask"].meaning in one.value for one in page.markdown)
    assert "its mask, its weights" in said(page)  # as it is read


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"rate": "2"}, "200 % per round must be above 0\u202f% and below 100\u202f%"),
        (
            {"schedule": "one-shot", "sparsity": "1.5"},
            "150 % of weights to remove must be above 0\u202f% and below 100\u202f%",
        ),
        ({"learning_rate": "11"}, "learning_rate=11.0 must be a number above 0 and at most 10"),
    ],
)
def test_an_error_speaks_in_the_unit_of_its_field(shared, choice, words):
    with pytest.raises(InvalidValue) as refused:
        read_choice(choice)[1].experiment()
    assert in_words(refused.value) == words
    assert words in said(open_page(**choice))


def test_one_of_a_thing_is_singular():
    assert (many(1, "round"), many(2, "round"), many(0, "round")) == (
        "1 round", "2 rounds", "0 rounds"
    )  # fmt: skip
