//! `{{args.NAME}}`: arguments put into metrics.

use std::collections::BTreeMap;

use super::int_or_text::IntOrText;
use super::template::{Argument, Metric};

/// Secrets by name: text by key. What arguments with `valueFrom.secretKeyRef` refer to.
pub type Secrets = BTreeMap<String, BTreeMap<String, String>>;

/// Replaces `{{args.NAME}}` in plain text; blanks around the name do not matter, a value is not expanded again.
///
/// # Errors
///
/// Argo's sentence: an argument without a value, even if it is not used; a tag that names no argument (the last one
/// is reported); a tag without an end.
pub fn substitute(template: &str, arguments: &[Argument]) -> Result<String, String> {
    let mut resolver = Resolver::new(arguments, false)?;
    let text = resolver.text(template);
    resolver.finish()?;
    Ok(text)
}

/// Replaces placeholders everywhere in a metric, as if it were one JSON document.
pub(super) fn substitute_metric(metric: &Metric, arguments: &[Argument]) -> Result<Metric, String> {
    let mut resolver = Resolver::new(arguments, true)?;
    let mut resolved = metric.clone();
    // In the order of the serialised metric, which decides which of several errors is reported.
    for text in [&mut resolved.name, &mut resolved.interval, &mut resolved.initial_delay] {
        resolver.replace(text);
    }
    resolver.replace_limit(&mut resolved.count);
    resolver.replace(&mut resolved.success_condition);
    resolver.replace(&mut resolved.failure_condition);
    for limit in
        [&mut resolved.failure_limit, &mut resolved.inconclusive_limit, &mut resolved.consecutive_error_limit]
    {
        resolver.replace_limit(limit);
    }
    if let Some(prometheus) = &mut resolved.provider.prometheus {
        resolver.replace(&mut prometheus.address);
        resolver.replace(&mut prometheus.query);
        for (_, text) in &mut prometheus.authentication {
            resolver.replace(text);
        }
        for header in &mut prometheus.headers {
            resolver.replace(&mut header.key);
            resolver.replace(&mut header.value);
        }
        if let Some(range) = &mut prometheus.range_query {
            for text in [&mut range.start, &mut range.end, &mut range.step] {
                resolver.replace(text);
            }
        }
    }
    resolver.replace_limit(&mut resolved.consecutive_success_limit);
    resolver.finish()?;
    Ok(resolved)
}

/// The arguments with the text of secrets in the place of references.
pub(super) fn resolve_secrets(arguments: &[Argument], secrets: &Secrets) -> Result<Vec<Argument>, String> {
    arguments
        .iter()
        .map(|argument| {
            let reference = argument.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
            let (None, Some(reference)) = (&argument.value, reference) else { return Ok(argument.clone()) };
            let entries = secrets
                .get(&reference.name)
                .ok_or_else(|| format!("secrets \"{}\" not found", reference.name))?;
            let text = entries.get(&reference.key).ok_or_else(|| {
                format!("key '{}' does not exist in secret '{}'", reference.key, reference.name)
            })?;
            Ok(Argument::new(argument.name.clone(), text.clone()))
        })
        .collect()
}

/// The arguments with a stand-in for every secret: enough to see whether all placeholders resolve.
pub(super) fn with_stand_ins(arguments: &[Argument]) -> Vec<Argument> {
    arguments
        .iter()
        .map(|argument| match (&argument.value, &argument.value_from) {
            (None, Some(_)) => Argument::new(argument.name.clone(), "temp-for-secret"),
            _ => argument.clone(),
        })
        .collect()
}

struct Resolver<'a> {
    values: BTreeMap<String, &'a str>,
    /// Whether texts are treated as parts of a JSON document.
    json: bool,
    /// The whole is not a template: reported before anything else.
    no_end: Option<String>,
    /// The last tag that names nothing.
    unknown: Option<String>,
    /// A value that JSON cannot hold as Go escapes it.
    undecodable: Option<String>,
}

impl<'a> Resolver<'a> {
    fn new(arguments: &'a [Argument], json: bool) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for argument in arguments {
            match &argument.value {
                Some(value) => values.insert(format!("args.{}", argument.name), value.as_str()),
                None => return Err(format!("argument \"{}\" was not supplied", argument.name)),
            };
        }
        Ok(Self { values, json, no_end: None, unknown: None, undecodable: None })
    }

    fn finish(self) -> Result<(), String> {
        match self.no_end.or(self.unknown).or(self.undecodable) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn replace(&mut self, text: &mut String) {
        if text.contains("{{") {
            *text = self.text(text);
        }
    }

    fn replace_limit(&mut self, limit: &mut Option<IntOrText>) {
        if let Some(IntOrText::Text(text)) = limit {
            self.replace(text);
        }
    }

    fn text(&mut self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let Some((tag, tail)) = after.split_once("}}") else {
                self.no_end.get_or_insert_with(|| {
                    format!(
                        "Cannot find end tag=\"}}}}\" in the template={template:?} starting from {after:?}"
                    )
                });
                return out;
            };
            // In the serialised document a line break or tab inside the braces is an escape, which is no blank.
            let written = if self.json { json_escaped(tag) } else { tag.to_owned() };
            let name = written.trim();
            match self.values.get(name).copied() {
                Some(value) => {
                    if let Some(c) = value.chars().find(|c| self.json && is_undecodable(*c)) {
                        let escape = match c {
                            '\u{7}' => 'a',
                            '\u{b}' => 'v',
                            _ => 'x',
                        };
                        self.undecodable =
                            Some(format!("invalid character '{escape}' in string escape code"));
                    }
                    out.push_str(value);
                }
                None => self.unknown = Some(format!("failed to resolve {{{{{written}}}}}")),
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

/// Whether Go writes this character as an escape that JSON does not know.
fn is_undecodable(c: char) -> bool {
    matches!(c, '\0'..='\u{7}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}')
}

/// Text as it stands inside a JSON document that Go wrote.
fn json_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Vec<Argument> {
        vec![Argument::new("svc", "cart"), Argument::new("q", "say \"hi\""), Argument::new("n", "3")]
    }

    #[test]
    fn placeholders_are_replaced_and_nothing_else_is() {
        for (template, expected) in [
            ("up{job=\"{{args.svc}}\"}", "up{job=\"cart\"}"),
            ("{{ args.svc }}", "cart"),
            ("{{args.svc }}", "cart"),
            ("{{\targs.svc\n}}", "cart"),
            ("{{args.svc}}-{{args.svc}}", "cart-cart"),
            ("{{args.q}}", "say \"hi\""),
            ("{args.svc}", "{args.svc}"),
            ("args.svc}}", "args.svc}}"),
            ("{ {args.svc}}", "{ {args.svc}}"),
        ] {
            assert_eq!(substitute(template, &arguments()), Ok(expected.to_owned()), "{template}");
        }
    }

    #[test]
    fn what_names_no_argument_is_an_error_and_the_last_one_is_named() {
        for (template, expected) in [
            ("{{args.Svc}}", "failed to resolve {{args.Svc}}"),
            ("{{svc}}", "failed to resolve {{svc}}"),
            ("{{ args .svc }}", "failed to resolve {{ args .svc }}"),
            ("{{}}", "failed to resolve {{}}"),
            ("{{a}} {{b}}", "failed to resolve {{b}}"),
            ("{{{args.svc}}}", "failed to resolve {{{args.svc}}"),
        ] {
            assert_eq!(substitute(template, &arguments()), Err(expected.to_owned()), "{template}");
        }
        assert!(
            substitute("{{args.svc", &arguments()).unwrap_err().starts_with("Cannot find end tag=\"}}\"")
        );
    }

    #[test]
    fn an_argument_without_a_value_is_an_error_even_if_it_is_not_used() {
        let none = Argument { name: "none".to_owned(), ..Argument::default() };
        assert_eq!(substitute("plain", &[none]), Err("argument \"none\" was not supplied".to_owned()));
    }

    #[test]
    fn a_line_break_in_the_braces_of_a_metric_is_part_of_the_name() {
        let metric = Metric { name: "{{\nargs.n\n}}".to_owned(), ..Metric::default() };
        assert_eq!(
            substitute_metric(&metric, &arguments()),
            Err("failed to resolve {{\\nargs.n\\n}}".to_owned())
        );
    }

    #[test]
    fn limits_take_placeholders_and_stay_text() {
        let metric = Metric { count: Some(IntOrText::Text("{{args.n}}".to_owned())), ..Metric::default() };
        let resolved = substitute_metric(&metric, &arguments()).unwrap();
        assert_eq!(resolved.count, Some(IntOrText::Text("3".to_owned())));
    }
}
