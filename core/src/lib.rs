//! The sealed format and every decision of Waxwing: no IO, no clock, no logging; time comes in as `now`.
