"""What every Struct of the specification shares, and the document's integer types."""

from typing import Annotated

from msgspec import Meta, Struct

U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
# msgspec has no bound above the largest int64; lxcri.spec.decode_* refuse what is larger than a uint64.
U64 = Annotated[int, Meta(ge=0)]
I32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

U64_MAX = 2**64 - 1


class Base(Struct, rename="camel", omit_defaults=True, gc=False):
    """
    Base of all Structs in lxcri.spec.

    A field is named as in the document, in snake_case. What the document requires has no default. An
    optional property that is absent (or null) is None, a list or map is empty, and a number or boolean for
    which zero and absent mean the same is 0 or False. An empty string means the same as an absent one.
    Enumerated strings are plain `str`: what they may be is for the compiler of their section to check.

    Unknown properties are ignored (config.md, Extensibility). No garbage collection: these are trees.
    """
