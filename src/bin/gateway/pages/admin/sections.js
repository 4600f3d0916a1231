/* The sections, in the order of use. */

import { params } from './address.js';
import { overview } from './overview.js';
import { tenants } from './tenants.js';
import { queue } from './queue.js';
import { failures } from './failures.js';
import { messages } from './messages.js';
import { templates } from './templates.js';
import { costs } from './costs.js';
import { timeline } from './timeline.js';
import { health } from './health.js';

export const sections = [overview, tenants, queue, failures, messages, templates, costs, timeline, health];

export const sectionOf = ({ section } = params()) => sections.find((s) => s.id === section) ?? overview;
