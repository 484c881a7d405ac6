/* The reader of programs. Their format stands in lxcri/program.py, which the tables here are generated from.
 *
 * A program is checked as a whole before any of it runs: afterwards no instruction can lead outside of it. */
#ifndef LXCRI_READER_H
#define LXCRI_READER_H

#include "lxcri-init-program.h"
#include "sys.h"

struct program {
	const unsigned char *base;
	size_t size;
	size_t stage[STAGES + 1]; /* the last one is the size */
};

#define MAX_ARGUMENTS 8

struct list {
	uint64_t count;
	const unsigned char *first;
};

struct argument {
	uint64_t number; /* of a string: its length */
	const char *string;
	struct list list;
};

struct instruction {
	uint32_t operation;
	const char *subject;
	struct argument argument[MAX_ARGUMENTS];
};

struct cursor {
	const unsigned char *at, *end;
};

static uint64_t load64(const unsigned char *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint32_t load32(const unsigned char *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static bool read_number(struct cursor *c, uint64_t *value)
{
	if ((size_t)(c->end - c->at) < 8)
		return false;
	*value = load64(c->at);
	c->at += 8;
	return true;
}

static bool read_string(struct cursor *c, const char **string, uint64_t *len)
{
	uint64_t n, padded;

	if (!read_number(c, &n) || n > (uint64_t)(c->end - c->at))
		return false;
	padded = n + 8 - n % 8;
	if (padded > (uint64_t)(c->end - c->at) || c->at[n])
		return false;
	*string = (const char *)c->at;
	*len = n;
	c->at += padded;
	return true;
}

static bool read_list(struct cursor *c, bool strings, struct list *list)
{
	uint64_t number;
	const char *string;

	if (!read_number(c, &list->count) || list->count > (uint64_t)(c->end - c->at) / 8)
		return false;
	list->first = c->at;
	for (uint64_t i = 0; i < list->count; i++)
		if (!(strings ? read_string(c, &string, &number) : read_number(c, &number)))
			return false;
	return true;
}

/* The strings of a list that was read before, NULL-terminated as execve wants them. */
static const char **list_strings(const struct list *list, size_t spare)
{
	const char **strings = allocate((list->count + spare + 1) * sizeof(char *));
	const unsigned char *at = list->first;

	for (uint64_t i = 0; strings && i < list->count; i++) {
		uint64_t n = load64(at);

		strings[i] = (const char *)at + 8;
		at += 8 + n + 8 - n % 8;
	}
	return strings;
}

/* Read the instruction at offset; return the offset of the next one, 0 when it is malformed. */
static size_t read_instruction(const struct program *p, size_t offset, size_t end, struct instruction *out)
{
	struct cursor c;
	uint64_t ignored;
	uint32_t size;
	const char *kinds;

	if (end - offset < 8)
		return 0;
	out->operation = load32(p->base + offset);
	size = load32(p->base + offset + 4);
	if (out->operation >= OPERATIONS || size < 8 || size % 8 || size > end - offset)
		return 0;
	c.at = p->base + offset + 8;
	c.end = p->base + offset + size;
	if (!read_string(&c, &out->subject, &ignored))
		return 0;
	kinds = operation_arguments[out->operation];
	for (size_t i = 0; kinds[i]; i++) {
		struct argument *a = &out->argument[i];
		bool ok = kinds[i] == 'n' ? read_number(&c, &a->number)
			: kinds[i] == 's' ? read_string(&c, &a->string, &a->number)
					  : read_list(&c, kinds[i] == 'S', &a->list);

		if (!ok)
			return 0;
	}
	return c.at == c.end ? offset + size : 0;
}

/* Check the whole of it. Returns what is wrong, NULL when nothing is. */
static const char *read_program(const unsigned char *base, size_t size, struct program *p)
{
	static const unsigned char magic[8] = PROGRAM_MAGIC;
	const size_t header = 8 * (3 + STAGES);

	if (size < header)
		return "shorter than its header";
	for (size_t i = 0; i < sizeof(magic); i++)
		if (base[i] != magic[i])
			return "not a program";
	if (load64(base + 8) != PROGRAM_STAMP)
		return "made for another build of lxcri-init";
	if (load64(base + 16) != size)
		return "its size is not what its header says";
	p->base = base;
	p->size = size;
	for (size_t i = 0; i < STAGES; i++) {
		uint64_t start = load64(base + 24 + 8 * i);

		if (start < (i ? p->stage[i - 1] : header) || start > size)
			return "a stage lies outside of it";
		p->stage[i] = start;
	}
	p->stage[STAGES] = size;
	if (p->stage[0] != header)
		return "its first stage does not follow its header";
	for (size_t i = 0; i < STAGES; i++)
		for (size_t at = p->stage[i]; at < p->stage[i + 1];) {
			struct instruction instruction;

			at = read_instruction(p, at, p->stage[i + 1], &instruction);
			if (!at)
				return "a malformed instruction";
		}
	return NULL;
}

#endif
