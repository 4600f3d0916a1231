/*
 * timer.c
 *	  Timers in a binary heap, earliest first.
 */
#include "bin/httpd/timer.h"

#include <limits.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"

static HttpdTimer **heap; /* slots 1 .. count */
static size_t count;
static size_t size;

static void
place(size_t slot, HttpdTimer *timer)
{
	heap[slot] = timer;
	timer->slot = slot;
}

static void
sift_up(size_t slot, HttpdTimer *timer)
{
	while (slot > 1 && heap[slot / 2]->due_us > timer->due_us)
	{
		place(slot, heap[slot / 2]);
		slot /= 2;
	}
	place(slot, timer);
}

static void
sift_down(size_t slot, HttpdTimer *timer)
{
	size_t child;

	while ((child = slot * 2) <= count)
	{
		if (child < count && heap[child + 1]->due_us < heap[child]->due_us)
			child++;
		if (heap[child]->due_us >= timer->due_us)
			break;
		place(slot, heap[child]);
		slot = child;
	}
	place(slot, timer);
}

void
httpd_timer_set(HttpdTimer *timer, int64_t due_us, void (*fire)(void *arg), void *arg)
{
	httpd_timer_cancel(timer);
	timer->due_us = due_us;
	timer->fire = fire;
	timer->arg = arg;
	if (count + 1 >= size)
	{
		size = size == 0 ? 64 : size * 2;
		heap = httpd_realloc(heap, size * sizeof(*heap));
	}
	count++;
	sift_up(count, timer);
}

void
httpd_timer_cancel(HttpdTimer *timer)
{
	size_t slot = timer->slot;
	HttpdTimer *last;

	if (slot == 0)
		return;
	timer->slot = 0;
	last = heap[count--];
	if (last == timer)
		return;
	if (slot > 1 && heap[slot / 2]->due_us > last->due_us)
		sift_up(slot, last);
	else
		sift_down(slot, last);
}

int
httpd_timer_wait_ms(void)
{
	int64_t wait_us;

	if (count == 0)
		return -1;
	wait_us = heap[1]->due_us - httpd_now_us();
	if (wait_us <= 0)
		return 0;
	if (wait_us > (int64_t) INT_MAX * 1000 - 999)
		return INT_MAX;
	return (int) ((wait_us + 999) / 1000);
}

void
httpd_timer_run(void)
{
	int64_t now_us;

	if (count == 0)
		return;
	now_us = httpd_now_us();
	while (count > 0 && heap[1]->due_us <= now_us)
	{
		HttpdTimer *timer = heap[1];

		httpd_timer_cancel(timer);
		timer->fire(timer->arg);
	}
}
