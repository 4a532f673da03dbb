//! From several templates and incoming arguments to one spec.

use super::template::{AnalysisTemplate, Argument, TemplateKind, TemplateSpec};

/// Joins templates into one spec: namespaced ones first, then cluster-wide ones, each in order.
///
/// The templates are the ones that a run refers to and those they refer to in turn, depth first; a name that comes
/// again within a kind is dropped.
///
/// # Errors
///
/// Argo's sentence for metrics or rules of one name, and for an argument with two different values.
pub fn flatten(templates: &[AnalysisTemplate]) -> Result<TemplateSpec, String> {
    let mut spec = TemplateSpec::default();
    for kind in [TemplateKind::Namespaced, TemplateKind::Cluster] {
        let mut seen: Vec<&str> = Vec::new();
        for template in templates.iter().filter(|template| template.kind == kind) {
            if !template.name.is_empty() {
                if seen.contains(&template.name.as_str()) {
                    continue;
                }
                seen.push(&template.name);
            }
            spec.metrics.extend(template.spec.metrics.iter().cloned());
            for argument in &template.spec.args {
                add_argument(&mut spec.args, argument)?;
            }
            spec.dry_run.extend(template.spec.dry_run.iter().cloned());
            spec.measurement_retention.extend(template.spec.measurement_retention.iter().cloned());
        }
    }
    check_unique(&spec)?;
    Ok(spec)
}

/// Refuses metrics of one name, and rules of one text.
pub(super) fn check_unique(spec: &TemplateSpec) -> Result<(), String> {
    if let Some(name) = repeated(spec.metrics.iter().map(|metric| metric.name.as_str())) {
        return Err(format!("two metrics have the same name '{name}'"));
    }
    if let Some(name) = repeated(spec.dry_run.iter().map(|rule| rule.metric_name.as_str())) {
        return Err(format!("two Dry-Run metric rules have the same name '{name}'"));
    }
    if let Some(name) = repeated(spec.measurement_retention.iter().map(|rule| rule.metric_name.as_str())) {
        return Err(format!("two Measurement Retention metric rules have the same name '{name}'"));
    }
    Ok(())
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

fn add_argument(arguments: &mut Vec<Argument>, argument: &Argument) -> Result<(), String> {
    let Some(earlier) = arguments.iter_mut().find(|earlier| earlier.name == argument.name) else {
        arguments.push(argument.clone());
        return Ok(());
    };
    match (&earlier.value, &argument.value) {
        (Some(a), Some(b)) if a != b => Err(format!(
            "Argument `{}` specified multiple times with different values: '{a}', '{b}'",
            argument.name
        )),
        (Some(_), _) => Ok(()),
        (None, _) => {
            *earlier = argument.clone();
            Ok(())
        }
    }
}

/// Puts incoming arguments over a template's. The outcome is the template's list: what it does not declare is dropped.
///
/// # Errors
///
/// `args.NAME was not resolved` for the first argument that has neither a value nor a place to find one.
pub fn merge_arguments(incoming: &[Argument], declared: &[Argument]) -> Result<Vec<Argument>, String> {
    let mut merged = declared.to_vec();
    for argument in incoming {
        if let Some(own) = merged.iter_mut().find(|own| own.name == argument.name) {
            if argument.value.is_some() {
                own.value.clone_from(&argument.value);
            } else if argument.value_from.is_some() {
                own.value_from.clone_from(&argument.value_from);
            }
        }
    }
    match merged.iter().find(|argument| argument.value.is_none() && argument.value_from.is_none()) {
        Some(unresolved) => Err(format!("args.{} was not resolved", unresolved.name)),
        None => Ok(merged),
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::Metric;
    use super::*;

    fn template(kind: TemplateKind, name: &str, metric: &str, args: Vec<Argument>) -> AnalysisTemplate {
        let metrics = vec![Metric { name: metric.to_owned(), ..Metric::default() }];
        let spec = TemplateSpec { metrics, args, ..TemplateSpec::default() };
        AnalysisTemplate { kind, name: name.to_owned(), spec, ..AnalysisTemplate::default() }
    }

    fn unset(name: &str) -> Argument {
        Argument { name: name.to_owned(), ..Argument::default() }
    }

    #[test]
    fn namespaced_templates_come_first_and_a_name_counts_once_in_its_kind() {
        let spec = flatten(&[
            template(TemplateKind::Cluster, "a", "c", vec![]),
            template(TemplateKind::Namespaced, "a", "m", vec![unset("x")]),
            template(TemplateKind::Namespaced, "a", "again", vec![]),
            template(TemplateKind::Namespaced, "b", "n", vec![Argument::new("x", "1")]),
        ])
        .unwrap();
        let names: Vec<&str> = spec.metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["m", "n", "c"]);
        assert_eq!(spec.args, [Argument::new("x", "1")]);
    }

    #[test]
    fn two_values_of_one_argument_are_refused() {
        let error = flatten(&[
            template(TemplateKind::Namespaced, "a", "m", vec![Argument::new("x", "a")]),
            template(TemplateKind::Namespaced, "b", "n", vec![Argument::new("x", "b")]),
        ])
        .unwrap_err();
        assert_eq!(error, "Argument `x` specified multiple times with different values: 'a', 'b'");
    }

    #[test]
    fn arguments_that_are_not_declared_are_dropped_and_missing_ones_are_named() {
        let declared = [unset("x"), Argument::new("y", "1")];
        let incoming = [Argument::new("x", "2"), Argument::new("z", "3")];
        assert_eq!(
            merge_arguments(&incoming, &declared).unwrap(),
            [Argument::new("x", "2"), Argument::new("y", "1")]
        );
        assert_eq!(merge_arguments(&[], &declared).unwrap_err(), "args.x was not resolved");
    }
}
