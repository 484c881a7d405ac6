/* libFuzzer on the reader of programs: the input as it is, and with a header that is right but for its stages. */
#define main unused_main
#include "../oci/reader.c"
#undef main

extern __attribute__((noreturn)) void abort(void);

static void *allocated[256];
static size_t allocations;

/* The one system call of the reader: memory, of exactly the size that it asks for. */
static long sys6(long nr, word a, word b, word c, word d, word e, word f)
{
	(void)a, (void)c, (void)d, (void)e, (void)f;
	if (nr != __NR_mmap || allocations == sizeof(allocated) / sizeof(*allocated))
		return -ENOMEM;
	allocated[allocations] = malloc(b);
	memset(allocated[allocations], 0, b);
	return (long)allocated[allocations++];
}

static void read_exactly(const unsigned char *data, size_t size)
{
	unsigned char *copy = malloc(size ? size : 1); /* where one byte more is noticed */
	uint64_t instructions, bytes;

	memcpy(copy, data, size);
	if (!walk(copy, size, &instructions, &bytes) && instructions > size / 16)
		abort();
	while (allocations)
		free(allocated[--allocations]);
	free(copy);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const unsigned char magic[8] = PROGRAM_MAGIC;
	static unsigned char program[1 << 16];
	const uint64_t stamp = PROGRAM_STAMP, whole = size, header = 8 * (3 + STAGES);

	read_exactly(data, size);
	if (size < header || size > sizeof(program))
		return 0;
	memcpy(program, data, size);
	memcpy(program, magic, 8);
	memcpy(program + 8, &stamp, 8);
	memcpy(program + 16, &whole, 8);
	memcpy(program + 24, &header, 8);
	read_exactly(program, size);
	return 0;
}
