"""How tests open pages without a browser, and read them as a reader does."""

import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]


def open_page(path: str = "app.py", **params: str) -> AppTest:
    """A page as a deep link with these parameters opens it."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in params.items():
        page.query_params[name] = value
    return (page if path == "app.py" else page.switch_page(path)).run()


def said(page: AppTest) -> str:
    """All that the page says; an escaped sign is the sign, and explanations of words are shut."""
    parts = [*page.markdown, *page.success, *page.info, *page.error, *page.warning, *page.caption]
    text = re.sub(r"\\(.)", r"\1", "\n".join(part.value for part in parts))
    return re.sub(
        r'<span class="word"[^>]*>(.*?)<span class="meaning".*?</span></span>', r"\1", text
    )


def go_to(page: AppTest, path: str) -> AppTest:
    """The page that the row of pages leads to, without parameters."""
    page.query_params.clear()
    return page.switch_page(path).run()
