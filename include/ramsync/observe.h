/* SPDX-License-Identifier: MIT */
/*
 * Watching a stream while it is read: what stands in it, record by record, and where. For tools
 * that show, check or convert streams; a VMM does not need it.
 *
 * Give an observe callback to rs_migrate_in() (struct rs_vm_ops) or to rs_load_setup() (struct
 * rs_load_ops). It is told of each thing after its header was parsed and before it takes effect,
 * so the last observation before a failure is the thing that failed, or the one before it.
 */
#ifndef RAMSYNC_OBSERVE_H
#define RAMSYNC_OBSERVE_H

#include <ramsync/stream.h>

RS_BEGIN_DECLS

/**
 * enum rs_observation_type - what was seen, and which fields of struct rs_observation say more.
 * @RS_OBSERVED_HEADER: header and configuration. name: the machine; "ramsync" in the native form.
 * @RS_OBSERVED_FEATURE: the source offers a feature (native). name: the feature.
 * @RS_OBSERVED_COMMAND: a command. number; name: "" if it is unknown.
 * @RS_OBSERVED_SECTION: a section, or a part of one, begins. number: its first byte on the wire
 *	(1 START, 2 PART, 3 END, 4 FULL); id; name, instance, version.
 * @RS_OBSERVED_SECTION_END: its footer was read. The same, and stream_bytes is the length of the
 *	whole section.
 * @RS_OBSERVED_REGION: an entry of the list of regions. name; bytes: its length; address: the guest
 *	address, if x-ignore-shared is on.
 * @RS_OBSERVED_RECORD: a record of RAM. number: enum rs_record_kind; name, address and bytes: the
 *	memory that it is about, where it is about pages.
 * @RS_OBSERVED_OPAQUE: device state that is taken as it stands begins here.
 * @RS_OBSERVED_END: the end mark, or the end of the device state that was taken as it stands.
 * @RS_OBSERVED_FAILURE: reading failed. offset: of the record in which it failed; number: the
 *	negative errno, cast; name: the error's text.
 * @RS_OBSERVED_OPERAND: what the command before is about. number: the command's. POSTCOPY_RAM_DISCARD: name, address
 *	and bytes, once for each of its ranges; RECV_BITMAP: name of the region; PACKAGED: bytes of the package, which
 *	begins there; POSTCOPY_ADVISE: bytes of the source's target pages.
 */
enum rs_observation_type {
	RS_OBSERVED_HEADER,
	RS_OBSERVED_FEATURE,
	RS_OBSERVED_COMMAND,
	RS_OBSERVED_SECTION,
	RS_OBSERVED_SECTION_END,
	RS_OBSERVED_REGION,
	RS_OBSERVED_RECORD,
	RS_OBSERVED_OPAQUE,
	RS_OBSERVED_END,
	RS_OBSERVED_FAILURE,
	RS_OBSERVED_OPERAND,
};

/**
 * enum rs_record_kind - the records of RAM.
 * @RS_RECORD_EOS: the end of a body.
 * @RS_RECORD_BLOCK_LIST: the list of regions; bytes: the sum of their lengths.
 * @RS_RECORD_ZERO: a page of zeros.
 * @RS_RECORD_PAGE: a page with its content.
 * @RS_RECORD_ZERO_RUN: several pages of zeros (native).
 * @RS_RECORD_PAGE_RUN: several pages with their content (native).
 * @RS_RECORD_FLUSH: MULTIFD_FLUSH.
 * @RS_RECORD_XBZRLE: a page as what changed since it was sent before.
 * @RS_RECORD_COMPRESSED: a page, compressed with zlib.
 */
enum rs_record_kind {
	RS_RECORD_EOS,
	RS_RECORD_BLOCK_LIST,
	RS_RECORD_ZERO,
	RS_RECORD_PAGE,
	RS_RECORD_ZERO_RUN,
	RS_RECORD_PAGE_RUN,
	RS_RECORD_FLUSH,
	RS_RECORD_XBZRLE,
	RS_RECORD_COMPRESSED,
};

/** rs_record_kind_name() - for instance "zero". Return: a static string; "unknown" for no kind. */
RS_API const char *rs_record_kind_name(enum rs_record_kind kind);

/**
 * struct rs_observation - something that stands in a stream. Fields that do not apply are 0 or "".
 * @size: sizeof(struct rs_observation) of the library.
 * @type: what.
 * @offset: its first byte, as rs_stream_bytes_read() counts them.
 * @stream_bytes: its length in the stream, as far as it is known: a header, a record with
 *	its content; 0 for RS_OBSERVED_SECTION, OPAQUE and FAILURE.
 * @number: see enum rs_observation_type.
 * @id: of the section.
 * @instance: of the section.
 * @version: of the section.
 * @name: see enum rs_observation_type; never NULL, valid during the call.
 * @address: byte offset in the region (records) or guest address (regions).
 * @bytes: of memory that it stands for.
 */
struct rs_observation {
	size_t size;
	enum rs_observation_type type;
	uint64_t offset;
	uint64_t stream_bytes;
	uint32_t number;
	uint32_t id;
	uint32_t instance;
	uint32_t version;
	const char *name;
	uint64_t address;
	uint64_t bytes;
};

/**
 * enum rs_header_flags - what a stream's header says.
 * @RS_HEADER_NATIVE: libramsync's own form.
 * @RS_HEADER_IGNORE_SHARED: the capability x-ignore-shared is on.
 * @RS_HEADER_MAPPED_RAM: the capability mapped-ram is on, which is not supported.
 * @RS_HEADER_UUID: there is a uuid.
 * @RS_HEADER_RETURN_PATH: the source opens a return path, first of all (QEMU's form).
 */
enum rs_header_flags {
	RS_HEADER_NATIVE = 1 << 0,
	RS_HEADER_IGNORE_SHARED = 1 << 1,
	RS_HEADER_MAPPED_RAM = 1 << 2,
	RS_HEADER_UUID = 1 << 3,
	RS_HEADER_RETURN_PATH = 1 << 4,
};

/**
 * struct rs_stream_header - how a stream begins.
 * @size: sizeof(struct rs_stream_header), set by the caller.
 * @flags: enum rs_header_flags, ORed.
 * @page_bytes: the target page size; what rs_state_config needs to read the stream.
 * @machine: the machine's name, without RS_HEADER_NATIVE.
 * @uuid: as the parameter of that name takes it, or "".
 */
struct rs_stream_header {
	size_t size;
	uint32_t flags;
	uint32_t page_bytes;
	char machine[256];
	char uuid[40];
};

/**
 * rs_stream_peek_header() - learn how a stream begins without taking a byte of it.
 * @stream: readable, at its beginning.
 * @header: receives the header. Untouched on failure.
 * @error: receives the reason of a failure; may be NULL.
 *
 * For receivers that make their state and parameters to fit what comes.
 *
 * Return: 0; -EINVAL if this is no migration stream, or its header is not well-formed or longer
 *	than 4096 bytes; -ENODATA if it ends inside it; the stream's error.
 */
RS_API int rs_stream_peek_header(struct rs_stream *stream, struct rs_stream_header *header,
				 struct rs_error *error);

RS_END_DECLS
#endif
