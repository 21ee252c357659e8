/* SPDX-License-Identifier: MIT */
/* Constants of the outer stream, of its commands and of the return path. All integers are
 * big-endian. No logic here. */
#ifndef RS_WIRE_OUTER_H
#define RS_WIRE_OUTER_H

#define RS_OUTER_MAGIC 0x5145564du /* "QEVM" */
#define RS_OUTER_VERSION 3u
#define RS_OUTER_VERSION_OBSOLETE 2u

/* First byte of a record. */
enum rs_outer_record {
	RS_OUTER_EOF = 0x00,
	RS_OUTER_SECTION_START = 0x01, /* u32 id, pstr name, u32 instance, u32 version, body */
	RS_OUTER_SECTION_PART = 0x02,  /* u32 id, body */
	RS_OUTER_SECTION_END = 0x03,   /* u32 id, body */
	RS_OUTER_SECTION_FULL = 0x04,  /* as START */
	RS_OUTER_SUBSECTION = 0x05,
	RS_OUTER_VMDESCRIPTION = 0x06, /* u32 length, JSON */
	RS_OUTER_CONFIGURATION = 0x07, /* u32 length, name, subsections */
	RS_OUTER_COMMAND = 0x08,       /* u16 command, u16 length, payload */
	RS_OUTER_FOOTER = 0x7e,        /* u32 id; after every body */
};

/* Source to destination. */
enum rs_command {
	RS_COMMAND_OPEN_RETURN_PATH = 1,
	RS_COMMAND_PING = 2,
	RS_COMMAND_POSTCOPY_ADVISE = 3,
	RS_COMMAND_POSTCOPY_LISTEN = 4,
	RS_COMMAND_POSTCOPY_RUN = 5,
	RS_COMMAND_POSTCOPY_RAM_DISCARD = 6,
	RS_COMMAND_PACKAGED = 7,
	RS_COMMAND_ENABLE_COLO = 8,
	RS_COMMAND_POSTCOPY_RESUME = 9,
	RS_COMMAND_RECV_BITMAP = 10,
	RS_COMMAND_SWITCHOVER_START = 11,
	/* Ours, in native mode. */
	RS_COMMAND_OFFER = 0x5253,   /* features, see wire/feature.h */
	RS_COMMAND_CHECK = 0x5254,   /* all is sent: check it and answer READY */
	RS_COMMAND_COMMIT = 0x5255,  /* run the guest and answer RUNNING */
	RS_COMMAND_RESOLVE = 0x5256, /* session id, u8 enum rs_resolve_claim */
	RS_COMMAND_RECOVER = 0x5257, /* session id: a new connection for a broken postcopy */
	RS_COMMAND_CHANNEL = 0x5258, /* session id: a channel for preempt; pages follow */
};

/* Destination to source: u16 type, u16 length, payload. */
enum rs_return_message {
	RS_RETURN_SHUT = 1,
	RS_RETURN_PONG = 2,
	RS_RETURN_REQ_PAGES_ID = 3, /* payloads of postcopy: wire/postcopy.h */
	RS_RETURN_REQ_PAGES = 4,
	RS_RETURN_RECV_BITMAP = 5,
	RS_RETURN_RESUME_ACK = 6, /* u32 RS_RESUME_ACK_VALUE */
	RS_RETURN_SWITCHOVER_ACK = 7,
	/* Ours, in native mode. */
	RS_RETURN_ACCEPT = 0x5253, /* features that are accepted */
	RS_RETURN_READY = 0x5254,
	RS_RETURN_RUNNING = 0x5255,
	RS_RETURN_FAILED = 0x5256, /* text: the guest does not run here and will not */
};

/* What a source says when it reconnects to settle an in-doubt migration. */
enum rs_resolve_claim {
	RS_CLAIM_COMMITTED = 1, /* it is yours: run it if you don't yet */
	RS_CLAIM_ABORTED = 2,   /* it runs here: discard it */
};

#define RS_RESUME_ACK_VALUE 1u

#define RS_NATIVE_MACHINE "ramsync"
#define RS_SESSION_BYTES 16u

/* Bounds on what a peer can make us hold. */
#define RS_MACHINE_MAX_BYTES 255u
#define RS_COMMAND_MAX_BYTES 4096u
#define RS_RETURN_MAX_BYTES 512u

#endif
