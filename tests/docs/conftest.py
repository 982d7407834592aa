"""Options of this folder."""

from __future__ import annotations

import os

from tests.people.browser import CHROMIUM

# as in tests/people/conftest.py: CI skips nothing, and has no browser
collect_ignore = ["test_site_browser.py"] if os.environ.get("CI") and CHROMIUM is None else []
