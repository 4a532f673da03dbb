//! `label_replace` and `label_join`: whole series under new labels.

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::pattern::{GroupPattern, Groups};
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

/// A replacement text with references to groups, as Go's `Regexp.Expand` understands it.
pub(crate) struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Group(String),
}

impl Template {
    fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            match reference(after) {
                Some((name, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Group(name.to_owned()));
                    rest = after;
                }
                None => {
                    literal.push('$');
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        Self { parts }
    }

    fn expand(&self, groups: &Groups<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(name) => {
                    let text = match group_number(name) {
                        Some(index) => groups.get(index),
                        None => groups.named(name),
                    };
                    out.push_str(text.unwrap_or(""));
                }
            }
        }
        out
    }
}

/// The name behind a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(braced) = text.strip_prefix('{') {
        let (name, after) = braced.split_once('}')?;
        return (!name.is_empty() && name.chars().all(is_word)).then_some((name, after));
    }
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

/// The number that a reference is; a leading zero makes it a name.
fn group_number(name: &str) -> Option<usize> {
    let number = !name.starts_with('0') || name.len() == 1;
    if number && name.bytes().all(|byte| byte.is_ascii_digit()) { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str) -> String {
        let pattern = GroupPattern::new(b"(a+)-(?P<tail>.*)").unwrap();
        Template::parse(template).expand(&pattern.captures("aa-b").unwrap())
    }

    #[test]
    fn references_are_replaced_by_their_groups() {
        assert_eq!(expand("$1x"), "");
        assert_eq!(expand("${1}x$tail"), "aaxb");
        assert_eq!(expand("$0|$$|$2.$9"), "aa-b|$|b.");
    }

    #[test]
    fn malformed_references_stay() {
        assert_eq!(expand("$|${|${}|${a-b}|$-"), "$|${|${}|${a-b}|$-");
        assert_eq!(expand("$01"), "");
    }
}
