"""What files of others may be, before anything of them is read."""

from mvssl.intake.files import check_file, check_torch_file, kind_of_file

__all__ = ["check_file", "check_torch_file", "kind_of_file"]
