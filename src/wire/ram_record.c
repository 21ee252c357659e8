/* SPDX-License-Identifier: MIT */
#include "wire/ram_record.h"

#include "base/bytes.h"
#include "base/checked.h"
#include "wire/reader.h"

static int take_name(struct rs_reader *reader, const char **name, uint8_t *name_bytes,
		     struct rs_error *error)
{
	*name_bytes = *rs_reader_take(reader, 1);
	if (reader->need != 0)
		return 0;
	if (*name_bytes == 0)
		return rs_error_setf(error, -EINVAL, "a region's name is empty");
	*name = (const char *)rs_reader_take(reader, *name_bytes);
	if (reader->need == 0 && memchr(*name, '\0', *name_bytes) != NULL)
		return rs_error_setf(error, -EINVAL, "a region's name contains a zero byte");
	return 0;
}

static int refuse_word(uint64_t word, unsigned flags, struct rs_error *error)
{
	unsigned long long shown = word;

	switch (flags) {
	case RS_FLAG_XBZRLE:
		return rs_error_setf(error, -EOPNOTSUPP,
				     "record 0x%llx: XBZRLE pages are not supported", shown);
	case RS_FLAG_COMPRESS_PAGE:
		return rs_error_setf(error, -EOPNOTSUPP,
				     "record 0x%llx: compressed pages are not supported", shown);
	case RS_FLAG_HOOK:
		return rs_error_setf(error, -EOPNOTSUPP,
				     "record 0x%llx: RDMA hooks are not supported", shown);
	default:
		return rs_error_setf(error, -EINVAL,
				     "record 0x%llx: the flags 0x%x are not a legal combination",
				     shown, flags);
	}
}

static int kind_of(uint64_t word, unsigned flags, bool runs, struct rs_error *error)
{
	switch (flags) {
	case RS_FLAG_EOS:
		return RS_RECORD_EOS;
	case RS_FLAG_MEM_SIZE:
		return RS_RECORD_BLOCK_LIST;
	case RS_FLAG_ZERO:
		return RS_RECORD_ZERO;
	case RS_FLAG_PAGE:
		return RS_RECORD_PAGE;
	case RS_FLAG_MULTIFD_FLUSH:
		return RS_RECORD_FLUSH;
	case RS_FLAG_ZERO | RS_FLAG_RUN:
		return runs ? RS_RECORD_ZERO_RUN : refuse_word(word, flags, error);
	case RS_FLAG_PAGE | RS_FLAG_RUN:
		return runs ? RS_RECORD_PAGE_RUN : refuse_word(word, flags, error);
	default:
		return refuse_word(word, flags, error);
	}
}

int rs_record_parse(const uint8_t *data, size_t have, const struct rs_record_rules *rules,
		    struct rs_record *record, size_t *need, struct rs_error *error)
{
	struct rs_reader reader = { .at = data, .left = have };
	uint64_t word = rs_get_be64(rs_reader_take(&reader, 8));

	*need = reader.need;
	if (reader.need != 0)
		return 0;
	unsigned flags = (unsigned)(word & (rules->page_bytes - 1));
	int kind = kind_of(word, flags & ~(unsigned)RS_FLAG_CONTINUE, rules->runs, error);

	if (kind < 0)
		return kind;
	*record = (struct rs_record){ .kind = (enum rs_record_kind)kind,
				      .address = rs_align_down(word, rules->page_bytes),
				      .bytes = rules->page_bytes };
	if (!rs_record_has_pages(record))
		return 8;
	if (!(flags & RS_FLAG_CONTINUE)) {
		int refused = take_name(&reader, &record->name, &record->name_bytes, error);

		if (refused != 0)
			return refused;
	}
	if (record->kind == RS_RECORD_ZERO)
		record->fill = *rs_reader_take(&reader, 1);
	if (record->kind == RS_RECORD_ZERO_RUN || record->kind == RS_RECORD_PAGE_RUN)
		record->bytes = rs_get_be64(rs_reader_take(&reader, 8));
	*need = reader.need;
	if (reader.need != 0)
		return 0;
	if (record->bytes == 0 || !rs_is_aligned(record->bytes, rules->page_bytes))
		return rs_error_setf(error, -EINVAL,
				     "record 0x%llx: a run of %llu bytes is not whole pages",
				     (unsigned long long)word, (unsigned long long)record->bytes);
	return (int)reader.taken;
}

static uint8_t *put_name(uint8_t *at, const char *name, size_t bytes)
{
	*at++ = (uint8_t)bytes;
	memcpy(at, name, bytes);
	return at + bytes;
}

size_t rs_record_write(uint8_t *to, uint64_t address, unsigned flags, const char *name,
		       uint64_t run_bytes)
{
	bool pages = (flags & (RS_FLAG_ZERO | RS_FLAG_PAGE)) != 0;
	uint8_t *at = to + 8;

	if (pages && name == NULL)
		flags |= RS_FLAG_CONTINUE;
	rs_put_be64(to, address | flags);
	if (pages && name != NULL)
		at = put_name(at, name, strlen(name));
	if (pages && (flags & RS_FLAG_RUN)) {
		rs_put_be64(at, run_bytes);
		at += 8;
	} else if (flags & RS_FLAG_ZERO) {
		*at++ = 0;
	}
	return (size_t)(at - to);
}

int rs_block_entry_parse(const uint8_t *data, size_t have, bool with_address,
			 struct rs_block_entry *entry, size_t *need, struct rs_error *error)
{
	struct rs_reader reader = { .at = data, .left = have };
	int refused = take_name(&reader, &entry->name, &entry->name_bytes, error);

	if (refused != 0)
		return refused;
	entry->used_bytes = rs_get_be64(rs_reader_take(&reader, 8));
	entry->guest_address = with_address ? rs_get_be64(rs_reader_take(&reader, 8)) : 0;
	*need = reader.need;
	return reader.need != 0 ? 0 : (int)reader.taken;
}

size_t rs_block_entry_write(uint8_t *to, const struct rs_block_entry *entry, bool with_address)
{
	uint8_t *at = put_name(to, entry->name, entry->name_bytes);

	rs_put_be64(at, entry->used_bytes);
	at += 8;
	if (with_address) {
		rs_put_be64(at, entry->guest_address);
		at += 8;
	}
	return (size_t)(at - to);
}
