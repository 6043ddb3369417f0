"""What stands in the way of people who don't see well or use no mouse, as axe finds it."""

from axe_playwright_python.sync_playwright import Axe


def serious_faults(page) -> list[tuple]:
    """(rule, where, what is wrong) of each serious or critical one; [] is as it should be."""
    page.wait_for_load_state("networkidle")
    return [
        (one["id"], node["target"], node["failureSummary"])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def fits(page) -> bool:
    """Whether nothing is wider than the screen."""
    page.wait_for_load_state("networkidle")
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")
