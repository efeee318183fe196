"""Internals of the library: tables of metrics and linkages, data structures, devices, compilation."""
