/* SPDX-License-Identifier: MIT */
#include "wire/ram_record.h"

#include "base/bytes.h"
#include "base/checked.h"
#include "codec/xbzrle.h"
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
				     "record 0x%llx: an XBZRLE page, which may have at most %u "
				     "bytes",
				     shown, RS_XBZRLE_MAX_PAGE_BYTES);
	case RS_FLAG_COMPRESS_PAGE:
		return rs_error_setf(error, -EOPNOTSUPP,
				     "record 0x%llx: a compressed page, but the parameter compress "
				     "is off here or at the source",
				     shown);
	case RS_FLAG_HOOK:
		return rs_error_setf(error, -EOPNOTSUPP,
				     "record 0x%llx: RDMA hooks are not supported", shown);
	default:
		return rs_error_setf(error, -EINVAL,
				     "record 0x%llx: the flags 0x%x are not a legal combination",
				     shown, flags);
	}
}

static int kind_of(uint64_t word, unsigned flags, const struct rs_record_rules *rules,
		   struct rs_error *error)
{
	bool legal = true;
	int kind;

	switch (flags) {
	case RS_FLAG_EOS:
		kind = RS_RECORD_EOS;
		break;
	case RS_FLAG_MEM_SIZE:
		kind = RS_RECORD_BLOCK_LIST;
		break;
	case RS_FLAG_ZERO:
		kind = RS_RECORD_ZERO;
		break;
	case RS_FLAG_PAGE:
		kind = RS_RECORD_PAGE;
		break;
	case RS_FLAG_MULTIFD_FLUSH:
		kind = RS_RECORD_FLUSH;
		break;
	case RS_FLAG_ZERO | RS_FLAG_RUN:
		kind = RS_RECORD_ZERO_RUN;
		legal = rules->runs;
		break;
	case RS_FLAG_PAGE | RS_FLAG_RUN:
		kind = RS_RECORD_PAGE_RUN;
		legal = rules->runs;
		break;
	case RS_FLAG_XBZRLE:
		kind = RS_RECORD_XBZRLE;
		legal = rules->page_bytes <= RS_XBZRLE_MAX_PAGE_BYTES;
		break;
	case RS_FLAG_COMPRESS_PAGE:
		kind = RS_RECORD_COMPRESSED;
		legal = rules->compressed_limit != 0;
		break;
	default:
		legal = false;
	}
	return legal ? kind : refuse_word(word, flags, error);
}

/* What stands between a page's name and its content, which says how much content there is. */
static void take_lengths(struct rs_reader *reader, struct rs_record *record)
{
	switch (record->kind) {
	case RS_RECORD_ZERO:
		record->fill = *rs_reader_take(reader, 1);
		break;
	case RS_RECORD_ZERO_RUN:
		record->bytes = rs_get_be64(rs_reader_take(reader, 8));
		break;
	case RS_RECORD_PAGE_RUN:
		record->bytes = rs_get_be64(rs_reader_take(reader, 8));
		record->content = record->bytes;
		break;
	case RS_RECORD_XBZRLE:
		record->encoding = *rs_reader_take(reader, 1);
		record->content = rs_get_be16(rs_reader_take(reader, 2));
		break;
	case RS_RECORD_COMPRESSED:
		record->content = rs_get_be32(rs_reader_take(reader, 4));
		break;
	default:
		record->content = record->bytes;
	}
}

static int check_lengths(uint64_t word, const struct rs_record *record,
			 const struct rs_record_rules *rules, struct rs_error *error)
{
	unsigned long long shown = word, content = record->content;

	if (record->bytes == 0 || !rs_is_aligned(record->bytes, rules->page_bytes))
		return rs_error_setf(error, -EINVAL,
				     "record 0x%llx: a run of %llu bytes is not whole pages", shown,
				     (unsigned long long)record->bytes);
	if (record->kind == RS_RECORD_XBZRLE && record->encoding != RS_XBZRLE_ENCODING)
		return rs_error_setf(error, -EINVAL,
				     "record 0x%llx: an XBZRLE page of the unknown encoding %u",
				     shown, record->encoding);
	if (record->kind == RS_RECORD_XBZRLE && content > rules->page_bytes)
		return rs_error_setf(error, -EINVAL,
				     "record 0x%llx: a delta of %llu bytes is longer than a page",
				     shown, content);
	if (record->kind == RS_RECORD_COMPRESSED &&
	    (content == 0 || content > rules->compressed_limit))
		return rs_error_setf(error, -EINVAL,
				     "record 0x%llx: a compressed page of %llu bytes, where 1 to "
				     "%u are possible",
				     shown, content, rules->compressed_limit);
	return 0;
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
	int kind = kind_of(word, flags & ~(unsigned)RS_FLAG_CONTINUE, rules, error);

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
	take_lengths(&reader, record);
	*need = reader.need;
	if (reader.need != 0)
		return 0;
	int refused = check_lengths(word, record, rules, error);

	return refused != 0 ? refused : (int)reader.taken;
}

static uint8_t *put_name(uint8_t *at, const char *name, size_t bytes)
{
	*at++ = (uint8_t)bytes;
	memcpy(at, name, bytes);
	return at + bytes;
}

/* What take_lengths() takes. */
static uint8_t *put_lengths(uint8_t *at, unsigned flags, uint64_t length)
{
	if (flags & RS_FLAG_RUN) {
		rs_put_be64(at, length);
		return at + 8;
	}
	switch (flags) {
	case RS_FLAG_ZERO:
		*at = 0;
		return at + 1;
	case RS_FLAG_XBZRLE:
		*at = RS_XBZRLE_ENCODING;
		rs_put_be16(at + 1, (uint16_t)length);
		return at + 3;
	case RS_FLAG_COMPRESS_PAGE:
		rs_put_be32(at, (uint32_t)length);
		return at + 4;
	default:
		return at;
	}
}

size_t rs_record_write(uint8_t *to, uint64_t address, unsigned flags, const char *name,
		       uint64_t length)
{
	const unsigned of_pages =
	    RS_FLAG_ZERO | RS_FLAG_PAGE | RS_FLAG_XBZRLE | RS_FLAG_COMPRESS_PAGE;
	uint8_t *at = to + 8;

	if ((flags & of_pages) == 0) {
		rs_put_be64(to, address | flags);
		return 8;
	}
	rs_put_be64(to, address | flags | (name == NULL ? RS_FLAG_CONTINUE : 0u));
	if (name != NULL)
		at = put_name(at, name, strlen(name));
	at = put_lengths(at, flags, length);
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
