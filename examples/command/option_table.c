/* SPDX-License-Identifier: MIT */
#include "command/option_table.h"

#define BOTH (PROGRAM_SEND | PROGRAM_RECV)
#define READERS (PROGRAM_RECV | PROGRAM_INSPECT | PROGRAM_CONVERT)
#define ALL (BOTH | READERS)

#define ADDRESS_FORMS                                                                              \
	"tcp:HOST:PORT (a name, an IPv4 address, or an IPv6 address in brackets), unix:PATH, "     \
	"fd:NUMBER, exec:COMMAND or file:PATH."

const struct option_row option_table[OPTION_COUNT] = {
	[OPTION_TO] = { "to", "ADDRESS", PROGRAM_SEND,
			"Where to send the guest: " ADDRESS_FORMS " A receiver that does not "
			"listen yet is waited for, 10 seconds long." },
	[OPTION_FROM] = { "from", "ADDRESS", PROGRAM_RECV,
			  "Where to receive the guest: " ADDRESS_FORMS
			  " The real address, for instance after port 0, is told on standard "
			  "error." },
	[OPTION_MEMORY] = { "memory", "SIZE", BOTH,
			    "The guest's memory: regions ram.low (half, private anonymous), "
			    "ram.high (the rest, memfd) and rom (256K of it). ramsync-send: 1G, "
			    "unless there are regions of --region. ramsync-recv: without both of "
			    "them, whatever the stream announces, as private anonymous memory." },
	[OPTION_REGION] = { "region", "NAME:KIND:SIZE", BOTH,
			    "One more region; may be given again. KIND is anon, memfd or "
			    "hugetlb." },
	[OPTION_PAGE_SIZE] = { "page-size", "BYTES", BOTH,
			       "Page size on the wire, equal at both ends. Default 4096." },
	[OPTION_PREALLOC] = { "prealloc", NULL, BOTH,
			      "Touch all memory before anything else. At the receiver the memory "
			      "is then no longer known to be zero." },
	[OPTION_PATTERN] = { "pattern", "KIND", PROGRAM_SEND,
			     "What the memory is filled with: zero, text, random, or mix (half "
			     "zero, a quarter each of the others, by page). Default mix." },
	[OPTION_POPULATE] = { "populate", "SIZE", PROGRAM_SEND,
			      "Fill only so much, the beginning of each region; the rest is never "
			      "touched. Default: all." },
	[OPTION_IMAGE] = { "image", "FILE", PROGRAM_SEND,
			   "Fill the memory with a file instead, one region after the other; what "
			   "it has no data for is never touched." },
	[OPTION_WRITERS] = { "writers", "NUMBER", PROGRAM_SEND,
			     "Threads that keep writing the working set, and verify each page "
			     "before they write it again. Default 1; 0 for a guest that does "
			     "nothing." },
	[OPTION_DIRTY_RATE] = { "dirty-rate", "PAGES/S", PROGRAM_SEND,
				"Pages of 4096 bytes that all writers together write a second; 0 "
				"for as many as they can. Default 1000." },
	[OPTION_WORKING_SET] = { "working-set", "SIZE", PROGRAM_SEND,
				 "How much memory the writers go round, at the beginning of each "
				 "region. Default 16M, at most a quarter of the memory." },
	[OPTION_DIRTY_LOG] = { "dirty-log", "KIND", PROGRAM_SEND,
			       "How written pages are found: userfaultfd; marks (the writers call "
			       "rs_dirty_mark()); or none (for demonstrations: writes are lost, "
			       "and "
			       "the receiver finds out). Default: userfaultfd where the kernel has "
			       "it, else marks." },
	[OPTION_MAX_MEMORY] = { "max-memory", "SIZE", READERS,
				"Most memory that a stream may announce. Default: as much as the "
				"machine has." },
	[OPTION_RUN_ON] = { "run-on", "SECONDS", PROGRAM_RECV,
			    "How long the writers go on here. At the end all of the working set is "
			    "verified. Until then a sender that is in doubt gets its answer. "
			    "Default 1." },
	[OPTION_QEMU] = { "qemu", NULL, PROGRAM_RECV,
			  "Take a guest from a QEMU (migrate tcp:, unix: or exec:): its RAM, of "
			  "which "
			  "the stream says the regions, and its device state as it stands, into "
			  "the "
			  "file of --devices. Nothing is run here. A QEMU with a return path is "
			  "told "
			  "that all went well when the files of --devices and --save are complete "
			  "on "
			  "the disk, and goes on with its guest if they cannot be written." },
	[OPTION_QEMU_MACHINE] = { "qemu", "MACHINE", PROGRAM_SEND,
				  "Write QEMU's form of the stream for this machine type. The same "
				  "as --machine." },
	[OPTION_DEVICES] = { "devices", "FILE", PROGRAM_RECV | PROGRAM_INSPECT,
			     "Keep a QEMU's device state, as it stands in the stream, in a file. "
			     "It "
			     "appears when it is whole." },
	[OPTION_SAVE] = { "save", "DIR", PROGRAM_RECV,
			  "With --qemu, and needed there: write each region to a file in DIR, "
			  "called by the region's name, with %2F for a / in it. Sparse where the "
			  "region is zero. /dev/null keeps nothing: the QEMU gives its guest up "
			  "all the same." },
	[OPTION_EXTRACT] = { "extract", "DIR", PROGRAM_INSPECT,
			     "Write each region to a file in DIR, called by the region's name, "
			     "with "
			     "%2F for a / in it and %25 for a %. Sparse where the region is zero. "
			     "Nothing is written if the stream is damaged; a region of which no "
			     "page "
			     "came is left out." },
	[OPTION_ONLY_REGION] = { "region", "NAME", PROGRAM_INSPECT,
				 "Report and extract this region only." },
	[OPTION_KEEP_GOING] = { "keep-going", NULL, PROGRAM_INSPECT,
				"With --extract: write what came before a damage, too. The exit "
				"code "
				"stays 1." },
	[OPTION_RESUME] = { "resume", "FILE", PROGRAM_INSPECT,
			    "Where FILE breaks off in postcopy: what the source sent over the next "
			    "connection. May be given again, for the one after that." },
	[OPTION_VERIFY] = { "verify", NULL, BOTH,
			    "Print a digest of all regions, to be compared with the other "
			    "program's. It is taken after the hand-over, outside of the downtime: "
			    "by the sender from its stopped guest, by the receiver before its "
			    "writers go on. So with --verify the receiver reports the guest as "
			    "running while the writers still wait for the digest. It detects "
			    "accidents; it is no cryptographic hash." },
	[OPTION_POSTCOPY] = { "postcopy", NULL, PROGRAM_SEND,
			      "Postcopy: after one round over the memory the guest goes to the "
			      "receiver, which "
			      "fetches what is missing. --max-postcopy-bandwidth limits only what "
			      "nobody waits "
			      "for." },
	[OPTION_POSTCOPY_AFTER] = { "postcopy-after", "ROUNDS", PROGRAM_SEND,
				    "The same, after so many rounds; 0 for at once." },
	[OPTION_POSTCOPY_IN] = { "postcopy", NULL, PROGRAM_RECV,
				 "Let the sender use postcopy: the guest may run here before all "
				 "of its memory "
				 "is here." },
	[OPTION_POSTCOPY_OUT] = { "postcopy", NULL, PROGRAM_CONVERT,
				  "OUT is the address of a QEMU that waits for a migration with "
				  "the capability "
				  "postcopy-ram: hand it the guest by postcopy. It runs there at "
				  "once, and fetches "
				  "its memory." },
	[OPTION_PREEMPT] = { "preempt", NULL, BOTH | PROGRAM_CONVERT,
			     "With --postcopy, at both ends: pages that the guest waits for come "
			     "over a second "
			     "connection to the same address, tcp: or unix:." },
	[OPTION_TOUCH] = { "touch", "PAGES/S", PROGRAM_RECV,
			   "With --qemu and --postcopy: read so many pages a second at random "
			   "while they come, "
			   "as the guest would if it ran here. Default 0." },
	[OPTION_RECOVER_OUT] = { "recover", "ADDRESS", PROGRAM_CONVERT,
				 "With --postcopy, if the connection breaks: connect there, where "
				 "migrate-recover "
				 "has the QEMU listen, until there is a connection; as often as it "
				 "takes. tcp: or "
				 "unix:." },
	[OPTION_RECOVER] = { "recover", "ADDRESS", BOTH,
			     "If the connection breaks in postcopy: ramsync-recv listens there "
			     "(the real address "
			     "is told on standard error), ramsync-send connects there, until there "
			     "is a connection "
			     "or a signal ends it; as often as it takes. tcp: or unix:. Default: "
			     "the program "
			     "ends, and the guest with it." },
	[OPTION_ON_DOUBT] = { "on-doubt", "ACTION", BOTH,
			      "If the stream is lost so late that this end cannot know whether the "
			      "guest runs at the other: reconnect (to the same address, for 10 "
			      "seconds), run (it runs here: make sure that it does not run "
			      "there), discard (it runs there), or exit. Default reconnect." },
	[OPTION_JSON] = { "json", NULL, BOTH,
			  "At the end, print the result and all statistics as one JSON object on "
			  "standard output. Its began-at and ended-at are seconds of "
			  "CLOCK_MONOTONIC, which both programs share on one machine; cpu-seconds "
			  "is what all threads of the program used in between." },
	[OPTION_JSON_REPORT] = { "json", NULL, PROGRAM_INSPECT | PROGRAM_CONVERT,
				 "Print the report as one JSON object." },
	[OPTION_PROGRESS] = { "progress", NULL, BOTH,
			      "Show the progress on standard error, terminal or not. Default: on a "
			      "terminal." },
	[OPTION_HELP] = { "help", NULL, ALL, "Print this and exit." },
	[OPTION_VERSION] = { "version", NULL, ALL, "Print the library's version and exit." },
};
