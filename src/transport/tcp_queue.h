/* SPDX-License-Identifier: MIT */
/*
 * Little on its way: what a TCP connection takes from its writer before it can send it, and holds for its reader.
 *
 * By itself the kernel holds several MiB in each place, which at a destination that places pages takes several
 * milliseconds to work off; what somebody waits for is then that late.
 */
#ifndef RS_TRANSPORT_TCP_QUEUE_H
#define RS_TRANSPORT_TCP_QUEUE_H

/* Of what is written, to have this much wait at most. Harmless for what is no TCP connection, as the other. */
void rs_tcp_shorten_output(int fd);

/* Of what comes, to hold no more than a way as long as this one needs to be kept full. Long ways are left alone. */
void rs_tcp_shorten_input(int fd);

#endif
