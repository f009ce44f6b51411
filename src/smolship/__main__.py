"""`python -m smolship`."""

from smolship.cli import main

if __name__ == "__main__":
    main()
