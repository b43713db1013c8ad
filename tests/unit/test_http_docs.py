from tests.support.http_docs import PAGE, filled


def test_the_page_about_http_has_every_limit_and_counter():
    page = PAGE.read_text()
    assert page == filled(page), "stale: run .venv/bin/python -m tests.support.http_docs"
