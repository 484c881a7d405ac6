"""config.md, "Linux Process": the capabilities and their numbers (capabilities(7))."""

from ..errors import Error
from ..plan import Builder
from ..spec import Capabilities

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()

NUMBERS = {"CAP_" + name: number for number, name in enumerate(NAMES)}

CAP_MKNOD = NUMBERS["CAP_MKNOD"]
CAP_SYS_ADMIN = NUMBERS["CAP_SYS_ADMIN"]

SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")

CONTAINED = (("effective", "permitted"), ("inheritable", "bounding"))
"""What capset(2) refuses unless the one set is within the other."""


def capability_names(mask: int) -> str:
    """The capabilities of a mask, for people."""
    return ", ".join([name for name, number in NUMBERS.items() if mask >> number & 1])


def capability_masks(builder: Builder, capabilities: Capabilities | None, grantable: int) -> dict[str, int]:
    """
    The five sets as masks, bit N for capability N.

    What is unknown, not ours to grant, or ambient without being permitted and inheritable (which the kernel refuses)
    is left out with a warning, as the document wants. Raises Error for sets that the kernel refuses as a whole.
    """
    masks = dict.fromkeys(SETS, 0)
    left_out: set[str] = set()
    for name in SETS if capabilities else ():
        for capability in getattr(capabilities, name):
            number = NUMBERS.get(capability)
            if number is None or not grantable >> number & 1:
                left_out.add(capability)
            else:
                masks[name] |= 1 << number
    without = masks["ambient"] & ~(masks["permitted"] & masks["inheritable"])
    left_out.update([name for name, number in NUMBERS.items() if without >> number & 1])
    masks["ambient"] &= ~without
    if left_out:
        builder.warn(f"process.capabilities: unknown or not to be granted here: {', '.join(sorted(left_out))}")
    for name, other in CONTAINED:
        if more := masks[name] & ~masks[other]:
            raise Error(f"process.capabilities.{name}: {capability_names(more)}: not in {other}")
    return masks
