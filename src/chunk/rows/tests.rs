#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use super::super::Column;
use super::*;
use proptest::prelude::*;

fn layout(buckets: usize, count: bool, sum: bool) -> Arc<Layout> {
    let mut columns: Vec<Column> =
        (0..buckets).map(|bound| Column::Bucket(bound.to_string().into())).collect();
    columns.extend(count.then_some(Column::Count));
    columns.extend(sum.then_some(Column::Sum));
    Arc::new(Layout::new(columns))
}

type Row = Vec<Option<f64>>;

/// Rows as the chunks that they make.
fn chunks(layout: &Arc<Layout>, rows: &[(i64, Row)]) -> Vec<FamilyRows> {
    let (mut newest, mut tail, mut chunks) =
        (LastRow::default(), FamilyRows::new(layout.clone(), None), Vec::new());
    let mut body = Vec::new();
    for (time, row) in rows {
        body.clear();
        let told = newest.put_sparse(layout, row, &mut body);
        if !tail.can_follow(told) {
            chunks.push(tail.take_rows());
        }
        let mut rest = body.as_slice();
        assert_eq!(tail.push(*time, &mut rest, 0), Some(told));
        assert!(rest.is_empty());
    }
    chunks.push(tail);
    chunks
}

fn check(layout: &Arc<Layout>, rows: &[(i64, Row)], window: Window) -> usize {
    let chunks = chunks(layout, rows);
    let wanted: Vec<&(i64, Row)> = rows
        .iter()
        .filter(|(time, _)| window.after.as_millis() < *time && *time <= window.until.as_millis())
        .collect();
    for column in 0..layout.width() {
        let mut read = SampleBuffer::default();
        for chunk in &chunks {
            chunk.read_column(column, window, &mut read).unwrap();
        }
        let wanted = wanted.iter().filter_map(|(time, row)| Some((*time, row[column]?.to_bits())));
        let got = read.times.iter().copied().zip(read.values.iter().map(|value| value.to_bits()));
        assert!(got.eq(wanted), "column {column}");
    }
    let mut table = FamilyBuffer::default();
    for chunk in &chunks {
        chunk.read(window, &mut table).unwrap();
    }
    for chunk in &chunks {
        check_ends(chunk, window);
    }
    assert_eq!(table.times().len(), wanted.len());
    for (index, (time, row)) in wanted.iter().enumerate() {
        assert_eq!(table.times()[index], *time);
        for (column, value) in row.iter().enumerate() {
            assert_eq!(table.has(index, column), value.is_some());
            assert!(value.is_none_or(|value| value.to_bits() == table.row(index)[column].to_bits()));
        }
    }
    chunks.len()
}

/// The ends of a window are the first and the last of its rows.
fn check_ends(chunk: &FamilyRows, window: Window) {
    let (mut table, mut ends) = (FamilyBuffer::default(), FamilyEnds::default());
    chunk.read(window, &mut table).unwrap();
    let rows = table.times().len();
    let found = chunk.read_ends(window, &mut ends).unwrap();
    assert_eq!(found, chunk.increments && rows > 1);
    if !found {
        return;
    }
    let bits = |row: &[f64]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let buckets = chunk.layout.bounds().len();
    assert_eq!(ends.count, rows);
    assert_eq!((ends.first_time, ends.last_time), (table.times()[0], table.times()[rows - 1]));
    assert_eq!(bits(&ends.first), bits(&table.row(0)[..buckets]));
    assert_eq!(bits(&ends.last), bits(&table.row(rows - 1)[..buckets]));
}

fn window(after: i64, length: i64) -> Window {
    Window::new(crate::Timestamp::from_millis(after), crate::Timestamp::from_millis(after + length))
}

proptest! {
    #[test]
    fn any_row_comes_back(
        buckets in 0_usize..20,
        (count, sum) in any::<(bool, bool)>(),
        rows in proptest::collection::vec((1_i64..100_000, 0_u8..4, proptest::collection::vec(proptest::option::of(any::<u64>()), 22)), 0..40),
        after in 0_i64..1_000_000,
    ) {
        let layout = layout(buckets, count, sum);
        let mut time = 0;
        let mut last: Row = vec![Some(0.0); layout.width()];
        let rows: Vec<(i64, Row)> = rows
            .iter()
            .map(|(step, kind, row)| {
                time += step;
                let row = row.iter().take(layout.width());
                last = match kind {
                    0 => last.clone(),
                    1 => row.scan(0, |total, value| { *total += value.unwrap_or(0) & 7; Some(Some(*total as f64)) }).collect(),
                    2 => row.map(|value| Some((value.unwrap_or(0) & 1) as f64)).collect(),
                    _ => row.map(|bits| bits.map(f64::from_bits)).collect(),
                };
                (time, last.clone())
            })
            .collect();
        check(&layout, &rows, window(after, 500_000));
        check(&layout, &rows, Window::ALL);
    }

    #[test]
    fn growing_histograms_come_back(
        buckets in 1_usize..150,
        observations in proptest::collection::vec((0_usize..3, proptest::collection::vec((0_usize..150, 0.0_f64..100.0), 0..4)), 0..200),
        (hidden_reset, reset) in (0_usize..400, 0_usize..400),
        (count, sum) in any::<(bool, bool)>(),
        (from, length) in (0_i64..3_000_000, 0_i64..3_000_000),
    ) {
        let layout = layout(buckets, count, sum);
        let mut counts = vec![0_u64; buckets];
        let mut total_sum = 0.0;
        let mut rows = Vec::new();
        let mut time = 0;
        for (index, (late, scrape)) in observations.iter().enumerate() {
            if index == hidden_reset {
                counts.reverse();
            }
            if index == reset {
                counts.fill(0);
                total_sum = 0.0;
            }
            for (bucket, value) in scrape {
                counts[bucket % buckets] += 1;
                total_sum += value;
            }
            let mut total = 0;
            let mut row: Row = counts.iter().map(|count| { total += count; Some(total as f64) }).collect();
            row.extend(count.then_some(Some(total as f64)));
            row.extend(sum.then_some(Some(total_sum)));
            time += 15_000 + (*late as i64);
            rows.push((time, row));
        }
        let made = check(&layout, &rows, Window::ALL);
        prop_assert!(made <= 3, "{made} chunks for two resets at most");
        check(&layout, &rows, window(from, length));
    }

    #[test]
    fn any_bytes_are_rows_or_refused(bytes: Vec<u8>, buckets in 0_usize..150, whole: bool) {
        let layout = layout(buckets, true, true);
        let mut rows = FamilyRows::new(layout.clone(), None);
        if whole {
            let mut body = Vec::new();
            LastRow::default().put(&layout, &vec![0.0; layout.width()], &mut body);
            rows.push(0, &mut body.as_slice(), 0).unwrap();
        }
        let mut rest = bytes.as_slice();
        let mut time = 0;
        while rows.count() < 100 && !rest.is_empty() {
            time += 1;
            let mut next = rows.last().clone();
            match next.take(&layout, &mut { rest }) {
                Some(told) if rows.can_follow(told) => assert!(rows.push(time, &mut rest, 3).is_some()),
                _ => break,
            }
        }
        let mut table = FamilyBuffer::default();
        rows.read(Window::ALL, &mut table).unwrap();
        prop_assert_eq!(table.times().len(), rows.count() as usize);
    }
}

#[test]
fn a_scrape_without_news_takes_two_bytes() {
    let layout = layout(17, true, true);
    let rows: Vec<(i64, Row)> =
        (0..100).map(|index| (index * 15_000, vec![Some(5.0); layout.width()])).collect();
    let chunks = chunks(&layout, &rows);
    let marked = 100_usize.div_ceil(GROUP as usize);
    assert!(chunks[0].bytes.len() <= 2 * 100 + 3 * marked, "{} bytes", chunks[0].bytes.len());
}

#[test]
fn a_hidden_reset_starts_a_chunk() {
    let layout = layout(2, false, false);
    let rows = [(0, vec![Some(0.0), Some(10.0)]), (1, vec![Some(10.0), Some(10.0)])];
    assert_eq!(check(&layout, &rows, Window::ALL), 2);
}

#[test]
fn memory_that_grows_for_rows_to_come_grows_seldom_and_holds_the_same() {
    let layout = layout(17, true, true);
    let row = |index: usize| vec![(index * index / 3) as f64; layout.width()];
    let rows = |to_come: fn(usize) -> usize| {
        let (mut newest, mut rows) = (LastRow::default(), FamilyRows::new(layout.clone(), None));
        let mut grown = 0;
        for index in 0..120 {
            let (mut body, before) = (Vec::new(), rows.bytes.capacity());
            newest.put(&layout, &row(index), &mut body);
            rows.push(index as i64 * 15_000, &mut body.as_slice(), to_come(index)).unwrap();
            grown += usize::from(rows.bytes.capacity() > before);
        }
        (rows, grown)
    };
    let ((alone, often), (together, seldom)) = (rows(|_| 0), rows(|index| 119 - index));
    assert_eq!(alone.bytes, together.bytes);
    assert!(seldom <= 3 && often > 3, "grown {seldom} times, {often} times");
    assert!(together.bytes.capacity() <= alone.bytes.capacity() + ROOM);
}

proptest! {
    #[test]
    fn a_row_that_states_itself_is_told_as_it_was(
        counts in proptest::collection::vec(prop_oneof![0..100_u64, any::<u64>()], 1..70),
        sum in any::<u64>(),
        has_sum: bool,
    ) {
        let layout = layout(counts.len(), true, has_sum);
        let mut body = vec![0, 0];
        counts.iter().for_each(|count| varint::put(&mut body, *count));
        body.extend(has_sum.then(|| sum.to_le_bytes()).into_iter().flatten());
        let mut row = LastRow::default();
        if row.take(&layout, &mut body.as_slice()).is_some() && row.states_itself(&layout) {
            let (mut values, mut again, mut told) = (SmallVec::new(), LastRow::default(), Vec::new());
            prop_assert!(row.values(&layout, &mut values).is_empty());
            prop_assert_eq!(again.put(&layout, &values, &mut told), Told::Whole);
            prop_assert_eq!(told, body);
        } else {
            let too_many = counts.iter().try_fold(0, |total: u64, more| total.checked_add(*more));
            let is_finite = !has_sum || f64::from_bits(sum).is_finite();
            prop_assert!(too_many.is_none_or(|total| total > 1 << 53) || !is_finite);
        }
    }
}
