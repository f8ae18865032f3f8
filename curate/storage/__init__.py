"""Bytes on disk and on object stores: whole files, Parquet tables, tars and run folders."""
