//! Templates in labels and annotations: Go's `text/template` with the functions of Prometheus's `template` package.
//!
//! Left out, each with an error that names it: the functions `call` and `js`, methods of times and durations, `args` of `args`,
//! `*` and `[n]` in formats.

mod execute;
mod function;
mod humanize;
mod lex;
mod node;
mod parse;
mod printf;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use crate::error::Result;
use crate::model::{Labels, SampleValue, Timestamp};
use crate::promql::VectorSample;

use execute::Execution;
use parse::{Tree, parse};
use value::Data;

/// The longest text of a template, and the longest that it may make.
pub(super) const TEMPLATE_BYTES: usize = 64 << 10;

/// The variables that Prometheus defines in front of every template of an alert, and the fields that they hold.
const VARIABLES: [(&str, &str); 4] = [
    ("$labels", "Labels"),
    ("$externalLabels", "ExternalLabels"),
    ("$externalURL", "ExternalURL"),
    ("$value", "Value"),
];

/// A template that has been read.
#[derive(Clone, Debug)]
pub(crate) struct AlertTemplate {
    tree: Tree,
}

/// What a template is expanded with.
pub(super) struct Surroundings<'a> {
    data: Arc<Data>,
    /// The instant of evaluation.
    at: Timestamp,
    query: &'a dyn Fn(&str) -> Result<Vec<VectorSample>>,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(
        (labels, value): (&Labels, &SampleValue),
        external_labels: &Labels,
        external_url: &str,
        at: Timestamp,
        query: &'a dyn Fn(&str) -> Result<Vec<VectorSample>>,
    ) -> Self {
        let (labels, external_labels) = (labels.clone(), external_labels.clone());
        let data = Data { labels, external_labels, external_url: external_url.into(), value: value.clone() };
        Self { data: Arc::new(data), at, query }
    }
}

impl AlertTemplate {
    /// Reads a template; an error says what is wrong, and on which line of it.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.len() > TEMPLATE_BYTES {
            return Err(format!(
                "the template has {} bytes, {TEMPLATE_BYTES} are allowed (template_bytes)",
                text.len()
            ));
        }
        let variables: Vec<&str> = std::iter::once("$").chain(VARIABLES.map(|(name, _)| name)).collect();
        Ok(Self { tree: parse(text, &variables)? })
    }

    /// The text that the template makes.
    pub(super) fn expand(&self, surroundings: &Surroundings<'_>) -> std::result::Result<String, String> {
        Execution::run(&self.tree, surroundings)
    }
}
