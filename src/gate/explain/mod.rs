//! Why a selector matches nothing: the matcher at fault, and the name or value that was probably meant.

mod diagnose;
mod nearest;

pub(crate) use diagnose::{diagnose, nearest_labels, nearest_metrics};
