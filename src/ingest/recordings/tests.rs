use super::*;
use crate::model::{CounterResetHint, Span, is_stale};

fn read(text: &str) -> Vec<Result<RecordedSeries>> {
    Recording::new(text.as_bytes(), &IntakeLimits::default()).unwrap().iter().collect()
}

fn only(text: &str) -> RecordedSeries {
    let mut all = read(text);
    assert_eq!(all.len(), 1);
    all.remove(0).unwrap()
}

fn error(text: &str) -> String {
    read(text).pop().unwrap().unwrap_err().to_string()
}

#[test]
fn both_forms_hold_the_same_samples() {
    let export = only(
        r#"{"metric":{"__name__":"a","b":"c\n","e":""},"values":[1,null,"NaN","+Inf","-Inf",-0.0,1e3],"timestamps":[1,2,3,4,5,6,7]}"#,
    );
    let golden = only(
        r#"{"labels":{"__name__":"a","b":"c\n"},"samples":[[1,"1"],[2,"0x7ff0000000000002"],[3,"NaN"],[4,"+Inf"],[5,"-Inf"],[6,"-0"],[7,1000]]}"#,
    );
    assert_eq!(export.labels.to_string(), r#"{__name__="a", b="c\n"}"#);
    assert_eq!(export.labels, golden.labels);
    assert_eq!(export.samples.times, golden.samples.times);
    let bits =
        |series: &RecordedSeries| series.samples.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&export), bits(&golden));
    let stale: Vec<_> = export.samples.values.iter().map(|value| is_stale(*value)).collect();
    assert_eq!(stale, [false, true, false, false, false, false, false]);
}

#[test]
fn histograms_and_start_times_are_read() {
    let series = only(
        r#"{"labels":{"__name__":"h"},"samples":[[1,"5",-3],[2,{"schema":1,"count":"4","sum":"3.5","zero_threshold":"0.001","zero_count":"1","positive_spans":[[-2,1],[1,1]],"positive_buckets":["1","2"],"hint":"not_reset"},7],[3,{"schema":-53,"custom_values":["1","2.5"],"negative_spans":[],"hint":"gauge"}]]}"#,
    );
    assert_eq!(series.samples.starts, [-3]);
    let [(2, first, 7), (3, second, 0)] = &*series.samples.histograms else { panic!("{series:?}") };
    assert_eq!(first.positive_spans, [Span { offset: -2, length: 1 }, Span { offset: 1, length: 1 }]);
    assert_eq!(
        (first.positive_buckets.as_slice(), first.hint),
        ([1.0, 2.0].as_slice(), CounterResetHint::NotReset)
    );
    assert_eq!((second.custom_values.as_slice(), second.schema), ([1.0, 2.5].as_slice(), -53));
}

#[test]
fn exemplars_are_read_as_prometheus_answers_them() {
    let series = only(
        r#"{"seriesLabels":{"__name__":"a_total"},"exemplars":[{"labels":{"trace_id":"b"},"value":"6","timestamp":1600096945.479},{"labels":{"trace_id":"a","span_id":"1"},"value":1,"timestamp":1}]}"#,
    );
    assert_eq!(series.labels.to_string(), r#"{__name__="a_total"}"#);
    let shown: Vec<_> = series
        .exemplars
        .iter()
        .map(|own| (own.trace_id().unwrap(), own.value, own.timestamp.as_millis()))
        .collect();
    assert_eq!(shown, [("a", 1.0, 1_000), ("b", 6.0, 1_600_096_945_479)]);
    let wrong = r#"{"labels":{},"exemplars":[{"labels":{},"value":"6","timestamp":1e300}]}"#;
    assert!(
        error(wrong).starts_with("line 1: the timestamp 1e300 is no time in seconds at column"),
        "{}",
        error(wrong)
    );
    let limits = IntakeLimits { exemplars: 1, ..IntakeLimits::default() };
    let two = br#"{"labels":{},"exemplars":[{"labels":{},"value":1,"timestamp":1},{"labels":{},"value":2,"timestamp":2}]}"#;
    let error = Recording::new(two, &limits).unwrap().iter().next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "line 1: the exemplars exceed the limit exemplars of 1");
}

#[test]
fn a_bad_line_costs_itself_alone() {
    let good = r#"{"metric":{"__name__":"a"},"values":[1],"timestamps":[1]}"#;
    let all = read(&format!("{good}\n\nnonsense\n{good}\n{{\"metric\":{{\"__na"));
    let shown: Vec<_> = all.iter().map(|series| series.as_ref().map_or(0, |series| series.line)).collect();
    assert_eq!(shown, [1, 0, 4, 0]);
    assert_eq!(all[1].as_ref().unwrap_err().to_string(), "line 3: expected ident at column 2");
    assert!(all[3].as_ref().unwrap_err().to_string().starts_with("line 5: EOF while parsing"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let table = [
        (r#"{"metric":{},"values":[1],"timestamps":[]}"#, "line 1: 1 values, but 0 timestamps"),
        (
            r#"{"metric":{},"values":[1,2],"timestamps":[5,5]}"#,
            "line 1: sample at 5 ms is not later than the one before it (5 ms)",
        ),
        (
            r#"{"metric":{"a":"1","a":"2"},"values":[],"timestamps":[]}"#,
            "line 1: label \"a\" comes twice at column 27",
        ),
        (
            r#"{"labels":{},"samples":[[1,{"positive_buckets":["1"]}]]}"#,
            "line 1: 1 positive buckets, but spans for 0 at column 53",
        ),
        (
            r#"{"labels":{},"samples":[[1,"1_0"]]}"#,
            "line 1: invalid value: string \"1_0\", expected a number, a number as text, null, or a native histogram at column 32",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(error(text), expected);
    }
    assert!(error(r#"{"values":[],"timestamps":[]}"#).contains("missing field `metric`"));
}

fn zipped(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_recording_is_read_and_a_bomb_is_not() {
    let line = b"{\"metric\":{\"__name__\":\"a\"},\"values\":[1],\"timestamps\":[1]}\n";
    let bytes = zipped(line);
    let recording = Recording::new(&bytes, &IntakeLimits::default()).unwrap();
    assert_eq!(recording.iter().count(), 1);

    let limits = IntakeLimits { decoded_bytes: 1000, ..IntakeLimits::default() };
    let error = Recording::new(&zipped(&[b' '; 1_000_000]), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.to_string(), "1001 bytes exceed the limit decoded_bytes of 1000");
    assert!(Recording::new(&zipped(&[b' '; 1000]), &limits).is_ok());

    let cut = bytes.split_at(bytes.len() - 9).0;
    assert_eq!(Recording::new(cut, &IntakeLimits::default()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn limits_name_themselves_and_end_the_reading() {
    let line = "{\"metric\":{\"__name__\":\"a\"},\"values\":[1,2],\"timestamps\":[1,2]}\n".repeat(3);
    let limits = IntakeLimits { series: 2, ..IntakeLimits::default() };
    let all: Vec<_> = Recording::new(line.as_bytes(), &limits).unwrap().iter().collect();
    assert_eq!(all.len(), 3);
    let error = all[2].as_ref().unwrap_err();
    assert_eq!(error.to_string(), "line 3: 3 series exceed the limit series of 2");
    let limits = IntakeLimits { samples: 3, ..IntakeLimits::default() };
    let all: Vec<_> = Recording::new(line.as_bytes(), &limits).unwrap().iter().collect();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].as_ref().unwrap_err().to_string(), "line 2: the samples exceed the limit samples of 3");
}
