"""Distances of points, a kd-tree and its bounding boxes, and screening in single precision; imports no other room."""
