"""Storage of a container that is to be created."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .ffi import ffi
from .text import encode

if TYPE_CHECKING:
    from ._lxc import CData
    from .text import Text


class Storage(NamedTuple):
    """What a type of storage needs to know, liblxc's struct bdev_specs: lxc-create(1) has the defaults.

    fstype  type of the file system that is made
    fssize  its size in bytes, 0 for the default
    dir     directory of the root file system
    """

    fstype: Text | None = None
    fssize: int = 0
    dir: Text | None = None
    zfsroot: Text | None = None
    lvm_vg: Text | None = None
    lvm_lv: Text | None = None
    lvm_thinpool: Text | None = None
    rbdname: Text | None = None
    rbdpool: Text | None = None

    def as_specs(self) -> tuple[CData, list[CData]]:
        """The struct, and what must be kept as long as it is used."""
        specs: CData = ffi.new("struct bdev_specs *")
        specs.fssize = self.fssize
        kept = []
        for struct, member, text in (
            (specs, "fstype", self.fstype),
            (specs, "dir", self.dir),
            (specs.zfs, "zfsroot", self.zfsroot),
            (specs.lvm, "vg", self.lvm_vg),
            (specs.lvm, "lv", self.lvm_lv),
            (specs.lvm, "thinpool", self.lvm_thinpool),
            (specs.rbd, "rbdname", self.rbdname),
            (specs.rbd, "rbdpool", self.rbdpool),
        ):
            if text is not None:
                kept.append(ffi.new("char[]", encode(text)))
                setattr(struct, member, kept[-1])
        return specs, kept
