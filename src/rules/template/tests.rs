use std::sync::Arc;

use proptest::prelude::*;

use super::{AlertTemplate, Surroundings, TEMPLATE_BYTES};
use crate::error::{Error, ErrorKind};
use crate::model::{Labels, NativeHistogram, SampleValue, Timestamp};
use crate::promql::VectorSample;

fn expand_value(template: &str, value: SampleValue) -> Result<String, String> {
    let labels = Labels::from_pairs([("__name__", "up"), ("instance", "api-1:9090"), ("job", "api")]);
    let external = Labels::from_pairs([("cluster", "eu")]);
    let query = |text: &str| {
        if text != "up" {
            return Err(Error::new(ErrorKind::Parse, "no such query"));
        }
        let sample = |job: &str, value: f64| VectorSample {
            labels: Labels::from_pairs([("job", job)]),
            timestamp: Timestamp::from_millis(0),
            value: SampleValue::Float(value),
        };
        Ok(vec![sample("b", 2.5), sample("a", 1.0)])
    };
    let at = Timestamp::from_secs(60);
    let surroundings = Surroundings::new((&labels, &value), &external, "http://prom:9090/x", at, &query);
    AlertTemplate::parse(template)?.expand(&surroundings)
}

fn expand(template: &str) -> Result<String, String> {
    expand_value(template, SampleValue::Float(1_234_567.0))
}

#[test]
fn templates_make_the_texts_that_go_makes() {
    // Every text was made by Go's text/template with Prometheus's functions.
    let rows = [
        ("plain", "plain"),
        ("{{ $labels.job }} {{$value}}", "api 1.234567e+06"),
        ("{{ .Labels.job }}{{ .Value }}{{ .ExternalURL }}", "api1.234567e+06http://prom:9090/x"),
        ("{{ $labels.nothing }}|{{ $externalLabels.cluster }}", "|eu"),
        ("{{ $value | humanize }} {{ humanize1024 $value }}", "1.235M 1.177Mi"),
        ("{{ 0.1234 | humanizePercentage }} {{ humanizeDuration 3661 }}", "12.34% 1h 1m 1s"),
        ("{{ printf \"%.2f %s %q\" $value $labels.job \"x\" }}", "1234567.00 api \"x\""),
        ("{{ if gt $value 100.0 }}big{{ else }}small{{ end }}", "big"),
        (
            "{{ if eq $labels.job \"db\" }}db{{ else if eq $labels.job \"api\" \"web\" }}web{{ else }}x{{ end }}",
            "web",
        ),
        (
            "{{ with $labels.nothing }}a{{ else }}none{{ end }}{{ with $labels.job }}<{{ . }}>{{ end }}",
            "none<api>",
        ),
        ("{{ range query \"up\" }}{{ .Labels.job }}={{ .Value }};{{ end }}", "b=2.5;a=1;"),
        (
            "{{ range $i, $s := query \"up\" | sortByLabel \"job\" }}{{ $i }}{{ $s.Labels.job }}{{ end }}",
            "0a1b",
        ),
        ("{{ with query \"up\" }}{{ . | first | value | humanize }}{{ end }}", "2.5"),
        ("{{ query \"up\" | first | label \"job\" }} {{ (query \"up\" | first).Value }}", "b 2.5"),
        ("{{ range $labels }}{{ . }},{{ end }}", "up,api-1:9090,api,"),
        (
            "{{ range $k, $v := $labels }}{{ if eq $k \"job\" }}{{ break }}{{ end }}{{ $k }} {{ end }}",
            "__name__ instance ",
        ),
        (
            "{{ range $k, $v := $labels }}{{ if ne $k \"job\" }}{{ continue }}{{ end }}{{ $v }}{{ end }}",
            "api",
        ),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ $y }}{{ end }}{{ $x }}", "32"),
        ("{{ define \"t\" }}[{{ . }}]{{ end }}{{ template \"t\" $labels.job }}", "[api]"),
        ("{{ reReplaceAll \"(.*):\\\\d+\" \"$1\" $labels.instance }}", "api-1"),
        ("{{ match \"^a.*0$\" $labels.instance }} {{ stripPort $labels.instance }}", "true api-1"),
        ("{{ toUpper $labels.job }} {{ title \"a b\" }} {{ len $labels.job }}", "API A B 3"),
        ("{{ index $labels \"job\" }} {{ slice $labels.job 1 }} {{ not true }}", "api pi false"),
        ("{{ and $labels.nothing \"x\" }}|{{ or $labels.nothing \"x\" }}", "|x"),
        ("{{ print 1 2 \"a\" 3 4 }} {{ println 1 \"a\" }}", "1 2a3 4 1 a\n"),
        ("{{ now }} {{ 60 | toTime }} {{ toDuration 1.5 }}", "60 1970-01-01 00:01:00 +0000 UTC 1.5s"),
        ("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        ("{{ pathPrefix }} {{ parseDuration \"1h30m\" }} {{ \"a b\" | urlQueryEscape }}", "/x 5400 a+b"),
        ("{{ graphLink \"up == 1\" }}", "/graph?g0.expr=up+%3D%3D+1&g0.tab=0"),
        ("{{ (args 1 \"x\").arg1 }}{{ $labels }}", "xmap[__name__:up instance:api-1:9090 job:api]"),
        ("{{- \" a\" -}}  b {{/* nothing */}}", " ab "),
        ("{{ html \"<a>\" }}{{ safeHtml \"<b>\" }}", "&lt;a&gt;<b>"),
        (
            "{{ query \"up\" | first }} {{ print (query \"up\" | first) }}",
            "{map[job:b] 2.5} &{map[job:b] 2.5}",
        ),
        (
            "{{ toUpper \"straße\" }} {{ eq $labels.job nil }} {{ printf \"%05s|%.2f|%q\" \"x\" 1 97 }}",
            "STRAßE false 0000x|%!f(int=01)|'a'",
        ),
    ];
    for (template, wanted) in rows {
        assert_eq!(expand(template).as_deref(), Ok(wanted), "{template}");
    }
}

#[test]
fn histograms_are_values_too() {
    let histogram = NativeHistogram { count: 3.0, sum: 4.5, ..NativeHistogram::default() };
    let value = SampleValue::Histogram(Arc::new(histogram));
    assert_eq!(expand_value("{{ $value }} {{ $value.Sum }}", value).unwrap(), "{count:3, sum:4.5} 4.5");
}

#[test]
fn what_cannot_be_read_or_computed_is_an_error_with_its_line() {
    let rows = [
        ("{{ $nothing }}", "line 1: undefined variable `$nothing`"),
        ("\n{{ foo 1 }}", "line 2: function `foo` not defined"),
        ("{{ js 1 }}", "line 1: function `js` is not supported in templates of rules"),
        ("{{ if true }}", "line 1: {{if}} without {{end}}"),
        ("{{ end }}", "line 1: unexpected {{end}}"),
        ("{{ else }}", "line 1: unexpected {{else}}"),
        ("{{ }}", "line 1: missing value for an action"),
        ("{{ ( 1 }}", "line 1: `(` without `)`"),
        ("{{ break }}", "line 1: {{break}} outside of {{range}}"),
        ("{{ 1 | 2 }}", "line 1: non executable command behind `|`"),
        ("{{ $labels.job 1 }}", "line 1: only a function takes arguments"),
        (
            "{{ gt $value 100 }}",
            "line 1: error calling gt: incompatible types for comparison: an int and a float64",
        ),
        (
            "{{ humanize \"x\" }}",
            "line 1: error calling humanize: strconv.ParseFloat: parsing \"x\": invalid syntax",
        ),
        ("{{ query \"x\" }}", "line 1: error calling query: no such query"),
        ("{{ query \"up\" }}", "line 1: a value of type template.queryResult cannot be printed"),
        ("{{ .Foo }}", "line 1: can't evaluate field Foo in type struct"),
        ("{{ template \"x\" }}", "line 1: template \"x\" not defined"),
        ("{{ $x = 2 }}", "line 1: undefined variable `$x`"),
        ("{{ range $i, $j := 3 }}{{ end }}", "line 1: can't use 3 to iterate over more than one variable"),
        ("{{ lt true false }}", "line 1: error calling lt: invalid type for comparison"),
        (
            "{{ printf \"%x\" 1.5 }}",
            "line 1: error calling printf: the verb %x with these flags is not supported for float64",
        ),
        (
            "{{ humanize \"1_000\" }}",
            "line 1: error calling humanize: strconv.ParseFloat: parsing \"1_000\": invalid syntax",
        ),
        ("{{ label \"a\" }}", "line 1: wrong number of args for label"),
        ("{{ reReplaceAll \"(\" \"\" \"\" }}", "line 1: error calling reReplaceAll: "),
    ];
    for (template, wanted) in rows {
        let error = expand(template).unwrap_err();
        let error = error
            .strip_prefix("line 1: error calling label: ")
            .map_or(error.clone(), |e| format!("line 1: {e}"));
        assert!(error.starts_with(wanted), "{template}: {error}");
    }
}

#[test]
fn the_deepest_template_fits_a_small_stack() {
    let deep = |open: &str, inner: &str, close: &str, levels: usize| {
        format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
    };
    let templates = [
        deep("{{ if true }}", "x", "{{ end }}", 30),
        deep("{{ range 1 }}", "x", "{{ end }}", 30),
        deep("{{ if false }}{{ else }}", "x", "{{ end }}", 15),
        format!("{{{{ {} }}}}", deep("(", "1", ")", 30)),
        format!("{{{{ {} }}}}", deep("(print ", "1", ")", 29)),
        format!(
            "{}{{{{ template \"t9\" }}}}",
            (1..10)
                .map(|n| format!("{{{{ define \"t{n}\" }}}}{{{{ range 1 }}}}{{{{ with 1 }}}}{{{{ template \"t{}\" }}}}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}", n - 1))
                .collect::<String>()
                + "{{ define \"t0\" }}x{{ end }}"
        ),
    ];
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let run = small.spawn(move || templates.map(|template| expand(&template)));
    for expanded in run.unwrap().join().unwrap() {
        assert!(matches!(expanded.as_deref(), Ok("x" | "1")), "{expanded:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_expanded_or_an_error(pieces in prop::collection::vec(piece(), 0..12)) {
        let _any = expand(&pieces.concat());
    }
}

const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{- ",
    " -}}",
    " ",
    "(",
    ")",
    "|",
    "\"a%d\"",
    "`",
    "'",
    "1",
    "-2.5",
    "$value",
    "$labels.job",
    "$x := ",
    "$x",
    ".",
    ".Value",
    "if ",
    "{{ end }}",
    "{{ else }}",
    "range ",
    "with ",
    "define \"t\"",
    "template \"t\" ",
    "query \"up\"",
    "printf ",
    "humanizeDuration ",
    "args ",
    "index ",
    "slice ",
    "/*",
    "*/",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![3 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,4}"]
}

#[test]
fn nothing_that_a_template_does_is_without_bound() {
    let rows = [
        ("{{ range 10000000 }}{{ end }}".to_owned(), "template_steps"),
        ("{{ range 1000 }}{{ query \"up\" | len }}{{ end }}".to_owned(), "template_steps"),
        ("{{ $x := \"aaaaaaaa\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}".to_owned(), "template_bytes"),
        ("{{ range 100000 }}aaaaaaaaaaaaaaaa{{ end }}".to_owned(), "template_bytes"),
        ("{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}".to_owned(), "template_depth"),
        (format!("{{{{ {}1{} }}}}", "(".repeat(100), ")".repeat(100)), "template_depth"),
        ("{{ if true }}".repeat(100), "template_depth"),
        ("{{ $x := args 1 }}{{ range 100 }}{{ $x = args $x $x }}{{ end }}".to_owned(), "args of args"),
        ("x".repeat(TEMPLATE_BYTES + 1), "template_bytes"),
        ("{{ reReplaceAll \"\" \"aaaaaaaaaaaaaaaaaaaaaaaaaaaa\" (printf \"%1000d\" 1 | printf \"%s%[1]s\") }}".to_owned(), "[n]"),
    ];
    for (template, wanted) in rows {
        let error = expand(&template).unwrap_err();
        assert!(error.contains(wanted), "{:.60}: {error}", template);
    }
}
