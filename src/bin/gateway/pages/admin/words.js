/* Codes of Meta and of the tables in words, with a state where they have one. */

import { t, tr } from '../common/i18n.js';
import { badge } from '../common/parts.js';

const STATUS = { sent: 'ok', delivered: 'ok', read: 'ok', failed: 'error', uncertain: 'warning', expired: 'warning' };
const QUALITY = { GREEN: 'ok', YELLOW: 'warning', RED: 'error' };
const TEMPLATE = { APPROVED: 'ok', REJECTED: 'error', DISABLED: 'error', PAUSED: 'warning' };

export const STATUSES = ['queued', 'sending', 'accepted', 'sent', 'delivered', 'read', 'failed', 'uncertain', 'cancelled', 'expired', 'skipped'];

export const statusBadge = (status) => (status ? badge(STATUS[status], tr('status', status)) : '');
export const quality = (rating) => badge(QUALITY[rating], t(`quality.${rating in QUALITY ? rating : 'UNKNOWN'}`));
export const templateStatus = (status) => badge(TEMPLATE[status] ?? 'warning', tr('template', status));
export const stateBadge = (state) => badge(state === 'info' ? '' : state, t(`state.${state}`));
