//! Rule files: YAML to groups of rules that have been checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::number::parse_duration;
use crate::promql::{Engine, Query};

use super::template::AlertTemplate;
use super::yaml::{self, Texts, duration_ms, place};

/// The most rules of one file.
const RULES: usize = 20_000;
/// The most labels of one rule, those of its group included.
const LABELS: usize = 100;

/// The groups of a rule file, as Prometheus's `rule_files` name them: recording and alerting rules.
///
/// ```
/// use promgate::{Engine, RuleGroups};
///
/// let groups = RuleGroups::from_yaml(
///     &Engine::new(),
///     r#"
/// groups:
///   - name: checkout
///     interval: 30s
///     rules:
///       - record: job:errors:ratio
///         expr: sum by (job) (rate(errors_total[1m])) / sum by (job) (rate(requests_total[1m]))
///       - alert: ErrorsHigh
///         expr: job:errors:ratio > 0.05
///         for: 2m
///         labels: {severity: page}
///         annotations: {summary: "{{ $labels.job }}: {{ $value | humanizePercentage }}"}
/// "#,
/// )?;
/// assert_eq!(groups.names().collect::<Vec<_>>(), ["checkout"]);
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RuleGroups {
    pub(super) groups: Vec<RuleGroup>,
}

/// Rules that are evaluated one after the other at the same instants.
#[derive(Clone, Debug)]
pub(super) struct RuleGroup {
    pub(super) name: String,
    pub(super) interval_ms: Option<i64>,
    pub(super) query_offset_ms: i64,
    /// The most series or alerts of a rule; 0: no limit.
    pub(super) limit: u64,
    pub(super) rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// The metric that is recorded, or the alert.
    pub(super) name: String,
    pub(super) query: Query,
    /// The group's labels under those of the rule.
    pub(super) labels: Labels,
    /// What makes it an alerting rule.
    pub(super) alerting: Option<Alerting>,
}

/// What only alerting rules have.
#[derive(Clone, Debug)]
pub(super) struct Alerting {
    pub(super) hold_ms: i64,
    pub(super) keep_firing_ms: i64,
    pub(super) annotations: BTreeMap<String, RuleText>,
}

/// Labels by their names; the rules of a group share those that they have from it.
type Labels = BTreeMap<Arc<str>, Arc<RuleText>>;

/// The value of a label or an annotation.
#[derive(Clone, Debug)]
pub(super) struct RuleText {
    pub(super) raw: Arc<str>,
    /// As a template, or why it is none.
    pub(super) template: std::result::Result<AlertTemplate, String>,
}

impl RuleText {
    fn new(raw: String) -> Self {
        let template = AlertTemplate::parse(&raw);
        Self { raw: raw.into(), template }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    groups: Option<Vec<Spanned<GroupText>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: Option<String>,
    interval: Option<Spanned<String>>,
    query_offset: Option<Spanned<String>>,
    limit: Option<i64>,
    labels: Texts,
    rules: Option<Vec<Spanned<RuleFields>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFields {
    record: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    expr: Option<Spanned<String>>,
    r#for: Option<Spanned<String>>,
    keep_firing_for: Option<Spanned<String>>,
    labels: Texts,
    annotations: Texts,
}

impl RuleGroups {
    /// Reads a rule file. The engine tells which queries are allowed.
    ///
    /// Files are read as Prometheus 3.15 reads them: unknown fields, repeated groups, queries and templates that do not parse
    /// are mistakes. A file with several YAML documents is refused, where Prometheus would leave out all but the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] with every mistake on a line of its own, each with its line and column in the file;
    /// [`ErrorKind::Limit`] for a file of more than 4 MiB or 20,000 rules.
    pub fn from_yaml(engine: &Engine, text: &str) -> Result<Self> {
        Self::read(engine, text).map_err(|refused| match refused {
            Refused::File(error) => error,
            Refused::Rules(mistakes) => Error::new(ErrorKind::Parse, mistakes.join("\n")),
        })
    }

    pub(super) fn read(engine: &Engine, text: &str) -> std::result::Result<Self, Refused> {
        let file: File = yaml::read(text, "the rule file", "rule file").map_err(Refused::File)?;
        let groups = file.groups.unwrap_or_default();
        let rules: usize = groups.iter().map(|group| group.value.rules.as_ref().map_or(0, Vec::len)).sum();
        if rules > RULES {
            let message = format!("the rule file has {rules} rules, {RULES} are allowed (rules)");
            return Err(Refused::File(Error::new(ErrorKind::Limit, message)));
        }
        let mut reader = Reader { engine, mistakes: Vec::new() };
        let mut names = BTreeSet::new();
        let groups = groups.into_iter().map(|group| reader.group(group, &mut names)).collect();
        if reader.mistakes.is_empty() { Ok(Self { groups }) } else { Err(Refused::Rules(reader.mistakes)) }
    }

    /// The names of the groups, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.name.as_str())
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }
}

/// Why a file is not taken.
pub(super) enum Refused {
    /// It is too large, or no rule file.
    File(Error),
    /// Every mistake in its rules.
    Rules(Vec<String>),
}

/// Reads on behind a mistake, so that all of them are told at once.
struct Reader<'e> {
    engine: &'e Engine,
    mistakes: Vec<String>,
}

fn labels(texts: Texts) -> Labels {
    yaml::texts(texts).map(|(name, text)| (name.into(), Arc::new(RuleText::new(text)))).collect()
}

/// A name as mistakes show it: every rule of a group may have one.
fn shown(name: &str) -> String {
    match name.char_indices().nth(200) {
        Some((end, _)) => format!("{:?}...", name.get(..end).unwrap_or("")),
        None => format!("{name:?}"),
    }
}

impl Reader<'_> {
    fn duration(&mut self, field: &str, text: Option<&Spanned<String>>) -> Option<i64> {
        duration_ms(field, text?).map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    fn group(&mut self, spanned: Spanned<GroupText>, names: &mut BTreeSet<String>) -> RuleGroup {
        let at = place(&spanned);
        let group = spanned.value;
        let name = group.name.unwrap_or_default();
        if name.is_empty() {
            self.mistakes.push(format!("{at}the group has no name"));
        } else if !names.insert(name.clone()) {
            self.mistakes.push(format!("{at}group {} is repeated in the same file", shown(&name)));
        }
        let labels = labels(group.labels);
        for label in labels.keys().filter(|label| !is_label(label)) {
            self.mistakes.push(format!("{at}group {}: invalid label name: {label:?}", shown(&name)));
        }
        let limit = u64::try_from(group.limit.unwrap_or(0)).unwrap_or(0);
        let interval_ms = self.duration("interval", group.interval.as_ref());
        RuleGroup {
            interval_ms: interval_ms.filter(|interval| *interval > 0),
            query_offset_ms: self.duration("query_offset", group.query_offset.as_ref()).unwrap_or(0),
            limit,
            rules: (1..)
                .zip(group.rules.unwrap_or_default())
                .filter_map(|(number, rule)| self.rule(&name, number, &labels, rule))
                .collect(),
            name,
        }
    }

    fn rule(
        &mut self,
        group: &str,
        number: usize,
        group_labels: &Labels,
        spanned: Spanned<RuleFields>,
    ) -> Option<Rule> {
        let at = place(&spanned);
        let fields = spanned.value;
        let filled = |text: Option<Spanned<String>>| text.filter(|text| !text.value.is_empty());
        let (record, alert, expr) = (filled(fields.record), filled(fields.alert), filled(fields.expr));
        let name = alert.as_ref().or(record.as_ref()).map_or("", |name| &name.value).to_owned();
        let known = self.mistakes.len();
        let mut mistake = |at: &str, text: &str| {
            let (group, name) = (shown(group), shown(&name));
            self.mistakes.push(format!("{at}group {group}, rule {number}, {name}: {text}"));
        };
        match (&record, &alert) {
            (Some(record), Some(_)) => {
                mistake(&place(record), "only one of 'record' and 'alert' must be set");
            }
            (None, None) => mistake(&at, "one of 'record' or 'alert' must be set"),
            (Some(record), None) => {
                let at = place(record);
                let annotations = fields.annotations.as_ref().is_some_and(|texts| !texts.is_empty());
                let given = |text: &Option<Spanned<String>>| {
                    text.as_ref().is_some_and(|text| parse_duration(&text.value) != Ok(0))
                };
                for (field, is_there) in [
                    ("annotations", annotations),
                    ("for", given(&fields.r#for)),
                    ("keep_firing_for", given(&fields.keep_firing_for)),
                ] {
                    if is_there {
                        mistake(&at, &format!("invalid field '{field}' in recording rule"));
                    }
                }
                if record.value.contains(['{', '}']) {
                    mistake(&at, "braces present in the recording rule name; should it be in expr?");
                }
            }
            (None, Some(_)) => {}
        }
        let query = match &expr {
            None => {
                mistake(&at, "field 'expr' must be set in rule");
                None
            }
            Some(expr) => self
                .engine
                .prepare(&expr.value)
                .map_err(|error| mistake(&place(expr), &format!("could not parse expression: {error}")))
                .ok(),
        };
        let labels = labels(fields.labels);
        let annotations: BTreeMap<String, RuleText> =
            yaml::texts(fields.annotations).map(|(name, text)| (name, RuleText::new(text))).collect();
        let own = labels.keys().filter(|label| !group_labels.contains_key(*label)).count();
        let found = group_labels.len().saturating_add(own);
        if found > LABELS {
            mistake(&at, &format!("the rule has {found} labels, {LABELS} are allowed (labels)"));
        }
        for label in labels.keys().filter(|label| !is_label(label)) {
            mistake(&at, &format!("invalid label name: {label:?}"));
        }
        if annotations.contains_key("") {
            mistake(&at, "invalid annotation name: \"\"");
        }
        if alert.is_some() {
            let labels = labels.iter().map(|(name, text)| ("label", &**name, &**text));
            let annotations = annotations.iter().map(|(name, text)| ("annotation", name.as_str(), text));
            for (what, name, text) in labels.chain(annotations) {
                if let Err(error) = &text.template {
                    mistake(&at, &format!("{what} {name:?}: {error}"));
                }
            }
        }
        let hold_ms = self.duration("for", fields.r#for.as_ref()).unwrap_or(0);
        let keep_firing_ms = self.duration("keep_firing_for", fields.keep_firing_for.as_ref()).unwrap_or(0);
        if self.mistakes.len() > known {
            return None;
        }
        let mut merged = group_labels.clone();
        merged.extend(labels);
        let alerting = alert.is_some().then_some(Alerting { hold_ms, keep_firing_ms, annotations });
        Some(Rule { name, query: query?, labels: merged, alerting })
    }
}

fn is_label(name: &str) -> bool {
    !name.is_empty() && name != METRIC_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RuleGroups> {
        RuleGroups::from_yaml(&Engine::new(), text)
    }

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_place() {
        let text = r#"
groups:
  - name: a
    rules:
      - record: ok
        expr: up
      - record: r
        alert: s
        expr: up
      - expr: up
      - record: "x{}"
        expr: "sum(up"
        for: 1m
      - alert: t
        expr: up
        for: 1
        labels: {"__name__": x, v: "{{ $valu }}"}
        annotations: {a: "{{ if }}"}
  - name: a
  - rules: []
"#;
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Parse);
        let message = error.to_string();
        let lines: Vec<&str> = message.lines().collect();
        let wanted = [
            "7:17: group \"a\", rule 2, \"s\": only one of 'record' and 'alert' must be set",
            "10:9: group \"a\", rule 3, \"\": one of 'record' or 'alert' must be set",
            "11:17: group \"a\", rule 4, \"x{}\": invalid field 'for' in recording rule",
            "11:17: group \"a\", rule 4, \"x{}\": braces present in the recording rule name",
            "12:15: group \"a\", rule 4, \"x{}\": could not parse expression: 1:7: parse error: unclosed left parenthesis",
            "14:9: group \"a\", rule 5, \"t\": invalid label name: \"__name__\"",
            "14:9: group \"a\", rule 5, \"t\": label \"v\": line 1: undefined variable `$valu`",
            "14:9: group \"a\", rule 5, \"t\": annotation \"a\": line 1: missing value for {{if}}",
            "16:14: for: not a valid duration string: \"1\"",
            "19:5: group \"a\" is repeated in the same file",
            "20:5: the group has no name",
        ];
        assert_eq!(lines.len(), wanted.len(), "{message}");
        for (line, wanted) in lines.iter().zip(wanted) {
            assert!(line.starts_with(wanted), "{line}\n{wanted}");
        }
    }

    #[test]
    fn numbers_and_truth_values_are_texts_and_nothing_is_empty() {
        let text = "groups:\n- name: 1\n  labels: {a: 1.0, b: true}\n  rules:\n  - alert: on\n    expr: 1\n    labels: {a: ~, c: 0x10}\n";
        let groups = read(text).unwrap();
        let group = &groups.groups[0];
        let labels: Vec<_> = group.rules[0].labels.iter().map(|(k, v)| (&**k, &*v.raw)).collect();
        assert_eq!((group.name.as_str(), labels), ("1", vec![("a", ""), ("b", "true"), ("c", "0x10")]));
        assert_eq!(read("").unwrap().rules(), 0);
        assert_eq!(read("groups:\n").unwrap().rules(), 0);
    }

    #[test]
    fn other_files_are_refused() {
        for text in
            ["groups: 1", "group: []", "groups:\n- name: a\n  rule: []", "[", "groups: []\n---\nx: 1\n"]
        {
            assert!(read(text).unwrap_err().to_string().starts_with("this is no rule file: "), "{text}");
        }
        let many = "groups: [{name: g, rules: [".to_owned() + &"{},".repeat(RULES + 1) + "]}]";
        assert_eq!(read(&many).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn what_every_rule_of_a_group_would_repeat_is_bounded() {
        let labels = |count: usize| (0..count).map(|index| format!("l{index}: x, ")).collect::<String>();
        let text = |count: usize| {
            let labels = labels(count);
            format!(
                "groups: [{{name: g, labels: {{{labels}}}, rules: [{{record: r, expr: '1', labels: {{l0: y}}}}]}}]"
            )
        };
        let groups = read(&text(LABELS)).unwrap();
        let rule = &groups.groups[0].rules[0];
        assert_eq!((rule.labels.len(), &*rule.labels["l0"].raw, &*rule.labels["l1"].raw), (LABELS, "y", "x"));
        let error = read(&text(LABELS + 1)).unwrap_err().to_string();
        assert!(error.ends_with("\"r\": the rule has 101 labels, 100 are allowed (labels)"), "{error}");
        let long = format!("groups: [{{name: {}, rules: [{{}}, {{}}]}}]", "g".repeat(10_000));
        assert!(read(&long).unwrap_err().to_string().len() < 2000);
    }
}
