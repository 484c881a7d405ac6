/* Paths below the container's root. Nothing that an image or a shared volume holds can lead outside: every lookup is
 * openat2(RESOLVE_IN_ROOT) on the root's descriptor, and what is found is used through its own descriptor. */
#ifndef LXCRI_PATHS_H
#define LXCRI_PATHS_H

#include "sys.h"

#define BELOW_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define MAX_LINKS 40 /* as the kernel follows */

static int root_fd = -1;

static int open_below(const char *path, uint64_t flags)
{
	return sys_openat2(root_fd, path, flags, 0, BELOW_ROOT);
}

/* Put the link's target in place of the first n bytes of path, which name the link. */
static int substitute_link(char *path, size_t n, int parent, const char *name)
{
	static char link[PATH_MAX_BYTES], rest[PATH_MAX_BYTES];
	size_t at = 0, len;
	long got = SYS(readlinkat, parent, name, link, sizeof(link) - 1, 0, 0);

	if (got < 0)
		return (int)got;
	link[got] = '\0';
	len = length(path + n);
	memcpy(rest, path + n, len + 1);
	if (link[0] != '/') /* relative: to the directory that holds the link */
		for (at = n; at && path[at - 1] != '/';)
			at--;
	if (at + (size_t)got + len + 1 > PATH_MAX_BYTES)
		return -ENAMETOOLONG;
	memcpy(path + at, link, (size_t)got);
	memcpy(path + at + got, rest, len + 1);
	return 0;
}

/* Open the directory `path`, making what is missing of it with mode 0755. Dangling links are followed, and what they
 * name is made, below the root. Returns an O_PATH descriptor; *made tells whether the last component is new. */
static int make_directory(const char *path, bool *made)
{
	static char name[PATH_MAX_BYTES], prefix[PATH_MAX_BYTES];
	size_t at = 0, links = 0;
	int dir = open_below(path, O_PATH | O_DIRECTORY);

	if (made)
		*made = false;
	if (dir != -ENOENT)
		return dir;
	if (length(path) >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, path, length(path) + 1);
	dir = open_below("/", O_PATH | O_DIRECTORY);
	while (dir >= 0) {
		size_t start, end;
		int next;
		long err = 0;

		for (start = at; name[start] == '/';)
			start++;
		if (!name[start])
			return dir;
		for (end = start; name[end] && name[end] != '/';)
			end++;
		memcpy(prefix, name, end);
		prefix[end] = '\0';
		next = open_below(prefix, O_PATH | O_DIRECTORY);
		if (next == -ENOENT) {
			err = SYS(mkdirat, dir, prefix + start, 0755, 0, 0, 0);
			if (!err) {
				if (made)
					*made = true;
				next = open_below(prefix, O_PATH | O_DIRECTORY | O_NOFOLLOW);
			} else if (err == -EEXIST) {
				err = ++links > MAX_LINKS ? -ELOOP : substitute_link(name, end, dir, prefix + start);
				if (!err) { /* once more from the top, along the link's target */
					at = 0;
					sys_close(dir);
					dir = open_below("/", O_PATH | O_DIRECTORY);
					continue;
				}
			}
		}
		sys_close(dir);
		dir = err < 0 ? (int)err : next;
		at = end;
	}
	return dir;
}

/* Split path in the directory that holds its last component, opened (made where `make` is set), and that component. */
static int open_parent(const char *path, bool make, const char **last)
{
	static char parent[PATH_MAX_BYTES];
	size_t end = length(path), start;

	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/';)
		start--;
	if (start == end)
		return -EINVAL;
	if (end >= sizeof(parent))
		return -ENAMETOOLONG;
	if (path[end])
		return -ENOTDIR;
	*last = path + start;
	memcpy(parent, path, start);
	parent[start] = '\0';
	return make ? make_directory(start ? parent : "/", NULL) : open_below(start ? parent : "/", O_PATH | O_DIRECTORY);
}

/* Open the file `path` with O_PATH, making an empty regular one, and its parents, where it is missing. */
static int make_file(const char *path)
{
	static char name[PATH_MAX_BYTES];
	const char *last;
	int fd = open_below(path, O_PATH);

	if (fd != -ENOENT)
		return fd;
	if (length(path) >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, path, length(path) + 1);
	for (int links = 0; links <= MAX_LINKS; links++) {
		int dir = open_parent(name, true, &last);
		long err;

		if (dir < 0)
			return dir;
		err = sys_openat2(dir, last, O_WRONLY | O_CREAT | O_EXCL, 0755, RESOLVE_BENEATH);
		if (err >= 0) {
			sys_close((int)err);
			sys_close(dir);
			return open_below(name, O_PATH);
		}
		if (err == -EEXIST)
			err = substitute_link(name, length(name), dir, last);
		sys_close(dir);
		if (err < 0)
			return (int)err;
		fd = open_below(name, O_PATH);
		if (fd != -ENOENT)
			return fd;
	}
	return -ELOOP;
}

#endif
