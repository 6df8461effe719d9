"""Stage report: everything that is known of the run and its model, on one page that can be sent to a colleague.

Reads the figures of all stages before it. Writes `report/report.html`, which shows patients' radiographs and stays in
the run, and `report/artifact.html`, the same without any radiograph, which `publish` puts into the artifact.
"""

from training.report.facts import read_facts
from training.report.page import report_page
from training.report.pictures import cluster_sheets, galleries
from training.run import Run


def report(run: Run) -> None:
    """Write both versions."""
    facts = read_facts(run)
    run.write("report/artifact.html", report_page(facts, galleries=None, cluster_sheets=None))
    pictures = {"galleries": galleries(run, facts), "cluster_sheets": cluster_sheets(run)}
    run.write("report/report.html", report_page(facts, **pictures))
