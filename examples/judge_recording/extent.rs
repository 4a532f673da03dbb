//! When the series of a store begin and end.

use promgate::{Item, SampleBuffer, SelectRequest, Snapshot, Source, Timestamp, Window};

/// How many series there are, and the time of the first and the last sample.
pub(crate) fn extent(source: &Snapshot) -> promgate::Result<(usize, Timestamp, Timestamp)> {
    let (mut first, mut last) = (Timestamp::MAX, Timestamp::MIN);
    let mut samples = SampleBuffer::default();
    let items = source.select(&SelectRequest::new(&[], Window::ALL))?.items;
    for item in &items {
        let Item::Series(series) = item else { continue };
        samples.clear();
        series.read(Window::ALL, &mut samples)?;
        let times = samples.times.iter().copied().chain(samples.histograms.iter().map(|(time, ..)| *time));
        for time in times.map(Timestamp::from_millis) {
            (first, last) = (first.min(time), last.max(time));
        }
    }
    Ok((items.len(), first, last))
}
