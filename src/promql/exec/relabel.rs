//! `label_replace` and `label_join`: whole series under new labels.

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::pattern::{GroupPattern, Template};
use crate::model::{Labels, LabelsBuilder};
use crate::promql::plan::Node;
use crate::promql::signature::Function;

use super::Evaluator;
use super::unique::merge_equal;
use super::vector::Vector;

/// What `label_replace` does to labels.
pub(crate) struct Replacement {
    pattern: GroupPattern,
    destination: String,
    template: Template,
    source: String,
}

/// What `label_join` does to labels.
pub(crate) struct Joint {
    destination: String,
    separator: String,
    sources: Vec<String>,
}

impl Evaluator<'_> {
    /// The arguments of `label_replace(v, dst, replacement, src, regex)`.
    pub(crate) fn replacement(&self, args: &[Node<'_>], node: &Node<'_>) -> Result<Replacement> {
        let [_, destination, replacement, source, regex] = args else {
            return Err(self.not_built(Function::LabelReplace, node));
        };
        let regex = self.text(regex)?;
        let pattern = GroupPattern::new(regex.as_bytes()).map_err(|cause| {
            let text = format!("invalid regular expression in label_replace(): {regex}");
            Error::new(ErrorKind::Query, text).caused_by(cause)
        })?;
        let destination = self.text(destination)?;
        if destination.is_empty() {
            let text = format!("invalid destination label name in label_replace(): {destination}");
            return Err(Error::new(ErrorKind::Query, text));
        }
        let (replacement, source) = (self.text(replacement)?, self.text(source)?);
        Ok(Replacement { pattern, destination, template: Template::parse(&replacement), source })
    }

    /// `label_replace`
    pub(crate) fn label_replace(&self, replacement: &Replacement, mut vector: Vector) -> Result<Vector> {
        let Replacement { pattern, destination, template, source } = replacement;
        // Series share values; each is matched once.
        let mut known: HashMap<String, Option<String>> = HashMap::new();
        for series in &mut vector.series {
            self.budget.tick(0)?;
            let value = series.labels.get(source).unwrap_or("");
            let replaced = match known.get(value) {
                Some(replaced) => replaced.clone(),
                None => {
                    let replaced = pattern.captures(value).map(|groups| template.expand(&groups));
                    known.insert(value.to_owned(), replaced.clone());
                    replaced
                }
            };
            if let Some(replaced) = replaced {
                self.set_label(&mut series.labels, &mut series.drop_name, destination, replaced)?;
            }
        }
        merge_equal(vector, false)
    }

    /// The arguments of `label_join(v, dst, separator, src…)`.
    pub(crate) fn joint(&self, args: &[Node<'_>], node: &Node<'_>) -> Result<Joint> {
        let [_, destination, separator, sources @ ..] = args else {
            return Err(self.not_built(Function::LabelJoin, node));
        };
        let separator = self.text(separator)?;
        let sources = sources.iter().map(|source| self.text(source)).collect::<Result<Vec<_>>>()?;
        let invalid = |what: &str, name: &str| {
            Error::new(ErrorKind::Query, format!("invalid {what} label name in label_join(): {name}"))
        };
        if let Some(source) = sources.iter().find(|source| source.is_empty()) {
            return Err(invalid("source", source));
        }
        let destination = self.text(destination)?;
        if destination.is_empty() {
            return Err(invalid("destination", &destination));
        }
        Ok(Joint { destination, separator, sources })
    }

    /// `label_join`
    pub(crate) fn label_join(&self, joint: &Joint, mut vector: Vector) -> Result<Vector> {
        let Joint { destination, separator, sources } = joint;
        for series in &mut vector.series {
            self.budget.tick(0)?;
            let values: Vec<&str> =
                sources.iter().map(|name| series.labels.get(name).unwrap_or("")).collect();
            let joined = values.join(separator);
            self.set_label(&mut series.labels, &mut series.drop_name, destination, joined)?;
        }
        merge_equal(vector, false)
    }

    fn set_label(&self, labels: &mut Labels, drop_name: &mut bool, name: &str, value: String) -> Result<()> {
        self.budget.make_labels(value.len())?;
        let mut builder = LabelsBuilder::from_labels(labels);
        builder.set(name, value);
        *labels = builder.build();
        if name == METRIC_NAME {
            *drop_name = false;
        }
        Ok(())
    }
}
