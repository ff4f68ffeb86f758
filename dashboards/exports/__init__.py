"""Lists of discrepancies as files: CSV, XLSX, Parquet."""
