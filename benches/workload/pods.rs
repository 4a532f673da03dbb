//! Pods with a classic histogram and two counters each, mostly 50,000 series in all: what a canary gate lives among.

use promgate::{Labels, Limits, Sample, Store, StoreOptions, Timestamp};

use super::BOUNDS;

/// Pods of 50,000 series.
pub(crate) const PODS: usize = 2_300;
pub(crate) const SCRAPE_MS: i64 = 15_000;
/// An hour and the window before it.
pub(crate) const SCRAPES: i64 = 260;

/// A small generator of numbers, so that every run measures the same store.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

pub(crate) fn labels(name: &str, pod: usize, status: Option<&str>) -> Labels {
    let service = format!("service-{}", pod % 40);
    let hash = format!("{:08x}", pod / 4);
    let pod = format!("hotrod-{hash}-{pod}");
    let mut pairs = vec![
        ("__name__", name),
        ("hotrod_namespace", "hotrod"),
        ("hotrod_pod_hash", &hash),
        ("hotrod_pod_name", &pod),
        ("service_name", &service),
        ("span_kind", "SPAN_KIND_SERVER"),
    ];
    pairs.extend(status.map(|status| ("status_code", status)));
    Labels::from_pairs(pairs)
}

/// The store of so many pods, scraped for an hour and a window.
pub(crate) fn store(pods: usize) -> Store {
    let mut limits = Limits::default();
    limits.series = limits.series.max(pods * 22);
    limits.sample_bytes = 1 << 30;
    limits.series_bytes = 1 << 30;
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    let mut numbers = Numbers(7);
    let mut appender = store.appender();
    let families: Vec<_> = (0..pods)
        .map(|pod| appender.family(&labels("duration_milliseconds", pod, None), &BOUNDS).unwrap())
        .collect();
    let calls: Vec<_> = (0..pods)
        .flat_map(|pod| ["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"].map(|status| (pod, status)))
        .map(|(pod, status)| appender.handle(&labels("calls_total", pod, Some(status))).unwrap())
        .collect();
    let mut buckets = vec![[0.0_f64; BOUNDS.len()]; pods];
    let mut sums = vec![0.0_f64; pods];
    let mut totals = vec![0.0_f64; calls.len()];
    for scrape in 0..SCRAPES {
        let mut appender = store.appender();
        for (pod, family) in families.iter().enumerate() {
            let time = Timestamp::from_millis(scrape * SCRAPE_MS + pod as i64 % SCRAPE_MS);
            let mut below = 0.0;
            for bucket in &mut buckets[pod] {
                below += numbers.next(3) as f64;
                *bucket += below;
            }
            sums[pod] += numbers.next(4_000) as f64;
            let count = buckets[pod][BOUNDS.len() - 1];
            appender.append_family(family, time, &buckets[pod], count, sums[pod]).unwrap();
        }
        for (index, handle) in calls.iter().enumerate() {
            let time = Timestamp::from_millis(scrape * SCRAPE_MS + (index as i64 / 2) % SCRAPE_MS);
            totals[index] += numbers.next(if index % 2 == 0 { 40 } else { 2 }) as f64;
            appender.append_to(handle, Sample::float(time, totals[index])).unwrap();
        }
        appender.commit().unwrap();
    }
    store
}
