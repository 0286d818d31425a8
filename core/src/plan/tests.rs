//! Decisions, one table for each area.
