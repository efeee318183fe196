"""The command line: ``python -m gpuclust``."""

from gpuclust.app.cli import main

if __name__ == "__main__":
    main()
