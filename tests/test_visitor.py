"""A browser is one visitor, in all its windows and after a reload."""

from streamlit.web.server.starlette import starlette_app_utils as streamlits

from ui.shared.visitor import _token, visitor


def test_a_browsers_cookie_names_it_however_often_it_is_written_anew():
    first = streamlits.generate_xsrf_token_string()
    again = streamlits.generate_xsrf_token_string(*streamlits.decode_xsrf_token_string(first))
    other = streamlits.generate_xsrf_token_string()
    assert first != again
    assert _token(first) == _token(again) != _token(other)
    assert _token(first)


def test_what_is_no_such_cookie_names_nobody():
    for cookie in ("", "2|xy|zz|1", "a|b", "|||"):
        assert _token(cookie) == b""


def test_outside_a_page_there_is_no_visitor():
    assert visitor() == ""
