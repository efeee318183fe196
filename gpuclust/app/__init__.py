"""The program: command line, data files, jobs and their results, reports, comparisons, batches. Internal."""
