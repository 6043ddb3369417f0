"""Tables that people upload: CSV in whatever encoding and shape, and XLSX.

A file may hold several tables, with lines before and between them. Which one is wanted, the caller
says with a score for rows of headings; the same score tells the right delimiter from a wrong one,
and the right sheet. What a table is about is not known here.
"""

from .headings import Recognised, Vocabulary, fold
from .reading import SIZE_LIMIT, UNCALCULATED, NoHeadings, Row, Table, TableError, possible_headings, read

__all__ = [
    "SIZE_LIMIT",
    "UNCALCULATED",
    "NoHeadings",
    "Recognised",
    "Row",
    "Table",
    "TableError",
    "Vocabulary",
    "fold",
    "possible_headings",
    "read",
]
