/* SPDX-License-Identifier: MIT */
/*
 * Postcopy from the moment at which the guest runs at the destination: requests, placement, an urgent
 * stream, cuts and recovery. README.md says what is in here and what is not; tests/models/spin.py has
 * spin look at every state of it.
 *
 *	-DPAGES=N -DVCPUS=N	so many of each
 *	-DCUTS=N		the connection is lost at most so many times
 *	-DPREEMPT		requested pages go over a stream of their own, from the thread that hears of them
 *	-DLAZY			nothing is sent that was not asked for
 *	-DFAULT_...		something is done wrong, and spin must find what comes of it
 */
#ifndef PAGES
#define PAGES 2
#endif
#ifndef VCPUS
#define VCPUS 2
#endif
#ifndef CUTS
#define CUTS 2
#endif

/* Sets of pages. */
#define ALL ((1 << PAGES) - 1)
#define has(set, page) (((set) >> (page)) & 1)
#define add(set, page) set = set | (1 << (page))
#define drop(set, page) set = set & ~(1 << (page))

/* Any of the set, which is not empty. */
inline pick(page, set)
{
	page = 0;
	do
	:: has(set, page) -> break
	:: ((set) >> (page + 1)) != 0 -> page++
	od
}

mtype = { PAGE, END, REQUEST, RECV_BITMAP, BITMAP, RESUME, ACK, SHUT };

/* What is under way, and lost with a cut: what a reader still takes afterwards, he might as well have taken
 * before it. */
chan forward = [1] of { mtype, byte };
chan urgent = [1] of { mtype, byte };
chan back = [1] of { mtype, byte };
/* The connection is broken. Each thread notices when it likes, at the latest when it writes. */
bool cut;

/* Within atomic, as a guard: waits for room. */
#define write(stream, type, page) !cut && nfull(stream) -> stream!type(page)

/* The source. dirty: the pages that are left. */
byte dirty;
bool hearing, told;
/* From a claim to the end of sending, by the thread that serves requests on the urgent stream. */
bool serving;
chan queue = [PAGES] of { byte };

/* The destination. */
byte content, stale, received;
byte requested;
/* Whether requests go out, and whether the fault thread is just sending one. */
bool asking, request_under_way;
/* The urgent stream: whether it is read, and whether it has ended. */
bool loading, ended;
bool listening, complete;
/* Pages that vCPUs have touched and do not have. */
chan faults = [0] of { byte };
bool hearing_faults = true;

/* ---- source --------------------------------------------------------------------------------------- */

/* Whoever clears the bit sends the page. Within atomic. */
inline claim(page, mine)
{
	mine = has(dirty, page);
#ifndef FAULT_CLEAR_AFTER_SEND
	drop(dirty, page)
#endif
}

inline sent(page)
{
#ifdef FAULT_CLEAR_AFTER_SEND
	drop(dirty, page);
#endif
	page = 0
}

/* Sends what was asked for, and else what is left, wherever the scan may be; then says that this was all.
 * Recovers, too. */
proctype saver()
{
	byte page, got;
	bool mine;

again:	if
	:: cut -> goto broken
	:: atomic { queue?page -> claim(page, mine) }
#ifndef LAZY
	:: atomic { empty(queue) && dirty != 0 -> pick(page, dirty); claim(page, mine) }
#endif
	:: atomic { empty(queue) && dirty == 0 -> goto finish }
	fi;
	if
	:: atomic { !mine -> page = 0; goto again }
	:: mine
	fi;
	if
	:: atomic { write(forward, PAGE, page); sent(page); mine = false; goto again }
	:: cut
	fi;
	goto broken;

finish:
#ifdef PREEMPT
#ifndef FAULT_END_BESIDE_REQUEST
	/* A page that was claimed may not be in its stream yet. */
	!serving;
#endif
	if
	:: atomic { write(urgent, END, 0) }
	:: cut -> goto broken
	fi;
#endif
	if
	:: atomic { write(forward, END, 0) }
	:: cut -> goto broken
	fi;
	/* It may be cut before the destination has all. */
	if
	:: cut
	:: told -> goto done
	fi;

broken:	atomic { page = 0; mine = false };
#ifndef FAULT_SENDERS_RUN_ON
	!hearing;
#endif
	/* Somebody connects the two again, or learns that there is nothing left to do. */
	if
	:: told || complete -> goto done
	:: atomic {
		listening && cut ->
		listening = false;
		cut = false
	}
	fi;
	if
	:: atomic { write(forward, RECV_BITMAP, 0) }
	:: cut -> goto broken
	fi;
	if
	:: atomic {
		back?BITMAP(got) ->
		dirty = ALL & ~got;
		got = 0;
		do
		:: queue?_
		:: empty(queue) -> break
		od
	}
	:: cut -> goto broken
	fi;
	if
	:: atomic { write(forward, RESUME, 0) }
	:: cut -> goto broken
	fi;
	if
	:: atomic { back?ACK(_) -> hearing = true; goto again }
	:: cut -> goto broken
	fi;
done:	skip
}

proctype hearer()
{
	byte page;

end:	hearing;
again:	if
	:: cut -> goto broken
	:: atomic { back?SHUT(_) -> told = true; goto done }
#ifdef PREEMPT
	:: atomic { back?REQUEST(page) -> claim(page, serving) };
		if
		:: atomic { !serving -> page = 0 }
		:: atomic { serving && write(urgent, PAGE, page); sent(page); serving = false }
		:: serving && cut -> goto broken
		fi
#else
	:: atomic { back?REQUEST(page) -> assert(nfull(queue)); queue!page; page = 0 }
#endif
	fi;
	goto again;

broken:	atomic {
		page = 0;
		serving = false;
		hearing = false;
		goto end
	};
done:	hearing = false
}

/* ---- destination ---------------------------------------------------------------------------------- */

/* A page of which the last byte has not come is no page. */
#ifdef FAULT_MARK_BEFORE_PLACE
#define begin(page) add(received, page)
#else
#define begin(page) skip
#endif

inline place(page)
{
	if
	:: cut -> goto broken
	:: atomic {
		true ->
		/* A page that comes twice is overwritten under the guest, or is an error: never. */
		assert(!has(content, page));
		add(content, page)
	}
	fi;
	atomic {
		add(received, page);
		page = 0;
		goto again
	}
}

#ifdef PREEMPT
proctype urgent_loader()
{
	byte page;

end:	loading;
again:	if
	:: cut -> goto broken
	:: atomic { urgent?END(_) -> ended = true; goto broken }
	:: atomic { urgent?PAGE(page) -> begin(page) }
	fi;
	place(page);
broken:	atomic {
		page = 0;
		loading = false;
		goto end
	}
}
#endif

proctype fault_thread()
{
	byte page;

end:	atomic {
		faults?page ->
		hearing_faults = false;
		if
		:: has(requested, page) || has(received, page)
		:: else ->
			add(requested, page);
			if
			:: asking -> request_under_way = true; goto ask
			:: else
			fi
		fi;
		page = 0;
		hearing_faults = true;
		goto end
	};
ask:	if
	:: atomic { write(back, REQUEST, page) }
	:: cut
	:: complete
	fi;
	atomic {
		request_under_way = false;
		hearing_faults = true;
		page = 0;
		goto end
	}
}

/* Loads the main stream, and recovers. */
proctype loader()
{
	byte waiting, page;

again:	if
	:: cut -> goto broken
	:: atomic { forward?PAGE(page) -> begin(page) }
	:: forward?END(_) -> goto finish
	fi;
	place(page);

broken:	atomic {
		waiting = 0;
		page = 0;
		asking = false
	};
	!request_under_way;
#ifndef FAULT_LOADERS_RUN_ON
	!loading;
#endif
	/* The source may be connected with us again. */
	listening = true;
	!listening;
	if
	:: atomic { forward?RECV_BITMAP(_) }
	:: cut -> goto broken
	fi;
	if
	:: atomic { write(back, BITMAP, received) }
	:: cut -> goto broken
	fi;
	if
	:: atomic { forward?RESUME(_) }
	:: cut -> goto broken
	fi;
	if
	:: atomic { write(back, ACK, 0) }
	:: cut -> goto broken
	fi;
	atomic {
#ifdef PREEMPT
		loading = true;
		ended = false;
#endif
		asking = true;
#ifndef FAULT_NO_REREQUEST
		waiting = requested & ~received
#endif
	};
	do
	:: atomic { waiting == 0 -> goto again }
	:: atomic { waiting != 0 -> pick(page, waiting); drop(waiting, page) };
		if
		:: atomic { write(back, REQUEST, page); page = 0 }
		:: cut -> goto broken
		fi
	od;

finish:
#ifndef FAULT_END_ALONE
	/* Pages may be under way in the other stream. */
	if
	:: ended
	:: cut -> goto broken
	fi;
#endif
	assert(content == ALL && received == ALL);
	complete = true;
	if
	:: atomic { write(back, SHUT, 0) }
	:: cut
	fi
}

/* ---- guest ---------------------------------------------------------------------------------------- */

/* Touches pages in any order, until it has touched every one that was not there: the others stop nobody. */
proctype vcpu()
{
	byte page;

again:	atomic {
		/* The guest at the source is stopped: there is one content that is right. */
		assert(stale == 0);
		if
		:: content == ALL -> goto done
		/* What comes before the fault is heard of stopped nobody; what has come since may not be
		 * marked yet. */
		:: hearing_faults && received != ALL -> pick(page, ALL & ~received); faults!page
		fi
	};
	atomic {
		has(content, page) ->
		page = 0;
		goto again
	};
done:	skip
}

/* ---- the rest ------------------------------------------------------------------------------------- */

init
{
	byte cuts, vcpus;

	atomic {
		/* Nothing may wait for a cut: it may be over with them at any time. */
		do
		:: cuts < CUTS -> cuts++
		:: break
		od;
		/* The first page was there before the guest moved, or it has been written since and is told to
		 * be forgotten; the others were never sent. */
		if
		:: dirty = ALL & ~1
		:: dirty = ALL;
#ifdef FAULT_NO_DISCARD
			stale = 1
#endif
		fi;
		content = ALL & ~dirty;
		received = content;
		hearing = true;
		asking = true;
#ifdef PREEMPT
		loading = true;
		run urgent_loader();
#else
		ended = true;
#endif
		run saver();
		run hearer();
		run loader();
		run fault_thread();
		vcpus = VCPUS;
		do
		:: vcpus > 0 -> run vcpu(); vcpus--
		:: else -> break
		od
	};
	/* The connection is lost. */
end:	do
	:: atomic {
		cuts > 0 && !cut && !complete ->
		cut = true;
		cuts--;
		do
		:: forward?_(_)
		:: urgent?_(_)
		:: back?_(_)
		:: empty(forward) && empty(urgent) && empty(back) -> break
		od
	}
	od
}

#ifdef LIVENESS
/* Whatever is cut, all of it ends with all pages there, if only nobody stands still for ever. */
ltl comes_to_an_end { <> (complete && content == ALL) }
#endif
