/*-------------------------------------------------------------------------
 *
 * peer.h
 *	  What both ends of a benchmark's connections share.
 *
 * bench/peer.h
 *-------------------------------------------------------------------------
 */
#ifndef BW_PEER_H
#define BW_PEER_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static inline void die(const char *what) __attribute__((noreturn));

static inline void
die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(2);
}

static inline void *
need(void *memory)
{
	if (memory == NULL)
		die("memory");
	return memory;
}

/* Events of the socket come with "whom". */
static inline void
watch_socket(int epoll_fd, int operation, int fd, bool want_write, void *whom)
{
	struct epoll_event event = {.data.ptr = whom};

	event.events = EPOLLIN | (want_write ? EPOLLOUT : 0);
	if (epoll_ctl(epoll_fd, operation, fd, &event) != 0)
		die("epoll");
}

#endif							/* BW_PEER_H */
