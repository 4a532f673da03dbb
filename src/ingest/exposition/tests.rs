use proptest::prelude::*;

use super::*;

fn read(body: &[u8], format: ExpositionFormat) -> Vec<Result<ExpositionEntry>> {
    Exposition::new(body, &ExpositionOptions::default().format(format)).unwrap().collect()
}

/// The samples of a body as text, and the error that ended it.
fn shown(body: impl AsRef<[u8]>, format: ExpositionFormat) -> (Vec<String>, Option<String>) {
    let mut samples = Vec::new();
    for entry in read(body.as_ref(), format) {
        match entry {
            Ok(ExpositionEntry::Sample(sample)) => {
                let time =
                    sample.timestamp.map_or_else(String::new, |time| format!(" @{}", time.as_millis()));
                samples.push(format!("{} {}{time}", sample.labels, sample.value));
            }
            Ok(_) => {}
            Err(error) => return (samples, Some(error.to_string())),
        }
    }
    (samples, None)
}

fn text(body: impl AsRef<[u8]>) -> Vec<String> {
    let (samples, error) = shown(body, ExpositionFormat::Text);
    assert_eq!(error, None);
    samples
}

fn text_error(body: impl AsRef<[u8]>) -> String {
    shown(body, ExpositionFormat::Text).1.expect("the body is refused")
}

fn open_metrics(lines: &str) -> Vec<String> {
    let (samples, error) = shown(format!("{lines}\n# EOF\n"), ExpositionFormat::Detect);
    assert_eq!(error, None);
    samples
}

fn open_metrics_error(body: &str) -> String {
    shown(body, ExpositionFormat::OpenMetrics).1.expect("the body is refused")
}

#[test]
fn the_text_format_takes_blanks_anywhere_and_a_missing_last_line_break() {
    assert_eq!(text("a 1"), [r#"{__name__="a"} 1"#]);
    assert_eq!(text("\n \t\n  a\t{ b = \"c\" , } \t2  1500 \n"), [r#"{__name__="a", b="c"} 2 @1500"#]);
    assert_eq!(text("# a comment\n#HELP x\n#\n# HELPFUL x\n# HELP\na 1\n"), [r#"{__name__="a"} 1"#]);
    assert_eq!(
        text("{a=\"b\",\"x.y\"} 1\n{\"m\",\"l l\"=\"v\"} 1"),
        [r#"{__name__="x.y", a="b"} 1"#, r#"{__name__="m", "l l"="v"} 1"#]
    );
}

#[test]
fn a_quoted_name_has_a_character() {
    assert_eq!(text_error("{\"m\",\"\"=\"v\"} 1"), "line 1, column 6: a name without a character");
    assert_eq!(text_error("{\"\"} 1"), "line 1, column 2: a name without a character");
    assert_eq!(
        open_metrics_error("m{\"\"=\"v\"} 1\n# EOF\n"),
        "line 1, column 3: a name without a character"
    );
}

#[test]
fn numbers_are_those_of_go() {
    let values = text("a Inf\na +inf\na -INF\na Infinity\na NaN\na nan\na 1e3\na .5\na 5.\na +1\na -0");
    let values: Vec<_> = values.iter().map(|sample| sample.rsplit(' ').next().unwrap()).collect();
    assert_eq!(values, ["inf", "inf", "-inf", "inf", "NaN", "NaN", "1000", "0.5", "5", "1", "-0"]);
    for number in ["0x1p3", "1_000", "1e400", "+NaN", "-nan", "0x10", "infi", "1\r", ".", "1p2"] {
        assert!(text_error(format!("a {number}\n")).ends_with("is no number"), "{number}");
    }
    let [Ok(ExpositionEntry::Sample(sample))] = &*read(b"a nan", ExpositionFormat::Text) else { panic!() };
    assert_eq!(sample.value.to_bits(), 0x7ff8_0000_0000_0001);
}

#[test]
fn escapes_in_values_and_help() {
    assert_eq!(text(r#"a{b="x\\y\"z\nq\t"} 1"#), [r#"{__name__="a", b="x\\y\"z\nq\\t"} 1"#]);
    assert_eq!(text("a{b=\"x\ny\"} 1\nc 2"), [r#"{__name__="a", b="x\ny"} 1"#, r#"{__name__="c"} 2"#]);
    let help = |body: &str, format| match &*read(body.as_bytes(), format) {
        [Ok(ExpositionEntry::Help { name, text })] => (name.to_string(), text.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        help("# HELP a b\\\\c\\nd\\\"e\n", ExpositionFormat::Text),
        ("a".into(), "b\\c\nd\\\"e".into())
    );
    assert_eq!(help("# HELP a \n", ExpositionFormat::Text), ("a".into(), String::new()));
    assert_eq!(help("# HELP \"x y\" b\\\"\n# EOF", ExpositionFormat::Detect), ("x y".into(), "b\"".into()));
}

#[test]
fn an_error_names_the_place_and_keeps_what_came_before() {
    let (samples, error) = shown("a 1\nb{c=\"x\ny\"} 2\nd{e=1} 3\nf 4\n", ExpositionFormat::Text);
    assert_eq!(samples.len(), 2);
    assert_eq!(error.unwrap(), "line 4, column 5: expected a double quote");
    let table = [
        ("a 1 -5", "line 1, column 5: expected a timestamp in whole milliseconds or the end of the line"),
        ("a 1 1.5", "line 1, column 6: expected a timestamp in whole milliseconds or the end of the line"),
        ("a", "line 1, column 2: expected a value after the metric"),
        ("a 1 99999999999999999999", "line 1, column 5: the timestamp does not fit into 64 bits"),
        ("{a=\"b\"} 1", "line 1, column 1: the sample has no metric name"),
        ("a{\"b\"} 1", "line 1, column 1: a second metric name"),
        ("a{b=\"1\",b=\"2\"} 1", "line 1, column 1: label b comes twice"),
        ("a{__name__=\"b\"} 1", "line 1, column 1: a second metric name"),
        ("a{b=\"1\" c=\"2\"} 1", "line 1, column 9: expected , or } after the label"),
        ("a{b:c=\"1\"} 1", "line 1, column 3: expected a label name or }"),
        ("a{b=\"1} 1\n", "line 1, column 5: a quoted text has no end"),
        ("# TYPE a  gauge\n", "line 1, column 9: \" gauge\" is no metric type"),
        ("# TYPE a info\n", "line 1, column 9: \"info\" is no metric type"),
        ("# TYPE \n", "line 1, column 8: expected a metric name"),
        ("5 1", "line 1, column 1: expected a metric name or {"),
    ];
    for (body, expected) in table {
        assert_eq!(text_error(body), expected, "{body:?}");
    }
    assert_eq!(text_error(b"a{b=\"\xff\"} 1"), "line 1, column 5: bytes that are not UTF-8");
    assert_eq!(text_error(b"# HELP a \xff\n"), "line 1, column 9: bytes that are not UTF-8");
}

#[test]
fn bounds_take_the_spelling_of_open_metrics_where_the_type_says_so() {
    let body = "a{le=\"1\"} 1\n# TYPE a histogram\na{le=\"1\",quantile=\"1\"} 1\na{le=\"10000\"} 1\na{le=\"1e6\"} 1\n\
                a{le=\"+Inf\"} 1\na{le=\"0.50\"} 1\na{le=\"-0\"} 1\na{le=\"x\"} 1\n# TYPE b summary\nb{le=\"1\",quantile=\"1\"} 1\n";
    let bounds = |options: &ExpositionOptions| -> Vec<String> {
        let entries = Exposition::new(body.as_bytes(), options).unwrap();
        let samples = entries.filter_map(|entry| match entry.unwrap() {
            ExpositionEntry::Sample(sample) => Some(sample),
            _ => None,
        });
        samples
            .map(|sample| {
                let label = |name| sample.labels.get(name).unwrap_or("");
                format!("{}|{}", label("le"), label("quantile"))
            })
            .collect()
    };
    let canonical = bounds(&ExpositionOptions::default());
    assert_eq!(canonical, ["1|", "1.0|1", "10000.0|", "1e+06|", "+Inf|", "0.5|", "0.0|", "x|", "1|1.0"]);
    let as_written = bounds(&ExpositionOptions::default().canonical_bounds(false));
    assert_eq!(as_written, ["1|", "1|1", "10000|", "1e6|", "+Inf|", "0.50|", "-0|", "x|", "1|1"]);
}

#[test]
fn open_metrics_takes_seconds_and_exemplars() {
    assert_eq!(
        open_metrics("a 1 1795404652.396\na 1 -1.5\na 1 1e3\na 1 0.0019\na{b=\"c\",} 1"),
        [
            r#"{__name__="a"} 1 @1795404652396"#,
            r#"{__name__="a"} 1 @-1500"#,
            r#"{__name__="a"} 1 @1000000"#,
            r#"{__name__="a"} 1 @1"#,
            r#"{__name__="a", b="c"} 1"#,
        ]
    );
    let body = b"a_total 1 # {trace_id=\"x\"} 0.5 1.5\na_total 2 3 # {} 1\n# EOF";
    let entries = read(body, ExpositionFormat::Detect);
    let [Ok(ExpositionEntry::Sample(first)), Ok(ExpositionEntry::Sample(second))] = &*entries else {
        panic!("{entries:?}")
    };
    let exemplar = first.exemplar.as_ref().unwrap();
    assert_eq!((exemplar.labels.get("trace_id"), exemplar.value), (Some("x"), 0.5));
    assert_eq!(exemplar.timestamp, Some(Timestamp::from_millis(1500)));
    assert_eq!(second.timestamp, Some(Timestamp::from_millis(3000)));
    assert_eq!(second.exemplar.as_ref().unwrap().timestamp, None);
}

#[test]
fn open_metrics_is_strict_about_blanks_and_its_end() {
    let table = [
        ("a 1\n", "line 2, column 1: the body does not end in # EOF; it may have been cut off"),
        ("a 1", "line 1, column 4: the body does not end in # EOF; it may have been cut off"),
        ("a 1\n# EOF\na 1\n", "line 3, column 1: there is text after # EOF"),
        ("a  1\n# EOF\n", "line 1, column 3: expected one blank and a value after the metric"),
        ("a{b=\"c\", d=\"e\"} 1\n# EOF\n", "line 1, column 9: expected a label name or }"),
        ("\n# EOF\n", "line 1, column 1: expected a metric name or {"),
        ("# hello\n# EOF\n", "line 1, column 1: expected # HELP, # TYPE, # UNIT or # EOF"),
        ("a{b=\"c\nd\"} 1\n# EOF\n", "line 1, column 7: the line ends inside a quoted text"),
        ("a 1 1e50\n# EOF\n", "line 1, column 4: the timestamp does not fit into 64 bits of milliseconds"),
        ("a 1 NaN\n# EOF\n", "line 1, column 4: the timestamp is not finite"),
        (
            "# UNIT a_bytes seconds\n# EOF\n",
            "line 1, column 15: unit \"seconds\" is not the end of the metric name \"a_bytes\"",
        ),
        ("# TYPE a untyped\n# EOF\n", "line 1, column 9: \"untyped\" is no metric type"),
        ("a 1 # {\"b\"} 1\n# EOF\n", "line 1, column 12: an exemplar has no metric name"),
    ];
    for (body, expected) in table {
        assert_eq!(open_metrics_error(body), expected, "{body:?}");
    }
    assert_eq!(
        open_metrics("# TYPE a info\n# UNIT a_s s\n# UNIT a \na_info 1"),
        [r#"{__name__="a_info"} 1"#]
    );
}

#[test]
fn a_dump_of_promtool_is_read() {
    let body = "{__name__=\"up\", app=\"a\\tb\\u200b\\x01\\\"\", \"x.y\"=\"z\"} 1e+06 -1795404652396\n{a=\"b\"} NaN 5\n";
    let (samples, error) = shown(body, ExpositionFormat::Dump);
    assert_eq!(error, None);
    assert_eq!(
        samples,
        [
            r#"{__name__="up", app="a\tb\u200b\x01\"", "x.y"="z"} 1000000 @-1795404652396"#,
            r#"{a="b"} NaN @5"#
        ]
    );
    let histogram = shown("{__name__=\"h\"} {count:1, sum:2} 5\n", ExpositionFormat::Dump).1.unwrap();
    assert_eq!(histogram, "line 1: a dumped native histogram cannot be read; export it another way");
    assert_eq!(
        shown("{a=\"b\"} 1\n", ExpositionFormat::Dump).1.unwrap(),
        "line 1, column 10: expected a timestamp in milliseconds"
    );
}

#[test]
fn every_limit_holds_at_its_border_and_names_itself_above_it() {
    let run = |body: &str, limits: IntakeLimits| -> Result<usize> {
        let options = ExpositionOptions::default().limits(limits);
        Exposition::new(body.as_bytes(), &options)?.collect::<Result<Vec<_>>>().map(|entries| entries.len())
    };
    let limits = |samples, line_bytes, decoded_bytes| IntakeLimits {
        samples,
        line_bytes,
        decoded_bytes,
        ..IntakeLimits::default()
    };
    let labels = |labels_per_series| IntakeLimits { labels_per_series, ..IntakeLimits::default() };
    assert_eq!(run("a{b=\"c\"} 1\n", labels(2)).unwrap(), 1);
    let error = run("a{b=\"c\"} 1\n", labels(1)).unwrap_err();
    assert_eq!(error.to_string(), "line 1: 2 labels exceed the limit labels_per_series of 1");
    let body = "a 1\nb 1\n";
    assert_eq!(run(body, limits(2, 4, 8)).unwrap(), 2);
    for (limits, name) in [
        (limits(1, 4, 8), "line 2: 2 samples exceed the limit samples of 1"),
        (limits(2, 3, 8), "line 1: 4 bytes exceed the limit line_bytes of 3"),
        (limits(2, 4, 7), "8 bytes exceed the limit decoded_bytes of 7"),
    ] {
        let error = run(body, limits).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Limit, name.to_owned()));
    }
}

proptest! {
    #[test]
    fn a_written_float_reads_back_with_its_bits(bits in any::<u64>(), millis in any::<u32>()) {
        let value = f64::from_bits(bits);
        let body = format!("m {} {millis}\n", number::format_g(value));
        let entries = read(body.as_bytes(), ExpositionFormat::Text);
        let [Ok(ExpositionEntry::Sample(sample))] = &*entries else { panic!("{entries:?}") };
        prop_assert!(sample.value.to_bits() == bits || (value.is_nan() && sample.value.is_nan()));
        prop_assert_eq!(sample.timestamp, Some(Timestamp::from_millis(i64::from(millis))));
    }

    #[test]
    fn milliseconds_survive_open_metrics(millis in -4_000_000_000_000_i64..4_000_000_000_000) {
        let sign = if millis < 0 { "-" } else { "" };
        let absolute = millis.abs();
        let line = format!("a 1 {sign}{}.{:03}", absolute / 1000, absolute % 1000);
        prop_assert_eq!(open_metrics(&line), vec![format!("{{__name__=\"a\"}} 1 @{millis}")]);
    }

    #[test]
    fn labels_read_back_as_written(value in ".{0,12}", other in "[a-z\\\\\"\n]{1,8}") {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let body = format!("m{{a=\"{}\",b=\"{}\"}} 1\n", escape(&value), escape(&other));
        let entries = read(body.as_bytes(), ExpositionFormat::Text);
        let [Ok(ExpositionEntry::Sample(sample))] = &*entries else { panic!("{entries:?}") };
        prop_assert_eq!(sample.labels.get("a").unwrap_or(""), value);
        prop_assert_eq!(sample.labels.get("b"), Some(&*other));
    }

    #[test]
    fn any_bytes_end_in_an_answer(body in prop::collection::vec(any::<u8>(), 0..80)) {
        for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics, ExpositionFormat::Dump] {
            let entries = read(&body, format);
            let errors = entries.iter().filter(|entry| entry.is_err()).count();
            prop_assert!(errors == 0 || (errors == 1 && entries.last().unwrap().is_err()));
        }
    }

    #[test]
    fn what_was_read_reads_back_from_a_dump(lines in prop::collection::vec(
        prop_oneof![
            "[a-z:]{1,3}(\\{[a-z]=\"[^\"\\\\]{0,4}\"\\})? (-?[0-9]{1,3}(\\.[0-9]{1,3})?|NaN|[+-]Inf|1e-7)( [0-9]{1,6})?",
            "# TYPE [a-z]{1,3} (histogram|summary)",
            "\\{\"[^\"\\\\]{1,4}\",(le|quantile)=\"[0-9.]{1,3}\"\\} 1",
            ".{0,10}",
        ], 0..5), end in "(\n# EOF\n?)?") {
        super::law::assert_reads_back(format!("{}{end}", lines.join("\n")).as_bytes());
    }
}
