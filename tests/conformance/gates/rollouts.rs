//! `rollout-cases.json`: whole rollouts as Argo's controller walked through them.

use std::path::Path;

use serde_json::Value;

use super::{Outcome, read, text};
use crate::rollout_play::is_played;

pub(super) fn rollouts(folder: &Path) -> Outcome {
    let content = match read(folder, "rollouts", "rollout-cases.json") {
        Ok(content) => content,
        Err(outcome) => return outcome,
    };
    let document: Value = serde_json::from_str(&content).unwrap();
    let mut outcome = Outcome::new("rollouts");
    for case in document["cases"].as_array().unwrap() {
        outcome.note(text(&case["id"]), is_played(case));
    }
    outcome
}
