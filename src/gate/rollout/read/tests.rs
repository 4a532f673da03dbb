use super::*;
use crate::gate::argo::AnalysisTemplate;
use crate::gate::report::Mode;
use crate::gate::rollout::Rollout;

fn one(yaml: &str) -> RolloutSpec {
    let mut specs = RolloutSpec::from_yaml(yaml).unwrap();
    assert_eq!(specs.len(), 1);
    specs.remove(0)
}

fn steps(text: &str) -> Result<Vec<RolloutSpec>> {
    RolloutSpec::from_yaml(&format!(
        "kind: Rollout\nmetadata: {{name: r}}\nspec:\n  strategy:\n    canary:\n      steps:\n{text}"
    ))
}

#[test]
fn a_manifest_is_read_with_argos_defaults_and_fields_it_does_not_know_are_skipped() {
    let spec = one(
        "apiVersion: v1\nkind: Service\nspec: {strategy: 7}\n---\napiVersion: argoproj.io/v1alpha1\nkind: Rollout\n\
         metadata: {name: checkout, labels: {team: a}}\nspec:\n  replicas: 5\n  template: {spec: {containers: []}}\n  \
         strategy:\n    canary:\n      stableService: s\n      maxSurge: 1\n      maxUnavailable: 20%\n      steps:\n      - setWeight: 20\n      \
         - pause: {}\n      - pause: {duration: 90}\n      - pause: {duration: \"90\"}\n      - pause: {duration: 1m30.9s}\n",
    );
    assert_eq!((spec.name.as_str(), spec.replicas, spec.progress_deadline_seconds), ("checkout", 5, 600));
    assert_eq!(
        (spec.canary.max_surge, spec.canary.max_unavailable),
        (PodCount::Pods(1), PodCount::Percent(20))
    );
    assert!(!spec.canary.traffic_routing && spec.canary.background.is_none());
    assert_eq!(
        spec.canary.steps,
        [
            CanaryStep::SetWeight(20),
            CanaryStep::Pause(None),
            CanaryStep::Pause(Some(90)),
            CanaryStep::Pause(Some(90)),
            CanaryStep::Pause(Some(90))
        ]
    );
}

#[test]
fn a_spec_may_stand_before_its_kind_and_json_is_read_as_well() {
    let yaml = "spec: {replicas: 3, strategy: {canary: {}}}\nmetadata: {name: late}\nkind: Rollout\n";
    let json = r#"{"spec": {"replicas": 3, "strategy": {"canary": {}}}, "metadata": {"name": "late"}, "kind": "Rollout"}"#;
    assert_eq!(one(yaml), RolloutSpec::from_json(json).unwrap());
    let other = RolloutSpec::from_json(r#"{"kind": "AnalysisTemplate"}"#).unwrap_err();
    assert_eq!(other.to_string(), "found no Rollout");
}

#[test]
fn a_field_is_found_in_its_own_document_whatever_stands_around_it() {
    let rollout = |name: &str| {
        format!(
            "kind: Rollout\nmetadata: {{name: {name}, annotations: {{none: }}}}\nspec: {{strategy: {{blueGreen: \
             {{prePromotionAnalysis: {{templates: [{{templateName: t}}], args: [{{name: a, valueFrom: {{fieldRef: {{fieldPath: \
             metadata.name}}}}}}]}}}}}}}}\n"
        )
    };
    let text =
        format!("---\n# nothing\n---\n{}---\nnull\n---\nkind: Service\n---\n{}", rollout("a"), rollout("b"));
    let specs = RolloutSpec::from_yaml(&text).unwrap();
    let found = specs.iter().map(|spec| {
        let analysis = spec.blue_green.as_ref().unwrap().pre_promotion_analysis.as_ref().unwrap();
        (spec.name.clone(), analysis.args[0].value.clone())
    });
    let is = |name: &str| (name.to_owned(), ArgumentValue::Text(name.to_owned()));
    assert_eq!(found.collect::<Vec<_>>(), [is("a"), is("b")]);
}

#[test]
fn what_is_nested_without_end_or_has_no_end_of_steps_is_refused() {
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    for nested in [deep("[", "]"), deep("{a: ", "}"), "[".repeat(100_000)] {
        for text in [format!("spec: {nested}\nkind: Rollout\n"), format!("kind: Rollout\nspec: {nested}\n")] {
            assert_eq!(RolloutSpec::from_yaml(&text).unwrap_err().kind(), ErrorKind::Parse);
            assert_eq!(
                AnalysisTemplate::from_yaml(&text.replace("Rollout", "AnalysisTemplate")).unwrap_err().kind(),
                ErrorKind::Parse
            );
        }
    }
    let nested = deep("[", "]");
    let json = format!("{{\"kind\": \"Rollout\", \"spec\": {nested}}}");
    assert_eq!(RolloutSpec::from_json(&json).unwrap_err().kind(), ErrorKind::Parse);
    let many = "- setWeight: 1\n".repeat(10_001);
    let spec = steps(&many.replace("- ", "      - ")).unwrap().remove(0);
    let error = Rollout::new(spec, Mode::Strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let many = "- setWeight: 1\n".repeat(1_000_000).replace("- ", "      - ");
    assert_eq!(steps(&many).unwrap_err().kind(), ErrorKind::Parse);
}

#[test]
fn arguments_come_from_values_fields_and_versions() {
    let spec = one(
        "kind: Rollout\nmetadata:\n  name: r\n  labels: {'app.kubernetes.io/env': prod}\nspec:\n  replicas: 7\n  template:\n    \
         spec: {containers: [{image: 'app:1'}]}\n  strategy:\n    canary:\n      analysis:\n        startingStep: 2\n        templates: \
         [{templateName: t, clusterScope: true}]\n        args:\n        - {name: a, value: 5}\n        - {name: b, valueFrom: {fieldRef: \
         {fieldPath: \"metadata.labels['app.kubernetes.io/env']\"}}}\n        - {name: c, valueFrom: {fieldRef: {fieldPath: \
         'spec.template.spec.containers[0].image'}}}\n        - {name: d, valueFrom: {podTemplateHashValue: Stable}}\n        - {name: e, \
         valueFrom: {podTemplateHashValue: Latest}}\n        - {name: f, valueFrom: {fieldRef: {fieldPath: spec.replicas}}}\n",
    );
    let background = spec.canary.background.unwrap();
    assert_eq!(background.starting_step, Some(2));
    assert!(background.analysis.templates[0].cluster_scope);
    let values: Vec<ArgumentValue> = background.analysis.args.into_iter().map(|arg| arg.value).collect();
    let text = |text: &str| ArgumentValue::Text(text.to_owned());
    assert_eq!(
        values,
        [
            text("5"),
            text("prod"),
            text("app:1"),
            ArgumentValue::StableVersion,
            ArgumentValue::LatestVersion,
            text("7")
        ]
    );
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    for (text, part) in [
        ("      - {}\n", "exactly one of setWeight"),
        ("      - setWeight: 20\n        pause: {}\n", "this one has 2"),
        ("      - pause: {duration: soon}\n", "time: invalid duration \"soon\""),
        ("      - pause: {duration: -5}\n", "a pause is not negative"),
        ("      - setWeight: many\n", "line 7"),
        ("      - setCanaryScale: {weight: 10, replicas: 2}\n", "one of replicas, weight"),
        ("      - setWeight: 20\n      - setWeight: 1.5\n", "line 8"),
        ("      - [\n", "line"),
    ] {
        let error = steps(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Parse, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.to_string().contains("line"), "{text}: {error}");
    }
    for text in ["      - experiment: {}\n", "      - plugin: {name: p}\n"] {
        assert_eq!(steps(text).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let strategy = |text: &str| {
        RolloutSpec::from_yaml(&format!("kind: Rollout\nmetadata: {{name: r}}\nspec: {{strategy: {text}}}\n"))
    };
    assert_eq!(strategy("{blueGreen: {}, canary: {}}").unwrap_err().kind(), ErrorKind::Parse);
    assert_eq!(
        strategy("{canary: {replicaProgressThreshold: {}}}").unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(strategy("{}").unwrap_err().kind(), ErrorKind::Parse);
}

#[test]
fn a_spec_that_cannot_be_walked_through_is_refused_in_argos_words() {
    for (canary, part) in [
        ("{steps: [{setWeight: 101}]}", "steps[0]: SetWeight needs to be between 0 and 100"),
        ("{trafficRouting: {maxTrafficWeight: 1000}, steps: [{setWeight: 1001}]}", "between 0 and 1000"),
        ("{steps: [{setCanaryScale: {weight: 5}}]}", "SetCanaryScale requires TrafficRouting to be set"),
        ("{dynamicStableScale: true}", "canary dynamicStableScale can only be used with traffic routing"),
        ("{maxSurge: 0, maxUnavailable: 0}", "MaxSurge and MaxUnavailable both can not be zero"),
        ("{steps: [{analysis: {}}]}", "an analysis needs a template"),
        ("{maxSurge: 2000000}", "maxSurge is 2000000"),
        ("{}}, analysis: {successfulRunHistoryLimit: 1001", "HistoryLimit is 1001, at most 1000"),
    ] {
        let text =
            format!("kind: Rollout\nmetadata: {{name: r}}\nspec: {{strategy: {{canary: {canary}}}}}\n");
        let error = Rollout::new(one(&text), Mode::Strict).unwrap_err();
        assert!(error.to_string().contains(part), "{canary}: {error}");
    }
}
