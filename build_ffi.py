"""The build of lxcri: a PEP 517 and PEP 660 backend around setuptools that compiles what is not Python.

Five things are made, for a wheel in the build directory, for an editable install beside their sources:

    lxcffi/_lxc.abi3.so     liblxc's C API, from vendor-headers/lxc and lxcffi/csrc
    lxcri/_linux.abi3.so    system calls that Python does not have, from lxcri/csrc/linux.[ch]
    lxcri/_libseccomp.py    declarations of libseccomp, opened at run time, from lxcri/csrc/libseccomp.h
    lxcri/_libsystemd.py    declarations of libsystemd, opened at run time, from lxcri/csrc/libsystemd.h
    lxcri/lxcri-init        the static init helper, from lxcri/csrc/lxcri-init.c

Environment: CC, CPPFLAGS, CFLAGS and LDFLAGS as everywhere; LXCRI_INIT_CC is the compiler of the helper alone
(aarch64-linux-gnu-gcc builds it for arm64). SOURCE_DATE_EPOCH makes the wheel reproducible.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from typing import Any

import setuptools
from cffi import FFI
from setuptools import build_meta
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SOURCE = os.path.dirname(os.path.abspath(__file__))
VENDOR_HEADERS = os.path.join(SOURCE, "vendor-headers")
CSRC = os.path.join(SOURCE, "lxcri", "csrc")
LXCFFI_CSRC = os.path.join(SOURCE, "lxcffi", "csrc")

PY_LIMITED_API = "cp311"
ABI3_DEFINE = "-DPy_LIMITED_API=0x030b0000"

INIT_MAX_BYTES = 64 * 1024
INIT_ARCHITECTURES = ("x86_64", "aarch64")

WARNINGS = ["-Wall", "-Wextra", "-Werror"]

MODULE_FLAGS = [
    "-std=gnu11",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    "-fstack-clash-protection",
    "-U_FORTIFY_SOURCE",
    "-D_FORTIFY_SOURCE=2",
    *WARNINGS,
    # cffi writes every function as (self, args) and uses only what the signature needs.
    "-Wno-unused-parameter",
    # Its tables of globals and types leave the trailing members to C's zeroes.
    "-Wno-missing-field-initializers",
]
MODULE_LINK_FLAGS = ["-shared", "-Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,--build-id=none"]

INIT_FLAGS = [
    "-std=gnu11",
    "-Os",
    "-fno-pie",
    "-ffreestanding",
    # There is no thread-local storage and so no place for a canary.
    "-fno-stack-protector",
    "-fstack-clash-protection",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-ffunction-sections",
    "-fdata-sections",
    # A compiler that fortifies by default would want the C library's checked functions.
    "-U_FORTIFY_SOURCE",
    *WARNINGS,
]
# memset and memcpy are the program's own: a loop in them must not become a call of themselves. clang does not
# know the option.
GCC_INIT_FLAGS = ["-fno-tree-loop-distribute-patterns"]
INIT_LINK_FLAGS = [
    "-nostdlib",
    "-static",
    "-Wl,--gc-sections,-z,noexecstack,-z,relro,--build-id=none,-s",
]

HOSTED_INIT_FLAGS = [
    "-std=gnu11",
    "-O1",
    "-g",
    # The C library is only linked: its headers clash with the kernel's.
    "-ffreestanding",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-DLXCRI_INIT_HOSTED",
    *WARNINGS,
]


class BuildError(SystemExit):
    """The build cannot go on. The text is one sentence, printed as the last line, without a traceback."""


# The C compiler and what it needs


def compiler(variable: str = "CC") -> list[str]:
    """Command of the C compiler: the environment variable's, else Python's own, else cc, gcc or clang."""
    if named := os.environ.get(variable):
        candidates = [named]
    elif variable != "CC":
        return compiler()
    else:
        candidates = [sysconfig.get_config_var("CC") or "cc", "cc", "gcc", "clang"]
    for candidate in candidates:
        words = shlex.split(candidate)
        if words and shutil.which(words[0]):
            return words
    raise BuildError(
        f"lxcri needs a C compiler to be built, but {' or '.join(dict.fromkeys(candidates))} is not on PATH: "
        "install gcc and libc6-dev (Debian, Ubuntu: apt-get install gcc libc6-dev)."
    )


def flags(variable: str) -> list[str]:
    """Words of an environment variable such as CFLAGS."""
    return shlex.split(os.environ.get(variable, ""))


def run(command: Sequence[str], directory: str | None = None) -> None:
    """Print and run a compiler's command line."""
    print(shlex.join(command), flush=True)
    if subprocess.run(command, cwd=directory, check=False).returncode != 0:
        raise BuildError(f"lxcri cannot be built: {os.path.basename(command[0])} failed, see its message above.")


def compiles(text: str, *arguments: str, cc: Sequence[str] | None = None) -> bool:
    """Tell whether the compiler takes a small C program."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [*(cc or compiler()), "-x", "c", "-", "-o", os.path.join(scratch, "a.out"), *arguments]
        done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    return done.returncode == 0


def python_include_flags() -> list[str]:
    """-I for Python.h and pyconfig.h."""
    paths = dict.fromkeys((sysconfig.get_path("include"), sysconfig.get_path("platinclude")))
    return [f"-I{path}" for path in paths]


def check_requirements() -> None:
    """Refuse a build that something is missing for, with one sentence that names it and its package."""
    if not compiles("#include <stdlib.h>\nint main(void) { return 0; }\n", *flags("LDFLAGS")):
        raise BuildError(
            f"lxcri needs a C compiler that makes programs, but {shlex.join(compiler())} does not: "
            "install the C library's headers (Debian, Ubuntu: apt-get install libc6-dev)."
        )
    if not compiles("#include <Python.h>\n", "-fsyntax-only", *python_include_flags()):
        raise BuildError(
            f"lxcri needs Python.h to be built, but it is not in {sysconfig.get_path('include')}: "
            "install Python's headers (Debian, Ubuntu: apt-get install python3-dev)."
        )
    if not compiles("", "-shared", *flags("LDFLAGS"), "-l:liblxc.so.1"):
        raise BuildError(
            "lxcri needs liblxc to be built, but the linker finds no liblxc.so.1: "
            "install it (Debian 12, Ubuntu 22.04: apt-get install liblxc1; later ones: liblxc1t64)."
        )


# What cffi is told


DIRECTIVE = re.compile(r"^#(?!define \w+ [-\d]).*\n", re.MULTILINE)


def without_directives(header: str) -> str:
    """Text of a header without what cffi does not read: directives, but for constants that are numbers."""
    return DIRECTIVE.sub("", header)


def read(*path: str) -> str:
    """Text of a source file."""
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


MEMBER = re.compile(
    r"^\t(?P<result>[\w ]+?[ *]*)\(\*(?P<name>\w+)\)\((?P<parameters>struct lxc_container \*c[^;]*)\); "
    r"/\* since (?P<major>\d+)\.(?P<minor>\d+)\.(?P<micro>\d+)",
    re.MULTILINE,
)


def lxc_members(header: str) -> list[re.Match[str]]:
    """The function pointers of struct lxc_container, in order."""
    return list(MEMBER.finditer(header))


OLDEST_LIBLXC = (4, 0, 0)


def lxc_wrappers(members: Sequence[re.Match[str]]) -> tuple[str, str]:
    """Declarations and definitions of one C function container_NAME() for each member NAME.

    A function of the module is called faster than a function pointer that cffi reads from the struct, and it
    spares building the types of all members first. One for a member that the oldest liblxc does not have asks
    for the version at hand first, and fails with ENOSYS. errno is 0 before the call: liblxc does not set it in every
    failure, and what is left must not be older. The members with a variable number of arguments (startl,
    createl, attach_run_waitl) have a sibling that takes an array, and are left out.
    """
    declarations = []
    definitions = []
    for member in members:
        parameters = " ".join(member["parameters"].split())
        if parameters.endswith("..."):
            continue
        names = [re.findall(r"\w+", parameter)[-1] for parameter in parameters.split(",")]
        prototype = f"{member['result']}container_{member['name']}({parameters})"
        back = "" if member["result"].strip() == "void" else "return "
        guard = ""
        if (int(member["major"]), int(member["minor"]), int(member["micro"])) > OLDEST_LIBLXC:
            failure = "false" if member["result"].strip() == "bool" else "-1"
            guard = f"if (is_missing(SINCE_{member['name']})) return {failure}; "
        declarations.append(f"{prototype};")
        call = f"c->{member['name']}({', '.join(names)})"
        definitions.append(f"static {prototype} {{ {guard}errno = 0; {back}{call}; }}")
    return "\n".join(declarations), "\n".join(definitions)


def lxc_since(members: Sequence[re.Match[str]]) -> str:
    """An enum of SINCE_NAME: the version that brought the member NAME, as 0xMMmmuu."""
    values = (f"SINCE_{m['name']} = 0x{int(m['major']):02x}{int(m['minor']):02x}{int(m['micro']):02x}" for m in members)
    return f"enum {{ {', '.join(values)} }};"


def lxc_ffi() -> FFI:
    """liblxc's API for lxcffi._lxc."""
    header = read("vendor-headers", "lxc", "lxccontainer.h")
    members = lxc_members(header)
    declarations, definitions = lxc_wrappers(members)
    since = lxc_since(members)
    ffi = FFI()
    ffi.cdef("typedef int... pid_t; typedef int... uid_t; typedef int... gid_t;")
    ffi.cdef("void free(void *ptr);")
    ffi.cdef(without_directives(read("vendor-headers", "lxc", "attach_options.h")))
    ffi.cdef(without_directives(header))
    ffi.cdef(declarations)
    ffi.cdef(since)
    ffi.cdef(without_directives(read("lxcffi", "csrc", "binding.h")))
    ffi.cdef('extern "Python" int lxcffi_attached(void *payload);')
    source = f"""
#include <lxc/lxccontainer.h>
static int lxcffi_attached(void *payload);
#include "binding.c"
{since}
{definitions}
"""
    ffi.set_source("lxcffi._lxc", source)
    return ffi


def linux_ffi() -> FFI:
    """System calls for lxcri._linux."""
    ffi = FFI()
    ffi.cdef(without_directives(read("lxcri", "csrc", "linux.h")))
    ffi.set_source("lxcri._linux", read("lxcri", "csrc", "linux.c"))
    return ffi


def library_ffi(name: str) -> FFI:
    """Declarations of a library for the module lxcri._NAME, without C code: the library is opened at run time."""
    ffi = FFI()
    ffi.cdef(without_directives(read("lxcri", "csrc", f"{name}.h")))
    ffi.set_source(f"lxcri._{name}", None)
    return ffi


# The five products


def build_module(ffi: FFI, out: str, scratch: str, include: Sequence[str], libraries: Sequence[str]) -> None:
    """Compile a cffi module in API mode."""
    os.makedirs(scratch, exist_ok=True)
    source = os.path.basename(out).partition(".")[0] + ".c"
    ffi.emit_c_code(os.path.join(scratch, source))
    run(
        [
            *compiler(),
            *MODULE_FLAGS,
            ABI3_DEFINE,
            *(f"-I{path}" for path in include),
            *python_include_flags(),
            *flags("CPPFLAGS"),
            *flags("CFLAGS"),
            source,
            "-o",
            os.path.abspath(out),
            *MODULE_LINK_FLAGS,
            *flags("LDFLAGS"),
            *libraries,
        ],
        # The name of the source gets into the module, and where the build is must not.
        directory=scratch,
    )


def init_program_header() -> str:
    """The instruction set of the helper as C, from the one table in lxcri/program.py.

    The file is loaded by its path: the package itself cannot be imported before it is built.
    """
    path = os.path.join(SOURCE, "lxcri", "program.py")
    spec = importlib.util.spec_from_file_location("lxcri_program", path)
    if spec is None or spec.loader is None or not os.path.exists(path):
        raise BuildError(f"lxcri cannot be built: {path} is missing.")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    text: str = program.c_header()
    return text


def init_architecture(cc: Sequence[str]) -> str:
    """Machine that a compiler makes programs for: one that the helper is written for."""
    asked = subprocess.run([*cc, "-dumpmachine"], text=True, capture_output=True, check=False)
    machine = asked.stdout.strip()
    architecture = machine.partition("-")[0]
    if architecture not in INIT_ARCHITECTURES:
        raise BuildError(
            f"lxcri-init is written for {' and '.join(INIT_ARCHITECTURES)}, but {shlex.join(cc)} makes "
            f"programs for {machine or 'an unknown machine'}."
        )
    return architecture


def build_init(out: str, cc: str | None = None, *, hosted: bool = False, flags: Sequence[str] = ()) -> None:
    """Compile lxcri-init.

    hosted builds it against the C library with the address and undefined behaviour sanitizers, for tests and
    fuzzing; otherwise it is static and freestanding. flags are added to the compiler's command line.
    """
    command = shlex.split(cc) if cc else compiler("LXCRI_INIT_CC")
    init_architecture(command)
    with tempfile.TemporaryDirectory() as scratch:
        with open(os.path.join(scratch, "lxcri-init-program.h"), "w", encoding="utf-8") as header:
            header.write(init_program_header())
        source = os.path.join(CSRC, "lxcri-init.c")
        include = [f"-I{scratch}", f"-I{CSRC}"]
        if hosted:
            run([*command, *HOSTED_INIT_FLAGS, *include, *flags, source, "-o", out])
            return
        own = GCC_INIT_FLAGS if compiles("", "-c", "-Werror", *GCC_INIT_FLAGS, cc=command) else []
        run([*command, *INIT_FLAGS, *own, *include, *flags, source, "-o", out, *INIT_LINK_FLAGS])
    if (size := os.path.getsize(out)) >= INIT_MAX_BYTES:
        raise BuildError(f"lxcri-init has {size} bytes, its limit is {INIT_MAX_BYTES}.")


class Product(setuptools.Extension):
    """Something compiled that lies in the package, with the file name that it has there.

    Each has a method build(out, scratch), which makes the file out.
    """

    def __init__(self, name: str, file: str) -> None:
        # setuptools wants to know where the file goes, but not what it is made of.
        super().__init__(name, sources=[], py_limited_api=True)
        self.file = file


class LxcModule(Product):
    """lxcffi/_lxc.abi3.so."""

    def build(self, out: str, scratch: str) -> None:  # noqa: D102 - see the base class
        build_module(lxc_ffi(), out, scratch, [VENDOR_HEADERS, LXCFFI_CSRC], ["-l:liblxc.so.1"])


class LinuxModule(Product):
    """lxcri/_linux.abi3.so."""

    def build(self, out: str, scratch: str) -> None:  # noqa: D102 - see the base class
        build_module(linux_ffi(), out, scratch, [CSRC], [])


class LibraryModule(Product):
    """lxcri/_libNAME.py."""

    def __init__(self, library: str) -> None:
        super().__init__(f"lxcri._{library}", f"_{library}.py")
        self.library = library

    def build(self, out: str, scratch: str) -> None:  # noqa: ARG002, D102 - see the base class
        library_ffi(self.library).emit_python_code(out)


class Init(Product):
    """lxcri/lxcri-init."""

    def build(self, out: str, scratch: str) -> None:  # noqa: ARG002, D102 - see the base class
        build_init(out)


PRODUCTS = [
    LxcModule("lxcffi._lxc", "_lxc.abi3.so"),
    LinuxModule("lxcri._linux", "_linux.abi3.so"),
    LibraryModule("libseccomp"),
    LibraryModule("libsystemd"),
    Init("lxcri.lxcri-init", "lxcri-init"),
]


# The backend


class BuildPackages(build_py):
    """setuptools' build_py, without the product that is Python: what was built in place is not a source."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Sources of a package, as (package, module, file)."""
        products = {product.name for product in PRODUCTS}
        found = super().find_package_modules(package, package_dir)  # type: ignore[no-untyped-call]
        return [source for source in found if f"{source[0]}.{source[1]}" not in products]


class BuildProducts(build_ext):
    """setuptools' build_ext, which knows where a file goes in a wheel and in an editable install."""

    def get_ext_filename(self, fullname: str) -> str:
        """Path of a product below the directory that the packages are in."""
        for product in PRODUCTS:
            if fullname in {product.name, product.name.rpartition(".")[2]}:
                return os.path.join(*fullname.split(".")[:-1], product.file)
        raise KeyError(fullname)

    def build_extension(self, ext: Any) -> None:
        """Make one product."""
        out = self.get_ext_fullpath(ext.name)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        ext.build(out, self.build_temp)


class Backend(build_meta._BuildMetaBackend):  # noqa: SLF001 - the way that setuptools' documentation gives
    """setuptools' backend, with the products instead of a setup.py."""

    def run_setup(self, setup_script: str = "setup.py") -> None:  # noqa: ARG002 - there is no such file
        """Run the command that setuptools has put into sys.argv."""
        # In build/, setuptools' default, the files of the last build would get into the next wheel.
        with tempfile.TemporaryDirectory() as build:
            setuptools.setup(
                ext_modules=PRODUCTS,
                cmdclass={"build_py": BuildPackages, "build_ext": BuildProducts},
                options={
                    "build": {"build_base": build},
                    "bdist_wheel": {"py_limited_api": PY_LIMITED_API},
                },
            )


_backend = Backend()

build_sdist = _backend.build_sdist
get_requires_for_build_editable = _backend.get_requires_for_build_editable
get_requires_for_build_sdist = _backend.get_requires_for_build_sdist
get_requires_for_build_wheel = _backend.get_requires_for_build_wheel
prepare_metadata_for_build_editable = _backend.prepare_metadata_for_build_editable
prepare_metadata_for_build_wheel = _backend.prepare_metadata_for_build_wheel


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """PEP 517: a wheel for every CPython from 3.11 on."""
    check_requirements()
    return _backend.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """PEP 660: the products are made beside their sources."""
    check_requirements()
    return _backend.build_editable(wheel_directory, config_settings, metadata_directory)
