"""`python -m rowkeeper.cli`: the command line where the installed script is not at hand."""

from rowkeeper.cli import main

if __name__ == "__main__":
    main()
