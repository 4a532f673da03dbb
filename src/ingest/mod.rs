//! The outside, as samples.
