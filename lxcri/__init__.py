"""lxcri: an OCI container runtime on liblxc."""

__version__ = "0.1.0"

OCI_VERSION = "1.3.0"
"""The release of the runtime specification that this runtime follows."""
