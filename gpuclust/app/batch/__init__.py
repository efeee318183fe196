"""Batches of data sets; `gpuclust.batch` is the public face.

`inputs` and `manifest` find the data sets, `options` is the table of their options, `estimate` and `prepare` plan
them, `schedule` chooses the next one, `pool` and `worker` are the two ends of a worker process, `dispatch` hands out
the jobs, `engine` has the public functions, `lock` locks the output folder, `folders` and `summary` write summary.csv
and index.html, `verify` checks a finished batch, `log` reports progress, `command` is ``gpuclust batch``.
"""
