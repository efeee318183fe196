"""What the library is made of: tables of metrics and linkages, data structures, devices, compilation. Internal."""
