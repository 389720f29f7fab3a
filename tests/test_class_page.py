"""The Explorer in a class, without a browser: who sees what, and what nobody gets round."""

import pytest

import ui.explorer.class_board
import ui.explorer.classroom
from lottery_core.running import classroom
from lottery_core.spec.links import read_choice
from tests.pages import go_to, open_page, said
from tests.test_pages import SMALL, wait_until_done, widget

pytestmark = pytest.mark.usefixtures("judged_on_few")


@pytest.fixture
def come(shared, monkeypatch):
    """Opens the Explorer as one of several visitors, whom it tells apart by name."""
    now = []
    for module in (ui.explorer.classroom, ui.explorer.class_board):
        monkeypatch.setattr(module, "visitor", lambda: now[-1])

    def visit(who: str, page=None, **params: str):
        now.append(who)
        return open_page(**params) if page is None else page.run()

    return visit


@pytest.fixture
def teacher(come):
    """The page of the teacher who has opened class a."""
    page = come("teacher", **SMALL, **{"class": "a"})
    assert "There is no class a here" in said(page)
    return page.button(key="open_class").click().run()


def found(shared):
    return classroom.find(shared.store, "a")


def test_a_class_begins_empty_with_the_teachers_choice_and_a_way_in(shared, teacher):
    assert "Nobody has come yet" in said(teacher)
    assert teacher.header[0].value == "Class a"
    assert any("?class=a" in block.value for block in teacher.code)
    assert read_choice(found(shared).recipe)[1].network == "16"
    assert "teach" not in teacher.query_params


def test_students_have_the_teachers_choice_with_other_seeds_and_keep_them(shared, come, teacher):
    seeds = []
    for who in ("one", "two", "one"):
        page = come(who, **{"class": "a"})
        assert not page.exception
        seeds.append(int(page.query_params["seed"]))
        assert page.session_state["choice"].network == "16"
        assert f"your seed is **{seeds[-1]}**" in said(page)
        assert widget(page, "number_input", "seed").disabled
        assert not any("&teach=" in block.value for block in page.code)
    assert seeds[0] == seeds[2] != seeds[1]


def test_who_chooses_otherwise_is_told_that_it_is_not_the_classs(shared, come, teacher):
    page = come("one", **{"class": "a"})
    widget(page, "number_input", "rounds").set_value(1)
    page = page.run()
    assert "not in the chart of the class" in said(page)
    again = come("one", **page.query_params)  # a reload
    assert again.session_state["choice"].rounds == 1
    again = again.button(key="take_recipe").click().run()
    assert again.session_state["choice"].rounds == 2
    assert "goes into the chart of the class" in said(again)


def test_in_a_locked_class_nothing_can_be_chosen_whatever_the_address_says(shared, come, teacher):
    page = come("one", **{"class": "a"})
    come("teacher", teacher)
    classroom.lock(shared.store, "a", "teacher", True)
    page = come("one", page)
    asked = page.session_state["choice"]
    link = {"class": "a", "preset": "notebook", "seed": "5", "lock": "0", "teach": "a guess"}
    for shown in (page, come("one", **link)):
        assert "has locked the choices" in said(shown)
        assert shown.session_state["choice"] == asked
        fields = (*shown.selectbox, *shown.number_input, *shown.text_input, *shown.radio)
        assert all(one.disabled for one in fields if one.label != "Level")
        assert all(one.disabled for one in shown.multiselect)
        assert not shown.button(key="start").disabled
    assert found(shared).locked
    # What a forged client sends from a widget that is shut changes nothing.
    forged = widget(page, "number_input", "rounds")
    forged.proto.disabled = False
    forged.set_value(3)
    assert come("one", page).session_state["choice"] == asked
    classroom.lock(shared.store, "a", "teacher", False)
    assert not widget(come("one", page), "number_input", "rounds").disabled


def test_another_recipe_reaches_who_had_the_one_before(shared, come, teacher):
    same, other = come("one", **{"class": "a"}), come("two", **{"class": "a"})
    widget(other, "number_input", "rounds").set_value(1)
    other = come("two", other)
    teacher = come("teacher", teacher)
    widget(teacher, "number_input", "rounds").set_value(3)
    teacher = come("teacher", teacher)
    assert "not what the class trains" in said(teacher)
    assert found(shared).recipe["rounds"] == "2"
    teacher.button(key="give_recipe").click()
    teacher = come("teacher", teacher)
    assert found(shared).recipe["rounds"] == "3"
    assert come("one", same).session_state["choice"].rounds == 3
    assert come("two", other).session_state["choice"].rounds == 1


def test_all_runs_of_the_class_are_counted_on_the_teachers_screen(shared, come, teacher):
    for who in ("one", "two"):
        page = come(who, **{"class": "a"})
        page.button(key="start").click()
        come(who, page)
        wait_until_done(shared, page.session_state["choice"].experiment().key)
    teacher = come("teacher", teacher)
    assert "**2 students** came, **2** started, **2** finished." in said(teacher)
    assert "Seeds at levels 0 to 2: 2, 2, 2." in said(teacher)
    assert "Over 2" in said(teacher)
    student = come("one", **{"class": "a"})
    assert "is in the chart of the class" in said(student)
    assert not any(button.key == "new_seed" for button in student.button)


def test_a_second_teacher_of_the_name_is_a_student_of_the_first(shared, come, teacher):
    page = come("another", **SMALL, **{"class": "A"})
    assert "your seed is" in said(page)
    assert not any(button.key in ("open_class", "close_class") for button in page.button)


def test_the_teachers_link_makes_a_teacher_and_is_not_left_in_the_address(shared, come, teacher):
    word = teacher.session_state["class_word"]
    wrong = come("at home", **{"class": "a", "teach": word[::-1]})
    assert "another teacher's link" in said(wrong)
    assert "your seed is" in said(wrong)
    page = come("at home", **{"class": "a", "teach": word})
    assert page.header[0].value == "Class a"
    assert "teach" not in page.query_params


@pytest.mark.parametrize("name", ["a b", "../a", "<b>x</b>", "x" * 41])
def test_what_is_no_name_is_told_and_everything_else_works(shared, come, name):
    page = come("one", **{"class": name})
    assert "1 to 40 letters" in said(page)
    assert not page.button(key="start").disabled


def test_the_class_is_there_when_one_comes_back_and_not_beside_a_link_to_a_run(
    shared, come, teacher
):
    page = come("one", **{"class": "a"})
    page = go_to(page, "pages/speed.py")
    page = go_to(page, "app.py")
    assert page.query_params["class"] == "a"
    page.query_params.clear()
    for name, value in SMALL.items():
        page.query_params[name] = value
    page = come("one", page)
    assert "class" not in page.query_params
    assert page.query_params.get("seed", "0") == "0"
    assert "your seed" not in said(page)


def test_a_closed_class_lets_everybody_go_on(shared, come, teacher):
    page = come("one", **{"class": "a"})
    teacher = come("teacher", teacher)
    teacher.button(key="close_class").click()
    teacher = come("teacher", teacher)
    assert not any(header.value == "Class a" for header in teacher.header)
    assert "There is no class a here" in said(come("one", page))
