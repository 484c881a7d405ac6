"""config.md, "Mounts": the options, and what they are to mount(2) and to mount_setattr(2)."""

import msgspec

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

ATTR_RDONLY = 0x01
ATTR_NOSUID = 0x02
ATTR_NODEV = 0x04
ATTR_NOEXEC = 0x08
ATTR_NOATIME = 0x10
ATTR_STRICTATIME = 0x20
ATTR_ATIME = 0x70
ATTR_NODIRATIME = 0x80
ATTR_NOSYMFOLLOW = 0x200000

FLAGS: dict[str, tuple[bool, int]] = {
    # option: (whether it sets the flag of mount(2) or clears it, the flag)
    "async": (False, MS_SYNCHRONOUS),
    "atime": (False, MS_NOATIME),
    "dev": (False, MS_NODEV),
    "diratime": (False, MS_NODIRATIME),
    "dirsync": (True, MS_DIRSYNC),
    "exec": (False, MS_NOEXEC),
    "iversion": (True, MS_I_VERSION),
    "lazytime": (True, MS_LAZYTIME),
    "loud": (False, MS_SILENT),
    "mand": (True, MS_MANDLOCK),
    "noatime": (True, MS_NOATIME),
    "nodev": (True, MS_NODEV),
    "nodiratime": (True, MS_NODIRATIME),
    "noexec": (True, MS_NOEXEC),
    "noiversion": (False, MS_I_VERSION),
    "nolazytime": (False, MS_LAZYTIME),
    "nomand": (False, MS_MANDLOCK),
    "norelatime": (False, MS_RELATIME),
    "nostrictatime": (False, MS_STRICTATIME),
    "nosuid": (True, MS_NOSUID),
    "nosymfollow": (True, MS_NOSYMFOLLOW),
    "relatime": (True, MS_RELATIME),
    "remount": (True, MS_REMOUNT),
    "ro": (True, MS_RDONLY),
    "rw": (False, MS_RDONLY),
    "silent": (True, MS_SILENT),
    "strictatime": (True, MS_STRICTATIME),
    "suid": (False, MS_NOSUID),
    "symfollow": (False, MS_NOSYMFOLLOW),
    "sync": (True, MS_SYNCHRONOUS),
}

ATTRIBUTES: dict[int, int] = {
    # flag of mount(2): the same as an attribute of one mount. The others are the file system's, if anything.
    MS_RDONLY: ATTR_RDONLY,
    MS_NOSUID: ATTR_NOSUID,
    MS_NODEV: ATTR_NODEV,
    MS_NOEXEC: ATTR_NOEXEC,
    MS_NODIRATIME: ATTR_NODIRATIME,
    MS_NOSYMFOLLOW: ATTR_NOSYMFOLLOW,
    MS_NOATIME: ATTR_NOATIME,
    MS_STRICTATIME: ATTR_STRICTATIME,
    MS_RELATIME: 0,
}

ATIME_FLAGS = (MS_NOATIME, MS_STRICTATIME, MS_RELATIME)

RECURSIVE = {
    "r" + name: name
    for name in (
        "ro rw nosuid suid nodev dev noexec exec nodiratime diratime noatime atime "
        "relatime norelatime strictatime nostrictatime nosymfollow symfollow"
    ).split()
}
"""Options of a bind mount and of all mounts below it, by the option of the one mount that they are like."""

PROPAGATION = {
    "private": (MS_PRIVATE, False),
    "rprivate": (MS_PRIVATE, True),
    "slave": (MS_SLAVE, False),
    "rslave": (MS_SLAVE, True),
    "shared": (MS_SHARED, False),
    "rshared": (MS_SHARED, True),
    "unbindable": (MS_UNBINDABLE, False),
    "runbindable": (MS_UNBINDABLE, True),
}
"""Propagation options: the type of mount_namespaces(7), and whether the mounts below get it too."""

BINDS = {"bind": False, "rbind": True}
"""Bind options: whether the mounts below the source come along."""

ID_MAPS = {"idmap": False, "ridmap": True}
"""Options that map the ids of a bind mount: whether those of the mounts below too."""

NO_OPERATION = ("", "defaults")


class Options(msgspec.Struct, frozen=True, gc=False):
    """The options of one mount.

    Args:
        bind, recursive_bind: whether it is a bind mount, and of all mounts below the source.
        flags: what is set of mount(2)'s flags in the end.
        set, clear: attributes for the bind mount; attributes that no option names stay the source's.
        recursive_set, recursive_clear: the same for it and all mounts below.
        propagation: (MS_SHARED, ..., whether recursively), in order.
        copy_up: tmpcopyup.
        id_map: whether ids of the mounts below are mapped too; None if no option asks for a mapping.
        data: all that is none of these, for the file system.
        without_effect: options that a bind mount ignores.
    """

    bind: bool
    recursive_bind: bool
    flags: int
    set: int
    clear: int
    recursive_set: int
    recursive_clear: int
    propagation: tuple[tuple[int, bool], ...]
    copy_up: bool
    id_map: bool | None
    data: str
    without_effect: tuple[str, ...]


def is_bind(options: list[str], mount_type: str | None) -> bool:
    """Whether these options are those of a bind mount."""
    return mount_type == "bind" or any(option in BINDS for option in options)


def attributes_of(flags: int) -> int:
    """The attributes of one mount that these flags of mount(2) are."""
    attributes = 0
    for flag, attribute in ATTRIBUTES.items():
        if flags & flag:
            attributes |= attribute
    # strictatime overrules noatime, as in mount(2)
    return attributes & ~ATTR_NOATIME if attributes & ATTR_STRICTATIME else attributes


def _named_attributes(named: dict[int, bool]) -> tuple[int, int]:
    """Attributes to set and to clear for flags by whether options set or cleared them."""
    set_, clear = 0, 0
    for flag, on in named.items():
        attribute = ATTRIBUTES.get(flag)
        if attribute is None:
            continue
        if flag in ATIME_FLAGS:  # one field with three values: whoever sets it clears it first
            if on or flag != MS_RELATIME:
                clear |= ATTR_ATIME
            if on:
                set_ = set_ & ~ATTR_ATIME | attribute
        elif on:
            set_ |= attribute
        else:
            clear |= attribute
    return set_, clear


def parse_options(options: list[str], mount_type: str | None) -> Options:
    """What these options mean; where they contradict each other the last one counts."""
    bind, recursive_bind, copy_up = is_bind(options, mount_type), False, False
    id_map: bool | None = None
    named: dict[int, bool] = {}
    recursive: dict[int, bool] = {}
    propagation: list[tuple[int, bool]] = []
    data: list[str] = []
    for option in options:
        if option in FLAGS:
            on, flag = FLAGS[option]
            named.pop(flag, None)
            named[flag] = on
        elif option in BINDS:
            recursive_bind = BINDS[option]
        elif option in PROPAGATION:
            propagation.append(PROPAGATION[option])
        elif option in RECURSIVE:
            on, flag = FLAGS[RECURSIVE[option]]
            recursive.pop(flag, None)
            recursive[flag] = on
        elif option == "tmpcopyup":
            copy_up = True
        elif option in ID_MAPS:
            id_map = ID_MAPS[option]
        elif option not in NO_OPERATION:
            data.append(option)
    flags = sum(flag for flag, on in named.items() if on)
    set_, clear = _named_attributes(named)
    recursive_set, recursive_clear = _named_attributes(recursive)
    return Options(
        bind=bind,
        recursive_bind=recursive_bind,
        flags=flags,
        set=set_,
        clear=clear,
        recursive_set=recursive_set,
        recursive_clear=recursive_clear,
        propagation=tuple(propagation),
        copy_up=copy_up,
        id_map=id_map,
        data=",".join(data),
        without_effect=tuple(
            option
            for option in options
            if bind and option in FLAGS and FLAGS[option][0] and FLAGS[option][1] not in ATTRIBUTES
        )
        + tuple(data if bind else ()),
    )
