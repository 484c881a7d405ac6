/* The reader of lxcri-init on one program after the other, each in memory of exactly its size.
 *
 * Standard input holds programs, each after its size as 4 bytes in the machine's order. For each a line is written:
 * what the reader says of it, or "ok", the number of its instructions and a sum of all bytes that they have. */
#include "reader.h"

extern void *malloc(unsigned long);
extern void free(void *);
extern int printf(const char *, ...);
extern int fflush(void *);

static bool read_all(unsigned char *to, size_t n)
{
	while (n) {
		long got = SYS(read, 0, to, n, 0, 0, 0);

		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

static uint64_t sum_string(const char *s, uint64_t n)
{
	uint64_t sum = (uint64_t)(unsigned char)s[n] << 32; /* the final NUL */

	for (uint64_t i = 0; i < n; i++)
		sum += (unsigned char)s[i];
	return sum;
}

static uint64_t sum_argument(char kind, const struct argument *a)
{
	uint64_t sum = 0;

	if (kind == 's')
		return sum_string(a->string, a->number);
	if (kind == 'N')
		for (uint64_t i = 0; i < a->list.count; i++)
			sum += load64(a->list.first + 8 * i);
	if (kind == 'S') {
		const char **strings = list_strings(&a->list, 0);

		for (uint64_t i = 0; strings && strings[i]; i++)
			sum += sum_string(strings[i], length(strings[i]));
	}
	return kind == 'n' ? a->number : sum;
}

/* Read it all, as the helper does that runs it. Returns what the reader says is wrong, NULL when nothing is. */
static const char *walk(const unsigned char *data, size_t size, uint64_t *instructions, uint64_t *bytes)
{
	struct program program;
	struct instruction in;
	const char *wrong = read_program(data, size, &program);
	uint64_t count = 0, sum = 0;

	if (wrong)
		return wrong;
	for (unsigned int stage = 0; stage < STAGES; stage++)
		for (size_t at = program.stage[stage]; at < program.stage[stage + 1];) {
			const char *kinds;

			at = read_instruction(&program, at, program.stage[stage + 1], &in);
			count++;
			sum += length(in.subject);
			kinds = operation_arguments[in.operation];
			for (size_t i = 0; kinds[i]; i++)
				sum += sum_argument(kinds[i], &in.argument[i]);
		}
	*instructions = count;
	*bytes = sum;
	return NULL;
}

int main(void)
{
	uint32_t size;

	while (read_all((unsigned char *)&size, sizeof(size))) {
		unsigned char *data = malloc(size);
		uint64_t count, sum;
		const char *wrong;

		if (!data || !read_all(data, size))
			return 1;
		wrong = walk(data, size, &count, &sum);
		if (wrong)
			printf("%s\n", wrong);
		else
			printf("ok %lu %lu\n", (unsigned long)count, (unsigned long)sum);
		fflush(NULL);
		free(data);
	}
	return 0;
}
