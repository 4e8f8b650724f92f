"""A table of one's own, workbook or CSV, read as a sheet: cells, headings, values, what is unclear."""
