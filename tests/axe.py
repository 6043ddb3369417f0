"""What stands in the way of people who don't see well or use no mouse, as axe finds it."""

from axe_playwright_python.sync_playwright import Axe

DRAWN = """() => Promise.all([
    document.fonts.ready,
    ...[...document.images].map((image) => image.decode().catch(() => null)),
]).then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))"""


def drawn(page):
    """All that the page came with is loaded and shown. To wait for a silent network costs half a second more a page."""
    page.wait_for_load_state()
    page.evaluate(DRAWN)


def serious_faults(page) -> list[tuple]:
    """(rule, where, what is wrong) of each serious or critical one; [] is as it should be."""
    drawn(page)
    return [
        (one["id"], node["target"], node["failureSummary"])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def fits(page) -> bool:
    """Whether nothing is wider than the screen."""
    drawn(page)
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")
