//! Requests in the form of the oracle, asked of ours.

use promgate::{Engine, Error, Evaluation, QueryLimits, Snapshot, Timestamp};
use serde_json::Value as Json;

use crate::data;

/// An engine with a Prometheus server's defaults, all syntax on, and then the request's own options.
fn engine(request: &Json) -> Engine {
    let config = &request["config"];
    let mut engine = match config["preset"].as_str() {
        Some("promqltest") => data::engine_for_scripts(),
        Some("server-strict") => Engine::new().limits(QueryLimits::prometheus()),
        _ => Engine::new().experimental(true).limits(QueryLimits::prometheus()),
    };
    if let Some(samples) = config["max_samples"].as_u64() {
        engine = engine.limits(QueryLimits::prometheus().samples(samples));
    }
    if let Some(on) = config["delayed_name_removal"].as_bool() {
        engine = engine.delayed_name_removal(on);
    }
    if let Some(on) = config["start_timestamps"].as_bool() {
        engine = engine.start_timestamps(on);
    }
    if let Some(step) = config["subquery_step_ms"].as_i64() {
        engine = engine.subquery_step_ms(step);
    }
    if let Some(lookback) = request["lookback_ms"].as_i64().or(config["lookback_ms"].as_i64()) {
        engine = engine.lookback_ms(lookback);
    }
    engine
}

/// The answer to an `instant` or `range` request.
pub(crate) fn evaluate(source: &Snapshot, request: &Json) -> Result<Evaluation, Error> {
    let engine = engine(request);
    let time = |key: &str| Timestamp::from_millis(request[key].as_i64().unwrap());
    let query = engine.prepare(request["query"].as_str().unwrap())?;
    if request["op"] == "range" {
        let step = request["step_ms"].as_i64().unwrap();
        engine.range(source, &query, time("start_ms"), time("end_ms"), step)
    } else {
        engine.instant(source, &query, time("time_ms"))
    }
}
