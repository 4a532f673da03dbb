//! Recording and alerting rules, as Prometheus 3.15 evaluates them, and the files of `promtool test rules`.
//!
//! The top layer: it asks queries of a store, and writes what they answer into it. A gate that asks for a recorded series does
//! not know of it; a source that [`RuleManager::source`] makes tells it what of the series is in doubt.

mod alert;
mod doubt;
mod file;
mod group;
mod manager;
mod restore;
pub(crate) mod template;
#[cfg(test)]
mod tests;
mod unit_test;
mod yaml;

pub use alert::{Alert, AlertState};
pub use doubt::RecordedSource;
pub use file::RuleGroups;
pub use group::{GroupEvaluation, RuleEvaluation};
pub use manager::RuleManager;
pub use unit_test::{RuleUnitTest, RuleUnitTestReport, TestGroupReport};
