/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The newest release of liblxc whose public interface these headers describe. It says nothing about the library
 * at hand: lxc_get_version() does.
 */
#ifndef LXCFFI_LXC_VERSION_H
#define LXCFFI_LXC_VERSION_H

#define LXC_VERSION_MAJOR 7
#define LXC_VERSION_MINOR 0
#define LXC_VERSION_MICRO 0

#endif
