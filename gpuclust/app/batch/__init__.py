"""Batches of data sets; `gpuclust.batch` is the public face.

`inputs` and `manifest` find the data sets, `options` is the table of what may be said of each, `estimate` and
`prepare` plan them, `schedule` decides which is next, `pool` and `worker` are the two ends of a worker process,
`engine` leads them, `lock` keeps others out, `summary` writes summary.csv and index.html, `log` reports progress,
`command` is the command.
"""
