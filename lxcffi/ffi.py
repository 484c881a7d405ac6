"""The compiled module: ffi for C values, lib for what build_ffi.py declares from vendor-headers/lxc.

container_NAME(c, ...) calls the member NAME of struct lxc_container; SINCE_NAME is the version that brought it, as
0xMMmmuu. An older liblxc has allocated a struct that ends before such a member: the function does not touch it, and
fails with ENOSYS.
"""

from ._lxc import ffi, lib

__all__ = ["ffi", "lib"]
