"""``python -m mvssl``, and ``torchrun -m mvssl``: the command ``mvssl``."""

from mvssl.cli import main

if __name__ == "__main__":
    main()
