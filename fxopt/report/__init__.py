"""What people read of a run: report.html, report.md, the table on the terminal, explanations, what differs from another."""

from fxopt.report.diff import diff, diff_markdown, diff_text
from fxopt.report.dry_run import dry_run_summary, dry_run_table
from fxopt.report.explain import explain
from fxopt.report.read import read
from fxopt.report.table import summary_table
from fxopt.report.write import write

__all__ = [
    "diff",
    "diff_markdown",
    "diff_text",
    "dry_run_summary",
    "dry_run_table",
    "explain",
    "read",
    "summary_table",
    "write",
]
