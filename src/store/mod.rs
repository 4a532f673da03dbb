//! The append-only database.
