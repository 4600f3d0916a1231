/*
 * systemd.h
 *	  What systemd and a service tell each other: sockets, readiness, the watchdog.
 *
 * The protocols of sd_listen_fds(3) and sd_notify(3) are stable and a few lines
 * each.  Without systemd all of this does nothing.
 */
#ifndef GW_SYSTEMD_H
#define GW_SYSTEMD_H

/*
 * The listening socket of this name (FileDescriptorName= of its .socket unit) that
 * we were started with, or -1.  Each is given once.
 */
extern int gw_systemd_take_socket(const char *name);

/* Any that is left, or -1; what it is called, in name. */
extern int gw_systemd_take_any_socket(const char **name);

/* READY=1, STOPPING=1, RELOADING=1; with a text for systemctl status. */
extern void gw_systemd_ready(const char *status);
extern void gw_systemd_stopping(const char *status);
extern void gw_systemd_reloading(void);

/*
 * Tells the watchdog, twice in its time, that the loop goes round.  A loop that is
 * stuck tells nothing, and the service is started anew.
 */
extern void gw_systemd_start_watchdog(void);

#endif
